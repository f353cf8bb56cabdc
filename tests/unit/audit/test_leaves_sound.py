"""Leaves are read from their bundles where these hold them, else from the journal; none that the tree does not hold."""

import pytest

from itmp.audit._integrate import integrate
from itmp.audit._leaves import Leaves
from itmp.audit._view import View
from itmp.audit.merkle import Tree, leaf_hashes
from itmp.audit.tiles import ENTRIES, Tile, encode_bundle
from itmp.errors import EvidenceInvalidError
from itmp.signing import NoteKey
from itmp.testing.memory_log import MemoryStore

ORIGIN = "example.com/ops/2026"
KEY = NoteKey.generate(ORIGIN, bytes(range(32)))
LEAVES = [b"leaf %d" % n for n in range(300)]
FIRST, SECOND = Tile(level=ENTRIES, n=0).path, Tile(level=ENTRIES, n=1, width=44).path


def published(*, journal: list[bytes]) -> tuple[MemoryStore, Leaves]:
    """A store whose bundles hold `LEAVES`, and what reads it, all of them by the bundles."""
    store, tree = MemoryStore(ORIGIN), Tree()
    tree.extend(leaf_hashes(LEAVES))
    store.journal.write(LEAVES, last=False)
    integrate(store, KEY, tree, len(LEAVES))
    store.journal.leaves[:] = journal
    return store, Leaves(store, View(tree), len(LEAVES))


def put(store: MemoryStore, path: str, data: bytes) -> None:
    store.files.content[path] = data


@pytest.mark.parametrize("path", [FIRST, SECOND])
def test_another_leaf_in_a_bundle_is_never_handed_out(path: str) -> None:
    lie = [b"lie %d" % n for n in range(256 if path == FIRST else 44)]
    store, leaves = published(journal=LEAVES)
    put(store, path, encode_bundle(lie))
    assert [leaf.data for leaf in leaves.each(0, 300)] == LEAVES  # the journal's
    assert leaves.one(280) == LEAVES[280]
    store, leaves = published(journal=[*lie, *LEAVES][:300])
    put(store, path, encode_bundle(lie))
    with pytest.raises(EvidenceInvalidError, match="not what it was"):
        list(leaves.each(0, 300))


def test_the_bundles_alone_are_enough() -> None:
    _, leaves = published(journal=[b"another"] * 300)
    assert [leaf.data for leaf in leaves.each(250, 300)] == LEAVES[250:]
