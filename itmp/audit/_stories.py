"""What the events of a log must say together: rules 8 to 10 of `itmp.audit.verify`.

Rules kept here: events are read strictly, in the order of their leaves; every contradiction is reported
once, at the leaf that causes it; what an honest machine may show (sleep, a slewed clock) is not grave. Of a
leaf 12 bytes are kept, of a change the hash of its newest event and one hash per level of its tree, so that
a million events fit into a small machine.
"""

import re
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Final

from itmp import canonical
from itmp.audit._ids import Ids, twice
from itmp.audit.event import Event
from itmp.audit.merkle import Frontier
from itmp.audit.model import Finding
from itmp.errors import InvalidInputError

BACKWARD: Final = timedelta(seconds=1)
"""How far wall time may fall behind within a boot before it is a lie: a leap second or a small correction."""

DRIFT: Final = timedelta(seconds=5)
"""How far wall and monotonic time may part between two leaves before it is named: sleep, or a step."""

_TIME: Final = re.compile(r"[1-9]\d{3}-\d\d-\d\dT(?:[01]\d|2[0-3]):\d\d:\d\d\.\d{6}Z", re.ASCII)
_FREE: Final = ("log.", "plan.")


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
        self._changes: dict[str, _Chain] = {}
        self._clocks: dict[str, tuple[datetime, int]] = {}
        self._newest: datetime | None = None
        self._last = ""

    def take(self, index: int, leaf: bytes, hashed: bytes) -> None:
        """Judge leaf `index`."""
        place = f"leaf {index}"
        try:
            event = Event.from_bytes(leaf)
        except InvalidInputError as error:
            self._find(8, "not-an-event", place, error.what)
            return
        if (event.type == "log.created") != (index == 0):
            self._find(8, "genesis-misplaced", place, f"{event.type} stands here")
        self._ids.add(event.id, index)
        self._ended(event, place)
        self._chain(event, place, hashed)
        self._clock(event, place)

    def _ended(self, event: Event, place: str) -> None:
        if self._last == "key.rotated" or (self._last == "key.revoked" and event.type != "key.rotated"):
            self._find(8, "after-end", place, f"{event.type} stands after {self._last}, which ends the log")
        self._last = event.type if self._last != "key.rotated" else self._last

    def finish(self, again: Callable[[Iterable[int]], Iterable[tuple[int, bytes]]]) -> None:
        """Judge what needs all leaves: whether an id occurs twice. `again` returns leaves that were taken before."""
        suspects = list(self._ids.suspects())
        leaves = again(index for group in suspects for index in group)
        ids = {index: Event.from_bytes(leaf).id for index, leaf in leaves}
        for index, first in sorted(twice(suspects, ids)):
            self._find(8, "id-twice", f"leaf {index}", f"the id of leaf {first}")

    def _chain(self, event: Event, place: str, hashed: bytes) -> None:
        if not event.change:
            if event.cseq is not None or event.cprev:
                self._find(9, "chain-without-change", place, "cseq or cprev on an event of no change")
            return
        if event.type.startswith(_FREE):
            self._find(9, "change-misplaced", place, f"{event.type} names {event.change}")
        chain = self._changes.get(event.change) or self._changes.setdefault(event.change, _Chain())
        if chain.tree is None:
            self._find(9, "after-close", place, f"{event.change} is closed")
        previous = canonical.of_raw(chain.previous) if chain.previous else ""
        if event.cseq != chain.count:
            self._find(9, "cseq-gap", place, f"{event.change}: cseq {event.cseq} where {chain.count} belongs")
        if event.cprev != previous:
            self._find(9, "cprev-broken", place, f"{event.change}: cprev does not name the event before")
        if event.type == "change.closed" and chain.tree:
            self._close(event, place, chain.tree)
            chain.tree = None
        chain.add(hashed)

    def _close(self, event: Event, place: str, tree: Frontier) -> None:
        data = event.data or {}
        if (data.get("count"), data.get("root")) != (tree.size, canonical.of_raw(tree.root())):
            self._find(9, "close-mismatch", place, f"{event.change}: count or root is not that of its events")

    def _clock(self, event: Event, place: str) -> None:
        when = _parse_time(event.t)
        if when is None or event.mono is None or event.mono < 0 or not event.boot:
            self._find(10, "clock-missing", place, "t, mono or boot is missing or in another form")
            return
        if event.boot in self._clocks:
            self._same_boot(place, self._clocks[event.boot], (when, event.mono))
        elif self._newest and when < self._newest - BACKWARD:
            self._find(
                10, "clock-behind", place, f"{event.t} after {self._newest}, in another boot", grave=False
            )
        self._clocks[event.boot] = (when, event.mono)
        self._newest = max(self._newest or when, when)

    def _same_boot(self, place: str, old: tuple[datetime, int], new: tuple[datetime, int]) -> None:
        wall, mono = new[0] - old[0], timedelta(microseconds=(new[1] - old[1]) / 1000)
        if new[1] < old[1]:
            self._find(10, "mono-backwards", place, f"monotonic time fell by {-mono} within a boot")
        if wall < -BACKWARD:
            self._find(10, "clock-backwards", place, f"wall time fell by {-wall} within a boot")
        elif abs(wall - mono) > DRIFT:
            moved = f"wall time moved {wall} while {mono} passed"
            self._find(10, "clock-stepped", place, moved, grave=False)

    def _find(self, rule: int, name: str, place: str, message: str, *, grave: bool = True) -> None:
        self.findings.append(Finding(rule=rule, name=name, place=place, message=message, grave=grave))


def _parse_time(text: str) -> datetime | None:
    if not _TIME.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:  # the thirtieth of February
        return None
