"""Verbs that start effects: run, resume, undo.

Rules kept here: each begins with a signed statement in the log, then the gate, then a permit; one process at a time
holds a change; whatever a run may act on is leased to it until its end; running a finished change again returns how it
ended and runs nothing; Ctrl-C and SIGTERM ask the run to stop between actions, so that what was begun is accounted for.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Final

from itmp.adapters.clock import SystemClock, new_id
from itmp.adapters.private import PRIVATE, PrivateStore
from itmp.calendars import parse_duration
from itmp.change import Admission, ChangeRecord, Given, Permit, Refusal
from itmp.errors import InvalidInputError, LogUnavailableError, OutsideWindowError, StaleError
from itmp.execution import Author, Reprise, RunStory, RunSummary, Wiring, execute
from itmp.execution import resume as resume_run
from itmp.execution import undo as undo_run
from itmp.execution.doors import Room
from itmp.execution.progress import RunStopped, RunWaiting
from itmp.execution.watch import Teller
from itmp.plan import Plan
from itmp.workspace import anchoring, changes, gatekeeping, planning, remembered
from itmp.workspace.answering import LogPatience, asking, commands, told
from itmp.workspace.events import watcher
from itmp.workspace.following import attach, run_already
from itmp.workspace.glancing import Glances
from itmp.workspace.holding import ChangeHeldError, hearing, held, publishing, stopping
from itmp.workspace.indexing import indexing
from itmp.workspace.leases import Held, Leases
from itmp.workspace.leftover import left_by_others, told_of
from itmp.workspace.narrowing import Limit, chosen_hosts, kept_limit, limit_line, refuse_empty
from itmp.workspace.onward import onward
from itmp.workspace.place import EXECUTOR, Workspace
from itmp.workspace.result import Result
from itmp.workspace.starting import Asked, limit_of, recorded_start, refuse_start, sign_start, wanted_hosts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from itmp.execution.doors import Prober, Runner
    from itmp.workspace.events import OnEvent
    from itmp.workspace.gatekeeping import Attempt, Mode

HEARD: Final = "asked to stop; what is under way on hosts is awaited"
NO_WAIT: Final = "0s"
OVER: Final = frozenset({0, 20})
"""Exit codes of runs that nobody takes up again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    """What one verb needs: the change, its plan, and what to do once there is a permit."""

    mode: "Mode"
    record: ChangeRecord
    plan: Plan
    run: str
    limit: str
    asked: Asked
    carry: Callable[[Permit, Wiring], RunSummary]
    given: Given | None = None


def run(
    place: Workspace,
    name: str,
    *,
    limit: str | None = None,
    wait: str = NO_WAIT,
    key: str | None = None,
    recorded: bool = False,
    on_event: "OnEvent | None" = None,
) -> Result:
    """Run an approved change: exit code 0 done, 10 not yet approved, … (docs/formats/cli.md).

    `wait` is a duration: how long to wait for another change that holds a host or stack of this one (else 19);
    `recorded` starts it by the newest `run` statement that was signed elsewhere and recorded, instead of signing one;
    `on_event` is called with each thing that happens while it runs (`itmp.workspace.events`), also when another process
    carries the run out.
    """
    change, asked = changes.resolve(place, name), _asked(wait, key, on_event, recorded=recorded)
    asked.refuse_words(limit)
    try:
        with held(place, change):
            return _run_held(place, change, limit, asked)
    except ChangeHeldError:
        return attach(
            place, change, asked.progress, wanted=lambda plan: wanted_hosts(place, change, plan, limit, asked)
        )


def _asked(wait: str, key: str | None, on_event: "OnEvent | None", *, recorded: bool) -> Asked:
    patience = parse_duration(wait).total_seconds()
    return Asked(key=key, recorded=recorded, patience=patience, progress=watcher(on_event))


def _run_held(place: Workspace, change: str, limit: str | None, asked: Asked) -> Result:
    record = changes.find(place, change)
    refuse_start(record, "run")
    plan = _approved(place, record, "run")
    chosen = chosen_hosts(plan, limit)
    if record.run:
        return run_already(record, plan, record.run, wanted_hosts(place, change, plan, limit, asked))
    given = recorded_start(place, record, "run") if asked.recorded else None
    if given:
        chosen = limit_of(plan, given).hosts
    start = _Start(
        mode="run", record=record, plan=plan, run=secrets.token_hex(16), asked=asked, given=given,
        limit="" if given else limit_line(plan, chosen),
        carry=lambda permit, wiring: execute(permit, plan, wiring=wiring, limit=chosen or None),
    )  # fmt: skip
    warned, tell = left_by_others(place, record, chosen), Teller(asked.progress)
    for one in warned:
        tell(one)
    result = _begin(place, start)
    return replace(result, notes=(*map(told_of, warned), *result.notes))


def resume(
    place: Workspace,
    name: str,
    *,
    retry: tuple[str, ...] = (),
    skip: tuple[str, ...] = (),
    reason: str = "",
    wait: str = NO_WAIT,
    key: str | None = None,
    recorded: bool = False,
    on_event: "OnEvent | None" = None,
) -> Result:
    """Take up what a dead, stopped or failed run left; needs the gate again. `recorded` as in `run`."""
    change, asked = changes.resolve(place, name), _asked(wait, key, on_event, recorded=recorded)
    asked.refuse_words(retry, skip)
    refuse_empty(skip=skip, retry=retry)
    with held(place, change):
        record = changes.find(place, change)
        refuse_start(record, "resume")
        plan = _approved(place, record, "resume")
        start = _resumed(
            place, record, plan, asked=asked, limit=Limit(line="", skip=skip, retry=retry), reason=reason
        )
        return _begin(place, start)


def _resumed(
    place: Workspace, record: ChangeRecord, plan: Plan, *, asked: Asked, limit: Limit, reason: str
) -> _Start:
    dead = record.run
    assert dead is not None  # noqa: S101 - `refuse_start` has made sure
    kept = kept_limit(plan, dead)
    given = recorded_start(place, record, "resume") if asked.recorded else None
    if given:
        limit = limit_of(plan, given, kept)
    if limit.skip and not reason:
        raise InvalidInputError("skipping a host needs a reason", do="Add --reason TEXT.")
    reprise = Reprise(
        retry=frozenset(limit.retry), skip=frozenset(limit.skip), reason=reason, dead=_rooms(place, record)
    )
    return _Start(
        mode="resume", record=record, plan=plan, run=dead.id, asked=asked, given=given,
        limit="" if given else limit_line(plan, kept, skip=limit.skip, retry=limit.retry),
        carry=lambda permit, wiring: resume_run(
            permit,
            plan,
            wiring=wiring,
            story=_story(place, record, plan),
            prober=_prober(place, plan),
            reprise=reprise,
        ),
    )  # fmt: skip


def undo(
    place: Workspace,
    name: str,
    *,
    hosts: str | None = None,
    wait: str = NO_WAIT,
    key: str | None = None,
    recorded: bool = False,
    on_event: "OnEvent | None" = None,
) -> Result:
    """Carry out the plan's undo steps where something was begun. `recorded` as in `run`."""
    change, asked = changes.resolve(place, name), _asked(wait, key, on_event, recorded=recorded)
    asked.refuse_words(hosts)
    with held(place, change):
        record = changes.find(place, change)
        refuse_start(record, "undo")
        assert record.run is not None  # noqa: S101 - as above
        plan = _approved(place, record, "undo")
        given = recorded_start(place, record, "undo") if recorded else None
        chosen = limit_of(plan, given).hosts if given else chosen_hosts(plan, hosts)
        start = _Start(
            mode="undo", record=record, plan=plan, run=record.run.id, asked=asked, given=given,
            limit="" if given else limit_line(plan, chosen),
            carry=lambda permit, wiring: undo_run(
                permit, plan, wiring=wiring, story=_story(place, record, plan), hosts=chosen or None,
                dead=_rooms(place, record),
            ),
        )  # fmt: skip
        return _begin(place, start)


def _begin(place: Workspace, start: _Start) -> Result:
    """Have the start signed where it is not yet, ask the gate, and carry it out under its permit."""
    record, asked, runners = start.record, start.asked, _runners(place, start.plan)
    given = start.given
    leaf = given.leaf if given else sign_start(place, record, start.mode, start.limit, asked.key)
    attempt = gatekeeping.Attempt(
        mode=start.mode, change=record.id, plan=start.plan, start=leaf, run=start.run
    )
    with Leases(
        place,
        record.id,
        start.run,
        patience=asked.patience,
        tell=lambda it: asked.progress.on_event(_waits(it)),
    ) as leases:
        answer = gatekeeping.admit(place, attempt, leases)
        if isinstance(answer, Refusal):
            return _refused(place, start, answer)
        admission, permit = answer
        return _carry(place, start, attempt=attempt, admission=admission, permit=permit, runners=runners)


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
) -> Result:
    attempts = 1 + sum(len(run.permits) for run in start.record.runs if run.id == start.run)
    room = _room(place, start.run, attempts)
    try:
        room.folder.mkdir(parents=True, mode=0o700)
    except OSError as error:
        raise LogUnavailableError(
            f"the run has nowhere to work: {error.strerror}",
            where=str(room.folder),
            do="Correct it, then resume.",
        ) from error
    progress, patience = start.asked.progress, LogPatience(place, start.record.id, start.run, start.plan)
    with (
        stopping(place, start.record.id) as asked,
        publishing(place, hearing(asked, lambda: progress.on_event(RunStopped(why=HEARD)))),
        indexing(place.shard),
        patience,
    ):
        wiring = Wiring(
            journal=place.log,
            runners=runners,
            recheck=gatekeeping.Recheck(place, attempt),
            patience=patience,
            room=room,
            progress=start.asked.progress,
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
    if summary.exit_code in OVER:
        rmtree(place.facts(start.run), ignore_errors=True)
    record = changes.skimmed(place, start.record.id)
    asked = asking(place, record) if summary.cause else {}
    late = summary.exit_code == OutsideWindowError.exit_code
    notes = list(summary.notes)
    if summary.cause is not None:
        where = f"{summary.cause.where}: " if summary.cause.where else ""
        notes.append(f"{where}{summary.cause.what}" + (f". {summary.cause.do}" if summary.cause.do else ""))
    return Result(
        exit_code=summary.exit_code,
        change=start.record.id,
        plan=start.plan.digest,
        run=summary.run,
        state=summary.state.value,
        hosts={**summary.hosts, **summary.resources},
        asks=told(asked),
        retry_at=gatekeeping.opening(place, record, start.plan) if late else "",
        next=(*commands(start.record.id, asked), *_next(place, record)),
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


def _next(place: Workspace, record: ChangeRecord) -> tuple[str, ...]:
    """Return what a person would type next; where the log does not tell how the run ended, what looks at it."""
    if record.run is None or record.run.active:
        return (f"itmp status {record.id}", f"itmp logs {record.id}")
    return onward(Glances(place.reading(), place.plan), record, SystemClock().now())


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
    folder = place.runs / run
    return Room(folder=folder / str(attempt), token=f"{run}-{attempt}", run=run, facts=place.facts(run))


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
