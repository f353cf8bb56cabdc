"""Published leaves, read from their bundles.

Rules kept here: what a bundle holds is handed out unjudged, to a caller who holds each leaf against the tree; a bundle
that is missing or ends too early is an error, and whoever asked reads the journal instead. The last few bundles stay in
memory, because the events of a change, and the changes of a page, stand close together.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from itmp.audit.doors import Files
from itmp.audit.tiles import ENTRIES, MAX_BUNDLE, WIDTH, Tile, TileError, decode_bundle

_KEPT: Final = 8
"""Bundles that stay in memory: two megabytes of ordinary events. Safe for threads: each step is one of a dict's own."""


class Bundles:
    """The entry bundles below `files`."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._known: dict[int, list[bytes]] = {}

    def read(self, start: int, end: int) -> Sequence[bytes]:
        """Return published leaves [start, end), unjudged; `TileError` when a bundle is missing or too short."""
        leaves: list[bytes] = []
        for n in range(start // WIDTH, -(-end // WIDTH)):
            low, high = max(start - n * WIDTH, 0), min(end - n * WIDTH, WIDTH)
            leaves += self._bundle(n, high)[low:high]
        return leaves

    def _bundle(self, n: int, least: int) -> list[bytes]:
        """Return bundle `n`, of `least` leaves or more."""
        known = self._known.get(n, [])
        if len(known) < least:
            known = self._stored(n)
            if len(known) < least:
                raise TileError("a bundle ends too early", where=Tile(level=ENTRIES, n=n).path)
            if len(self._known) >= _KEPT:
                self._known = {}
            self._known[n] = known
        return known

    def _stored(self, n: int) -> list[bytes]:
        """Read the widest bundle `n` there is."""
        for width in self._widths(n):
            tile = Tile(level=ENTRIES, n=n, width=width)
            data = self._files.get(tile.path, MAX_BUNDLE)
            if data is not None:
                return decode_bundle(data, width, where=tile.path)
        raise TileError("missing", where=Tile(level=ENTRIES, n=n).path)

    def _widths(self, n: int) -> Sequence[int]:
        full = Tile(level=ENTRIES, n=n)
        names = self._files.names(full.path + ".p")
        return (WIDTH, *sorted((int(name.rpartition("/")[2]) for name in names), reverse=True))


def stretches(indexes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the stretches [start, end) of ascending indexes: leaves side by side are read and checked at once."""
    start = end = -1
    for index in indexes:
        if index != end:
            if end > start:
                yield start, end
            start = index
        end = index + 1
    if end > start:
        yield start, end
