"""Verbs that start effects: run, resume, undo.

Rules kept here: each begins with a signed statement in the log, then the gate, then a permit; one process at a time
holds a change; whatever a run may act on is leased to it until its end; running a finished change again returns how it
ended and runs nothing; Ctrl-C and SIGTERM ask the run to stop between actions, so that what was begun is accounted for.
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from itmp.adapters.clock import SystemClock, new_id
from itmp.adapters.private import PRIVATE, PrivateStore
from itmp.calendars import parse_duration
from itmp.change import Admission, ChangeRecord, Permit, Refusal, RunRecord
from itmp.errors import BusyError, InvalidInputError, NotFoundError, StaleError
from itmp.execution import Author, Reprise, RunStory, RunSummary, Wiring, execute
from itmp.execution import resume as resume_run
from itmp.execution import undo as undo_run
from itmp.execution.doors import Room
from itmp.execution.progress import RunWaiting
from itmp.plan import Plan
from itmp.workspace import anchoring, changes, gatekeeping, planning, remembered
from itmp.workspace.answering import LogPatience, asking, commands, told
from itmp.workspace.events import watcher
from itmp.workspace.glancing import ENDED
from itmp.workspace.holding import ChangeHeldError, held, publishing, stopping
from itmp.workspace.leases import Held, Leases
from itmp.workspace.narrowing import chosen_hosts, kept_limit, limit_line
from itmp.workspace.place import EXECUTOR, Workspace
from itmp.workspace.result import Result

if TYPE_CHECKING:
    from collections.abc import Mapping

    from itmp.execution import Progress
    from itmp.execution.doors import Prober, Runner
    from itmp.workspace.events import OnEvent
    from itmp.workspace.gatekeeping import Attempt, Mode

RESUMABLE: Final = frozenset({"admitted", "running", "stopped", "unknown", "failed"})
NO_WAIT: Final = "0s"
SOME: Final = 10
"""How many commands a person is offered at once."""
FOLLOW: Final = 0.5
"""Seconds between two looks at a run that another process carries out."""
CODES: Final = {
    "succeeded": 0,
    "failed": 13,
    "unknown": 14,
    "stopped": 13,
    "undone": 20,
    "running": 14,
    "admitted": 14,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    """What one verb needs: the change, its plan, and what to do once there is a permit."""

    mode: "Mode"
    record: ChangeRecord
    plan: Plan
    run: str
    limit: str
    patience: float
    carry: Callable[[Permit, Wiring], RunSummary]


def run(
    place: Workspace,
    name: str,
    *,
    limit: str | None = None,
    wait: str = NO_WAIT,
    key: str | None = None,
    on_event: "OnEvent | None" = None,
) -> Result:
    """Run an approved change: exit code 0 done, 10 not yet approved, … (docs/formats/cli.md).

    `wait` is a duration: how long to wait for another change that holds a host or stack of this one (else 19);
    `on_event` is called with each thing that happens while it runs (`itmp.workspace.events`).
    """
    change, patience = changes.resolve(place, name), parse_duration(wait).total_seconds()
    try:
        with held(place, change):
            return _run_held(place, change, limit, patience, key=key, progress=watcher(on_event))
    except ChangeHeldError:
        return _attach(place, change)


def _run_held(
    place: Workspace,
    change: str,
    limit: str | None,
    patience: float,
    *,
    key: str | None,
    progress: "Progress",
) -> Result:
    record = changes.find(place, change)
    changes.refuse_ended(record)
    plan = _approved(place, record, "run")
    chosen = chosen_hosts(plan, limit)
    if record.run and record.run.state in ENDED:
        return replayed(record, record.run)
    if record.run:
        raise BusyError(
            f"{record.id} has a run that has not ended ({record.run.state})",
            where=record.run.id,
            do=f"Take it up with: itmp resume {record.id}",
        )
    start = _Start(
        mode="run", record=record, plan=plan, run=secrets.token_hex(16),
        limit=limit_line(plan, chosen), patience=patience,
        carry=lambda permit, wiring: execute(permit, plan, wiring=wiring, limit=chosen or None),
    )  # fmt: skip
    return _begin(place, start, key, progress)


def resume(
    place: Workspace,
    name: str,
    *,
    retry: tuple[str, ...] = (),
    skip: tuple[str, ...] = (),
    reason: str = "",
    wait: str = NO_WAIT,
    key: str | None = None,
    on_event: "OnEvent | None" = None,
) -> Result:
    """Take up what a dead, stopped or failed run left; needs the gate again."""
    if skip and not reason:
        raise InvalidInputError("skipping a host needs a reason", do="Add --reason TEXT.")
    change = changes.resolve(place, name)
    with held(place, change):
        record = changes.find(place, change)
        changes.refuse_ended(record)
        dead = record.run
        if dead is None or dead.state not in RESUMABLE:
            raise NotFoundError(f"{record.id} has nothing to resume", do=f"See: itmp status {record.id}")
        plan = _approved(place, record, "resume")
        reprise = Reprise(
            retry=frozenset(retry),
            skip=frozenset(skip),
            reason=reason,
            dead=_rooms(place, record),
        )
        start = _Start(
            mode="resume", record=record, plan=plan, run=dead.id,
            limit=limit_line(plan, kept_limit(plan, dead), skip=skip, retry=retry),
            patience=parse_duration(wait).total_seconds(),
            carry=lambda permit, wiring: resume_run(
                permit,
                plan,
                wiring=wiring,
                story=_story(place, record, plan),
                prober=_prober(place, plan),
                reprise=reprise,
            ),
        )  # fmt: skip
        return _begin(place, start, key, watcher(on_event))


def undo(
    place: Workspace,
    name: str,
    *,
    hosts: str | None = None,
    wait: str = NO_WAIT,
    key: str | None = None,
    on_event: "OnEvent | None" = None,
) -> Result:
    """Carry out the plan's undo steps where something was begun."""
    change = changes.resolve(place, name)
    with held(place, change):
        record = changes.find(place, change)
        changes.refuse_ended(record)
        if record.run is None:
            raise NotFoundError(f"{record.id} has never run: there is nothing to undo")
        plan = _approved(place, record, "undo")
        chosen = chosen_hosts(plan, hosts)
        start = _Start(
            mode="undo", record=record, plan=plan, run=record.run.id, limit=limit_line(plan, chosen),
            patience=parse_duration(wait).total_seconds(),
            carry=lambda permit, wiring: undo_run(
                permit, plan, wiring=wiring, story=_story(place, record, plan), hosts=chosen or None,
                dead=_rooms(place, record),
            ),
        )  # fmt: skip
        return _begin(place, start, key, watcher(on_event))


def replayed(record: ChangeRecord, ended: RunRecord) -> Result:
    """Return how a run that had already finished ended; nothing ran now."""
    return Result(
        exit_code=CODES[ended.state],
        change=record.id,
        plan=record.plan or "",
        run=ended.id,
        state=ended.state,
        hosts=dict(ended.targets),
        replayed=True,
        notes=("this run had already finished; nothing ran now",),
    )


def _begin(place: Workspace, start: _Start, key: str | None, progress: "Progress") -> Result:
    """Have the start signed, ask the gate, and carry it out under its permit."""
    record, runners = start.record, _runners(place, start.plan)
    own = {
        "change": record.id,
        "plan": start.plan.digest,
        "request": changes.request_of(record).leaf,
        "limit": start.limit,
    }
    statement, signed, signer = changes.sign_act(place, start.mode, lambda _: own, key)
    receipt = changes.append_act(place, statement, signed, changes.actor(signer), record)
    attempt = gatekeeping.Attempt(
        mode=start.mode, change=record.id, plan=start.plan, start=receipt.hash, run=start.run
    )
    with Leases(
        place, record.id, start.run, patience=start.patience, tell=lambda it: progress.on_event(_waits(it))
    ) as leases:
        answer = gatekeeping.admit(place, attempt, leases)
        if isinstance(answer, Refusal):
            return _refused(place, start, answer)
        admission, permit = answer
        return _carry(
            place, start, attempt=attempt, admission=admission, permit=permit, runners=runners,
            progress=progress,
        )  # fmt: skip


def _waits(held: Held) -> RunWaiting:
    return RunWaiting(target=held.target, change=held.change, run=held.run)


def _carry(
    place: Workspace,
    start: _Start,
    *,
    attempt: "Attempt",
    admission: Admission,
    permit: Permit,
    runners: "Mapping[str, Runner]",
    progress: "Progress",
) -> Result:
    attempts = 1 + sum(len(run.permits) for run in start.record.runs if run.id == start.run)
    room = _room(place, start.run, attempts)
    room.folder.mkdir(parents=True, mode=0o700)
    with stopping(place, start.record.id) as asked, publishing(place):
        wiring = Wiring(
            journal=place.log,
            runners=runners,
            recheck=gatekeeping.Recheck(place, attempt),
            patience=LogPatience(place, start.record.id, start.run, start.plan),
            room=room,
            progress=progress,
            stopping=asked,
            ids=new_id,
            now=SystemClock().now,
            environment=admission.reading.environment,
            seal=lambda pointer, value: PrivateStore(place.state / PRIVATE).put(
                pointer, value, now=SystemClock().now()
            ),
            author=Author(actor=dict(EXECUTOR), on_behalf_of=admission.runner, itmp=own_digest()),
        )
        summary = start.carry(permit, wiring)
    anchoring.checkpoint(place)
    said = [one for one in admission.checks if one.n == remembered.RULE and one.why]
    result = _finished(place, start, summary)
    notes = (f"check {one.n}, {one.name}: {one.why}" for one in said)
    return replace(result, notes=(*notes, *result.notes))


def _finished(place: Workspace, start: _Start, summary: RunSummary) -> Result:
    asked = asking(place, changes.find(place, start.record.id)) if summary.cause else {}
    notes = list(summary.notes)
    if summary.cause is not None:
        where = f"{summary.cause.where}: " if summary.cause.where else ""
        notes.append(f"{where}{summary.cause.what}" + (f" {summary.cause.do}" if summary.cause.do else ""))
    return Result(
        exit_code=summary.exit_code,
        change=start.record.id,
        plan=start.plan.digest,
        run=summary.run,
        state=summary.state.value,
        hosts={**summary.hosts, **summary.resources},
        asks=told(asked),
        next=(*commands(start.record.id, asked), *_next(start.record.id, summary)),
        notes=(*notes, *_story(place, start.record, start.plan).handlers, *_stale(place, start.plan)),
    )


def _refused(place: Workspace, start: _Start, refusal: Refusal) -> Result:
    from itmp.calendars import format_time  # noqa: PLC0415 - only refusals need it

    checks = tuple({**check.to_data(), "do": check.do} for check in refusal.checks)
    return Result(
        exit_code=refusal.exit_code,
        change=start.record.id,
        plan=start.plan.digest,
        state="refused",
        retry_at=format_time(refusal.retry_at) if refusal.retry_at else "",
        checks=checks,
        next=(f"itmp change show {start.record.id}",),
        notes=_stale(place, start.plan),
    )


def _stale(place: Workspace, plan: Plan) -> tuple[str, ...]:
    changed = planning.stale_sources(place, plan)
    return tuple(f"{path} was edited after the plan was made; the approved bytes run" for path in changed)


def _next(change: str, summary: RunSummary) -> tuple[str, ...]:
    match summary.exit_code:
        case 0:
            return (
                f"itmp change close {change} --reason TEXT",
                f"itmp evidence {change} -o {change}.evidence.tar",
            )
        case 14:
            lost = [
                name for name, state in {**summary.hosts, **summary.resources}.items() if state == "unknown"
            ]
            asked = [f"itmp reconcile {change} {name} ok|failed --reason TEXT" for name in lost[:SOME]]
            return (f"itmp status {change}", f"itmp resume {change}", *asked)
        case 13:
            return failed_next(change)
        case _:
            return (f"itmp status {change}", f"itmp logs {change}")


def failed_next(change: str) -> tuple[str, ...]:
    """Return what a person would type after a run in which targets failed."""
    return (
        f"itmp logs {change} --failed",
        f"itmp resume {change} --retry failed,unreachable",
        f"itmp undo {change}",
    )


def _attach(place: Workspace, change: str) -> Result:
    """Follow the run that another process carries out; return how it ended."""
    while True:
        try:
            with held(place, change):
                record = changes.find(place, change)
                break
        except ChangeHeldError:
            time.sleep(FOLLOW)
    if record.run and record.run.state in ENDED:
        return replayed(record, record.run)
    raise BusyError(
        f"the run of {change} that this attached to did not finish",
        do=f"Take it up with: itmp resume {change}",
    )


def _approved(place: Workspace, record: ChangeRecord, act: str) -> Plan:
    """Return the approved bytes, or write down that they are not there any more and refuse."""
    try:
        return planning.approved_plan(place, changes.request_of(record).plan)
    except StaleError as error:
        gatekeeping.record_stale(place, record, act, error)
        raise


def _rooms(place: Workspace, record: ChangeRecord) -> tuple[Room, ...]:
    """Return the rooms of every attempt so far: one that died while it swept leaves what the one before had left."""
    return tuple(
        _room(place, run.id, attempt) for run in record.runs for attempt in range(1, len(run.permits) + 1)
    )


def _room(place: Workspace, run: str, attempt: int) -> Room:
    return Room(folder=place.runs / run / str(attempt), token=f"{run}-{attempt}", run=run)


def _story(place: Workspace, record: ChangeRecord, plan: Plan) -> RunStory:
    return RunStory.from_leaves(place.log.of_change(record.id), plan=plan, blob=place.log.blob)


def own_digest() -> str:
    """Return the digest of our own installed code: every module's path and bytes."""
    import itmp  # noqa: PLC0415 - the package itself
    from itmp.canonical import digest, dumps  # noqa: PLC0415 - as above

    root = Path(itmp.__file__).parent
    files = sorted(path for path in root.rglob("*.py") if "__pycache__" not in path.parts)
    return digest(dumps([[path.relative_to(root).as_posix(), digest(path.read_bytes())] for path in files]))


def _runners(place: Workspace, plan: Plan) -> "Mapping[str, Runner]":
    from itmp.workspace.engines import runners  # noqa: PLC0415 - needs the extras

    return runners(place, plan)


def _prober(place: Workspace, plan: Plan) -> "Prober":
    from itmp.workspace.engines import prober  # noqa: PLC0415 - needs the extras

    return prober(place, plan)
