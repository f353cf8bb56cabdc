"""Hashes of a tree's beginning, read from its published tiles when they are asked for.

Rules kept here: a tile counts only when it hashes to what stands above it, up to the peaks of a tree whose root the
log's key signed; one that is missing or wrong is never used: the hashes are then computed again from the raw leaves.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from itmp.audit.doors import Files
from itmp.audit.merkle import HASH, Tree, perfect_parts, root_of
from itmp.audit.tiles import HEIGHT, WIDTH, Tile, TileError, decode_tile
from itmp.errors import EvidenceInvalidError

_KEPT: Final = 256
"""Tiles that stay in memory: two megabytes."""


class TiledHashes:
    """Hashes within the first `size` leaves, whose tree has `peaks`; `again` computes the tree from the leaves."""

    def __init__(self, files: Files, size: int, peaks: Sequence[bytes], again: Callable[[], Tree]) -> None:
        self._files, self._size, self._again = files, size, again
        levels = [level for level in range(size.bit_length() - 1, -1, -1) if size >> level & 1]
        self._peaks = dict(zip(levels, peaks, strict=True))
        self._tiles: dict[tuple[int, int], list[bytes]] = {}
        self._whole: Tree | None = None

    def __call__(self, level: int, start: int, count: int) -> bytes:
        """Return `count` joined hashes of complete subtrees of 2^`level` leaves."""
        if self._whole is None:
            try:
                return b"".join(self._nodes(level, start, count))
            except EvidenceInvalidError:
                self._whole = self._again()
        return self._whole.hashes(level, start, count)

    def _nodes(self, level: int, start: int, count: int) -> Iterator[bytes]:
        height, inner = divmod(level, HEIGHT)
        per_tile = WIDTH >> inner
        for at in range(start, start + count):
            tile = self._tile(height, at // per_tile)
            first = (at % per_tile) << inner
            part = tile[first : first + (1 << inner)]
            if len(part) != 1 << inner:
                raise TileError("a subtree that is not complete")
            yield root_of(part) if inner else part[0]

    def _tile(self, height: int, n: int) -> list[bytes]:
        if (height, n) not in self._tiles:
            if len(self._tiles) >= _KEPT:
                self._tiles.pop(next(iter(self._tiles)))
            self._tiles[height, n] = self._verified(height, n)
        return self._tiles[height, n]

    def _verified(self, height: int, n: int) -> list[bytes]:
        width = min(WIDTH, (self._size >> (HEIGHT * height)) - n * WIDTH)
        hashes = self._stored(Tile(level=height, n=n, width=width))
        if width == WIDTH:
            holds = [root_of(hashes)] == list(self._nodes(HEIGHT * (height + 1), n, 1))
        else:
            bits = [bit for bit in range(HEIGHT - 1, -1, -1) if width >> bit & 1]
            holds = perfect_parts(hashes) == [self._peaks[HEIGHT * height + bit] for bit in bits]
        if not holds:
            raise TileError("a tile does not hash to the one above it", where=f"tile/{height}, {n}")
        return hashes

    def _stored(self, tile: Tile) -> list[bytes]:
        """Read the tile, or the full one that took its place."""
        for width in {tile.width: None, WIDTH: None}:
            data = self._files.get(Tile(level=tile.level, n=tile.n, width=width).path, WIDTH * HASH)
            if data is not None:
                return decode_tile(data, width, where=tile.path)[: tile.width]
        raise TileError("missing", where=tile.path)
