"""Leaf hashes proven by tiles alone: a reader of few leaves need not read the others.

Rules kept here: the tiles at the right edge must give the signed root; every full tile must hash to its entry in the
tile above it, which is proven in the same way. A hash that is handed out is therefore that of the signed tree. Nothing
is said about leaves beyond the signed size.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Final

from itmp.audit.checkpoint import Checkpoint
from itmp.audit.merkle import EMPTY_ROOT, HASH, node_hash, root_of
from itmp.audit.tiles import HEIGHT, WIDTH, Tile, TileError, decode_tile

Get = Callable[[str, int], bytes | None]
_KEPT: Final = 64
"""Proven tiles kept in memory, beside those of the right edge."""


class ProvenHashes:
    """Leaf hashes of the tree `head`; `get(path, limit)` reads a file of the log's folder.

    Raises `TileError` when a tile is missing, malformed, or not of this tree.
    """

    def __init__(self, get: Get, head: Checkpoint) -> None:
        self._get, self._size = get, head.size
        self._edge: dict[tuple[int, int], list[bytes]] = {}
        self._proven: dict[tuple[int, int], list[bytes]] = {}
        if self._root() != head.root:
            raise TileError("the tiles do not give the signed root", where=f"size {head.size}")

    @property
    def size(self) -> int:
        """How many leaves the signed tree has."""
        return self._size

    def leaf(self, index: int) -> bytes:
        """Return the 32-byte hash of leaf `index`, below the signed size."""
        if not 0 <= index < self._size:
            raise IndexError(f"the signed tree has {self._size} leaves, not leaf {index}")
        return self._tile(0, index // WIDTH)[index % WIDTH]

    def find(self, hashed: bytes) -> int | None:
        """Return the first leaf with this hash; None when the signed tree has no such leaf."""
        count = -(-self._size // WIDTH)
        near = (n for n in range(count) if self._seems(n, hashed))
        for n in itertools.chain(
            near, range(count)
        ):  # an unproven look first: proving every tile takes a while
            hashes = self._tile(0, n)
            if hashed in hashes:
                return n * WIDTH + hashes.index(hashed)
        return None

    def _seems(self, n: int, hashed: bytes) -> bool:
        width = min(WIDTH, self._size - n * WIDTH)
        return hashed in (self._get(Tile(level=0, n=n, width=width).path, WIDTH * HASH) or b"")

    def _tile(self, level: int, n: int) -> list[bytes]:
        found = self._edge.get((level, n)) or self._proven.get((level, n))
        if found is not None:
            return found
        tile = Tile(level=level, n=n)
        hashes = self._read(tile)
        if root_of(hashes) != self._tile(level + 1, n // WIDTH)[n % WIDTH]:
            raise TileError("a tile that is not of the signed tree", where=tile.path)
        if len(self._proven) >= _KEPT:
            self._proven.clear()
        self._proven[level, n] = hashes
        return hashes

    def _root(self) -> bytes:
        acc: bytes | None = None
        level = 0
        while count := self._size >> (HEIGHT * level):
            if count % WIDTH:
                tile = Tile(level=level, n=count // WIDTH, width=count % WIDTH)
                self._edge[level, tile.n] = self._read(tile)
                for part in reversed(_perfect(self._edge[level, tile.n])):
                    acc = part if acc is None else node_hash(part, acc)
            level += 1
        return EMPTY_ROOT if acc is None else acc

    def _read(self, tile: Tile) -> list[bytes]:
        data = self._get(tile.path, WIDTH * HASH)
        if data is None:
            raise TileError("a tile is missing", where=tile.path)
        return decode_tile(data, tile.width, where=tile.path)


def _perfect(hashes: Sequence[bytes]) -> list[bytes]:
    """Return the roots of the largest complete subtrees, left to right."""
    roots, at = [], 0
    while at < len(hashes):
        width = 1 << ((len(hashes) - at).bit_length() - 1)
        roots.append(root_of(hashes[at : at + width]))
        at += width
    return roots
