"""Many proofs under one root: what an earlier one has shown is not computed again, and excuses no byte of a later one."""

import binascii
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itmp.audit import Inclusions, ProofError
from itmp.audit.merkle import Tree, leaf_hash
from itmp.errors import EvidenceInvalidError
from itmp.evidence.proofs import Hashes, write_hashes, write_inclusion


def tree_of(size: int) -> tuple[Tree, list[bytes]]:
    leaves = [leaf_hash(bytes([n % 256, n // 256])) for n in range(size)]
    tree = Tree()
    tree.extend(leaves)
    return tree, leaves


@given(size=st.integers(1, 300), data=st.data())
def test_every_leaf_is_shown_in_whatever_order_proofs_come(size: int, data: st.DataObject) -> None:
    tree, leaves = tree_of(size)
    included = Inclusions(size=size, root=tree.root())
    for index in data.draw(st.permutations(range(size))):
        included.verify(index=index, leaf=leaves[index], proof=tree.inclusion(index, size))


@given(size=st.integers(2, 300), data=st.data())
def test_a_proof_that_differs_anywhere_from_a_sound_one_is_refused(size: int, data: st.DataObject) -> None:
    tree, leaves = tree_of(size)
    included = Inclusions(size=size, root=tree.root())
    for index in range(size):
        included.verify(index=index, leaf=leaves[index], proof=tree.inclusion(index, size))
    index = data.draw(st.integers(0, size - 1))
    proof = list(tree.inclusion(index, size))
    at = data.draw(st.integers(0, len(proof) - 1))
    other = bytes([proof[at][0] ^ 1]) + proof[at][1:]
    lies = [
        [*proof[:at], other, *proof[at + 1 :]],
        proof[:-1],
        [*proof, proof[-1]],
        [*proof[:-1], proof[-1] + b"\0"],
    ]
    for lie in lies:
        with pytest.raises(ProofError):
            included.verify(index=index, leaf=leaves[index], proof=lie)
    wrong = bytes(32)
    with pytest.raises(ProofError):
        included.verify(index=index, leaf=wrong, proof=proof)
    with pytest.raises(ProofError):
        included.verify(index=size, leaf=leaves[index], proof=proof)


def test_a_refused_proof_teaches_nothing() -> None:
    tree, leaves = tree_of(8)
    included = Inclusions(size=8, root=tree.root())
    proof = [bytes(32), *tree.inclusion(3, 8)[1:]]
    for _ in range(2):
        with pytest.raises(ProofError, match="not in the tree"):
            included.verify(index=3, leaf=leaves[3], proof=proof)


def test_a_proof_that_is_longer_than_any_path_is_not_kept_a_step_at_a_time() -> None:
    included = Inclusions(size=2**60, root=bytes(32))
    proof = [bytes(32)] * 1_000_000
    tracemalloc.start()
    with pytest.raises(ProofError, match="left over"):
        included.verify(index=5, leaf=bytes(32), proof=proof)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 50 * len(proof), "some bytes for each hash, and not for each hash and step"


def test_more_proofs_than_are_remembered() -> None:
    size = 5_000
    tree, leaves = tree_of(size)
    included = Inclusions(size=size, root=tree.root())
    for index in range(size):
        included.verify(index=index, leaf=leaves[index], proof=tree.inclusion(index, size))
    with pytest.raises(ProofError):
        included.verify(index=0, leaf=leaves[0], proof=tree.inclusion(1, size))


def test_a_line_that_is_known_excuses_no_other_spelling_of_it() -> None:
    hashes, value = Hashes(), bytes(range(32))
    line = write_hashes([value])
    assert hashes.read(line * 3, where="x") == (value,) * 3
    loose = line[:-3] + bytes([line[-3] + 1]) + line[-2:]  # bits that base64 does not use
    assert binascii.a2b_base64(loose) == value
    others = (
        line[:-1],
        line + b"\n",
        b" " + line,
        line.replace(b"=", b""),
        loose,
        line[:-1] + b"\r\n",
        line + b"=",
    )
    for other in others:
        with pytest.raises(EvidenceInvalidError):
            hashes.read(other, where="x")
    assert hashes.read(b"", where="x") == ()


def test_a_proof_for_another_leaf_or_checkpoint_is_refused_by_its_words() -> None:
    hashes, note = Hashes(), b"log\n2\nroot\n\n- sig\n"
    proof = write_inclusion(7, [bytes(32)], note)
    assert hashes.inclusion(proof, index=7, note=note, where="x") == (bytes(32),)
    for index, other in ((8, note), (7, note + b"x"), (77, note)):
        with pytest.raises(EvidenceInvalidError):
            hashes.inclusion(proof, index=index, note=other, where="x")
