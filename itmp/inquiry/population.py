"""Which changes and runs there were in a span of time, and which of them an auditor looks at closely.

Rules kept here: a change belongs to a span when any of its events lies in it, so that nothing falls between two
spans; the answer names the checkpoint of each log that it rests on, because a population without one could be of any
log, and the logs that it should rest on and does not; a
sample is drawn by hashing the auditor's seed with each change's id, so that anybody can draw it again, and nobody who
does not know the seed beforehand can arrange for a change not to be drawn.
"""

import hashlib
import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol, TypeVar

from itmp.inquiry.cases import Case

R = TypeVar("R")
_DOMAIN: Final = b"itmp/sample/v1\0"


class Cases(Protocol):
    """Cases that are read from the log each time they are gone through, one at a time: there may be very many."""

    def __iter__(self) -> Iterator[Case]:
        """Yield each, in the order of first events."""

    def each(self, tell: Callable[[Case], R]) -> Iterator[R]:
        """Yield what `tell` says of each, in the same order; it may be asked in other processes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """One log that an answer rests on: its period, and the size and root of what was read of it.

    `unsigned` leaves came after these and were left out, because no head of the log's key covers them.
    """

    period: str
    size: int
    root: str
    unsigned: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The logs that an answer rests on, oldest first, at least one; `away` are the periods that could not be read."""

    bases: tuple[Basis, ...]
    away: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """Every change of a span of time [start, end), oldest first; None leaves a side open.

    `again` are (change, period): events that bear the id of a change which lies in another period, and say nothing of
    it, since no change is open while one period passes to the next.
    """

    start: datetime | None
    end: datetime | None
    cases: Cases
    span: Span
    again: tuple[tuple[str, str], ...] = ()

    @property
    def size(self) -> int:
        """The size of the newest log that was read."""
        return self.span.bases[-1].size

    @property
    def root(self) -> str:
        """The root of that log."""
        return self.span.bases[-1].root

    @property
    def whole(self) -> bool:
        """Whether every period was read, and each change lies in one."""
        return not self.span.away and not self.again


def touches(first: datetime, last: datetime, *, start: datetime | None, end: datetime | None) -> bool:
    """Whether a change whose events are of `first` to `last` has an event in [start, end)."""
    return (start is None or last >= start) and (end is None or first < end)


def sample(changes: Iterable[str], *, seed: str, count: int) -> tuple[str, ...]:
    """Return `count` of these ids (all, when there are fewer), in the order in which the seed draws them.

    The order is that of sha256(`itmp/sample/v1` ‖ 00 ‖ seed ‖ 00 ‖ change id), seed and id as UTF-8.
    """

    def place(change: str) -> bytes:
        return hashlib.sha256(_DOMAIN + seed.encode() + b"\0" + change.encode()).digest()

    return tuple(heapq.nsmallest(count, changes, key=place))
