"""What the events of a log must say together: rules 8 to 10 of `itmp.audit.verify`.

Rules kept here: events are read strictly, in the order of their leaves; every contradiction is reported
once, at the leaf that causes it; what an honest machine may show (sleep, a slewed clock) is not grave.
"""

from datetime import datetime, timedelta
from typing import Final

from itmp import canonical
from itmp.audit.event import Event
from itmp.audit.merkle import root_of
from itmp.audit.model import Finding
from itmp.errors import InvalidInputError

BACKWARD: Final = timedelta(seconds=1)
"""How far wall time may fall behind within a boot before it is a lie: a leap second or a small correction."""

DRIFT: Final = timedelta(seconds=5)
"""How far wall and monotonic time may part between two leaves before it is named: sleep, or a step."""

_TIME: Final = "%Y-%m-%dT%H:%M:%S.%fZ"
_FREE: Final = ("log.", "plan.")


class Stories:
    """Takes leaves one by one and collects findings."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self._ids: dict[str, int] = {}
        self._changes: dict[str, list[bytes]] = {}
        self._closed: set[str] = set()
        self._clocks: dict[str, tuple[datetime, int]] = {}
        self._newest: datetime | None = None

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
        first = self._ids.setdefault(event.id, index)
        if first != index:
            self._find(8, "id-twice", place, f"the id of leaf {first}")
        self._chain(event, place, hashed)
        self._clock(event, place)

    def _chain(self, event: Event, place: str, hashed: bytes) -> None:
        if not event.change:
            if event.cseq is not None or event.cprev:
                self._find(9, "chain-without-change", place, "cseq or cprev on an event of no change")
            return
        if event.type.startswith(_FREE):
            self._find(9, "change-misplaced", place, f"{event.type} names {event.change}")
        if event.change in self._closed:
            self._find(9, "after-close", place, f"{event.change} is closed")
        hashes = self._changes.setdefault(event.change, [])
        previous = canonical.of_raw(hashes[-1]) if hashes else ""
        if event.cseq != len(hashes):
            self._find(9, "cseq-gap", place, f"{event.change}: cseq {event.cseq} where {len(hashes)} belongs")
        if event.cprev != previous:
            self._find(9, "cprev-broken", place, f"{event.change}: cprev does not name the event before")
        if event.type == "change.closed":
            self._close(event, place, hashes)
        hashes.append(hashed)

    def _close(self, event: Event, place: str, hashes: list[bytes]) -> None:
        self._closed.add(event.change)
        data = event.data or {}
        if (data.get("count"), data.get("root")) != (len(hashes), canonical.of_raw(root_of(hashes))):
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
    try:
        when = datetime.strptime(text, _TIME)  # noqa: DTZ007 - compared among themselves
    except ValueError:
        return None
    return when if when.strftime(_TIME) == text else None
