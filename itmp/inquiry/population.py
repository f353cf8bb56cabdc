"""Which changes and runs there were in a period, and which of them an auditor looks at closely.

Rules kept here: a change belongs to a period when any of its events lies in it, so that nothing falls between two
periods; the answer names the checkpoint that it rests on, because a population without one could be of any log; a
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
class Population:
    """Every change of a period [start, end), oldest first; None leaves a side open. `size` and `root` are the log's."""

    start: datetime | None
    end: datetime | None
    cases: Cases
    size: int
    root: str


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
