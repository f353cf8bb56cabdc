"""How a run ended: one state, one exit code, one state per target.

Rules kept here: nothing sounds better than it is. An unknown outcome is never covered by an undo or a stop; a
target outside the limit is `skipped` with its reason; a target that a plan names and nothing reached is said
so.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from itmp.errors import Error
from itmp.execution.accounting import GOOD, HostState, account, combine
from itmp.execution.conformance import ConformanceError
from itmp.execution.course import Course
from itmp.execution.states import RunMove, RunState, StepMove, StepState, next_state
from itmp.execution.units import Unit
from itmp.plan import PulumiStep

DONE, FAILED, UNKNOWN, UNDONE = 0, 13, 14, 20


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """What `execute`, `resume` and `undo` come back with.

    `hosts` and `resources` map every target to its one state. `reasons` says why a target was left out.
    `cause` is the error that halted the run, when one did: a refused action, a check that no longer holds, a
    runner's or the log's failure, a stop. `steps` maps a slice's key to where it is. `exit_code` is as in the
    CLI's contract.
    """

    run: str
    state: RunState
    exit_code: int
    hosts: Mapping[str, HostState]
    resources: Mapping[str, HostState] = field(default_factory=dict)
    steps: Mapping[str, StepState] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    cause: Error | None = None


def summarise(run: str, course: Course, *, cause: Error | None, notes: Iterable[str] = ()) -> RunSummary:
    """Return how `course` ended."""
    hosts, resources = _accounts(course)
    reasons = {host: why for host, why in course.left_out.items() if hosts.get(host) == "skipped"}
    state = _state(course, cause, {**hosts, **resources})
    halt = (course.halt,) if course.halt and cause is None else ()
    return RunSummary(
        run=run,
        state=state,
        exit_code=DONE
        if course.command and state is RunState.UNDONE
        else _exit_code(state, cause, dead=course.dead),
        hosts=hosts,
        resources=resources,
        steps={unit.key: course.state_of(unit) for unit in course.units},
        reasons=reasons,
        notes=(*notes, *halt, *_no_undo(course)),
        cause=cause,
    )


def close_undo(course: Course) -> Course:
    """Return the course after its undo phase: what was being undone is undone, or is not."""
    if not course.undoing:
        return course
    move = StepMove.SUCCEED if _undone(course) else StepMove.FAIL
    steps = {
        key: next_state(state, move) if state is StepState.UNDO_STARTED else state
        for key, state in course.steps.items()
    }
    return replace(course, steps=steps)


def _accounts(course: Course) -> tuple[dict[str, HostState], dict[str, HostState]]:
    hosts: dict[str, None] = {}
    urns: dict[str, None] = {}
    states: list[Mapping[str, HostState]] = []
    for unit in course.units:
        stack = isinstance(unit.step, PulumiStep)
        if unit.word:
            continue
        if stack and unit.phase == "undo" and unit.key not in course.done:
            continue
        (urns if stack else hosts).update(dict.fromkeys(unit.targets))
        states.append({target: _unit_state(course, unit, target) for target in unit.targets})
    found = account(hosts, states)
    for host in hosts:
        if host in course.left_out and found[host] in GOOD and not _complete(course, host):
            found[host] = "skipped"
    return found, account(urns, states)


def _unit_state(course: Course, unit: Unit, target: str) -> HostState:
    state = course.done.get(unit.key, {}).get(target)
    # Undo is meant for those targets alone on which something was begun.
    if target in course.left_out or (unit.phase == "undo" and state is None):
        return "skipped" if state is None or state == "not_reached" else state
    return state or "not_reached"


def _complete(course: Course, host: str) -> bool:
    return all(
        course.done.get(unit.key, {}).get(host, "not_reached") != "not_reached"
        for unit in course.units
        if unit.phase == "do" and host in unit.hosts
    )


def _state(course: Course, cause: Error | None, targets: Mapping[str, HostState]) -> RunState:
    running = RunState.RUNNING
    if "unknown" in targets.values():
        return next_state(running, RunMove.LOSE)
    if course.undoing:
        return next_state(running, RunMove.UNDO if _undone(course) else RunMove.FAIL)
    if cause is not None or course.dead:
        return next_state(running, RunMove.STOP)
    good = all(state in GOOD for state in targets.values()) and not _refused(course)
    return next_state(running, RunMove.SUCCEED if good else RunMove.FAIL)


def _refused(course: Course) -> bool:
    """Whether a question was answered with no where the plan reacts to that as to a failure."""
    return any(
        "failed" in course.done.get(unit.key, {}).values()
        and (unit.block or unit.step).on_failure in {"stop", "undo"}
        for unit in course.units
        if unit.word
    )


def _undone(course: Course) -> bool:
    """Whether every undo slice that had to run did, and succeeded."""
    ends = [
        course.state_of(unit) for unit in course.units if unit.phase == "undo" and unit.key in course.done
    ]
    return not course.dead and bool(ends) and all(state is StepState.SUCCEEDED for state in ends)


def _exit_code(state: RunState, cause: Error | None, *, dead: bool) -> int:
    if cause is not None and (dead or isinstance(cause, ConformanceError)):
        return cause.exit_code
    if state is RunState.UNKNOWN:
        return UNKNOWN
    if cause is not None:
        return cause.exit_code
    return {RunState.SUCCEEDED: DONE, RunState.UNDONE: UNDONE}.get(state, FAILED)


def _no_undo(course: Course) -> tuple[str, ...]:
    if not course.undo or course.undoing or course.dead:
        return ()
    lost = sorted(
        t for states in course.done.values() for t, state in states.items() if combine([state]) == "unknown"
    )
    if not lost:
        return ()
    return (f"undo did not start, because the outcome is not known for {', '.join(dict.fromkeys(lost))}",)
