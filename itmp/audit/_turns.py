"""What happens within one writer's turn: the cut of a torn tail is recorded, then each event is found or written.

Rules kept here: judgement happens on leaves that were read in the turn: ids, heads, chains, time; a disk that is full
is the last thing that the log says, as long as it may say anything; nothing is placed beside the log but what a leaf
will name.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from itmp import canonical
from itmp.audit import blobs
from itmp.audit._draft import ENDS, REVOKES, Draft, check_expected, same_event
from itmp.audit._leaves import Leaves
from itmp.audit._view import View
from itmp.audit.doors import Clock, Cut, LogStore, Turn
from itmp.audit.event import Event
from itmp.audit.model import DiskFullError, Expect, Leaf
from itmp.canonical import Digest
from itmp.errors import InvalidInputError

_ACTOR: Final = {"kind": "executor", "id": "itmp"}


class Turns:
    """The turns of one `Log`, whose guard is held while one is taken."""

    __slots__ = ("_clock", "_ids", "_leaves", "_store", "_view")

    def __init__(
        self, store: LogStore, view: View, leaves: Leaves, clock: Clock, ids: Callable[[], str]
    ) -> None:
        self._store, self._view, self._leaves = store, view, leaves
        self._clock, self._ids = clock, ids

    def take(
        self, events: Sequence[Event], expect: Expect | None, *, far: int | None = None
    ) -> list[tuple[Leaf, Digest]] | None:
        """Find or write each event; None, and nothing done, when more than `far` leaves were to be read first."""
        with self._store.journal.exclusive() as turn:
            if far is not None and turn.size - self._view.size > far:
                return None
            self._leaves.catch_up(turn.size)
            self._record_cut(turn)
            indexes, fresh = self._settle(turn, events, expect)
            leaves = [
                Leaf(index=index, data=fresh.get(index) or self._leaves.one(index)) for index in indexes
            ]
            return [(leaf, self._view.hash_of(leaf.index)) for leaf in leaves]

    def _settle(
        self, turn: Turn, events: Sequence[Event], expect: Expect | None
    ) -> tuple[list[int], dict[int, bytes]]:
        """Find or write each event; return their indexes and the new leaves by index."""
        draft = Draft(self._view, self._clock)
        indexes = [self._place(draft, event, expect) for event in events]
        start = self._view.size
        if draft.leaves:
            self._write(turn, draft)
        return indexes, dict(enumerate(draft.leaves, start))

    def _place(self, draft: Draft, event: Event, expect: Expect | None) -> int:
        known = draft.known(event)
        if known is None:
            if not draft.leaves:
                check_expected(self._view, expect)
            return draft.add(event)
        old = draft.leaves[known - self._view.size] if known >= self._view.size else self._leaves.one(known)
        if not same_event(old, event):
            raise InvalidInputError(
                "the id is taken by another event", where=f"leaf {known}", do="Use a new id."
            )
        return known

    def _write(self, turn: Turn, draft: Draft) -> None:
        try:
            turn.write(draft.leaves)
        except DiskFullError:
            self._record_full(turn)
            raise
        self._view.take(draft.facts, draft.hashes)

    def _record_full(self, turn: Turn) -> None:
        self._leaves.catch_up(turn.size)
        if self._view.last_type in {"log.full", REVOKES} or self._view.size == 0:
            return
        draft = Draft(self._view, self._clock)
        self._place(draft, Event(id=self._ids(), type="log.full", actor=_ACTOR), None)
        turn.write(draft.leaves, last=True)
        self._view.take(draft.facts, draft.hashes)
        self._store.journal.sync(self._view.size)

    def _record_cut(self, turn: Turn) -> None:
        """Record the cut of a torn tail, where a leaf may say so; anywhere else its bytes stay where they are kept."""
        cut = turn.cut
        if cut is None or not self._view.size or self._view.last_type in {ENDS, REVOKES}:
            return
        blob = canonical.digest(cut.data)
        if (str(cut.size), blob) not in self._view.recovered:
            # The publisher's lock is not needed: a log is moved only after the leaf that ends it, which waits for this
            # turn; and whoever is killed before the leaf leaves the cut to the next turn, which finds the same blob.
            blobs.store(self._store.files, cut.data)
            draft = Draft(self._view, self._clock)
            self._place(draft, _recovered(self._ids(), cut, blob), None)
            self._write(turn, draft)
            self._store.journal.sync(self._view.size)
        turn.forget_cut()


def _recovered(name: str, cut: Cut, blob: Digest) -> Event:
    data = {"cut": len(cut.data), "size": cut.size, "blob": blob}
    return replace(Event(id=name, type="log.recovered", actor=_ACTOR), data=data)
