"""Events on their way into the log, within one turn: known ones are found again, new ones are completed.

Rules kept here: an event's id is used once; the log alone fills `t`, `mono`, `boot`, `cseq` and `cprev`; the
first leaf and only the first is `log.created`; `key.rotated` is the last, and `key.revoked` is followed by it;
`log.*` and `plan.*` events belong to no change; nothing joins a closed change; a change's close commits its events
truly.
"""

from dataclasses import replace
from datetime import UTC

from itmp import canonical
from itmp.audit._view import View
from itmp.audit.doors import Clock
from itmp.audit.event import Event, leaf_digest
from itmp.audit.merkle import root_of
from itmp.audit.model import Expect, HeadMovedError, LogEndedError
from itmp.canonical import Digest
from itmp.errors import InvalidInputError

ENDS = "key.rotated"
"""The type of a log's last leaf: what comes next stands in the log of another key."""

REVOKES = "key.revoked"
_FREE = ("log.", "plan.")
_TIME = 26  # characters of a time in microseconds, before its zone


class Draft:
    """What one turn is about to write after `view`: `leaves`, in order."""

    __slots__ = ("_changes", "_clock", "_closed", "_ids", "_view", "events", "leaves")

    def __init__(self, view: View, clock: Clock) -> None:
        self.leaves: list[bytes] = []
        self.events: list[Event] = []
        self._view, self._clock = view, clock
        self._ids: dict[str, int] = {}
        self._changes: dict[str, list[Digest]] = {}
        self._closed: set[str] = set()

    def known(self, event: Event) -> int | None:
        """Return the index where an event of this id stands (or will stand)."""
        return self._ids[event.id] if event.id in self._ids else self._view.find(event.id)

    def add(self, event: Event) -> int:
        """Complete a new event and take it up; return its index."""
        index = self._view.size + len(self.leaves)
        if (event.type == "log.created") != (index == 0):
            raise InvalidInputError(
                f"{event.type} cannot be leaf {index}: log.created is the first and only it"
            )
        self._check_going(event)
        event = self._fill(event)
        leaf = event.to_bytes()
        self._ids[event.id] = index
        if event.change:
            self._changes.setdefault(event.change, []).append(leaf_digest(leaf))
        if event.type == "change.closed":
            self._closed.add(event.change)
        self.leaves.append(leaf)
        self.events.append(event)
        return index

    def _check_going(self, event: Event) -> None:
        last = self.events[-1].type if self.events else self._view.last_type
        if last == ENDS or (last == REVOKES and event.type != ENDS):
            raise LogEndedError(
                f"this log has ended: its last leaf is {last}, and {event.type} cannot follow it",
                do="Open the workspace anew: its next period goes on where this one stopped.",
            )

    def _fill(self, event: Event) -> Event:
        self._check_change(event)
        count, head = self._position(event.change) if event.change else (None, None)
        if event.type == "change.closed":
            self._check_close(event)
        return replace(
            event,
            t=self._clock.now().astimezone(UTC).isoformat(timespec="microseconds")[:_TIME] + "Z",
            mono=self._clock.mono(),
            boot=self._clock.boot(),
            cseq=count,
            cprev=head or "",
        )

    def _position(self, change: str) -> tuple[int, Digest | None]:
        drafted = self._changes.get(change, [])
        count = len(self._view.events_of(change)) + len(drafted)
        return count, drafted[-1] if drafted else self._view.head_of(change)

    def _check_change(self, event: Event) -> None:
        if not event.change:
            return
        if event.type.startswith(_FREE):
            raise InvalidInputError(f"{event.type} carries no change", where=event.change)
        if event.change in self._closed or self._view.is_closed(event.change):
            raise InvalidInputError("the change is closed; nothing joins it any more", where=event.change)

    def _check_close(self, event: Event) -> None:
        data = event.data or {}
        committed = commitment(self._view, event.change, self._changes.get(event.change, ()))
        if (data.get("count"), data.get("root")) != committed:
            raise HeadMovedError(
                "the close does not commit the change's events as they stand",
                where=event.change,
                do="Read the change again and close it anew.",
            )


def commitment(view: View, change: str, more: "list[Digest] | tuple[Digest, ...]" = ()) -> tuple[int, Digest]:
    """Return how many events the change has and the RFC 6962 root over their leaf hashes."""
    hashes = [view.tree.leaf(index) for index in view.events_of(change)]
    hashes += [canonical.raw(item) for item in more]
    return len(hashes), canonical.of_raw(root_of(hashes))


def check_expected(view: View, expect: Expect | None) -> None:
    """Raise `HeadMovedError` unless every head stands where the caller saw it."""
    if expect is None:
        return
    if expect.size is not None and expect.size != view.size:
        raise HeadMovedError(
            f"the log has {view.size} leaves, not {expect.size}; nothing was written",
            do="Read it again, repeat the checks and try again.",
        )
    policy = view.hash_of(view.policy) if view.policy >= 0 else None
    head = policy if expect.change is None else view.head_of(expect.change)
    if head != expect.head or (expect.policy is not None and policy != expect.policy):
        raise HeadMovedError(
            "somebody appended since this was read; nothing was written",
            where=expect.change or "policy",
            do="Fold the new events, repeat the checks and try again.",
        )


def same_event(old: bytes, new: Event) -> bool:
    """Whether leaf `old` is `new` as the log completed it."""
    return _bare(Event.from_bytes(old)) == _bare(new)


def _bare(event: Event) -> bytes:
    return replace(event, t="", mono=None, boot="", cseq=None, cprev="").to_bytes()
