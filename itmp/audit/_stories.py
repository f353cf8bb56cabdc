"""What the events of a log must say together: rules 8 to 10 of `itmp.audit.verify`.

Rules kept here: events are read strictly, in the order of their leaves; every contradiction is reported
once, at the leaf that causes it; what an honest machine may show (sleep, a slewed clock) is not grave, and a
permit or intent before the newest time is, because the gate refuses there. Of a leaf 12 bytes are kept, of a
change the hash of its newest event and one hash per level of its tree, so that a million events fit into a
small machine.
"""

import re
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Final

from itmp import canonical
from itmp.audit._forms import Forms, Said
from itmp.audit._ids import Ids, twice
from itmp.audit.merkle import Frontier
from itmp.audit.model import BACKWARD, Finding
from itmp.errors import InvalidInputError

DRIFT: Final = timedelta(seconds=5)
"""How far wall and monotonic time may part between two leaves before it is named: sleep, or a step."""

_CALM: Final = 4 * 10**9  # nanoseconds, below `DRIFT` by more than any rounding
_TIME: Final = re.compile(r"[1-9]\d{3}-\d\d-\d\dT(?:[01]\d|2[0-3]):\d\d:\d\d\.\d{6}Z", re.ASCII)
_FREE: Final = ("log.", "plan.")
_GRANTED: Final = frozenset({"permit.issued", "slice.intended"})
"""What is written only after the gate's check 8: its clock is not behind the log's newest event."""


class _Chain:
    """One change's events so far; `tree` is `None` once a close has committed them."""

    __slots__ = ("count", "previous", "tree")

    def __init__(self) -> None:
        self.tree: Frontier | None = Frontier()
        self.count = 0
        self.previous = b""

    def add(self, hashed: bytes) -> None:
        """Take the next event's leaf hash."""
        if self.tree:
            self.tree.append(hashed)
        self.count, self.previous = self.count + 1, hashed


class Stories:
    """Takes leaves one by one and collects findings; `finish` adds what only the whole shows."""

    def __init__(self, ids: Ids | None = None) -> None:
        self.findings: list[Finding] = []
        self._ids = ids or Ids()
        self._forms = Forms()
        self._changes: dict[str, _Chain] = {}
        self._clocks: dict[str, tuple[datetime, int]] = {}
        self._newest: datetime | None = None
        self._last = ""

    def take(self, index: int, leaf: bytes, hashed: bytes) -> None:
        """Judge leaf `index`."""
        try:
            event = self._forms.read(leaf)
        except InvalidInputError as error:
            self._find(8, "not-an-event", index, error.what)
            return
        if (event.type == "log.created") != (index == 0):
            self._find(8, "genesis-misplaced", index, f"{event.type} stands here")
        self._ids.add(event.id, index)
        self._ended(event, index)
        self._chain(event, index, hashed)
        self._clock(event, index)

    def _ended(self, event: Said, index: int) -> None:
        if self._last == "key.rotated" or (self._last == "key.revoked" and event.type != "key.rotated"):
            why = f"{event.type} stands after {self._last}, which ends the log"
            self._find(8, "after-end", index, why)
        self._last = event.type if self._last != "key.rotated" else self._last

    def finish(self, again: Callable[[Iterable[int]], Iterable[tuple[int, bytes]]]) -> None:
        """Judge what needs all leaves: whether an id occurs twice. `again` returns leaves that were taken before."""
        suspects = list(self._ids.suspects())
        leaves = again(index for group in suspects for index in group)
        ids = {index: self._forms.read(leaf).id for index, leaf in leaves}
        for index, first in sorted(twice(suspects, ids)):
            self._find(8, "id-twice", index, f"the id of leaf {first}")

    def _chain(self, event: Said, index: int, hashed: bytes) -> None:
        name, number, before = event.change, event.cseq, event.cprev
        if not name:
            if number is not None or before:
                self._find(9, "chain-without-change", index, "cseq or cprev on an event of no change")
            return
        if event.type.startswith(_FREE):
            self._find(9, "change-misplaced", index, f"{event.type} names {name}")
        chain = self._changes.get(name) or self._changes.setdefault(name, _Chain())
        if chain.tree is None:
            self._find(9, "after-close", index, f"{name} is closed")
        if number != chain.count:
            self._find(9, "cseq-gap", index, f"{name}: cseq {number} where {chain.count} belongs")
        if before != (canonical.of_raw(chain.previous) if chain.previous else ""):
            self._find(9, "cprev-broken", index, f"{name}: cprev does not name the event before")
        if event.type == "change.closed" and chain.tree:
            self._close(event, index, chain.tree)
            chain.tree = None
        chain.add(hashed)

    def _close(self, event: Said, index: int, tree: Frontier) -> None:
        data = event.data or {}
        if (data.get("count"), data.get("root")) != (tree.size, canonical.of_raw(tree.root())):
            why = f"{event.change}: count or root is not that of its events"
            self._find(9, "close-mismatch", index, why)

    def _clock(self, event: Said, index: int) -> None:
        when, mono, boot = _parse_time(event.t), event.mono, event.boot
        if when is None or mono is None or mono < 0 or not boot:
            self._find(10, "clock-missing", index, "t, mono or boot is missing or in another form")
            return
        if boot in self._clocks:
            self._same_boot(index, self._clocks[boot], (when, mono))
        if self._newest and when < self._newest:
            self._behind(event, index, self._newest - when)
        self._clocks[boot] = (when, mono)
        self._newest = max(self._newest or when, when)

    def _behind(self, event: Said, index: int, by: timedelta) -> None:
        if by <= BACKWARD:
            return
        why = f"{event.type} at {event.t}, {by} before the newest event"
        if event.type in _GRANTED:
            self._find(10, "granted-behind", index, why)
        elif event.boot not in self._clocks:
            self._find(10, "clock-behind", index, why, grave=False)

    def _same_boot(self, index: int, old: tuple[datetime, int], new: tuple[datetime, int]) -> None:
        if _is_calm(new[0] - old[0], new[1] - old[1]):
            return  # most often, and ten times as quick as saying what is wrong
        wall, mono = new[0] - old[0], timedelta(microseconds=(new[1] - old[1]) / 1000)
        if new[1] < old[1]:
            self._find(10, "mono-backwards", index, f"monotonic time fell by {-mono} within a boot")
        if wall < -BACKWARD:
            self._find(10, "clock-backwards", index, f"wall time fell by {-wall} within a boot")
        elif abs(wall - mono) > DRIFT:
            moved = f"wall time moved {wall} while {mono} passed"
            self._find(10, "clock-stepped", index, moved, grave=False)

    def _find(self, rule: int, name: str, index: int, message: str, *, grave: bool = True) -> None:
        place = f"leaf {index}"
        self.findings.append(Finding(rule=rule, name=name, place=place, message=message, grave=grave))


def _is_calm(wall: timedelta, passed: int) -> bool:
    """Whether wall time rose by less than a day, and parted from `passed` nanoseconds by clearly less than `DRIFT`."""
    if wall.days or passed < 0:
        return False
    return abs(wall.seconds * 10**9 + wall.microseconds * 1000 - passed) < _CALM


def _parse_time(text: str) -> datetime | None:
    if not _TIME.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:  # the thirtieth of February
        return None
