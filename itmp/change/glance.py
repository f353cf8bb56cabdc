"""A look at a change without its many results: where it stands, for people who watch.

Rules kept here: a glance is folded like the record, statements verified and all, but from a part of the leaves; so it
proves no absence, and nothing judges by it: the gate folds every leaf itself (`fold`).
"""

from collections.abc import Callable, Iterable
from datetime import datetime

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
