"""Where a run stands, for those who watch it: read off its course, which alone counts.

Rules kept here: what earlier attempts settled counts like what this one did; a host that an undo has reached stands as
the undo left it; of a host that is left out nothing is said.
"""

from collections.abc import Mapping
from dataclasses import replace

from itmp.execution.accounting import HostState, combine
from itmp.execution.course import Course
from itmp.execution.progress import RunStands
from itmp.execution.units import Unit


def stands(course: Course) -> RunStands:
    """Return what is told after a slice."""
    done = sum(unit.phase == "do" and _over(course, place, unit) for place, unit in enumerate(course.units))
    excused = course.failures - course.counted
    return RunStands(done=done, failed=tuple(sorted(course.counted)), excused=tuple(sorted(excused)))


def taken_up(course: Course) -> RunStands:
    """Return what is told of a run that goes on where an earlier attempt has left it."""
    now = stands(course)
    return replace(now, hosts=_hosts(course))


def _over(course: Course, place: int, unit: Unit) -> bool:
    """Whether nothing is left to do in `unit`, the one at `place`: its targets have passed it, or failed before it."""
    states = course.done.get(unit.key, {})
    mine = [target for target in unit.targets if target not in course.left_out]
    return bool(mine) and all(
        states.get(target, "not_reached") != "not_reached"
        or (not unit.step.always and place < course.out.get(target, 0))
        for target in mine
    )


def _hosts(course: Course) -> Mapping[str, HostState]:
    """Return one state for each target: the worst of what was settled, `not_reached` where nothing was."""
    told: dict[str, list[HostState]] = {}
    for unit in course.units:
        if unit.word:
            continue
        states = course.done.get(unit.key, {})
        for target in unit.targets:
            state = states.get(target, "not_reached")
            before = told.setdefault(target, [])
            if state != "not_reached":
                told[target] = [state] if unit.phase == "undo" and course.undoing else [*before, state]
    return {target: combine(states) for target, states in told.items() if target not in course.left_out}
