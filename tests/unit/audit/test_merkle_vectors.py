"""Known answers: the reference tree of Certificate Transparency (RFC 6962's own test inputs)."""

import pytest

from itmp.audit.merkle import (
    EMPTY_ROOT,
    Frontier,
    ProofError,
    Tree,
    leaf_hash,
    leaf_hashes,
    root_of,
    verify_consistency,
    verify_inclusion,
)

INPUTS = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


@pytest.fixture
def tree() -> Tree:
    tree = Tree()
    tree.extend(leaf_hashes([bytes.fromhex(text) for text in INPUTS]))
    return tree


@pytest.mark.parametrize("size", range(9))
def test_roots_are_those_of_the_reference(tree: Tree, size: int) -> None:
    assert tree.root(size).hex() == ROOTS[size]
    assert root_of([tree.leaf(n) for n in range(size)]).hex() == ROOTS[size]


def test_an_empty_tree_has_the_hash_of_nothing() -> None:
    assert Tree().root() == Frontier().root() == EMPTY_ROOT == root_of([])


def test_a_leaf_is_not_a_node(tree: Tree) -> None:
    assert leaf_hash(b"\x01" + tree.leaf(0) + tree.leaf(1)).hex() != ROOTS[2]


@pytest.mark.parametrize(("old", "new"), [(0, 0), (0, 3), (3, 2), (-1, 2)])
def test_consistency_is_undefined_from_nothing_and_backwards(tree: Tree, old: int, new: int) -> None:
    roots = {"old_root": tree.root(max(old, 0)), "new_root": tree.root(new)}
    with pytest.raises(ProofError):
        verify_consistency(old=old, new=new, proof=[], **roots)
    with pytest.raises(IndexError):
        tree.consistency(old, new)


def test_equal_sizes_need_equal_roots_and_an_empty_proof(tree: Tree) -> None:
    verify_consistency(old=3, new=3, old_root=tree.root(3), new_root=tree.root(3), proof=[])
    with pytest.raises(ProofError):
        verify_consistency(old=3, new=3, old_root=tree.root(3), new_root=tree.root(4), proof=[])
    with pytest.raises(ProofError):
        verify_consistency(old=3, new=3, old_root=tree.root(3), new_root=tree.root(3), proof=[tree.root(3)])


@pytest.mark.parametrize("index", [-1, 8, 9])
def test_a_leaf_outside_the_tree_has_no_proof(tree: Tree, index: int) -> None:
    with pytest.raises(ProofError):
        verify_inclusion(
            index=index, size=8, leaf=tree.leaf(0), proof=tree.inclusion(0, 8), root=tree.root(8)
        )
    with pytest.raises(IndexError):
        tree.inclusion(index, 8)


def test_hashes_of_other_lengths_are_refused(tree: Tree) -> None:
    with pytest.raises(ProofError):
        verify_inclusion(index=0, size=1, leaf=b"short", proof=[], root=b"short")
    with pytest.raises(ProofError):
        verify_consistency(old=1, new=1, old_root=b"", new_root=b"", proof=[])
    with pytest.raises(ValueError, match="32"):
        tree.extend([b"x" * 31])


def test_sizes_beyond_the_tree_are_refused(tree: Tree) -> None:
    for call in (
        lambda: tree.root(9),
        lambda: tree.inclusion(0, 9),
        lambda: tree.hashes(1, 0, 5),
        lambda: tree.leaf(8),
    ):
        with pytest.raises(IndexError):
            call()
