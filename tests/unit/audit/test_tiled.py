"""Hashes read from tiles are those of the signed tree, or there is an error."""

import hashlib

import pytest

from itmp.audit import Checkpoint
from itmp.audit.merkle import Tree
from itmp.audit.tiled import ProvenHashes
from itmp.audit.tiles import ENTRIES, TileError, tiles_of


def published(size: int) -> tuple[Tree, dict[str, bytes], Checkpoint]:
    tree = Tree()
    tree.extend([hashlib.sha256(str(n).encode()).digest() for n in range(size)])
    files = {tile.path: tile.content(tree) for tile in tiles_of(size) if tile.level != ENTRIES}
    return tree, files, Checkpoint(origin="example.com/t/1", size=size, root=tree.root(size))


def reader(files: dict[str, bytes]):  # type: ignore[no-untyped-def]
    return lambda path, limit: (data := files.get(path)) and data[: limit + 1]


@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257, 511, 512, 70_000])
def test_each_hash_is_that_of_the_tree(size: int) -> None:
    tree, files, head = published(size)
    proven = ProvenHashes(reader(files), head)
    for index in {0, 1, 255, 256, 511, 65_535, 65_536, size - 1} & set(range(size)):
        assert proven.leaf(index) == tree.leaf(index)
    for outside in (-1, size):
        with pytest.raises(IndexError):
            proven.leaf(outside)


@pytest.mark.parametrize("size", [3, 300, 700])
def test_a_changed_tile_is_found_before_its_hash_is_used(size: int) -> None:
    _, files, head = published(size)
    for path, data in files.items():
        for at in {0, len(data) // 2, len(data) - 1}:
            bent = {**files, path: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]}
            with pytest.raises(TileError):
                touch(bent, head, path)
        for wrong in (data[:-1], data + b"\0", b""):
            with pytest.raises(TileError):
                touch({**files, path: wrong}, head, path)
        with pytest.raises(TileError):
            touch({name: kept for name, kept in files.items() if name != path}, head, path)


def test_a_changed_tile_below_two_others_is_found() -> None:
    _, files, head = published(66_000)
    for path in ("tile/0/100", "tile/1/000", "tile/1/001.p/1", "tile/2/000.p/1"):
        with pytest.raises(TileError):
            touch({**files, path: files[path][::-1]}, head, path)


def touch(files: dict[str, bytes], head: Checkpoint, path: str) -> None:
    """Ask for a leaf whose proof goes through the tile `path`."""
    _, level, name = path.split("/", 2)
    n = int(name.partition(".p/")[0].replace("x", "").replace("/", ""))
    ProvenHashes(reader(files), head).leaf(min(n << (8 * (int(level) + 1)), head.size - 1))


def test_another_root_is_no_tree_of_these_tiles() -> None:
    _, files, _ = published(300)
    _, _, other = published(301)
    with pytest.raises(TileError):
        ProvenHashes(reader(files), Checkpoint(origin="x", size=300, root=other.root))
