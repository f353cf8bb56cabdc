"""Slices that are passed over: whether one is, and what the course is then.

Rules kept here: a slice is passed over when its guard does not hold or a failure led past it, at the moment at which it
would first begin; a slice that has begun goes on, whatever its guard says by then; when a run is taken up again, only
passings whose reason still holds stand.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from itmp.execution.course import Course, absorb, start
from itmp.execution.units import Unit
from itmp.plan import known_from
from itmp.plan.guarding import closed_by

if TYPE_CHECKING:
    from itmp.execution.accounting import HostState


def passing(course: Course, unit: Unit) -> str:
    """Return why `unit` is not to be carried out although its turn has come; empty when it is.

    A slice that has begun goes on, whatever its guard says by then.
    """
    now = any(state != "not_reached" for state in course.done.get(unit.key, {}).values())
    begun_ = unit.key in course.before or (now and unit.key not in course.passed)
    if unit.phase == "undo" or begun_:
        return ""
    if unit.step.id in course.jumps:
        return course.jumps[unit.step.id]
    if not unit.when or course.manifest is None:
        return ""
    states: dict[str, list[HostState]] = {}
    for other in course.units:
        if other.phase == "do":
            states.setdefault(other.step.id, []).extend(course.done.get(other.key, {}).values())
    return closed_by(unit.when, known_from(course.manifest, states, course.answers))


def pass_over(course: Course, unit: Unit, hosts: Iterable[str], why: str) -> Course:
    """Return the course after `unit` was passed over for `hosts` (a slice without hosts: for its one target)."""
    skipped: HostState = "skipped"
    states = dict.fromkeys(tuple(hosts) or unit.targets, skipped)
    course = replace(course, passed={**course.passed, unit.key: why})
    return absorb(start(course, unit), unit, states)


def reconsider(course: Course) -> Course:
    """Return the course without what was passed over for a reason that no longer holds."""
    for unit in course.units:
        if unit.key in course.passed and not passing(course, unit):
            done, steps, passed = dict(course.done), dict(course.steps), dict(course.passed)
            for kept in (done, steps, passed):
                del kept[unit.key]
            course = replace(course, done=done, steps=steps, passed=passed)
    return course
