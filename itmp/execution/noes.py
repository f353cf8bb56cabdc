"""A no that stands in the log before the slice of its question has ended with it: somebody gave it while nobody waited.

Rules kept here: from then on nothing begins that the no forbids, whatever a resume was asked to try again, and the
question's slice is what is taken up; where its turn is past already, the no has its effect without it.
"""

from collections.abc import Collection
from dataclasses import replace

from itmp.execution.course import Course, absorb, start
from itmp.execution.units import Unit
from itmp.plan import AskStep, forbidden


def unsettled(course: Course) -> frozenset[str]:
    """Return the questions that were asked and whose slices have not ended with an answer, but for heeded noes."""
    return frozenset(
        unit.key
        for unit in course.units
        if isinstance(unit.step, AskStep) and "not_reached" in course.done.get(unit.key, {}).values()
    ).difference(course.noes)


def heed(course: Course, keys: Collection[str]) -> Course:
    """Return the course on which the answer to each of these questions is no."""
    for place, unit in enumerate(course.units):
        if unit.key in keys:
            course = _heeded(course, unit, past=place < course.at)
    return course


def _heeded(course: Course, unit: Unit, *, past: bool) -> Course:
    barred = forbidden(course.manifest, unit.key) if course.manifest else frozenset[str]()
    course = replace(course, noes=course.noes | {unit.key}, barred=course.barred | barred)
    return (
        absorb(start(course, unit), unit, dict.fromkeys(unit.targets, "failed"), past=True)
        if past
        else course
    )
