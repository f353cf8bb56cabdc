"""The leaves of an open log, and what is known of them: caught up with the journal, read back, each matching its hash.

Rules kept here: the journal never has fewer leaves than were there before; leaves before the one from which the journal
was read come from their bundles, else from the journal; none is handed out that does not hash to what the tree holds.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final

from itmp.audit._bundles import Bundles
from itmp.audit._view import View
from itmp.audit.doors import LogStore
from itmp.audit.merkle import leaf_hashes
from itmp.audit.model import Leaf
from itmp.errors import EvidenceInvalidError, LogUnavailableError

CHUNK: Final = 1024


class Leaves:
    """The leaves of `store` and the `view` of them; those before `low` are read from bundles."""

    __slots__ = ("_bundles", "_low", "_store", "_view")

    def __init__(self, store: LogStore, view: View, low: int) -> None:
        self._store, self._view, self._low = store, view, low
        self._bundles = Bundles(store.files)

    def catch_up(self, size: int) -> None:
        """Take up what the journal has, up to `size` leaves, and the view has not."""
        if size < self._view.size:
            raise LogUnavailableError(
                f"the journal has {size} leaves, {self._view.size} were there before",
                do="Do not append; run itmp audit verify and restore the newest copy.",
            )
        while self._view.size < size:
            self._view.extend(self._store.journal.read(self._view.size, min(size, self._view.size + CHUNK)))

    def one(self, index: int) -> bytes:
        """Return the bytes of leaf `index`."""
        return next(self.each(index, index + 1)).data

    def each(self, start: int, end: int) -> Iterator[Leaf]:
        """Yield leaves [start, end)."""
        for low in range(start, end, CHUNK):
            chunk = self._sound(low, min(end, low + CHUNK))
            yield from (Leaf(index=index, data=data) for index, data in enumerate(chunk, low))

    def _sound(self, start: int, end: int) -> Sequence[bytes]:
        """Return leaves that the tree holds: from bundles where the journal was not read, else from the journal."""
        expected = self._view.tree.hashes(0, start, end - start)
        if start < self._low:
            with suppress(EvidenceInvalidError):
                found = self._early(start, end)
                if b"".join(leaf_hashes(found)) == expected:
                    return found
        found = self._store.journal.read(start, end)
        hashes = leaf_hashes(found)
        if b"".join(hashes) != expected:
            tree = self._view.tree
            wrong = next(index for index, hashed in enumerate(hashes, start) if hashed != tree.leaf(index))
            raise EvidenceInvalidError("a leaf is not what it was", where=f"leaf {wrong}")
        return found

    def _early(self, start: int, end: int) -> Sequence[bytes]:
        """Return what the bundles hold, and what lies beyond them."""
        found = self._bundles.read(start, min(end, self._low))
        return [*found, *self._store.journal.read(self._low, end)] if end > self._low else found
