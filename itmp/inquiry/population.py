"""Which changes and runs there were in a period, and which of them an auditor looks at closely.

Rules kept here: a change belongs to a period when any of its events lies in it, so that nothing falls between two
periods; the counts name the checkpoint that they rest on, because a population without one could be of any log; a
sample is drawn by hashing the auditor's seed with each change's id, so that anybody can draw it again, and nobody who
does not know the seed beforehand can arrange for a change not to be drawn.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from itmp.inquiry.cases import Case

_DOMAIN: Final = b"itmp/sample/v1\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """Every change of a period [start, end), oldest first; None leaves a side open. `size` and `root` are the log's."""

    start: datetime | None
    end: datetime | None
    cases: tuple[Case, ...]
    size: int
    root: str

    @property
    def runs(self) -> int:
        """How many runs these changes have."""
        return sum(len(case.runs) for case in self.cases)


def population(
    cases: Iterable[Case], *, start: datetime | None, end: datetime | None, size: int, root: str
) -> Population:
    """Return the changes with an event in [start, end)."""
    chosen = [
        case for case in cases if (start is None or case.last >= start) and (end is None or case.first < end)
    ]
    return Population(
        start=start,
        end=end,
        cases=tuple(sorted(chosen, key=lambda case: case.open_index)),
        size=size,
        root=root,
    )


def sample(cases: Sequence[Case], *, seed: str, count: int) -> tuple[Case, ...]:
    """Return `count` of `cases` (all, when there are fewer), in the order in which the seed draws them.

    The order is that of sha256(`itmp/sample/v1` ‖ 00 ‖ seed ‖ 00 ‖ change id), seed and id as UTF-8.
    """

    def place(case: Case) -> bytes:
        return hashlib.sha256(_DOMAIN + seed.encode() + b"\0" + case.id.encode()).digest()

    return tuple(sorted(cases, key=place)[:count])
