"""Verbs that look at a run or speak to it without starting anything: status, wait, stop, answer, reconcile.

Rules kept here: what is signed or waited for rests on every leaf of the change, never on the index; what its results
say is not read for it, because nothing that these verbs ask of a record differs by it.
"""

import time
from datetime import datetime
from typing import Any

from itmp.adapters.clock import SystemClock
from itmp.calendars import format_time, parse_duration, parse_time
from itmp.change import ChangeRecord, Refusal, RunRecord, SliceRecord, Vote, judge
from itmp.change.statements import Given
from itmp.errors import BusyError, InvalidInputError, NotFoundError, OutsideWindowError, RejectedError
from itmp.workspace import changes, periods, planning, statements
from itmp.workspace.answering import asking, commands, role_to_answer, to_answer, told
from itmp.workspace.glancing import ENDED, Glances
from itmp.workspace.leftover import GONE, NOBODY, is_gone, left_by_others, told_of
from itmp.workspace.noticing import Notice, is_held
from itmp.workspace.onward import onward
from itmp.workspace.place import Workspace
from itmp.workspace.result import CODES, Result


def status(place: Workspace, name: str) -> Result:
    """Say where a change and each of its targets stand, and when a window opens again; nothing is written."""
    place = periods.in_its_period(place, name)
    glances = Glances(place.reading(), place.plan)
    record = glances.record(glances.resolve(name))
    run = record.run
    asked, gone = asking(place, record), is_gone(place, record)
    return Result(
        change=record.id,
        plan=record.plan or "",
        run=run.id if run else "",
        state=", ".join((record.state, *([f"run {run.state}"] if run else []), *([NOBODY] if gone else []))),
        hosts=glances.hosts(record, run) if run else {},
        retry_at=_retry_at(place, record),
        asks=told(asked),
        next=(*commands(record.id, asked), *_next(place, glances, record)),
        notes=(
            *([GONE] if gone else []),
            *_handlers(glances, record),
            *(finding.why for finding in record.findings),
        ),
    )


def wait(place: Workspace, name: str, *, what: str, timeout: str) -> Result:
    """Wait until the gate would admit a run (`runnable`), it asks something (`asked`), or it has ended (`finished`).

    It looks when the log has grown, when a window opens, and when the run's process ends; a run whose process is gone
    has ended, with exit code 14.
    """
    look = {"runnable": _runnable, "asked": _asked, "finished": _finished}.get(what)
    if look is None:
        raise InvalidInputError(
            f"--for {what!r:.20}: neither runnable, asked nor finished", do=f"itmp wait {name} --for finished"
        )
    end = time.monotonic() + parse_duration(timeout).total_seconds()
    with Notice(place) as notice:
        while True:
            result = look(place, name)
            if result is not None and (what != "runnable" or result.exit_code == 0 or not result.retryable):
                return result
            left = end - time.monotonic()
            if left <= 0:
                if result is not None:
                    return result
                raise BusyError(f"{name} is not {what} within {timeout}", do=f"See: itmp status {name}")
            notice.wait(min(left, _until_it_opens(result)))


def _until_it_opens(result: Result | None) -> float:
    """Return in how many seconds the window opens; for ever where no window is what we wait for."""
    if result is None or not result.retry_at:
        return float("inf")
    return max(0.0, (parse_time(result.retry_at) - SystemClock().now()).total_seconds())


def stop(place: Workspace, name: str, *, reason: str, key: str | None = None) -> Result:
    """Record a signed request to stop; the run stops before its next action."""
    record = changes.skimmed(place, name)
    refuse_idle(record)
    own = {"change": record.id, "reason": reason}
    statement, signed, signer = changes.sign_act(place, "stop", lambda _: own, key)
    changes.append_act(place, statement, signed, changes.actor(signer), record)
    return status(place, record.id)


def refuse_idle(record: ChangeRecord) -> None:
    """Raise `NotFoundError` unless a run is going on."""
    if record.run is None or not record.run.active:
        raise NotFoundError(f"{record.id} is not running", do=f"See: itmp status {record.id}")


def answer(place: Workspace, name: str, step: str, value: str, *, key: str | None = None) -> Result:
    """Sign and record the answer to a question of the newest run: `step` is its id, or `ID@N` after batch N."""
    record = changes.skimmed(place, name)
    changes.refuse_ended(record)
    run, question = to_answer(place, record, step, value)
    signer = statements.choose_signer(place, place.history().latest.policy, key)
    role = role_to_answer(place, signer.id, question)
    own = {"change": record.id, "run": run.id, "step": step, "value": value}
    statement = statements.compose(place, "answer", own, signer=signer.id, role=role)
    signed = statements.sign(statement, signer)
    changes.append_act(place, statement, signed, changes.actor(signer), record, run=run.id, step=question.id)
    return status(place, record.id)


def reconcile(
    place: Workspace, name: str, host: str, outcome: str, *, reason: str, key: str | None = None
) -> Result:
    """Record what a person found out about a target whose outcome is unknown."""
    if outcome not in {"ok", "failed"}:
        raise InvalidInputError(
            f"{outcome!r:.20} is neither ok nor failed", do=f"itmp reconcile {name} {host} ok --reason TEXT"
        )
    record = changes.skimmed(place, name)
    run, part = lost(record, host)
    own = {"change": record.id, "run": run.id, "host": host, "outcome": outcome, "reason": reason}
    statement, signed, signer = changes.sign_act(place, "reconcile", lambda _: own, key)
    changes.append_act(
        place, statement, signed, changes.actor(signer), record,
        run=run.id, step=part.step, phase=part.phase, intent=part.leaf, outcome=outcome,
        target={"kind": "host", "id": host},
    )  # fmt: skip
    return status(place, record.id)


def change_story(place: Workspace, name: str) -> "Story":
    """Tell one change: who asked for what, who voted, what the gate would say now, what ran."""
    place = periods.in_its_period(place, name)
    glances = Glances(place.reading(), place.plan)
    record = glances.record(glances.resolve(name))
    now = SystemClock().now()
    if record.state not in changes.ENDED:  # what the gate would say rests on every leaf
        record = changes.skimmed(place, record.id, now)
    over = record.state in changes.ENDED
    notes = () if over else tuple(map(told_of, left_by_others(place, record)))
    checks, asks = _judged(place, record, now), _asks(place, record)
    return Story(record, checks, asks, gone=is_gone(place, record), notes=notes)


class Story:
    """A change for a reader: `lines` for people, `to_json` for machines."""

    def __init__(
        self,
        record: ChangeRecord,
        checks: tuple[dict[str, Any], ...],
        asks: str,
        *,
        gone: bool = False,
        notes: tuple[str, ...] = (),
    ) -> None:
        self._record, self._checks, self._asks = record, checks, asks
        self._gone, self._notes = gone, notes

    @property
    def lines(self) -> tuple[str, ...]:
        """Return the story, one fact a line."""
        record, request = self._record, self._record.request
        lines = [f"{record.id}  {record.state}", f"  plan       {record.plan or '-'}"]
        if request:
            lines += [
                f"  requested  by {request.requester} at {format_time(request.given.at)} ({request.type})",
                f"  reason     {request.given.line('reason')}",
                f"  window     {changes.interval(request.window)}",
                f"  external   {request.external or '-'}",
            ]
        lines += [f"  policy     {self._asks}"] if self._asks else []
        lines += [f"  {_word(vote)}   by {_by(vote.given)}" for vote in record.votes]
        lines += [f"  revoked    by {_by(item.given)}" for item in record.revocations]
        lines += [
            f"  started    by {given.signer} ({given.act}) at {format_time(given.at)}"
            for given in record.starts
        ]
        lines += [f"  run        {run.id}  {run.state}{self._left(run)}" for run in record.runs]
        lines += [f"  refused    {record.refusals} times"] if record.refusals else []
        lines += [f"  finding    leaf {finding.index}: {finding.why}" for finding in record.findings]
        lines += [f"  note       {note}" for note in self._notes]
        lines += [
            f"  check {check['n']}    {check['outcome']}: {check['name']}"
            + (f" ({check['why']})" if check["why"] else "")
            for check in self._checks
        ]
        return tuple(lines)

    def _left(self, run: RunRecord) -> str:
        return f", {NOBODY}" if self._gone and run is self._record.run else ""

    def to_json(self) -> dict[str, Any]:
        """Return the same facts as data."""
        record, request = self._record, self._record.request
        return {
            "change": record.id,
            "plan": record.plan,
            "state": record.state,
            "requester": request.requester if request else None,
            "reason": request.given.line("reason") if request else None,
            "votes": [
                {
                    "signer": vote.given.signer,
                    "role": vote.given.role,
                    "approves": vote.approves,
                    "at": format_time(vote.given.at),
                }
                for vote in record.votes
            ],
            "runs": [
                {
                    "run": run.id,
                    "state": run.state,
                    "carried_out": run.active and not self._left(run),
                    "hosts": dict(run.targets),
                }
                for run in record.runs
            ],
            "policy": self._asks or None,
            "refusals": record.refusals,
            "findings": [{"index": finding.index, "why": finding.why} for finding in record.findings],
            "checks": list(self._checks),
            "notes": list(self._notes),
        }


def _asks(place: Workspace, record: ChangeRecord) -> str:
    """Say how the policy in force reads the plan and whom it asks; empty for a change without a plan."""
    if record.request is None:
        return ""
    from itmp.workspace.policies import policy_test  # noqa: PLC0415 - only a change's story asks for it

    plan = planning.logged_plan(place, record.request.plan)
    found = policy_test(place, plan)
    return f"{found['environment']}, {found['risk']} risk: {record.request.type} asks {found[record.request.type]}"


def _word(vote: Vote) -> str:
    return "approved" if vote.approves else "rejected"


def _by(given: Given) -> str:
    return f"{given.signer} as {given.role} at {format_time(given.at)}"


def _judged(place: Workspace, record: ChangeRecord, now: datetime) -> tuple[dict[str, Any], ...]:
    """Say what the slice checks of the gate say now (they need no start statement and do not look at the world)."""
    if record.request is None or record.state in changes.ENDED:
        return ()
    from itmp.workspace import gatekeeping  # noqa: PLC0415 - only what has not ended is judged

    plan = planning.logged_plan(place, record.request.plan)
    answer = judge(gatekeeping.told_input(place, record, plan, now))
    return tuple(dict(check.to_data()) for check in answer.checks)


def _runnable(place: Workspace, name: str) -> Result | None:
    from itmp.workspace import gatekeeping  # noqa: PLC0415 - as above

    now = SystemClock().now()
    record = changes.skimmed(place, name, now)
    plan = planning.logged_plan(place, changes.request_of(record).plan)
    answer = judge(gatekeeping.told_input(place, record, plan, now))
    refusal = answer if isinstance(answer, Refusal) else None
    return Result(
        exit_code=refusal.exit_code if refusal else 0,
        change=record.id,
        plan=plan.digest,
        state=record.state,
        retry_at=format_time(refusal.retry_at) if refusal and refusal.retry_at else "",
        checks=tuple({**check.to_data(), "do": check.do} for check in answer.checks) if refusal else (),
    )


def _asked(place: Workspace, name: str) -> Result | None:
    """Return where things stand once the run asks something; also once it has ended, because then it never will."""
    ended = _finished(place, name)
    if ended is not None and ended.state in ENDED:
        return ended
    return status(place, name) if asking(place, changes.skimmed(place, name)) else None


def _finished(place: Workspace, name: str) -> Result | None:
    glances = Glances(place.reading())
    record = glances.record(glances.resolve(name))
    run = record.run
    if run is None and record.state in changes.ENDED:
        raise RejectedError(
            f"{record.id} is {record.state} and never ran", do="Open a new change over a new plan."
        )
    if run is None or (run.active and not is_gone(place, record)):
        return None
    return Result(
        exit_code=CODES[run.state],
        change=record.id,
        plan=record.plan or "",
        run=run.id,
        state=run.state,
        hosts=glances.hosts(record, run),
        next=_next(place, glances, record) if run.active else (),
        notes=(GONE,) if run.active else (),
    )


def _handlers(glances: Glances, record: ChangeRecord) -> tuple[str, ...]:
    """Return a line for each handler that is owed; a run that went well owes none, and is not read for it."""
    run = record.run
    if run is None or not run.slices or run.state in {"succeeded", "undone"}:
        return ()
    return glances.story(record, run).handlers


def lost(record: ChangeRecord, host: str) -> tuple[RunRecord, SliceRecord]:
    """Return the newest slice in which `host` (or resource) is unknown."""
    for run in reversed(record.runs):
        for part in reversed(run.slices):
            state = part.reconciled.get(host) or (part.finished or {}).get(host, "unknown")
            known = {action.target.get("id") for action in part.actions} | set(part.hosts)
            if host in known and state == "unknown":
                return run, part
    raise NotFoundError(f"{host} is not unknown in {record.id}", do=f"See: itmp status {record.id}")


def _next(place: Workspace, glances: Glances, record: ChangeRecord) -> tuple[str, ...]:
    if record.run and record.run.active and is_held(place, record.id):
        return (f"itmp wait {record.id} --for finished", f"itmp stop {record.id} --reason TEXT")
    if record.run:
        return onward(glances, record, SystemClock().now())
    words = {"assess": "approve", "authorize": "approve", "scheduled": "run"}
    return (f"itmp {words[record.state]} {record.id}",) if record.state in words else ()


def _retry_at(place: Workspace, record: ChangeRecord) -> str:
    """Return when the window opens again that has closed upon the newest run; empty where none has."""
    if record.run is None or record.run.active or record.run.cause != OutsideWindowError.exit_code:
        return ""
    from itmp.workspace import gatekeeping  # noqa: PLC0415 - as above

    record = changes.skimmed(place, record.id)
    plan = planning.logged_plan(place, changes.request_of(record).plan)
    return gatekeeping.opening(place, record, plan)
