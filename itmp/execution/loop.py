"""The run: a thin driver around the pure course.

Rules kept here, for each slice:
1. stop requests and the permit's end come first, then the gate's repeated checks, then the durable intent;
2. only then the runner acts, watched action by action;
3. then one state per target, and the durable barrier. When the log fails nothing further runs, `always` and
undo included; when anything else fails the course decides. An exception that is not an `Error` passes through
untouched, like a kill: the log shows an open intent, and a resume finds it.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, TypeAlias

from itmp.calendars import format_time, parse_time
from itmp.canonical import Digest
from itmp.change import Permit
from itmp.errors import (
    BusyError,
    Error,
    ForkError,
    InvalidInputError,
    LogUnavailableError,
    OutsideWindowError,
    RefusedError,
    ToolMissingError,
)
from itmp.execution.choosing import advance, exempt
from itmp.execution.conformance import ConformanceError
from itmp.execution.course import LIMITED, Course, absorb, start
from itmp.execution.doors import Journal, Patience, Recheck, Room, Runner, Seal, Slice
from itmp.execution.noes import heed, unsettled
from itmp.execution.passing import pass_over, passing
from itmp.execution.progress import (
    Progress,
    RunFinished,
    RunStands,
    RunStarted,
    RunStopped,
    SliceFinished,
    SlicePassed,
    SliceStarted,
)
from itmp.execution.record import Author, Recorder
from itmp.execution.stands import stands, taken_up
from itmp.execution.summary import RunSummary, close_undo, summarise
from itmp.execution.units import Unit, order
from itmp.execution.waiting import Vigil, end_of
from itmp.execution.watch import StopRequestedError, Teller, Watch
from itmp.plan import AskStep, Manifest, Plan, answer_value

Mode: TypeAlias = Literal["run", "resume", "undo"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """What a run needs. `runners` maps a step's kind (`ansible`, `pulumi`, `check`) to its runner.

    `stopping` says whether somebody asked to stop; it is called between actions and must be quick. `ids`
    gives a fresh event id, `now` the aware UTC time. `patience` waits for people and time. `room` is fresh for
    each run. `environment` is the policy's reading of the targets (empty: what the plan says).
    Without `seal` no diff is kept.
    """

    journal: Journal
    runners: Mapping[str, Runner]
    recheck: Recheck
    patience: Patience
    room: Room
    progress: Progress
    stopping: Callable[[], bool]
    ids: Callable[[], str]
    now: Callable[[], datetime]
    author: Author = field(repr=False)
    environment: str = ""
    seal: Seal | None = None


def execute(permit: Permit, plan: Plan, *, wiring: Wiring, limit: Iterable[str] | None = None) -> RunSummary:
    """Carry out `plan` under `permit`, slice by slice, and return how it ended.

    `limit` names hosts of the plan and may narrow the permit's own limit, never widen it. Raises `Error` only
    while nothing has been done: a permit that is not this plan's or has been used (`RefusedError`), a limit
    that names a host outside the plan (`InvalidInputError`), a runner that is missing (`ToolMissingError`), a
    log that cannot be written. Afterwards every failure is in the summary.
    """
    admit(permit, plan, wiring, mode="run")
    course = Course(
        units=order(plan.manifest), manifest=plan.manifest, left_out=outside(plan.manifest, permit, limit)
    )
    return Drive(permit, plan, wiring).begin(course, resumed=False)


def admit(permit: Permit, plan: Plan, wiring: Wiring, *, mode: Mode) -> None:
    """Return when `permit` is for exactly this plan, run and mode, and every kind of step has its runner."""
    if (permit.plan, permit.run, permit.mode) != (plan.digest, wiring.room.run, mode):
        raise RefusedError(
            "the permit is for another plan, run or mode", where=permit.change, do="Ask the gate for one."
        )
    acting = [unit for unit in order(plan.manifest) if not unit.word]
    kinds = {unit.step.kind for unit in acting if mode != "undo" or unit.phase == "undo"}
    if missing := sorted(kinds - wiring.runners.keys()):
        raise ToolMissingError(
            f"nothing here can carry out steps of kind {', '.join(missing)}", do="See `itmp doctor`."
        )


def outside(manifest: Manifest, permit: Permit, limit: Iterable[str] | None) -> dict[str, str]:
    """Return the plan's hosts that the permit, or `limit`, leaves out, each with the reason."""
    hosts = plan_hosts(manifest)
    wanted = frozenset(hosts if limit is None else limit)
    if strangers := sorted(wanted.difference(hosts)):
        raise InvalidInputError(
            f"the limit names hosts that are not in the plan: {', '.join(strangers)}",
            do="A limit narrows a run; `itmp show` lists the plan's hosts.",
        )
    chosen = wanted & permit.hosts
    return {host: LIMITED for host in hosts if host not in chosen}


def plan_hosts(manifest: Manifest) -> tuple[str, ...]:
    """Return every host that a step or an undo step acts on, in the plan's order, once."""
    return tuple(dict.fromkeys(host for unit in order(manifest) for host in unit.hosts))


class _Refused(Exception):  # noqa: N818 -- never leaves this module: it carries the gate's error past the log's
    def __init__(self, error: Error) -> None:
        self.error = error


class _Forbidden(Exception):  # noqa: N818 -- as above: it carries the questions whose no forbids the slice
    def __init__(self, keys: frozenset[str]) -> None:
        self.keys = keys


class Drive:
    """Carries one course to its end."""

    def __init__(self, permit: Permit, plan: Plan, wiring: Wiring, *, notes: Iterable[str] = ()) -> None:
        self._permit, self._plan, self._wiring = permit, plan, wiring
        self._cause: Error | None = None
        self._told: RunStands | None = None
        self.notes = list(notes)
        self.tell = Teller(wiring.progress)
        self.recorder = Recorder(
            wiring.journal,
            permit=permit,
            author=wiring.author,
            environment=wiring.environment or plan.manifest.environment,
            ids=wiring.ids,
            seal=wiring.seal,
        )

    def begin(self, course: Course, *, resumed: bool) -> RunSummary:
        """Use the permit up and carry `course` to its end."""
        self.open(course, resumed=resumed)
        return self.go(course)

    def open(self, course: Course, *, resumed: bool, asked: Mapping[str, Any] | None = None) -> None:
        """Write that the run starts, and what a person asked of a resume; from here on failures are summarised."""
        self.recorder.begun(resumed=resumed, asked=asked or {})
        self.tell(
            RunStarted(
                change=self._permit.change,
                plan=self._permit.plan,
                run=self._permit.run,
                hosts=tuple(host for host in plan_hosts(self._plan.manifest) if host not in course.left_out),
                slices=sum(unit.phase == "do" for unit in course.units),
                event="run.resumed" if resumed else "run.started",
            )
        )

        self._before(course)

    def go(self, course: Course) -> RunSummary:
        """Carry out slice after slice until the course knows no further one."""
        self._before(course)
        while (found := advance(course)) is not None:
            unit, part, onward = found
            course = self._carry(course, onward, unit, part)
        return self.close(close_undo(course))

    def _before(self, course: Course) -> None:
        """Tell what earlier attempts have settled, where that is news."""
        now = taken_up(course)
        if course.done and now != self._told:
            self._told = now
            self.tell(now)

    def close(self, course: Course) -> RunSummary:
        """Write how the run ended, unless the log has failed, and return it."""
        summary = self._summary(course)
        if not course.dead:
            try:
                self.recorder.run_finished(
                    summary.state.value, hosts=summary.hosts, resources=summary.resources
                )
            except Error as error:
                self._cause = error
                summary = self._summary(replace(course, dead=True))
        self.tell(
            RunFinished(
                state=summary.state.value,
                exit_code=summary.exit_code,
                hosts=dict(summary.hosts),
                notes=summary.notes,
            )
        )
        return summary

    def stop(self, course: Course, error: Error, *, record: bool = True) -> Course:
        """Return the halted course, `error` being the cause; write why."""
        if self._cause is None or isinstance(error, ConformanceError):
            self._cause = error
        why = f"{error.where}: {error.what}" if error.where else error.what
        self.tell(RunStopped(why=why))
        course = course.halted(why)
        if not record:
            return course
        try:
            self.recorder.run_stopped(why, code=error.exit_code)
        except Error as failure:
            return self.die(course, failure)
        return course

    def _summary(self, course: Course) -> RunSummary:
        return summarise(self._permit.run, course, cause=self._cause, notes=self.notes)

    def _carry(self, course: Course, onward: Course, unit: Unit, part: Slice) -> Course:
        free, why = exempt(course, unit), passing(course, unit)
        until = "" if why else end_of(unit.step, self._wiring.now(), course.until.get(unit.key, ""))
        try:
            intent = self.recorder.slice_intended(
                part, lambda: self._check(course, part, exempt=free, until=until), until=until, passed=why
            )
        except _Forbidden as no:
            return heed(course, no.keys)
        except _Refused as refused:
            return self._refuse(onward, refused.error, exempt=free)
        except BusyError as error:
            return self._refuse(onward, error, exempt=free)
        except Error as error:
            return self.die(course, error)
        if why:
            return self._pass_over(onward, unit, part, intent, why)
        self.tell(
            SliceStarted(
                slice=part.key, step=part.step.id, title=part.step.title, hosts=part.hosts, phase=part.phase
            )
        )
        effect = self._vigil(part, intent, until) if unit.word else self._effect(part, intent, exempt=free)
        return self._finish(start(onward, unit), unit, part, effect)

    def _pass_over(self, course: Course, unit: Unit, part: Slice, intent: Digest, why: str) -> Course:
        """Close a slice of which nothing is done; its targets are `skipped`."""
        after = pass_over(course, unit, part.hosts, why)
        skipped = {target: after.done[unit.key][target] for target in part.hosts or unit.targets}
        try:
            self.recorder.slice_finished(part, intent, skipped)
        except Error as error:
            return self.die(after, error)
        self.tell(
            SlicePassed(slice=part.key, step=part.step.id, title=part.step.title, hosts=part.hosts, why=why)
        )
        self.tell(stands(after))
        return after

    def _vigil(self, part: Slice, intent: Digest, until: str) -> "_Effect":
        vigil = Vigil(
            part,
            intent,
            recorder=self.recorder,
            patience=self._wiring.patience,
            now=self._wiring.now,
            check=self._check_ordinary,
        )
        vigil.keep(until, self.tell)
        return _Effect(intent=intent, watch=vigil, failure=None)

    def _check(self, course: Course, part: Slice, *, exempt: bool, until: str = "") -> None:
        try:
            if not exempt:
                self._check_ordinary()
                self._check_end(until)
            self._wiring.recheck(part, exempt=exempt)
            asked = frozenset[str]() if exempt else unsettled(course)
            noes = self._wiring.patience.noes() & asked if asked else asked
        except Error as error:
            raise _Refused(error) from error
        if noes:
            raise _Forbidden(noes)

    def _check_ordinary(self) -> None:
        if self._wiring.stopping():
            raise StopRequestedError
        if self._wiring.now() >= self._permit.not_after:
            raise OutsideWindowError(
                "the permit has run out", do="Resume inside the window, with a new permit."
            )

    def _check_end(self, until: str) -> None:
        if until and parse_time(until) > self._permit.not_after:
            raise OutsideWindowError(
                f"a wait until {until} would outlast the permit, which ends at {format_time(self._permit.not_after)}",
                do="Resume in a window that is long enough; the end of the wait stays the same.",
            )

    def _refuse(self, course: Course, error: Error, *, exempt: bool) -> Course:
        """Halt before a slice: what must run in spite of it still comes after it."""
        if exempt or isinstance(error, LogUnavailableError | ForkError):
            return self.die(course, error)
        return self.stop(course, error)

    def _effect(self, part: Slice, intent: Digest, *, exempt: bool) -> "_Effect":
        stopping = _never if exempt else self._wiring.stopping
        watch = Watch(self._plan, part, intent, recorder=self.recorder, tell=self.tell, stopping=stopping)
        failure: Error | None = None
        try:
            self._wiring.runners[part.step.kind].run(
                self._permit, self._plan, part, room=self._wiring.room, observer=watch
            )
        except Error as error:
            failure = error
        return _Effect(intent=intent, watch=watch, failure=failure)

    def _finish(self, course: Course, unit: Unit, part: Slice, effect: "_Effect") -> Course:
        # A stack is always carried out as a whole: what an earlier run has settled, the engine passes in
        # silence.
        before = {t: state for t, state in course.done.get(unit.key, {}).items() if state != "not_reached"}
        states = {
            target: before.get(target, state) if state == "not_reached" else state
            for target, state in effect.watch.states(effect.failure).items()
        }
        broken = effect.watch.broken
        if broken is None:
            try:
                self.recorder.slice_finished(part, effect.intent, states, stopped=effect.stopped)
            except Error as error:
                broken = error
        if broken is not None:
            states = dict.fromkeys(states, "unknown")
        self.tell(SliceFinished(slice=part.key, states=states))
        if isinstance(unit.step, AskStep) and isinstance(effect.watch, Vigil) and effect.watch.answer:
            value = answer_value(unit.step, effect.watch.answer)
            if value is not None:
                course = replace(course, answers={**course.answers, unit.step.id: value})
        course = absorb(course, unit, states, stopped=effect.stopped)
        self.tell(stands(course))
        if broken is not None:
            return self.die(course, broken)
        if cause := effect.watch.refusal or effect.failure:
            return self.stop(course, cause, record=not effect.recorded)
        return course

    def die(self, course: Course, error: Error) -> Course:
        """Nothing further runs: without its log a run may not act."""
        self._cause = error
        return replace(course.halted(error.what), dead=True)


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Effect:
    """One slice's effect: who watched it, under which intent, and what its runner raised."""

    intent: Digest
    watch: Watch | Vigil
    failure: Error | None

    @property
    def stopped(self) -> bool:
        """Whether a person's request cut it off."""
        return isinstance(self.watch.refusal, StopRequestedError)

    @property
    def recorded(self) -> bool:
        """Whether the log already says why it was cut off."""
        return isinstance(self.watch.refusal, ConformanceError)
