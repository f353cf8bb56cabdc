"""The tree against RFC 6962's recursive definition, and proofs against everything near them."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itmp.audit.merkle import Frontier, ProofError, Tree, root_of, verify_consistency, verify_inclusion

SIZES = st.integers(min_value=1, max_value=600)


def hashes(size: int) -> list[bytes]:
    return [hashlib.sha256(n.to_bytes(4)).digest() for n in range(size)]


def naive(items: list[bytes]) -> bytes:
    if len(items) < 2:
        return items[0] if items else hashlib.sha256(b"").digest()
    half = 1
    while half * 2 < len(items):
        half *= 2
    return hashlib.sha256(b"\x01" + naive(items[:half]) + naive(items[half:])).digest()


def tree_of(size: int, *steps: int) -> Tree:
    tree, items = Tree(), hashes(size)
    at = 0
    for step in sorted({*(s for s in steps if s < size), size}):
        tree.extend(items[at:step])
        at = step
    return tree


@given(SIZES, st.lists(SIZES, max_size=4))
def test_roots_follow_the_definition_however_the_tree_grew(size: int, steps: list[int]) -> None:
    tree, frontier = tree_of(size, *steps), Frontier()
    for item in hashes(size):
        frontier.append(item)
    assert tree.root() == frontier.root() == root_of(hashes(size)) == naive(hashes(size))
    for old in (1, size // 2 + 1, size):
        assert tree.root(old) == naive(hashes(old))


@given(st.data(), SIZES)
def test_inclusion_proofs_hold_for_their_leaf_only(data: st.DataObject, size: int) -> None:
    tree = tree_of(size)
    index = data.draw(st.integers(0, size - 1))
    proof, root = tree.inclusion(index, size), tree.root()
    verify_inclusion(index=index, size=size, leaf=tree.leaf(index), proof=proof, root=root)
    other = data.draw(st.integers(0, size - 1))
    if other != index:
        with pytest.raises(ProofError):
            verify_inclusion(index=other, size=size, leaf=tree.leaf(index), proof=proof, root=root)
        with pytest.raises(ProofError):
            verify_inclusion(index=index, size=size, leaf=tree.leaf(other), proof=proof, root=root)
    for broken in spoil(data, proof):
        with pytest.raises(ProofError):
            verify_inclusion(index=index, size=size, leaf=tree.leaf(index), proof=broken, root=root)


@given(st.data(), SIZES)
def test_consistency_proofs_hold_for_their_trees_only(data: st.DataObject, new: int) -> None:
    tree = tree_of(new)
    old = data.draw(st.integers(1, new))
    proof = tree.consistency(old, new)
    roots = {"old_root": tree.root(old), "new_root": tree.root(new)}
    verify_consistency(old=old, new=new, proof=proof, **roots)
    for broken in spoil(data, proof):
        with pytest.raises(ProofError):
            verify_consistency(old=old, new=new, proof=broken, **roots)
    for name in roots:
        with pytest.raises(ProofError):
            verify_consistency(old=old, new=new, proof=proof, **{**roots, name: b"\x00" * 32})


def test_an_inner_node_is_not_passed_off_as_a_leaf_or_an_older_root() -> None:
    tree = tree_of(8)
    with pytest.raises(ProofError, match="missing"):
        verify_inclusion(index=0, size=8, leaf=tree.root(), proof=[], root=tree.root())
    with pytest.raises(ProofError, match="missing"):
        verify_inclusion(
            index=0, size=8, leaf=tree.root(4), proof=tree.inclusion(0, 8)[-1:], root=tree.root()
        )
    with pytest.raises(ProofError, match="missing"):
        verify_consistency(
            old=2, new=8, old_root=tree.root(4), new_root=tree.root(), proof=tree.consistency(4, 8)
        )


def spoil(data: st.DataObject, proof: tuple[bytes, ...]) -> list[list[bytes]]:
    extra = data.draw(st.sampled_from([b"\x00" * 32, *proof]))
    at = data.draw(st.integers(0, len(proof)))
    broken = [[*proof[:at], extra, *proof[at:]]]
    if proof:
        cut = data.draw(st.integers(0, len(proof) - 1))
        flipped = bytes([proof[cut][0] ^ 1]) + proof[cut][1:]
        broken += [
            [*proof[:cut], *proof[cut + 1 :]],
            [*proof[:cut], flipped, *proof[cut + 1 :]],
            [*proof, b"short"],
        ]
    return broken
