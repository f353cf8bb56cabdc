"""The raw leaves of a log as its published entry bundles hold them.

Rules kept here: a partial bundle may have given way to the full one; whether the leaves are those of a signed head is
the caller's question.
"""

from collections.abc import Iterator
from typing import Protocol

from itmp.audit.tiles import ENTRIES, MAX_BUNDLE, WIDTH, Tile, decode_bundle, tiles_of
from itmp.errors import EvidenceInvalidError


class Bundles(Protocol):
    """Whatever published files can be read from, by relative path."""

    def get(self, path: str, limit: int) -> bytes | None:
        """Return the content, None when absent."""


def bundled(files: Bundles, size: int, *, start: int = 0, within: str = "") -> Iterator[bytes]:
    """Yield the leaves [start, size); an error says `within`, where the files lie, before a path."""
    for tile in tiles_of(size, since=start // WIDTH * WIDTH):
        if tile.level != ENTRIES:
            return
        for width in (tile.width, WIDTH):
            data = files.get(Tile(level=ENTRIES, n=tile.n, width=width).path, MAX_BUNDLE)
            if data is not None:
                leaves = decode_bundle(data, width, where=within + tile.path)[: tile.width]
                yield from leaves[max(0, start - tile.start) :]
                break
        else:
            raise EvidenceInvalidError("entries are missing", where=within + tile.path)
