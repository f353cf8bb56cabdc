"""Verbs of an auditor's questions about the whole log: population, sample, access, exceptions, reconcile.

Rules kept here: every answer is read from raw leaves, all of them, of every period that the question touches, and says
on which size and root of each it rests and which periods could not be read; no search index is asked, so that none can
hide anything; nothing is written, and the log's public key is enough (`Workspace.for_reading`); what hosts recorded
comes from a folder that a change with its own approval collected, so that not even an auditor's question reaches a
host without one.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Final

from itmp.audit import Leaf
from itmp.calendars import parse_duration, parse_time
from itmp.canonical import Digest
from itmp.change import time_of
from itmp.change.handover import period_of
from itmp.errors import InvalidInputError, NotFoundError
from itmp.inquiry import (
    Case,
    Disagreement,
    Exceptional,
    Gap,
    Grant,
    Population,
    Span,
    Trace,
    access,
    exceptions,
    gaps,
    read_traces,
    sample,
)
from itmp.inquiry.exceptions import exceptions_of, gathered
from itmp.inquiry.reconciling import SLACK, Asked, Told
from itmp.inquiry.traces import FILES
from itmp.workspace import changes, periods
from itmp.workspace.cases import CasesOf, Manifests, Spanning, Within
from itmp.workspace.covered import Covered
from itmp.workspace.place import Workspace

if TYPE_CHECKING:
    from itmp.evidence import Report, Trust

MOST: Final = 100_000
"""How many changes a sample may draw."""
_DATE: Final = len("2026-11-28")
_MAX_FILE: Final = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """What log and hosts disagree on; `hosts` gave records, with `traces` entries, `silent` acted on and gave none.

    `missing` are the kinds of record that hosts which were acted on did not give; `stated` those of them that the
    collector noted as never kept there.
    `periods` of the log were read, oldest first; those `away` could not be, and `unsigned` leaves of a copy, which no
    head covers, were left out.
    """

    hosts: tuple[str, ...]
    silent: tuple[str, ...]
    missing: tuple[Gap, ...]
    stated: tuple[Gap, ...]
    traces: int
    disagreements: tuple[Disagreement, ...]
    periods: tuple[str, ...]
    away: tuple[str, ...]
    unsigned: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A sample: `cases`, drawn of `of` changes of the population `whole`."""

    whole: Population
    of: int
    cases: tuple[Case, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One change for an auditor: case, leaves, the verdict on its evidence, exceptions, the digest of its plan.

    The newest signed head covers the first `covered` leaves, and the verdict is about these alone: None for no leaf.
    """

    case: Case
    leaves: tuple[Leaf, ...]
    report: "Report | None"
    exceptions: tuple[Exceptional, ...]
    plan: Digest | None
    covered: int


def audit_account(place: Workspace, name: str, *, trust: "Trust | None" = None) -> Account:
    """Build one change's evidence and judge it now, against `trust` or else against the log's own key and genesis.

    Nothing is signed for it: what no head covers yet is in the account, and not in the evidence.
    """
    place = periods.in_its_period(place.for_reading(), name)
    change = changes.resolve(place, name)
    trail, leaves = Covered.read(place.log, change)
    covered = trail.leaves if trail else ()
    case = Manifests(place).case(leaves)
    found = exceptions((case,), place.history(), leaves, time_of(place.log.leaf(0)))
    return Account(
        case=case,
        leaves=leaves,
        report=_report(place, trail, change, trust) if trail and covered else None,
        exceptions=tuple(item for item in found if item.change),
        plan=case.record.plan,
        covered=len(covered),
    )


def _report(place: Workspace, trail: Covered, change: str, trust: "Trust | None") -> "Report":
    from itmp.evidence import build, verify  # noqa: PLC0415 - only this verb builds and judges bundles

    bundle = build(trail, change, older=periods.handovers(place))
    return verify(bundle, trust or own_trust(place))


def audit_cases(place: Workspace, names: "Sequence[str]") -> tuple[Case, ...]:
    """Return the cases of the changes with these ids."""
    return tuple(case for case, _ in read_cases(place, names))


def read_cases(place: Workspace, names: Iterable[str]) -> Iterator[tuple[Case, tuple[Leaf, ...]]]:
    """Yield the case of each change with these ids, and the leaves it was folded from; unknown ids are left out."""
    told = Manifests(place)
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


def audit_population(
    place: Workspace, *, start: str = "", end: str = "", processes: int = 0, alone: bool = False
) -> Population:
    """Return every change with an event in [start, end): RFC 3339, a local time and its zone, or a UTC date.

    Every period of the log that these touch is read; with `alone`, or of a workspace in one period, it alone is.
    `processes` is how many read the log; 0: as many as there are processors, one for a short log.
    """
    within = Within(start=moment(start), end=moment(end), processes=processes)
    cases = Spanning(place.for_reading(), within, alone=alone)
    return Population(start=within.start, end=within.end, cases=cases, span=cases.span, again=cases.again)


def audit_sample(
    place: Workspace, *, seed: str, count: int, start: str = "", end: str = "", alone: bool = False
) -> Drawn:
    """Return `count` changes of a population, drawn by the auditor's own seed: those alone are folded."""
    if not seed:
        raise InvalidInputError("a sample needs a seed", do="Choose one yourself: --seed TEXT.")
    if not 0 < count <= MOST:
        raise InvalidInputError(f"a sample of {count}", do=f"Draw 1 to {MOST}.")
    within = Within(start=moment(start), end=moment(end))
    cases = Spanning(place.for_reading(), within, alone=alone)
    whole = Population(start=within.start, end=within.end, cases=cases, span=cases.span, again=cases.again)
    there = {change: part for part in cases.parts for change in part.touching()}
    drawn = sample(there, seed=seed, count=count)
    return Drawn(whole=whole, of=len(there), cases=tuple(there[change].named(change) for change in drawn))


def audit_access(place: Workspace) -> tuple[Grant, ...]:
    """Return who may do what now, since when, and by whose signatures, in whichever period of the log that was."""
    place = place.for_reading()
    history, older = place.history(), []
    for one, members in periods.chain_of(place):
        at = {leaf.index: time_of(leaf) for leaf in periods.leaves_of(members)}
        older.append((one, [at[version.index] for version in one.versions]))
    return access(history, [time_of(place.log.leaf(version.index)) for version in history.versions], older)


def audit_span(place: Workspace, *, start: str = "", end: str = "", alone: bool = False) -> Span:
    """Return on which logs an answer about [start, end) rests, and which periods it lacks."""
    return Spanning(place.for_reading(), Within(start=moment(start), end=moment(end)), alone=alone).span


def audit_exceptions(
    place: Workspace, *, start: str = "", end: str = "", processes: int = 0, alone: bool = False
) -> tuple[Exceptional, ...]:
    """Return every exception to the usual controls in [start, end); `processes` and `alone` as for the population."""
    asked = Within(start=moment(start), end=moment(end), processes=processes)
    cases = Spanning(place.for_reading(), asked, alone=alone)
    sizes = zip(cases.places, cases.sizes, strict=True)
    found = chain.from_iterable(_exceptions(one, size, asked) for one, size in sizes)
    return within(found, asked.start, asked.end)


def _exceptions(place: Workspace, size: int, asked: Within) -> tuple[Exceptional, ...]:
    """Return those of one period's first `size` leaves; also of events that bear the id of another's change."""
    history = place.history()
    resumed = (leaf for leaf in place.log.leaves(0, size) if b'"run.resumed"' in leaf.data)
    told = CasesOf(place, size, asked).each(partial(exceptions_of, history=history))
    return gathered(told, history, resumed, time_of(place.log.leaf(0)))


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
    within = Within(start=moment(start), end=moment(end), slack=apart, processes=processes)
    asked = Asked.of((trace for mine in traces.values() for trace in mine), apart)
    cases = Spanning(place.for_reading(), within)
    told = chain.from_iterable(
        CasesOf(one, size, within).each(asked.told)
        for one, size in zip(cases.places, cases.sizes, strict=True)
    )
    found = asked.compared(_noting(told, acted), start=within.start, end=within.end)
    wanting = [gap for host, (_, lacks) in collected.items() if host in acted for gap in lacks]
    return Reconciled(
        hosts=tuple(sorted(traces)),
        silent=tuple(sorted(acted - traces.keys() - {_HERE})),
        missing=tuple(gap for gap in wanting if not gap.stated),
        stated=tuple(gap for gap in wanting if gap.stated),
        traces=sum(map(len, traces.values())),
        disagreements=found,
        periods=tuple(period_of(one.log.origin) for one in cases.places),
        away=cases.away,
        unsigned=sum(cases.unsigned),
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
