"""What the log and the hosts do not agree on.

Rules kept here:
1. a login, privileged command, Ansible module, package change or boot on a host is covered when a slice that acted on
that host, or could delegate to it, was under way, give or take the slack that clocks need; otherwise it is named;
2. a slice with outcomes on a host that keeps a record of logins, and that knows of no login in that time, is named;
3. from the log alone: a change that was approved and never ran, an intent without a result, a run without an end.
A disagreement is a question and no verdict: people log in to hosts for good reasons.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from itmp.calendars import format_time
from itmp.inquiry.cases import Case
from itmp.inquiry.traces import Trace

SLACK: Final = timedelta(seconds=30)
"""How far apart two machines' clocks may be, and how long a connection may outlive its slice."""
_NAMES: Final = {
    "login": "login-outside-run",
    "command": "command-outside-run",
    "ansible": "run-without-change",
    "package": "package-outside-run",
    "boot": "boot-outside-run",
}
_ACTED: Final = frozenset({"ok", "changed", "failed", "unknown"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """One: its name, the host or change that it is about, when, and what is known of it."""

    name: str
    place: str
    at: datetime
    what: str


def reconcile(
    cases: Sequence[Case],
    traces: Iterable[Trace],
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    slack: timedelta = SLACK,
) -> tuple[Disagreement, ...]:
    """Return every disagreement within [start, end), oldest first."""
    told = tuple(traces)
    found = [
        *_uncovered(cases, told, slack),
        *_unseen(cases, told, slack),
        *(item for case in cases for item in _of_log(case)),
    ]
    inside = [
        item for item in found if (start is None or item.at >= start) and (end is None or item.at < end)
    ]
    return tuple(sorted(inside, key=lambda item: (item.at, item.place, item.name)))


def _uncovered(cases: Sequence[Case], traces: Sequence[Trace], slack: timedelta) -> Iterator[Disagreement]:
    spans = _spans(cases, slack)
    for trace in traces:
        if not any(begin <= trace.at <= end for begin, end in spans.get(trace.host, ())):
            yield Disagreement(name=_NAMES[trace.kind], place=trace.host, at=trace.at, what=trace.what)


def _unseen(cases: Sequence[Case], traces: Sequence[Trace], slack: timedelta) -> Iterator[Disagreement]:
    logins: dict[str, list[datetime]] = {}
    for trace in traces:
        if trace.kind == "login":
            logins.setdefault(trace.host, []).append(trace.at)
    for case in cases:
        for run in case.runs:
            acted = _acted(case, run.id)
            for host, begin, end in run.spans:
                until = (end or case.last) + slack
                seen = any(begin - slack <= at <= until for at in logins.get(host, ()))
                if host in logins and host in acted and not seen:
                    what = (
                        f"{case.id} has results from {format_time(begin)} on, and the host knows of no login"
                    )
                    yield Disagreement(name="results-without-login", place=host, at=begin, what=what)


def _acted(case: Case, run: str) -> frozenset[str]:
    """Return the hosts on which a run has results that need a connection."""
    return frozenset(
        result.target.get("id", "")
        for record in case.record.runs
        if record.id == run
        for part in record.slices
        for result in part.results
        if result.type == "action.finished" and result.outcome in _ACTED
    )


def _spans(cases: Sequence[Case], slack: timedelta) -> dict[str, list[tuple[datetime, datetime]]]:
    found: dict[str, list[tuple[datetime, datetime]]] = {}
    for case in cases:
        for run in case.runs:
            for host, begin, end in run.spans:
                found.setdefault(host, []).append((begin - slack, (end or case.last) + slack))
    return found


def _of_log(case: Case) -> Iterator[Disagreement]:
    """Rule 3."""
    if not case.runs and case.approvers:
        what = f"approved by {', '.join(case.approvers)}, {case.record.state}, and never ran"
        yield Disagreement(name="change-without-run", place=case.id, at=case.last, what=what)
    for record, run in zip(case.record.runs, case.runs, strict=True):
        if record.active:
            yield Disagreement(
                name="run-without-end", place=case.id, at=run.started, what=f"run {run.id} has no end"
            )
        for part in record.open_slices:
            at = next(at for leaf, at in case.times if leaf == part.leaf)
            what = f"slice {part.key} of run {run.id} was begun and has no end"
            yield Disagreement(name="intent-without-result", place=case.id, at=at, what=what)
