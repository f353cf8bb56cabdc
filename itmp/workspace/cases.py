"""The cases of a log's changes, folded from raw leaves: of one period, or of each that a question touches.

Rules kept here: changes are read one at a time and not kept, so that memory is bounded by the longest one; a long
period is read by several processes, each of which folds and verifies whole changes; each change is one case, also where
two periods hold events of its id: the case is that of the period in which its request stands, and the id is named;
of a copy without its key only what a head of that key covers counts, since whoever had it may have added frames.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Final, TypeVar

from itmp.audit import Leaf
from itmp.canonical import Digest, of_raw
from itmp.change import time_of
from itmp.change.handover import period_of
from itmp.errors import Error
from itmp.inquiry import Basis, Case, Span, touches
from itmp.workspace import periods
from itmp.workspace.place import Workspace

if TYPE_CHECKING:
    from itmp.plan import Manifest

R = TypeVar("R")

_PLANS: Final = 64
"""Manifests that are kept while the whole log is read."""
_MANY: Final = 1000
"""Changes from which on several processes read them: one reads these in about a second."""
_NONE: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Within:
    """What is asked about: [start - slack, end + slack), read by `processes` (0: as many as fit)."""

    start: datetime | None = None
    end: datetime | None = None
    slack: timedelta = timedelta(0)
    processes: int = 0

    def touches(self, leaves: Sequence[Leaf]) -> bool:
        """Whether a change, of these leaves, has an event within."""
        start, end = self.start and self.start - self.slack, self.end and self.end + self.slack
        return touches(time_of(leaves[0]), time_of(leaves[-1]), start=start, end=end)


class CasesOf:
    """The cases of one period's first `size` leaves that lie within, but for `without`, folded as they are read."""

    def __init__(
        self, place: Workspace, size: int, within: Within, *, without: frozenset[str] = _NONE
    ) -> None:
        self._place, self._size, self._within, self._without = place, size, within, without

    def __iter__(self) -> Iterator[Case]:
        return self._of(Manifests(self._place), self._names)

    def each(self, tell: Callable[[Case], R]) -> Iterator[R]:
        """Yield what `tell` says of each case, in order; read by several processes where there are many."""
        from itmp.adapters.spread import processors, spread  # noqa: PLC0415 - short answers need no process

        manifests, names = Manifests(self._place), self._names
        over = self._within.processes or (processors() if len(names) >= _MANY else 1)
        if over == 1:
            return map(tell, self._of(manifests, names))
        return spread(lambda part: [tell(case) for case in self._of(manifests, part)], names, over=over)

    def touching(self) -> Iterator[str]:
        """Yield the ids of the changes that lie within; where everything does no leaf is read for it."""
        if self._within.start is None and self._within.end is None:
            yield from self._names
        else:
            yield from (leaves[0].event.change for leaves in self._leaves(self._names))

    def named(self, change: str) -> Case:
        """Return the case of one change, wherever it lies."""
        return Manifests(self._place).case(self._first(change))

    @property
    def every(self) -> Sequence[str]:
        """The ids of all changes of these leaves, whatever is asked about."""
        names = self._place.log.changes()  # in the order of their first events
        more = len(names)
        while more and not self.has(names[more - 1]):
            more -= 1
        return names[:more]

    @property
    def _names(self) -> Sequence[str]:
        every = self.every
        return [name for name in every if name not in self._without] if self._without else every

    def has(self, change: str) -> bool:
        """Whether one of the leaves is of this change, whenever that was."""
        return next((leaf.index for leaf in self._place.log.each_of_change(change)), self._size) < self._size

    def _of(self, manifests: "Manifests", changes: Sequence[str]) -> Iterator[Case]:
        return map(manifests.case, self._leaves(changes))

    def _leaves(self, changes: Iterable[str]) -> Iterator[tuple[Leaf, ...]]:
        for leaves in map(self._first, changes):
            if leaves and self._within.touches(leaves):
                yield leaves

    def _first(self, change: str) -> tuple[Leaf, ...]:
        return tuple(leaf for leaf in self._place.log.of_change(change) if leaf.index < self._size)


class Spanning:
    """The cases of every period that a question touches, oldest first, each change once.

    `places` are those periods, each read to its number of `sizes`, so that so many of its leaves as `unsigned` says are
    left out; `away` those that cannot be read here.
    """

    def __init__(self, place: Workspace, within: Within, *, alone: bool = False) -> None:
        start, end = within.start and within.start - within.slack, within.end and within.end + within.slack
        self.places, self.away = ((place,), ()) if alone else periods.spanned(place, start, end)
        counted = tuple(map(_counted, self.places))
        self.sizes, self.unsigned = tuple(size for size, _ in counted), tuple(more for _, more in counted)
        self._within = within

    def __iter__(self) -> Iterator[Case]:
        return chain.from_iterable(self.parts)

    def each(self, tell: Callable[[Case], R]) -> Iterator[R]:
        """Yield what `tell` says of each, in order."""
        return chain.from_iterable(part.each(tell) for part in self.parts)

    @cached_property
    def span(self) -> Span:
        """What the cases rest on, and which periods should be among them and are not here."""
        bases = (
            Basis(
                period=period_of(one.log.origin),
                size=size,
                root=of_raw(one.log.root(size)),
                unsigned=unsigned,
            )
            for one, size, unsigned in zip(self.places, self.sizes, self.unsigned, strict=True)
        )
        return Span(bases=tuple(bases), away=self.away)

    @cached_property
    def parts(self) -> tuple[CasesOf, ...]:
        """The cases of each period."""
        return tuple(
            CasesOf(one, size, self._within, without=frozenset(name for name, at in self._again if at == n))
            for n, (one, size) in enumerate(zip(self.places, self.sizes, strict=True))
        )

    @property
    def again(self) -> tuple[tuple[str, str], ...]:
        """(change, period): events that bear a change's id, and lie in another period than the change."""
        return tuple((name, period_of(self.places[at].log.origin)) for name, at in self._again)

    @cached_property
    def _again(self) -> tuple[tuple[str, int], ...]:
        if not self.places[1:]:
            return ()
        found = Counter(chain.from_iterable(self._all(n).every for n in range(len(self.places))))
        return tuple((name, at) for name, times in found.items() if times > 1 for at in self._elsewhere(name))

    def _elsewhere(self, change: str) -> Iterator[int]:
        """Yield which places hold events of the change, but for the one with its request, or else the first."""
        there = [n for n in range(len(self.places)) if self._all(n).has(change)]
        asked = (n for n in there if self._all(n).named(change).record.request is not None)
        own = next(asked, there[0])
        return (n for n in there if n != own)

    def _all(self, at: int) -> CasesOf:
        return CasesOf(self.places[at], self.sizes[at], self._within)


def _counted(place: Workspace) -> tuple[int, int]:
    """Return how many of a log's leaves count, and how many come after them."""
    size = place.log.size()
    if place.keyed or not place.reads:
        return size, 0
    head = place.log.published()
    signed = min(head.checkpoint.size, size) if head else 0
    return signed, size - signed


class Manifests:
    """The manifests of the log's plans, the newest of them kept; None where a plan's bytes are gone or never were."""

    def __init__(self, place: Workspace) -> None:
        self._place, self._history = place, place.history()
        self._known: dict[str, Manifest | None] = {}

    def case(self, leaves: tuple[Leaf, ...]) -> Case:
        """Fold a change's leaves."""
        return Case.of(leaves, self._history, manifest=self.of(leaves[0]), blob=self._place.log.blob)

    def of(self, opened: Leaf) -> "Manifest | None":
        """Return the manifest of the plan that a change's first leaf names."""
        name = opened.event.plan
        if name not in self._known:
            if len(self._known) >= _PLANS:
                self._known.clear()
            self._known[name] = self._read(name)
        return self._known[name]

    def _read(self, name: str) -> "Manifest | None":
        try:
            return self._place.plan(Digest(name)).manifest
        except Error:
            return None
