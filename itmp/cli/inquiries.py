"""Commands of an auditor's questions: audit population, sample, access, exceptions, reconcile."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from itmp.cli.options import Json
from itmp.cli.printing import Answer, colour, columns, count, safe, table, verb

if TYPE_CHECKING:
    from itmp.workspace import Case, Periods, Population, Span, Workspace

INCOMPLETE: Final = 41
From = Annotated[
    str, typer.Option("--from", metavar="TIME", help="Only what happened from here on (date or time).")
]
To = Annotated[
    str, typer.Option("--to", metavar="TIME", help="Only what happened before this (date or time).")
]

Period = Annotated[str, typer.Option("--period", metavar="NAME", help="One period of the log alone.")]


def register(audit: typer.Typer) -> None:
    """Add these commands to `itmp audit`."""
    audit.command("population")(population)
    audit.command("sample")(sample)
    audit.command("access")(access)
    audit.command("exceptions")(exceptions)
    audit.command("reconcile")(reconcile)


@verb
def population(start: From = "", end: To = "", period: Period = "", json: Json = False) -> Answer:
    """List every change and run. Example: itmp audit population --from 2026-01-01 --to 2027-01-01"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    place = workspace.of_period(workspace.Workspace.here().for_reading(), period)
    found = workspace.audit_population(place, start=start, end=end, alone=bool(period))
    return Answer(
        data={**_basis(found), "changes": found.cases.each(_data)},
        lines=chain(_listed(found), _short_of(found, place), _alone(place, period)),
        exit_code=0 if found.whole else INCOMPLETE,
    )


@verb
def sample(
    seed: Annotated[
        str, typer.Option("--seed", metavar="TEXT", help="Your own; the draw follows from it alone.")
    ],
    count: Annotated[int, typer.Option("--n", metavar="N", help="How many changes.")] = 25,
    start: From = "",
    end: To = "",
    period: Period = "",
    json: Json = False,
) -> Answer:
    """Draw changes by the auditor's seed. Example: itmp audit sample --seed 'Q4, A. Auditor' --n 25"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    place = workspace.of_period(workspace.Workspace.here().for_reading(), period)
    drawn = workspace.audit_sample(place, seed=seed, count=count, start=start, end=end, alone=bool(period))
    whole, several = drawn.whole, _several(drawn.whole.span)
    return Answer(
        data={**_basis(whole), "seed": seed, "of": drawn.of, "drawn": [*map(_data, drawn.cases)]},
        lines=(
            *_table((_row(case, several=several) for case in drawn.cases), several=several),
            f"{len(drawn.cases)} drawn by seed {safe(seed)!r} of:",
            *_rests(_changes(drawn.of), whole.span),
            *_short_of(whole, place),
            *_alone(place, period),
        ),
        exit_code=0 if whole.whole else INCOMPLETE,
    )


@verb
def access(period: Period = "", json: Json = False) -> Answer:
    """Say who may do what, since when, by whose signatures. Example: itmp audit access"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    place = workspace.of_period(workspace.Workspace.here().for_reading(), period)
    grants, spoken = workspace.audit_access(place), workspace.periods_of(place)
    elsewhere = {grant.period for grant in grants} - {spoken.name}
    rows = [
        (grant.signer, grant.kind, grant.role, f"{grant.since:%Y-%m-%d}",
         f"{grant.period} leaf {grant.index}" if elsewhere else f"leaf {grant.index}",
         ",".join(grant.by), " ".join(grant.acts))
        for grant in grants
    ]  # fmt: skip
    lost = [spoken.lost] if spoken.lost else []
    return Answer(
        data={
            "period": spoken.name,
            "away": lost,
            "grants": [
                {
                    "signer": grant.signer,
                    "kind": grant.kind,
                    "role": grant.role,
                    "acts": list(grant.acts),
                    "keys": list(grant.keys),
                    "since": grant.since.isoformat(),
                    "period": grant.period,
                    "leaf": grant.leaf,
                    "index": grant.index,
                    "by": list(grant.by),
                }
                for grant in grants
            ],
        },
        lines=(
            *table(rows, ("SIGNER", "KIND", "ROLE", "SINCE", "LEAF", "SIGNED BY", "MAY")),
            *_missing(lost, place),
            *_alone(place, period),
        ),
        exit_code=INCOMPLETE if lost else 0,
    )


@verb
def exceptions(start: From = "", end: To = "", period: Period = "", json: Json = False) -> Answer:
    """List where a control did less than usual. Example: itmp audit exceptions --from 2026-01-01"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    place = workspace.of_period(workspace.Workspace.here().for_reading(), period)
    asked: dict[str, Any] = {"start": start, "end": end, "alone": bool(period)}
    span, found = workspace.audit_span(place, **asked), workspace.audit_exceptions(place, **asked)
    rows = [
        (item.period, item.index, f"{item.at:%Y-%m-%dT%H:%M:%SZ}", item.kind, item.change or "-", item.who,
         item.why)
        for item in found
    ]  # fmt: skip
    header = ("PERIOD", "LEAF", "TIME", "KIND", "CHANGE", "WHO", "WHY")
    least = 0 if _several(span) else 1
    return Answer(
        data={
            **_span(span),
            "exceptions": [dict(zip(map(str.lower, header), row, strict=True)) for row in rows],
        },
        lines=(
            *table([row[least:] for row in rows], header[least:]),
            *_rests(count(len(rows), "exception"), span),
            *_missing(span.away, place),
            *_alone(place, period),
        ),
        exit_code=INCOMPLETE if span.away else 0,
    )


@verb
def reconcile(
    records: Annotated[
        Path, typer.Option("--records", metavar="DIR", help="What hosts recorded: a folder for each host.")
    ],
    start: From = "",
    end: To = "",
    slack: Annotated[
        str, typer.Option("--slack", metavar="DURATION", help="How far apart clocks may be; 30s.")
    ] = "",
    json: Json = False,
) -> Answer:
    """Compare the log with the hosts' own records. Example: itmp audit reconcile --records records"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    place = workspace.Workspace.here().for_reading()
    found = workspace.audit_reconcile(place, records, start=start, end=end, slack=slack)
    rows = [
        (f"{item.at:%Y-%m-%dT%H:%M:%SZ}", item.place, item.name, item.what) for item in found.disagreements
    ]
    header = ("TIME", "PLACE", "NAME", "WHAT")
    missing, stated = (
        [(gap.host, gap.kind, gap.why) for gap in each] for each in (found.missing, found.stated)
    )
    lacking = (*_lacking(found.silent, missing), *_missing(found.away, place, "not compared with"))
    spans = f", periods {', '.join(map(safe, found.periods))}" if found.periods[1:] else ""
    word = colour("disagree", "failed") if rows else colour("incomplete", "failed")
    word = word if rows or lacking else colour("agree", "ok")
    return Answer(
        data={
            "hosts": list(found.hosts),
            "silent": list(found.silent),
            "missing": [dict(zip(("host", "kind", "why"), gap, strict=True)) for gap in missing],
            "stated": [dict(zip(("host", "kind", "why"), gap, strict=True)) for gap in stated],
            "traces": found.traces,
            "disagreements": [dict(zip(map(str.lower, header), row, strict=True)) for row in rows],
            "periods": list(found.periods),
            "away": list(found.away),
            "unsigned": found.unsigned,
        },
        lines=(
            *table(rows, header),
            *lacking,
            *_left_out(found.unsigned),
            *(f"{safe(host)} says that it keeps no {kind}: {safe(why)}" for host, kind, why in stated),
            f"{word}  {len(found.hosts)} hosts, {found.traces} records, {len(rows)} disagreements{spans}",
        ),
        exit_code=INCOMPLETE if rows or lacking else 0,
    )


def _lacking(silent: Iterable[str], missing: Iterable[tuple[str, str, str]]) -> Iterator[str]:
    """Say what could not be compared, and what to do about it."""
    if names := ", ".join(map(safe, silent)):
        yield f"no records of {names}: collect them, runbooks/audit/host-records.yml"
    yield from (
        f"no {kind} of {safe(host)}: {safe(why)}: collect them again, as somebody who may read them, or find out"
        " what emptied them"
        for host, kind, why in missing
    )


def _missing(away: Iterable[str], place: "Workspace", what: str = "INCOMPLETE: without") -> Iterator[str]:
    """Say which periods an answer lacks, and what to do about it."""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    yield from (
        f"{what} period {safe(name)}: {safe(workspace.way_back(place, name))}, or --from after it"
        for name in away
    )


def _short_of(found: "Population", place: "Workspace") -> Iterator[str]:
    """Say what keeps a population from being whole."""
    yield from _missing(found.span.away, place)
    yield from (
        f"period {safe(name)} has events that bear the id of {safe(change)} and are none of it:"
        f" itmp audit list --period {safe(name)}"
        for change, name in found.again
    )


def _alone(place: "Workspace", period: str) -> Iterator[str]:
    """Where one period was asked about, say that the answer is about it alone, where there are others."""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    spoken: Periods | None = workspace.periods_of(place) if period else None
    if spoken and (spoken.others or spoken.away or spoken.lost):
        yield f"this is period {safe(spoken.name)} alone"


def _several(span: "Span") -> bool:
    """Whether lines must say of which period they are."""
    return len(span.bases) > 1


def _listed(found: "Population") -> Iterator[str]:
    """Yield a line a change as the log is read, then what it comes to."""
    changes = runs = 0
    several = _several(found.span)

    def counted() -> "Iterator[tuple[str, ...]]":
        nonlocal changes, runs
        for row, ran in found.cases.each(partial(_counted_row, several=several)):
            changes, runs = changes + 1, runs + ran
            yield row

    yield from _table(counted(), several=several)
    yield from _rests(f"{_changes(changes)}, {count(runs, 'run')}", found.span)


def _counted_row(case: "Case", *, several: bool) -> tuple[tuple[str, ...], int]:
    return _row(case, several=several), len(case.runs)


def _row(case: "Case", *, several: bool) -> tuple[str, ...]:
    requester = case.record.request.requester if case.record.request else "-"
    row = (
        case.period, case.id, f"{case.first:%Y-%m-%dT%H:%M:%SZ}", _type(case), case.environment, case.risk,
        requester, ",".join(case.approvers) or "-", " ".join(run.state for run in case.runs) or "-",
        case.record.state,
    )  # fmt: skip
    return row if several else row[1:]


def _table(rows: "Iterable[tuple[str, ...]]", *, several: bool) -> Iterator[str]:
    header = (
        "PERIOD",
        "CHANGE",
        "OPENED",
        "TYPE",
        "ENVIRONMENT",
        "RISK",
        "REQUESTED BY",
        "APPROVED BY",
        "RUNS",
        "STATE",
    )
    return columns(rows, header if several else header[1:])


def _type(case: "Case") -> str:
    return case.record.request.type if case.record.request else "-"


def _rests(what: str, span: "Span") -> Iterator[str]:
    """Say what was found, and on which size and root of each log that rests."""
    said = [
        f"{f'period {safe(basis.period)}: ' if _several(span) else ''}{count(basis.size, 'event')}, root {basis.root}"
        for basis in span.bases
    ]
    yield f"{what}; rests on {said[0]}"
    yield from (f"  and on {line}" for line in said[1:])
    yield from _left_out(sum(basis.unsigned for basis in span.bases))


def _left_out(unsigned: int) -> Iterator[str]:
    """Say how many events of a copy do not count."""
    if unsigned:
        yield f"left out: {count(unsigned, 'event')} after the newest signed head, which anybody may have added"


def _changes(number: int) -> str:
    return count(number, "change")


def _basis(found: "Population") -> dict[str, Any]:
    return {
        "from": found.start.isoformat() if found.start else None,
        "to": found.end.isoformat() if found.end else None,
        **_span(found.span),
        "again": [{"change": change, "period": period} for change, period in found.again],
    }


def _span(span: "Span") -> dict[str, Any]:
    """Return what an answer rests on; `period`, `size` and `root` are those of the newest log of it."""
    newest = asdict(span.bases[-1])
    return {**newest, "rests_on": [asdict(basis) for basis in span.bases], "away": list(span.away)}


def _data(case: "Case") -> dict[str, Any]:
    return {
        "change": case.id,
        "period": case.period,
        "index": case.open_index,
        "opened": case.first.isoformat(),
        "type": _type(case),
        "environment": case.environment,
        "risk": case.risk,
        "requester": case.record.request.requester if case.record.request else None,
        "external": case.record.request.external if case.record.request else None,
        "plan": case.record.plan,
        "approvers": list(case.approvers),
        "state": case.record.state,
        "refusals": case.record.refusals,
        "runs": [
            {
                "run": run.id,
                "modes": list(run.modes),
                "by": list(run.started_by),
                "started": run.started.isoformat(),
                "ended": run.ended.isoformat() if run.ended else None,
                "state": run.state,
                "targets": run.targets,
            }
            for run in case.runs
        ],
    }
