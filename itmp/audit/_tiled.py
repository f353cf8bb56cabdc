"""Hashes of a tree's beginning, read from its published tiles when they are asked for.

Rules kept here: a tile counts only when it hashes to what stands above it, up to the peaks of a tree whose root the
log's key signed; one that is missing or wrong is never used: the hashes are then computed again from the raw leaves.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from itmp.audit.doors import Files
from itmp.audit.merkle import HASH, Tree, node_hash, perfect_parts, root_of
from itmp.audit.tiles import HEIGHT, WIDTH, Tile, TileError, decode_tile
from itmp.errors import EvidenceInvalidError

_KEPT: Final = 256
"""Tiles that stay in memory: two megabytes."""
_ROWS: Final = 32
"""Tiles of which the levels within stay in memory too."""


class TiledHashes:
    """Hashes within the first `size` leaves, whose tree has `peaks`; `again` computes the tree from the leaves."""

    def __init__(self, files: Files, size: int, peaks: Sequence[bytes], again: Callable[[], Tree]) -> None:
        self._files, self._size, self._again = files, size, again
        levels = [level for level in range(size.bit_length() - 1, -1, -1) if size >> level & 1]
        self._peaks = dict(zip(levels, peaks, strict=True))
        self._tiles: dict[tuple[int, int], list[bytes]] = {}
        self._rows: dict[tuple[int, int], list[list[bytes]]] = {}
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
        if not inner:
            yield from self._whole_tiles(height, start, start + count)
            return
        per_tile = WIDTH >> inner
        for at in range(start, start + count):
            row = self._row(height, at // per_tile, inner)
            if at % per_tile >= len(row):
                raise TileError("a subtree that is not complete")
            yield row[at % per_tile]

    def _row(self, height: int, n: int, inner: int) -> list[bytes]:
        """Return the hashes within tile `n` that are `inner` levels above its own; proofs ask for them in turn."""
        rows = self._rows.get((height, n), [])
        if len(rows) <= inner:
            rows = [*rows] or [self._tile(height, n)]  # a list of our own: threads may ask at once
            while len(rows) <= inner:
                below = rows[-1]
                rows.append([node_hash(*below[at : at + 2]) for at in range(0, len(below) // 2 * 2, 2)])
            if len(self._rows) >= _ROWS:
                self._rows = {}
            self._rows[height, n] = rows
        return rows[inner]

    def _whole_tiles(self, height: int, start: int, end: int) -> Iterator[bytes]:
        for n in range(start // WIDTH, -(-end // WIDTH)):
            low, high = max(start - n * WIDTH, 0), min(end - n * WIDTH, WIDTH)
            part = self._tile(height, n)[low:high]
            if len(part) != high - low:
                raise TileError("a subtree that is not complete")
            yield from part

    def _tile(self, height: int, n: int) -> list[bytes]:
        if (height, n) not in self._tiles:
            if len(self._tiles) >= _KEPT:
                self._tiles.pop(next(iter(self._tiles)), None)
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
