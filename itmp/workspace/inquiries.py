"""Verbs of an auditor's questions about the whole log: population, sample, access, exceptions, reconcile.

Rules kept here: every answer is read from raw leaves, all of them, and says on which size and root of the log it rests;
no search index is asked, so that none can hide anything; changes are read one at a time and not kept, so that memory is
bounded by the longest one; a long log is read by several processes, each of which folds and verifies whole changes;
nothing is written; what hosts recorded comes from a folder that a change with its own
approval collected, so that not even an auditor's question reaches a host without one.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from itmp.audit import Leaf
from itmp.calendars import parse_duration, parse_time
from itmp.canonical import Digest, of_raw
from itmp.change import time_of
from itmp.change.handover import period_of
from itmp.errors import Error, InvalidInputError, NotFoundError
from itmp.inquiry import (
    Case,
    Disagreement,
    Exceptional,
    Gap,
    Grant,
    Population,
    Trace,
    access,
    exceptions,
    gaps,
    read_traces,
    sample,
    touches,
)
from itmp.inquiry.exceptions import exceptions_of, gathered
from itmp.inquiry.reconciling import SLACK, Asked, Told
from itmp.inquiry.traces import FILES
from itmp.workspace import changes, periods
from itmp.workspace.place import Workspace

if TYPE_CHECKING:
    from itmp.evidence import Report, Trust
    from itmp.plan import Manifest

R = TypeVar("R")

MOST: Final = 100_000
"""How many changes a sample may draw."""
_DATE: Final = len("2026-11-28")
_MAX_FILE: Final = 256 * 1024 * 1024
_PLANS: Final = 64
"""Manifests that are kept while the whole log is read."""
_MANY: Final = 1000
"""Changes from which on several processes read them: one reads these in about a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """What log and hosts disagree on; `hosts` gave records, with `traces` entries, `silent` acted on and gave none.

    `missing` are the kinds of record that hosts which were acted on did not give; `stated` those of them that the
    collector noted as never kept there.
    `periods` of the log were read, oldest first; those `away` could not be.
    """

    hosts: tuple[str, ...]
    silent: tuple[str, ...]
    missing: tuple[Gap, ...]
    stated: tuple[Gap, ...]
    traces: int
    disagreements: tuple[Disagreement, ...]
    periods: tuple[str, ...]
    away: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A sample: `cases`, drawn of `of` changes of the population `whole`."""

    whole: Population
    of: int
    cases: tuple[Case, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One change for an auditor: case, leaves, the verdict on its evidence, exceptions, the digest of its plan."""

    case: Case
    leaves: tuple[Leaf, ...]
    report: "Report"
    exceptions: tuple[Exceptional, ...]
    plan: Digest | None


def audit_account(place: Workspace, name: str, *, trust: "Trust | None" = None) -> Account:
    """Build one change's evidence and judge it now, against `trust` or else against the log's own key and genesis."""
    from itmp.evidence import build, verify  # noqa: PLC0415 - only this verb builds and judges bundles

    place = periods.in_its_period(place, name)
    change = changes.resolve(place, name)
    leaves = place.log.of_change(change)
    case = _Manifests(place).case(leaves)
    head = place.log.published()
    if head is None or head.checkpoint.size <= leaves[-1].index:
        place.log.checkpoint()
    bundle = build(place.log, change, older=periods.handovers(place))
    report = verify(bundle, trust or own_trust(place))
    found = exceptions((case,), place.history(), leaves, time_of(place.log.leaf(0)))
    return Account(
        case=case,
        leaves=leaves,
        report=report,
        exceptions=tuple(item for item in found if item.change),
        plan=case.record.plan,
    )


def audit_cases(place: Workspace, names: "Sequence[str]") -> tuple[Case, ...]:
    """Return the cases of the changes with these ids."""
    return tuple(case for case, _ in read_cases(place, names))


def read_cases(place: Workspace, names: Iterable[str]) -> Iterator[tuple[Case, tuple[Leaf, ...]]]:
    """Yield the case of each change with these ids, and the leaves it was folded from; unknown ids are left out."""
    told = _Manifests(place)
    for leaves in map(place.log.of_change, names):
        if leaves:
            yield told.case(leaves), leaves


def read_trust(folder: Path) -> "Trust":
    """Read an auditor's folder, as `itmp-verify` does."""
    from itmp.evidence import Trust  # noqa: PLC0415 - as above

    if not folder.is_dir():
        raise NotFoundError("no such folder", where=str(folder), do="TRUST holds log.policy and genesis.")
    files = {path.name: _read(path) for path in sorted(folder.iterdir()) if not path.name.startswith(".")}
    return Trust.from_files(files)


def own_trust(place: Workspace) -> "Trust":
    """Return what the log says of itself: enough to find damage, and not enough to find a lying owner."""
    from itmp.evidence import Trust  # noqa: PLC0415 - as above

    genesis = place.log.leaf(0).hash
    files = {"log.policy": f"log {place.log.vkey}\nquorum none\n", "genesis": f"{genesis}\n"}
    return Trust.from_files({name: text.encode() for name, text in files.items()})


def audit_population(place: Workspace, *, start: str = "", end: str = "", processes: int = 0) -> Population:
    """Return every change with an event in [start, end): RFC 3339, a local time and its zone, or a UTC date.

    `processes` is how many read the log; 0: as many as there are processors, one for a short log.
    """
    size = place.log.size()
    begin, until = moment(start), moment(end)
    return Population(
        start=begin,
        end=until,
        cases=_Cases(place, size, begin, until, processes=processes),
        size=size,
        root=of_raw(place.log.root(size)),
    )


def audit_sample(place: Workspace, *, seed: str, count: int, start: str = "", end: str = "") -> Drawn:
    """Return `count` changes of a period, drawn by the auditor's own seed: those alone are folded."""
    if not seed:
        raise InvalidInputError("a sample needs a seed", do="Choose one yourself: --seed TEXT.")
    if not 0 < count <= MOST:
        raise InvalidInputError(f"a sample of {count}", do=f"Draw 1 to {MOST}.")
    whole = audit_population(place, start=start, end=end)
    ids = list(place.log.changes())
    if whole.start or whole.end:
        touching = _touching(place, ids, size=whole.size, start=whole.start, end=whole.end)
        ids = [leaves[0].event.change for leaves in touching]
    drawn = sample(ids, seed=seed, count=count)
    return Drawn(whole=whole, of=len(ids), cases=tuple(_cases(place, drawn, size=whole.size)))


def audit_access(place: Workspace) -> tuple[Grant, ...]:
    """Return who may do what now, since when, and by whose signatures."""
    history = place.history()
    return access(history, [time_of(place.log.leaf(version.index)) for version in history.versions])


def audit_exceptions(
    place: Workspace, *, start: str = "", end: str = "", processes: int = 0
) -> tuple[Exceptional, ...]:
    """Return every exception to the usual controls in [start, end); `processes` as for the population."""
    begin, until, history = moment(start), moment(end), place.history()
    resumed = (leaf for leaf in place.log.leaves() if b'"run.resumed"' in leaf.data)
    cases = _Cases(place, place.log.size(), begin, until, processes=processes)
    told = cases.each(partial(exceptions_of, history=history))
    return within(gathered(told, history, resumed, time_of(place.log.leaf(0))), begin, until)


def within(
    found: "Iterable[Exceptional]", begin: datetime | None, until: datetime | None
) -> tuple[Exceptional, ...]:
    """Return those of [begin, until)."""
    return tuple(
        item for item in found if (begin is None or item.at >= begin) and (until is None or item.at < until)
    )


_HERE: Final = "localhost"  # the executor's own machine: plays delegate to it, and it is no host of theirs


def audit_reconcile(
    place: Workspace, records: Path, *, start: str = "", end: str = "", slack: str = "", processes: int = 0
) -> Reconciled:
    """Compare the log, period by period, with what hosts recorded themselves: a folder for each under `records`.

    `slack` is a duration: how far clocks may be apart, 30 seconds where it is empty. `processes` as for the population.
    """
    apart = parse_duration(slack) if slack else SLACK
    collected, acted = dict(_records(records)), set[str]()
    traces = {host: found for host, (found, _) in collected.items()}
    begin, until = moment(start), moment(end)
    asked = Asked.of((trace for mine in traces.values() for trace in mine), apart)
    places, away = periods.spanned(place, begin and begin - apart)
    told = (
        case
        for one in places
        for case in _Cases(one, one.log.size(), begin, until, slack=apart, processes=processes).each(
            asked.told
        )
    )
    found = asked.compared(_noting(told, acted), start=begin, end=until)
    wanting = [gap for host, (_, lacks) in collected.items() if host in acted for gap in lacks]
    return Reconciled(
        hosts=tuple(sorted(traces)),
        silent=tuple(sorted(acted - traces.keys() - {_HERE})),
        missing=tuple(gap for gap in wanting if not gap.stated),
        stated=tuple(gap for gap in wanting if gap.stated),
        traces=sum(map(len, traces.values())),
        disagreements=found,
        periods=tuple(period_of(one.log.origin) for one in places),
        away=away,
    )


def _noting(told: Iterable[Told], acted: set[str]) -> Iterator[Told]:
    """Pass on what cases say; note in `acted` every host that a run was allowed to act on."""
    for one in told:
        acted |= one.acted
        yield one


def moment(text: str) -> datetime | None:
    """Read a time, or a date as its first instant in UTC; None for no text."""
    if not text:
        return None
    if len(text) == _DATE:
        try:
            return datetime.fromisoformat(text).replace(tzinfo=UTC)
        except ValueError as error:
            raise InvalidInputError(f"not a date: {text!r}", do="Write it as 2026-11-28.") from error
    return parse_time(text)


class _Cases:
    """The cases of a log's first `size` leaves that touch [start - slack, end + slack), folded as they are read."""

    def __init__(
        self,
        place: Workspace,
        size: int,
        start: datetime | None,
        end: datetime | None,
        *,
        slack: timedelta = timedelta(0),
        processes: int = 0,
    ) -> None:
        self._place, self._size, self._processes = place, size, processes
        self._start, self._end = start and start - slack, end and end + slack

    def __iter__(self) -> Iterator[Case]:
        return self._of(_Manifests(self._place), self._place.log.changes())

    def each(self, tell: Callable[[Case], R]) -> Iterator[R]:
        """Yield what `tell` says of each case, in order; read by several processes where there are many."""
        from itmp.adapters.spread import processors, spread  # noqa: PLC0415 - short answers need no process

        changes, manifests = self._place.log.changes(), _Manifests(self._place)
        over = self._processes or (processors() if len(changes) >= _MANY else 1)
        if over == 1:
            return map(tell, self._of(manifests, changes))
        return spread(lambda part: [tell(case) for case in self._of(manifests, part)], changes, over=over)

    def _of(self, manifests: "_Manifests", changes: Sequence[str]) -> Iterator[Case]:
        touching = _touching(self._place, changes, size=self._size, start=self._start, end=self._end)
        return map(manifests.case, touching)


def _touching(
    place: Workspace, changes: Iterable[str], *, size: int, start: datetime | None, end: datetime | None
) -> Iterator[tuple[Leaf, ...]]:
    """Yield the leaves of each of `changes` that has an event in [start, end), in their order."""
    for change in changes:
        leaves = tuple(leaf for leaf in place.log.of_change(change) if leaf.index < size)
        if leaves and touches(time_of(leaves[0]), time_of(leaves[-1]), start=start, end=end):
            yield leaves


def _cases(place: Workspace, names: Iterable[str], *, size: int) -> Iterator[Case]:
    told = _Manifests(place)
    for change in names:
        yield told.case(tuple(leaf for leaf in place.log.of_change(change) if leaf.index < size))


class _Manifests:
    """The manifests of the log's plans, the newest of them kept; None where a plan's bytes are gone or never were."""

    def __init__(self, place: Workspace) -> None:
        self._place, self._history = place, place.history()
        self._known: dict[str, Manifest | None] = {}

    def case(self, leaves: tuple[Leaf, ...]) -> Case:
        """Fold a change's leaves."""
        return Case.of(leaves, self._history, manifest=self.of(leaves[0]), blob=self._place.log.blob)

    def of(self, opened: Leaf) -> "Manifest | None":
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


def _records(folder: Path) -> Iterator[tuple[str, tuple[tuple[Trace, ...], tuple[Gap, ...]]]]:
    if not folder.is_dir():
        raise NotFoundError(
            "no folder of host records", where=str(folder), do="Collect them: runbooks/audit/host-records.yml"
        )
    for host in sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()):
        files = {path.name: _read(path) for path in host.iterdir() if path.name in FILES}
        traces = read_traces(host.name, files)
        yield host.name, (traces, gaps(host.name, files, traces))


def _read(path: Path) -> bytes:
    if path.is_symlink() or not path.is_file():
        raise InvalidInputError("not a plain file", where=str(path), do="Collect the records again.")
    if path.stat().st_size > _MAX_FILE:
        raise InvalidInputError(
            f"more than {_MAX_FILE} bytes", where=str(path), do="Collect a shorter period of it."
        )
    return path.read_bytes()
