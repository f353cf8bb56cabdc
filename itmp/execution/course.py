"""Where a run is and what it does next: an immutable value and two pure functions over it.

Rules kept here:
- Order is the plan's. Inside `rolling` a batch passes all its steps before the next batch begins.
- A host that failed takes part in no later step, except `always` ones, unless its step says `on_failure:
continue`.
- Failures count over the whole run; beyond a rolling block's budget its `on_failure` decides, as does that of
  any step outside `rolling` at its first failure. A host whose outcome is unknown counts as failed.
- After a halt only `always` steps run, and only those of batches (outside `rolling`: of a run) that had
begun.
- Undo comes last, only where something was begun (what takes one step back: where that step was), and only when no
outcome is unknown.
- A stack is carried out as a whole: a limit picks hosts and never cuts a stack. It is undone when its own update was
begun; an undo that a person narrows to hosts leaves every stack as it is.
- A step whose guard does not hold when it would first begin, and a step that a failure leads past, is passed over:
its targets are `skipped`, and nothing counts as begun by it. A question that is answered with no fails; between batches
that closes the block.
- `on_failure` with a step's id goes on there: failed hosts take part again, because what comes is meant for them.
- That a person goes on without a host lifts a halt. It does not lead back to what its failure has led past: later
steps may have been done by then.
- Nothing here widens: hosts outside the permit's limit, or skipped by a person, are never chosen.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from itmp.documents.guards import Value
from itmp.execution.accounting import GOOD, HostState
from itmp.execution.again import due_after, to_come
from itmp.execution.conformance import targets
from itmp.execution.doors import Phase, Slice
from itmp.execution.states import StepMove, StepState, next_state
from itmp.plan import (
    AnsibleStep,
    AskStep,
    CheckStep,
    LeafStep,
    Manifest,
    PulumiStep,
    RollingStep,
    WaitStep,
    slice_key,
    slices,
)
from itmp.plan.guarding import REACTIONS, guards_on, jumped

LIMITED: Final = "outside the limit of this run"
SKIPPED: Final = "skipped by a person"
_PHASES: Final[tuple[Phase, Phase]] = ("do", "undo")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One slice as the plan knows it: `batch` counts from 1 within its rolling `block`, and is 0 outside."""

    key: str
    step: LeafStep
    hosts: tuple[str, ...]
    phase: Phase = "do"
    block: RollingStep | None = None
    batch: int = 0
    when: tuple[str, ...] = ()

    @property
    def word(self) -> bool:
        """Whether it is a question or a wait: nothing acts."""
        return isinstance(self.step, AskStep | WaitStep)

    @property
    def whole(self) -> bool:
        """Whether it is carried out as a whole, on no hosts."""
        return self.word or isinstance(self.step, PulumiStep)

    @property
    def targets(self) -> tuple[str, ...]:
        """Hosts, or the resources that its operations change."""
        return targets(self.part(self.hosts))

    @property
    def opens(self) -> bool:
        """Whether carrying it out opens its batch: not what closes it (`always`), nor what changes nothing."""
        return not self.step.always and isinstance(self.step, AnsibleStep | PulumiStep)

    def part(self, hosts: tuple[str, ...]) -> Slice:
        """Return the slice that carries this out on `hosts`."""
        return Slice(key=self.key, step=self.step, hosts=hosts, phase=self.phase)


def order(manifest: Manifest) -> tuple[Unit, ...]:
    """Return the plan's slices in the order of work, undo last."""
    blocks = {
        id(inner): step for step in manifest.steps if isinstance(step, RollingStep) for inner in step.steps
    }
    return tuple(
        Unit(
            key=slice_key(part, phase),
            step=part.step,
            hosts=part.hosts,
            phase=phase,
            block=blocks.get(id(part.step)),
            batch=part.batch,
            when=guards_on(manifest, part.step.id) if phase == "do" else (),
        )
        for phase in _PHASES
        for part in slices(manifest, phase)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """A run's progress. `done` maps a begun slice to its targets' states; a target absent there is open.

    `out` maps a host that failed to the place in `units` where it takes part again (their number: nowhere).
    `left_out` maps a host that must not be acted on to the reason (`LIMITED`, `SKIPPED`). `halt` says why no
    ordinary slice starts any more; `dead` that nothing at all does, because the log failed. `undo` asks for the
    undo phase, `undoing` is it; `command` says that a person asked for undo alone. `passed` maps a slice that was
    passed over to the reason; `jumps` a step that a failure leads past to it; `answers` a question to its answer;
    `until` a wait to its end; `before` holds the slices of which an earlier attempt did anything, also where it is to
    be done again. `noes` are questions to which a no stands in the log and whose slices have not ended with it,
    `barred` the slices that may not begin for that. `owed` maps a slice's key and a host to the handlers that were
    notified there and did not run: they run when the slice runs there again.
    """

    units: tuple[Unit, ...]
    manifest: Manifest | None = None
    passed: Mapping[str, str] = field(default_factory=dict)
    jumps: Mapping[str, str] = field(default_factory=dict)
    answers: Mapping[str, Value] = field(default_factory=dict)
    until: Mapping[str, str] = field(default_factory=dict)
    before: frozenset[str] = frozenset()
    left_out: Mapping[str, str] = field(default_factory=dict)
    at: int = 0
    done: Mapping[str, Mapping[str, HostState]] = field(default_factory=dict)
    steps: Mapping[str, StepState] = field(default_factory=dict)
    out: Mapping[str, int] = field(default_factory=dict)
    failures: frozenset[str] = frozenset()
    closed: frozenset[str] = frozenset()
    halt: str = ""
    dead: bool = False
    undo: bool = False
    undoing: bool = False
    command: bool = False
    noes: frozenset[str] = frozenset()
    barred: frozenset[str] = frozenset()
    owed: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)

    def halted(self, why: str) -> "Course":
        """Return the course on which no ordinary slice starts any more; the first reason stays."""
        return replace(self, halt=self.halt or why)

    def excused(self, host: str) -> bool:
        """Whether a person has decided to go on without `host`, whatever became of it. A limit excuses nothing."""
        return self.left_out.get(host) == SKIPPED

    def state_of(self, unit: Unit) -> StepState:
        """Return where a slice is."""
        return self.steps.get(unit.key, StepState.PENDING)

    def gone(self, unit: Unit) -> frozenset[str]:
        """Return the hosts that take no part in `unit`, unless it is an `always` step."""
        place = self.units.index(unit)
        return frozenset(self.left_out).union(host for host, end in self.out.items() if place < end)

    @property
    def unknown(self) -> bool:
        """Whether any outcome is not known."""
        return any("unknown" in states.values() for states in self.done.values())


def advance(course: Course) -> tuple[Unit, Slice, Course] | None:
    """Return the next slice to carry out and the course from which to carry it out; `None` at the end."""
    while not course.dead:
        for index in range(course.at, len(course.units)):
            unit = course.units[index]
            hosts = _hosts_now(course, unit)
            if hosts is not None:
                return unit, _part(course, unit, hosts), replace(course, at=index + 1)
        if not _undo_begins(course):
            return None
        course = begin_undo(course)
    return None


def _part(course: Course, unit: Unit, hosts: tuple[str, ...]) -> Slice:
    owed = {host: course.owed[unit.key, host] for host in hosts if (unit.key, host) in course.owed}
    return replace(unit.part(hosts), owed=owed)


def begin_undo(course: Course) -> Course:
    """Return the course at the start of its undo phase: what was done is now being undone."""
    steps = dict(course.steps)
    for unit in course.units:
        if unit.phase == "do" and course.state_of(unit) not in {StepState.PENDING, StepState.UNDO_STARTED}:
            steps[unit.key] = next_state(steps[unit.key], StepMove.UNDO)
    return replace(course, undoing=True, at=0, steps=steps)


def start(course: Course, unit: Unit) -> Course:
    """Return the course after the intent of `unit`: its step has started."""
    state = course.state_of(unit)
    if state is not StepState.PENDING:
        state = next_state(state, StepMove.RETRY)
    return replace(course, steps={**course.steps, unit.key: next_state(state, StepMove.START)})


def absorb(
    course: Course, unit: Unit, states: Mapping[str, HostState], *, past: bool = False, stopped: bool = False
) -> Course:
    """Return the course after `unit` (started) ended with `states` for the targets it was carried out on.

    In the `past`, of a run that is taken up again, what was not reached is still to come and no failure. What
    a person `stopped` is never undone for that.
    """
    done = {**course.done.get(unit.key, {}), **states}
    course = course if past else _opened(course, unit, states)
    course = replace(
        course,
        done={**course.done, unit.key: done},
        steps={**course.steps, unit.key: next_state(course.state_of(unit), _move(done.values()))},
    )
    fine = GOOD | {"not_reached"} if past or unit.word else GOOD
    bad = frozenset(t for t, state in states.items() if state not in fine)
    if not bad or unit.phase == "undo" or unit.step.on_failure == "continue":
        return course
    if unit.word:
        return _answered_no(course, unit)
    if unit.block is None and unit.step.on_failure not in REACTIONS and not stopped:
        return _jump(course, unit.step.id, unit.step.on_failure)
    course = replace(
        course,
        out={**course.out, **dict.fromkeys(bad, len(course.units))},
        failures=course.failures | bad,
    )
    return _react(course, unit, bad, stopped=stopped)


def _opened(course: Course, unit: Unit, hosts: Iterable[str]) -> Course:
    """Return the course on which `unit` has begun for `hosts`: words, and what closes the batch it opens, are due."""
    if unit.block is None or unit.word or unit.key in course.passed:
        return course
    later = [u for u in course.units[course.units.index(unit) + 1 :] if u.block is unit.block]
    due = [u.key for u in later if unit.opens and u.batch == unit.batch and u.step.always]
    missing: HostState = "not_reached"
    again = dict.fromkeys(hosts, missing)
    done = {
        key: {host: again.get(host, state) for host, state in states.items()} if key in due else states
        for key, states in course.done.items()
    }
    words = list(due_after(course.units, course.done, course.gone(unit), unit))
    renewed = {word.key: dict.fromkeys(word.targets, missing) for word in words}
    until = {key: end for key, end in course.until.items() if key not in renewed}
    return replace(course, done={**done, **renewed}, until=until)


def _answered_no(course: Course, unit: Unit) -> Course:
    """Return the course after a question that is answered with no: between batches the block decides."""
    block = unit.block
    reaction, name = (block or unit.step).on_failure, (block or unit.step).id
    if block is not None:
        course = replace(course, closed=course.closed | {block.id})
    if reaction == "continue":
        return course
    if reaction not in REACTIONS:
        return _jump(course, name, reaction)
    halted = course.halted(f"{unit.key}: the answer was no")
    return replace(halted, undo=course.undo or reaction == "undo")


def _jump(course: Course, start_: str, to: str) -> Course:
    """Return the course that goes on at step `to` after the step (or block) `start_` failed."""
    if course.manifest is None:
        return course
    over = dict.fromkeys(jumped(course.manifest, start_, to), f"{start_} failed, and the run goes on at {to}")
    there = next(
        n for n, unit in enumerate(course.units) if to in {unit.step.id, unit.block and unit.block.id}
    )
    out = {host: min(end, there) for host, end in course.out.items()}
    return replace(course, out=out, jumps={**course.jumps, **over})


def _react(course: Course, unit: Unit, bad: frozenset[str], *, stopped: bool) -> Course:
    block, reaction = unit.block, unit.step.on_failure
    if block is not None:
        reaction = "undo" if "undo" in {reaction, block.on_failure} else block.on_failure
    counted = course.failures
    if reaction in {"stop", "undo"}:
        bad, counted = (frozenset(t for t in some if not course.excused(t)) for some in (bad, counted))
        if not bad:
            return course
    if block is not None:
        if len(counted) <= block.max_failures:
            return course
        course = replace(course, closed=course.closed | {block.id})
        if reaction == "continue":
            return course
        if reaction not in REACTIONS and not stopped:
            return _jump(course, block.id, reaction)
    why = f"{unit.key}: {len(bad)} of its targets did not succeed" + (
        f", {len(counted)} in the run and {block.max_failures} allowed" if block else ""
    )
    return replace(course.halted(why), undo=course.undo or (reaction == "undo" and not stopped))


def _move(states: Collection[HostState]) -> StepMove:
    if "unknown" in states:
        return StepMove.LOSE
    return StepMove.SUCCEED if all(state in GOOD for state in states) else StepMove.FAIL


def _hosts_now(course: Course, unit: Unit) -> tuple[str, ...] | None:
    """Return the hosts on which `unit` is to be carried out now; `None` when it is not."""
    if not _may_start(course, unit):
        return None
    settled = course.done.get(unit.key, {})
    left = tuple(target for target in unit.targets if settled.get(target, "not_reached") == "not_reached")
    if unit.whole:
        return () if left and _due(course, unit) else None
    if unit.phase == "undo":
        touched = begun(course, undoes(unit))
        return tuple(host for host in left if host in touched and host not in course.left_out) or None
    gone = course.left_out if unit.step.always else course.gone(unit)
    return tuple(host for host in left if host not in gone) or None


def _due(course: Course, unit: Unit) -> bool:
    """Whether a question between batches, or a wait inside one, still concerns any host."""
    if unit.block is None or not unit.word or unit.key in course.noes:
        return True
    gone = course.gone(unit)
    if isinstance(unit.step, WaitStep):
        return any(host not in gone for host in unit.block.batches[unit.batch - 1])
    later = range(unit.batch + 1, len(unit.block.batches) + 1)
    return to_come(course.units, course.done, gone, unit.block, later)


def _may_start(course: Course, unit: Unit) -> bool:
    if unit.phase == "undo" or course.undoing:
        return unit.phase == "undo" and course.undoing and _undoable(course, unit)
    closed = unit.block is not None and unit.block.id in course.closed
    blocked = closed or bool(course.halt) or unit.key in course.barred
    return not blocked or (unit.step.always and _admitted(course, unit))


def _admitted(course: Course, unit: Unit) -> bool:
    """Whether something of the same batch (outside `rolling`: of the same run) was begun."""
    if unit.block is None:
        return not course.done.keys() <= course.passed.keys()
    return any(
        other.block is unit.block
        and other.batch == unit.batch
        and other.key in course.done
        and other.key not in course.passed
        for other in course.units
    )


def exempt(course: Course, unit: Unit) -> bool:
    """Whether window, freeze, budget and approval no longer bind `unit`, because its work had begun."""
    return unit.phase == "undo" or (unit.step.always and _admitted(course, unit))


def _undo_begins(course: Course) -> bool:
    """Whether undo is asked for and has anything to do."""
    if not course.undo or course.undoing or course.unknown:
        return False
    undoing = replace(course, undoing=True)
    return any(_hosts_now(undoing, unit) is not None for unit in course.units)


def _undoable(course: Course, unit: Unit) -> bool:
    """Whether what `unit` takes back was begun: its own stack or, where no step updates that, anything at all."""
    if not isinstance(unit.step, PulumiStep):
        return True
    if narrowed(course):
        return False
    steps = [
        other
        for other in course.units
        if other.phase == "do" and not other.word and not isinstance(other.step, CheckStep)
    ]
    own = [other for other in steps if _stack(other) == _stack(unit)]
    return any(
        state != "not_reached"
        for other in own or steps
        if other.key not in course.passed
        for state in course.done.get(other.key, {}).values()
    )


def narrowed(course: Course) -> bool:
    """Whether a person has asked for an undo of some hosts alone."""
    return course.command and LIMITED in course.left_out.values()


def _stack(unit: Unit) -> tuple[str, str] | None:
    return (unit.step.program, unit.step.stack) if isinstance(unit.step, PulumiStep) else None


def begun(course: Course, step: str = "") -> frozenset[str]:
    """Return the hosts on which anything, or `step`, was begun in the do phase."""
    return frozenset(
        host
        for unit in course.units
        if unit.phase == "do" and step in {"", unit.step.id} and unit.key not in course.passed
        for host in course.done.get(unit.key, {})
    )


def undoes(unit: Unit) -> str:
    """Return the id of the one step that an undo step takes back; empty for all of them."""
    return unit.step.undoes if isinstance(unit.step, AnsibleStep) else ""
