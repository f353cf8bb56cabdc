"""What the log and the hosts do not agree on.

Rules kept here:
1. a login, privileged command, Ansible module, package change or boot on a host is covered when a slice that acted on
that host, or could delegate to it, was under way, give or take the slack that clocks need; otherwise it is named; time
alone is compared: which account a connection uses is settled on the way (inventory, ssh's own files, `remote_user`);
2. a slice with outcomes on a host that keeps a record of logins over ssh, and knows of none in that time, is named;
3. from the log alone: a change that was approved, or needed no approval, and never ran; an intent without a result, of
a slice or of one operation in it; a target whose outcome is unknown, and which neither a later slice of that step nor a
reconciliation settled; a run without an end.
A disagreement is a question and no verdict: people log in to hosts for good reasons.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from itmp.calendars import format_time
from itmp.canonical import Digest
from itmp.change import RunRecord, SliceRecord
from itmp.inquiry.cases import Case
from itmp.inquiry.traces import Trace

SLACK: Final = timedelta(seconds=30)
"""How far apart two machines' clocks may be, and how long a connection may outlive its slice."""
_NAMES: Final = {
    "login": "login-outside-run",
    "session": "login-outside-run",
    "command": "command-outside-run",
    "ansible": "run-without-change",
    "package": "package-outside-run",
    "boot": "boot-outside-run",
}
_Span: TypeAlias = tuple[datetime, datetime]
_UNKNOWN: Final = "unknown"
_ACTED: Final = frozenset({"ok", "changed", "failed", "unknown"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """One: its name, the host or change that it is about, when, and what is known of it."""

    name: str
    place: str
    at: datetime
    what: str


def reconcile(
    cases: Iterable[Case],
    traces: Iterable[Trace],
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    slack: timedelta = SLACK,
) -> tuple[Disagreement, ...]:
    """Return every disagreement within [start, end), oldest first. Each case is read once, and not kept."""
    asked = Asked.of(traces, slack)
    return asked.compared(map(asked.told, cases), start=start, end=end)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one case says: its own disagreements, `spans` of hosts with traces, every host that was `acted` on."""

    disagreements: tuple[Disagreement, ...]
    spans: tuple[tuple[str, _Span], ...]
    acted: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What hosts recorded, to be held against cases, each of which can be asked by itself."""

    traces: tuple[Trace, ...]
    logins: Mapping[str, list[datetime]]
    hosts: frozenset[str]
    slack: timedelta

    @classmethod
    def of(cls, traces: Iterable[Trace], slack: timedelta) -> "Asked":
        """Put the traces in order."""
        every = tuple(traces)
        hosts = frozenset(trace.host for trace in every)
        return cls(traces=every, logins=_logins(every), hosts=hosts, slack=slack)

    def told(self, case: Case) -> Told:
        """Return what one case says."""
        spans = [
            (host, (begin - self.slack, (until or case.last) + self.slack))
            for run in case.runs
            for host, begin, until in run.spans
            if host in self.hosts
        ]
        return Told(
            disagreements=(*_unseen(case, self.logins, self.slack), *_of_log(case)),
            spans=tuple(spans),
            acted=frozenset(host for run in case.runs for host, _, _ in run.spans),
        )

    def compared(
        self, told: Iterable[Told], *, start: datetime | None, end: datetime | None
    ) -> tuple[Disagreement, ...]:
        """Return every disagreement within [start, end), oldest first, of the cases that were asked."""
        spans = {host: list[_Span]() for host in self.hosts}
        found = list[Disagreement]()
        for one in told:
            found += one.disagreements
            for host, span in one.spans:
                spans[host].append(span)
        found += _uncovered(self.traces, spans)
        inside = [
            item for item in found if (start is None or item.at >= start) and (end is None or item.at < end)
        ]
        return tuple(sorted(inside, key=lambda item: (item.at, item.place, item.name)))


def _logins(traces: Iterable[Trace]) -> dict[str, list[datetime]]:
    logins: dict[str, list[datetime]] = {}
    for trace in traces:
        if trace.kind == "login":
            logins.setdefault(trace.host, []).append(trace.at)
    return {host: sorted(times) for host, times in logins.items()}


def _uncovered(traces: Iterable[Trace], spans: Mapping[str, list[_Span]]) -> Iterator[Disagreement]:
    """Rule 1: traces and, for each host, the times in which it was acted on, both in order."""
    covers = {host: _Cover(sorted(times)) for host, times in spans.items()}
    for trace in sorted(traces, key=lambda trace: trace.at):
        if not covers[trace.host].reaches(trace.at):
            yield Disagreement(name=_NAMES[trace.kind], place=trace.host, at=trace.at, what=trace.what)


class _Cover:
    """How far those of `spans` (sorted) that have begun reach, as time goes on."""

    def __init__(self, spans: list[_Span]) -> None:
        self._spans, self._next = spans, 0
        self._reach: datetime | None = None

    def reaches(self, at: datetime) -> bool:
        """Whether a span covers `at`; asked in the order of time."""
        while self._next < len(self._spans) and self._spans[self._next][0] <= at:
            end = self._spans[self._next][1]
            self._reach = end if self._reach is None else max(self._reach, end)
            self._next += 1
        return self._reach is not None and at <= self._reach


def _unseen(case: Case, logins: Mapping[str, list[datetime]], slack: timedelta) -> Iterator[Disagreement]:
    """Rule 2."""
    for run in case.runs:
        acted = _acted(case, run.id) if any(host in logins for host, _, _ in run.spans) else frozenset()
        for host, begin, end in run.spans:
            until = (end or case.last) + slack
            if host in acted and host in logins and not _between(logins[host], begin - slack, until):
                what = f"{case.id} has results from {format_time(begin)} on, and the host knows of no login"
                yield Disagreement(name="results-without-login", place=host, at=begin, what=what)


def _between(times: list[datetime], begin: datetime, end: datetime) -> bool:
    at = bisect_left(times, begin)
    return at < len(times) and times[at] <= end


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


def _of_log(case: Case) -> Iterator[Disagreement]:
    """Rule 3."""
    if not case.runs and case.record.request and (case.approvers or case.needed == 0):
        leave = f"approved by {', '.join(case.approvers)}" if case.approvers else "in need of no approval"
        what = f"{leave}, {case.record.state}, and never ran"
        yield Disagreement(name="change-without-run", place=case.id, at=case.last, what=what)
    times = dict(case.times)
    for record, run in zip(case.record.runs, case.runs, strict=True):
        if record.active:
            yield Disagreement(
                name="run-without-end", place=case.id, at=run.started, what=f"run {run.id} has no end"
            )
        for name, leaf, what in (*_unanswered(record), *_unknown(record)):
            yield Disagreement(name=name, place=case.id, at=times[leaf], what=f"{what} of run {run.id}")


def _unanswered(run: RunRecord) -> Iterator[tuple[str, Digest, str]]:
    """Yield intents without a result: of slices, and of single operations, whether or not their slice has an end."""
    for part in run.slices:
        if part.finished is None:
            yield "intent-without-result", part.leaf, f"no end of slice {part.key}"
        answered = {result.intent for result in part.results}
        for one in part.actions:
            target = one.target.get("id", "")
            if one.leaf not in answered and target not in part.reconciled:
                what = f"no result of {one.action} on {target} in slice {part.key}"
                yield "intent-without-result", one.leaf, what


def _unknown(run: RunRecord) -> Iterator[tuple[str, Digest, str]]:
    """Yield targets whose last word in a step is that nobody knows."""
    last: dict[tuple[str, str, str], tuple[str, SliceRecord]] = {}
    for part in run.slices:
        for target, state in {**(part.finished or {}), **part.reconciled}.items():
            last[part.phase, part.step, target] = (state, part)
    for (_, _, target), (state, part) in last.items():
        if state == _UNKNOWN:
            yield "outcome-unknown", part.leaf, f"nobody knows what became of {target} in slice {part.key}"
