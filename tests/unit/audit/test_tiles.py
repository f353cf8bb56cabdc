import pytest

from itmp.audit.event import MAX_LEAF
from itmp.audit.merkle import Tree, leaf_hashes
from itmp.audit.tiles import ENTRIES, Tile, TileError, decode_bundle, decode_tile, encode_bundle, tiles_of

NAMES = {
    "tile/0/000": Tile(level=0, n=0),
    "tile/entries/x001/x234/067": Tile(level=ENTRIES, n=1234067),
    "tile/entries/x001/x234/067.p/1": Tile(level=ENTRIES, n=1234067, width=1),
    "tile/3/x001/000.p/255": Tile(level=3, n=1000, width=255),
    "tile/7/999": Tile(level=7, n=999),
}


@pytest.mark.parametrize("name", NAMES)
def test_names_follow_the_format(name: str) -> None:
    assert NAMES[name].path == name
    assert Tile.parse(name) == NAMES[name]


@pytest.mark.parametrize(
    "name",
    [
        "tile/0/0", "tile/0/x000/001", "tile/00/000", "tile/8/000", "tile/0/1000", "tile/0/001/002", "tile/0/x001",
        "tile/0/000.p/0", "tile/0/000.p/256", "tile/0/000.p/01", "tile/0/000.p/", "tile/0/000\n", "tile/0/\u0660\u0660\u0660",
        "/tile/0/000", "tile/0/../0/000", "tile/Entries/000", "", "tile/0/000.p/1/2",
    ],
)  # fmt: skip
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(TileError):
        Tile.parse(name)


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 65535, 65536, 65537, 70_000, 16_777_217])
def test_the_tiles_of_a_size_hold_each_hash_once(size: int) -> None:
    for level in (ENTRIES, 0, 1, 2, 3):
        held = sum(tile.width for tile in tiles_of(size) if tile.level == level)
        assert held == size >> (8 * max(level, 0))
    assert len({tile.path for tile in tiles_of(size)}) == len(list(tiles_of(size)))


@pytest.mark.parametrize(
    ("old", "new"), [(0, 300), (1, 2), (255, 256), (256, 256), (256, 257), (300, 70_000), (65_535, 65_536)]
)
def test_growing_writes_exactly_what_is_missing(old: int, new: int) -> None:
    have, want = set(tiles_of(old)), set(tiles_of(new))
    assert set(tiles_of(new, since=old)) == want - have


def test_a_tile_of_level_one_holds_the_roots_of_full_tiles() -> None:
    tree = Tree()
    tree.extend(leaf_hashes([n.to_bytes(2) for n in range(600)]))
    sub = Tree()
    sub.extend([tree.leaf(n) for n in range(256, 512)])
    assert Tile(level=1, n=0, width=2).content(tree)[32:] == sub.root()


def test_bundles_carry_leaves_exactly() -> None:
    leaves = [b"a", b"b" * MAX_LEAF, b"c" * 700]
    data = encode_bundle(leaves)
    assert data.startswith(b"\x00\x01a")
    assert decode_bundle(data, 3) == leaves


@pytest.mark.parametrize(
    ("data", "width"),
    [
        (b"", 1), (b"\x00", 1), (b"\x00\x00", 1), (b"\x00\x02a", 1), (b"\x00\x01ab", 1), (b"\x00\x01a", 2),
        (b"\x00\x01a\x00\x01b", 1), ((MAX_LEAF + 1).to_bytes(2) + b"x" * (MAX_LEAF + 1), 1),
    ],
)  # fmt: skip
def test_other_bundles_are_refused(data: bytes, width: int) -> None:
    with pytest.raises(TileError):
        decode_bundle(data, width)


def test_tiles_have_exactly_their_hashes() -> None:
    assert decode_tile(b"a" * 32 + b"b" * 32, 2) == [b"a" * 32, b"b" * 32]
    for data in (b"", b"a" * 63, b"a" * 65, b"a" * 96):
        with pytest.raises(TileError):
            decode_tile(data, 2)
