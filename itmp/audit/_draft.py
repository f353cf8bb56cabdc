"""Events on their way into the log, within one turn: known ones are found again, new ones are completed.

Rules kept here: an event's id is used once; the log alone fills `t`, `mono`, `boot`, `cseq` and `cprev`; the
first leaf and only the first is `log.created`; `key.rotated` is the last, and `key.revoked` is followed by it;
`log.*` and `plan.*` events belong to no change; nothing joins a closed change; a change's close commits its events
truly.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from itmp import canonical
from itmp.audit._fact import Fact
from itmp.audit._view import View
from itmp.audit.doors import Clock
from itmp.audit.event import Event
from itmp.audit.merkle import leaf_hash, root_of
from itmp.audit.model import Expect, HeadMovedError, LogEndedError
from itmp.canonical import Digest
from itmp.errors import InvalidInputError

ENDS: Final = "key.rotated"
"""The type of a log's last leaf: what comes next stands in the log of another key."""

REVOKES: Final = "key.revoked"
_FREE: Final = ("log.", "plan.")
_TIME: Final = 26  # characters of a time in microseconds, before its zone


class Draft:
    """What one turn is about to write after `view`: `leaves`, in order, with what is known of each and its hash."""

    __slots__ = ("_changes", "_clock", "_closed", "_ids", "_view", "facts", "hashes", "leaves")

    def __init__(self, view: View, clock: Clock) -> None:
        self.leaves: list[bytes] = []
        self.facts: list[Fact] = []
        self.hashes: list[bytes] = []
        self._view, self._clock = view, clock
        self._ids: dict[str, int] = {}
        self._changes: dict[str, list[bytes]] = {}
        self._closed: set[str] = set()

    def known(self, event: Event) -> int | None:
        """Return the index where an event of this id stands (or will stand)."""
        index = self._ids.get(event.id)
        return self._view.find(event.id) if index is None else index

    def add(self, event: Event) -> int:
        """Complete a new event, one that is not `known`, and take it up; return its index."""
        index = self._view.size + len(self.leaves)
        if (event.type == "log.created") != (index == 0):
            raise InvalidInputError(
                f"{event.type} cannot be leaf {index}: log.created is the first and only it"
            )
        check_going(self.facts[-1].type if self.facts else self._view.last_type, event.type)
        count, head = self._join(event) if event.change else (None, "")
        t, clock = _text_of(self._clock.now()), self._clock
        stamp = {"t": t, "mono": clock.mono(), "boot": clock.boot(), "cseq": count, "cprev": head}
        self._take(
            event, event.to_bytes(stamp), Fact(event.id, event.type, t, event.change, count, head, event.data)
        )
        return index

    def _take(self, event: Event, leaf: bytes, fact: Fact) -> None:
        hashed = leaf_hash(leaf)
        self._ids[event.id] = self._view.size + len(self.leaves)
        if event.change:
            self._changes.setdefault(event.change, []).append(hashed)
        if event.type == "change.closed":
            self._closed.add(event.change)
        self.leaves.append(leaf)
        self.facts.append(fact)
        self.hashes.append(hashed)

    def _join(self, event: Event) -> tuple[int, str]:
        """Return the event's place in its change, and the hash of the one before it."""
        change, drafted = event.change, self._changes.get(event.change, ())
        if event.type.startswith(_FREE):
            raise InvalidInputError(f"{event.type} carries no change", where=change)
        if change in self._closed or self._view.is_closed(change):
            raise InvalidInputError("the change is closed; nothing joins it any more", where=change)
        if event.type == "change.closed":
            _check_close(event.data or {}, change, commitment(self._view, change, drafted))
        indexes = self._view.events_of(change)
        if drafted:
            return len(indexes) + len(drafted), canonical.of_raw(drafted[-1])
        return len(indexes), self._view.hash_of(indexes[-1]) if indexes else ""


def _text_of(now: datetime) -> str:
    return now.astimezone(UTC).isoformat(timespec="microseconds")[:_TIME] + "Z"


def _check_close(data: Mapping[str, Any], change: str, committed: tuple[int, Digest]) -> None:
    if (data.get("count"), data.get("root")) != committed:
        raise HeadMovedError(
            "the close does not commit the change's events as they stand",
            where=change,
            do="Read the change again and close it anew.",
        )


def commitment(view: View, change: str, more: Sequence[bytes] = ()) -> tuple[int, Digest]:
    """Return how many events the change has and the RFC 6962 root over their leaf hashes; `more` are yet to come."""
    hashes = [*(view.tree.leaf(index) for index in view.events_of(change)), *more]
    return len(hashes), canonical.of_raw(root_of(hashes))


def check_going(last: str, following: str) -> None:
    """Raise `LogEndedError` where this cannot follow a leaf of type `last`."""
    if last == ENDS or (last == REVOKES and following != ENDS):
        raise LogEndedError(
            f"this log has ended: its last leaf is {last}, and {following} cannot follow it",
            do="Open the workspace anew: its next period goes on where this one stopped.",
        )


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
