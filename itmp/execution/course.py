"""Where a run is, and where the outcome of a slice leaves it: an immutable value and pure functions over it.

Rules kept here:
- Failures count over the whole run; beyond a rolling block's budget its `on_failure` decides, as does that of
  any step outside `rolling` at its first failure. A host whose outcome is unknown counts as failed.
- A step whose guard does not hold when it would first begin, and a step that a failure leads past, is passed over:
its targets are `skipped`. A question that is answered with no fails; between batches that closes the block.
- `on_failure` with a step's id goes on there: failed hosts take part again, because what comes is meant for them.
- That a person goes on without a host lifts a halt. It does not lead back to what its failure has led past: later
steps may have been done by then. So a block that goes on past its failures counts that host still.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from itmp.documents.guards import Value
from itmp.execution.accounting import GOOD, HostState
from itmp.execution.again import due_after
from itmp.execution.states import StepMove, StepState, next_state
from itmp.execution.units import Unit
from itmp.plan import Manifest
from itmp.plan.guarding import REACTIONS, jumped

HALTS: Final = frozenset({"stop", "undo"})
"""The reactions that halt a run: for them a host that a person goes on without has not failed."""
LIMITED: Final = "outside the limit of this run"
SKIPPED: Final = "skipped by a person"


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

    @property
    def counted(self) -> frozenset[str]:
        """The failures that stop something: without those that a person has excused."""
        return frozenset(host for host in self.failures if not self.excused(host))

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
    if unit.word or unit.key in course.passed:
        return course
    after = course.units[course.units.index(unit) + 1 :]
    later = [u for u in after if unit.block is not None and u.block is unit.block]
    due = [u.key for u in later if unit.opens and u.batch == unit.batch and u.step.always]
    missing: HostState = "not_reached"
    again = dict.fromkeys(hosts, missing)
    done = {
        key: {host: again.get(host, state) for host, state in states.items()} if key in due else states
        for key, states in course.done.items()
    }
    words = list(due_after(course.units, course.done, course.gone, unit))
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


def reaction_of(unit: Unit) -> str:
    """Return what the plan does when too many targets of `unit` fail; inside a block that decides."""
    own, block = unit.step.on_failure, unit.block
    return own if block is None else "undo" if "undo" in {own, block.on_failure} else block.on_failure


def _react(course: Course, unit: Unit, bad: frozenset[str], *, stopped: bool) -> Course:
    block, reaction = unit.block, reaction_of(unit)
    counted = course.failures
    if reaction in HALTS:
        bad, counted = frozenset(t for t in bad if not course.excused(t)), course.counted
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
