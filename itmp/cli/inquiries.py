"""Commands of an auditor's questions: audit population, sample, access, exceptions, reconcile."""

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from itmp.cli.options import Json
from itmp.cli.printing import Answer, colour, columns, count, safe, table, verb

if TYPE_CHECKING:
    from itmp.workspace import Case, Periods, Population

From = Annotated[
    str, typer.Option("--from", metavar="TIME", help="Only what happened from here on (date or time).")
]
To = Annotated[
    str, typer.Option("--to", metavar="TIME", help="Only what happened before this (date or time).")
]

Period = Annotated[str, typer.Option("--period", metavar="NAME", help="An earlier period of the log.")]


def register(audit: typer.Typer) -> None:
    """Add these commands to `itmp audit`."""
    audit.command("population")(population)
    audit.command("sample")(sample)
    audit.command("access")(access)
    audit.command("exceptions")(exceptions)
    audit.command("reconcile")(reconcile)


@verb
def population(start: From = "", end: To = "", period: Period = "", json: Json = False) -> Answer:
    """List every change and run of a period. Example: itmp audit population --from 2026-01-01 --to 2027-01-01"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    place = workspace.of_period(workspace.Workspace.here(), period)
    found, spoken = workspace.audit_population(place, start=start, end=end), workspace.periods_of(place)
    return Answer(
        data={**_basis(found), "period": spoken.name, "changes": found.cases.each(_data)},
        lines=chain(_listed(found), _alone(spoken)),
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

    place = workspace.of_period(workspace.Workspace.here(), period)
    drawn, spoken = (
        workspace.audit_sample(place, seed=seed, count=count, start=start, end=end),
        workspace.periods_of(place),
    )
    of = f"{len(drawn.cases)} drawn by seed {safe(seed)!r} of:"
    return Answer(
        data={
            **_basis(drawn.whole),
            "period": spoken.name,
            "seed": seed,
            "of": drawn.of,
            "drawn": [*map(_data, drawn.cases)],
        },
        lines=(
            *_table(map(_row, drawn.cases)),
            of,
            f"{_changes(drawn.of)}; {_rests(drawn.whole)}",
            *_alone(spoken),
        ),
    )


@verb
def access(period: Period = "", json: Json = False) -> Answer:
    """Say who may do what, since when, by whose signatures. Example: itmp audit access"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    place = workspace.of_period(workspace.Workspace.here(), period)
    grants, spoken = workspace.audit_access(place), workspace.periods_of(place)
    rows = [
        (grant.signer, grant.kind, grant.role, f"{grant.since:%Y-%m-%d}", f"leaf {grant.index}",
         ",".join(grant.by), " ".join(grant.acts))
        for grant in grants
    ]  # fmt: skip
    return Answer(
        data={
            "period": spoken.name,
            "grants": [
                {
                    "signer": grant.signer,
                    "kind": grant.kind,
                    "role": grant.role,
                    "acts": list(grant.acts),
                    "keys": list(grant.keys),
                    "since": grant.since.isoformat(),
                    "leaf": grant.leaf,
                    "index": grant.index,
                    "by": list(grant.by),
                }
                for grant in grants
            ],
        },
        lines=(
            *table(rows, ("SIGNER", "KIND", "ROLE", "SINCE", "LEAF", "SIGNED BY", "MAY")),
            *_alone(spoken),
        ),
    )


@verb
def exceptions(start: From = "", end: To = "", period: Period = "", json: Json = False) -> Answer:
    """List where a control did less than usual. Example: itmp audit exceptions --from 2026-01-01"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    place = workspace.of_period(workspace.Workspace.here(), period)
    found, spoken = workspace.audit_exceptions(place, start=start, end=end), workspace.periods_of(place)
    rows = [
        (item.index, f"{item.at:%Y-%m-%dT%H:%M:%SZ}", item.kind, item.change or "-", item.who, item.why)
        for item in found
    ]
    header = ("LEAF", "TIME", "KIND", "CHANGE", "WHO", "WHY")
    return Answer(
        data={
            "period": spoken.name,
            "exceptions": [dict(zip(map(str.lower, header), row, strict=True)) for row in rows],
        },
        lines=(*table(rows, header), count(len(rows), "exception"), *_alone(spoken)),
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

    found = workspace.audit_reconcile(workspace.Workspace.here(), records, start=start, end=end, slack=slack)
    rows = [
        (f"{item.at:%Y-%m-%dT%H:%M:%SZ}", item.place, item.name, item.what) for item in found.disagreements
    ]
    header = ("TIME", "PLACE", "NAME", "WHAT")
    missing, stated = (
        [(gap.host, gap.kind, gap.why) for gap in each] for each in (found.missing, found.stated)
    )
    lacking = tuple(_lacking(found.silent, missing, found.away))
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
        },
        lines=(
            *table(rows, header),
            *lacking,
            *(f"{safe(host)} says that it keeps no {kind}: {safe(why)}" for host, kind, why in stated),
            f"{word}  {len(found.hosts)} hosts, {found.traces} records, {len(rows)} disagreements{spans}",
        ),
        exit_code=41 if rows or lacking else 0,
    )


def _lacking(
    silent: Iterable[str], missing: Iterable[tuple[str, str, str]], away: Iterable[str]
) -> Iterator[str]:
    """Say what could not be compared, and what to do about it."""
    if names := ", ".join(map(safe, silent)):
        yield f"no records of {names}: collect them, runbooks/audit/host-records.yml"
    yield from (
        f"no {kind} of {safe(host)}: {safe(why)}: collect them again, as somebody who may read them, or find out"
        " what emptied them"
        for host, kind, why in missing
    )
    yield from (
        f"not compared with period {safe(name)}: itmp audit archive {safe(name)} --back, or --from after it"
        for name in away
    )


def _alone(spoken: "Periods") -> Iterator[str]:
    """Say which period the answer is about, and how to ask about the others, where there are any."""
    if spoken.others or spoken.away:
        yield f"this is period {safe(spoken.name)} alone" + "".join(
            f"; --period {safe(name)}" for name in spoken.others
        )
    yield from (
        f"period {safe(name)} is not here: itmp audit archive {safe(name)} --back" for name in spoken.away
    )


def _listed(found: "Population") -> Iterator[str]:
    """Yield a line a change as the log is read, then what it comes to."""
    changes = runs = 0

    def counted() -> "Iterator[tuple[str, ...]]":
        nonlocal changes, runs
        for row, ran in found.cases.each(_counted_row):
            changes, runs = changes + 1, runs + ran
            yield row

    yield from _table(counted())
    yield f"{_changes(changes)}, {count(runs, 'run')}; {_rests(found)}"


def _counted_row(case: "Case") -> tuple[tuple[str, ...], int]:
    return _row(case), len(case.runs)


def _row(case: "Case") -> tuple[str, ...]:
    requester = case.record.request.requester if case.record.request else "-"
    return (
        case.id, f"{case.first:%Y-%m-%dT%H:%M:%SZ}", _type(case), case.environment, case.risk,
        requester, ",".join(case.approvers) or "-", " ".join(run.state for run in case.runs) or "-",
        case.record.state,
    )  # fmt: skip


def _table(rows: "Iterable[tuple[str, ...]]") -> Iterator[str]:
    return columns(
        rows,
        ("CHANGE", "OPENED", "TYPE", "ENVIRONMENT", "RISK", "REQUESTED BY", "APPROVED BY", "RUNS", "STATE"),
    )


def _type(case: "Case") -> str:
    return case.record.request.type if case.record.request else "-"


def _rests(found: "Population") -> str:
    return f"rests on {count(found.size, 'event')}, root {found.root}"


def _changes(number: int) -> str:
    return count(number, "change")


def _basis(found: "Population") -> dict[str, Any]:
    return {
        "from": found.start.isoformat() if found.start else None,
        "to": found.end.isoformat() if found.end else None,
        "size": found.size,
        "root": found.root,
    }


def _data(case: "Case") -> dict[str, Any]:
    return {
        "change": case.id,
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
