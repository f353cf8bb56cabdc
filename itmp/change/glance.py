"""A look at a change without its many results: where it stands, for people who watch.

Rules kept here:
1. A glance is folded like the record, statements verified and all, but from a part of the leaves; so it proves no
   absence, and nothing judges by it: the gate folds every leaf itself (`fold`).
2. A skim is given every leaf, and leaves unread only what a result says: an `action.finished` of an intent that
   counts. Nothing is missing from it but the slices' `results`; one leaf left out anywhere is an error, as in `fold`.
3. Whether a leaf may stay unread is told from its own bytes: canonical JSON has its keys in order, so that a leaf ends
   with its type and version, and a quote within a text never stands without its backslash.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final

from itmp.audit import Event, Leaf
from itmp.canonical import Digest
from itmp.change.fold import Folding, RecordDamagedError
from itmp.change.history import PolicyHistory
from itmp.change.record import ChangeRecord
from itmp.plan import Manifest


def glance(
    leaves: Iterable[Leaf],
    history: PolicyHistory,
    *,
    manifest: Manifest | None = None,
    now: datetime | None = None,
    blob: Callable[[Digest], bytes] | None = None,
) -> ChangeRecord:
    """Return the record as far as `leaves` tell it: some of the change's events, in the log's order.

    Like `fold`, but leaves may be missing. Raises `RecordDamagedError` for foreign leaves, or out of order.
    """
    draft = _Glancing(history, manifest=manifest, blob=blob)
    for leaf in leaves:
        draft.take(leaf)
    return draft.record(now)


_RESULT: Final = b',"type":"action.finished","v":1}'
_INTENT: Final = b',"intent":"'
_DIGEST: Final = len("sha256:") + 64


def skim(
    leaves: Iterable[Leaf],
    history: PolicyHistory,
    *,
    manifest: Manifest | None = None,
    now: datetime | None = None,
    blob: Callable[[Digest], bytes] | None = None,
) -> ChangeRecord:
    """Return what `fold` returns for the same leaves, all of them, with slices whose `results` are left out."""
    draft = _Skimming(history, manifest=manifest, blob=blob)
    for leaf in leaves:
        draft.take(leaf)
    return draft.record(now)


class _Skimming(Folding):
    """`Folding` that passes over results which count."""

    _passed: Leaf | None = None

    def take(self, leaf: Leaf) -> None:
        if self._is_plain(leaf.data):
            self._count, self._passed = self._count + 1, leaf
            return
        self._settle()
        super().take(leaf)

    def record(self, now: datetime | None = None) -> ChangeRecord:
        self._settle()
        return super().record(now)

    def _settle(self) -> None:
        """Let the next event be chained to the newest that was passed over."""
        if self._passed is not None:
            self._head, self._passed = self._passed.hash, None

    def _is_plain(self, data: bytes) -> bool:
        """Whether these are the bytes of a result of an intent that counts, while the change is not closed."""
        if not data.endswith(_RESULT) or "close" in self._last:
            return False
        _, found, rest = data.rpartition(_INTENT)
        return bool(found) and rest[:_DIGEST].decode("utf-8", "replace") in self._intents


class _Glancing(Folding):
    """`Folding` over leaves with gaps."""

    _last_seen = -1

    def _chain(self, leaf: Leaf, event: Event) -> None:
        if not event.change or (self._id and event.change != self._id):
            raise RecordDamagedError("an event of another change", where=f"leaf {leaf.index}")
        if event.cseq is None or event.cseq <= self._last_seen:
            raise RecordDamagedError("events out of order", where=f"leaf {leaf.index}")
        self._last_seen = event.cseq
        self._id = event.change
