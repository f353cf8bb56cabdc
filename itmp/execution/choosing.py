"""What a run does next: which slice its course leads to, and on which hosts.

Rules kept here:
- A host that failed takes part in no later step, except `always` ones, unless its step says `on_failure:
continue`.
- After a halt only `always` steps run, and only those of batches (outside `rolling`: of a run) that had
begun.
- Undo comes last, only where something was begun (what takes one step back: where that step was), and only when no
outcome is unknown.
- A limit picks hosts and never cuts a stack. A stack is undone when its own update was begun; an undo that a person
narrows to hosts leaves every stack as it is.
- Nothing counts as begun by a step that was passed over.
- Nothing here widens: hosts outside the permit's limit, or skipped by a person, are never chosen.
"""

from dataclasses import replace

from itmp.execution.again import to_come
from itmp.execution.course import LIMITED, Course, begin_undo
from itmp.execution.doors import Slice
from itmp.execution.units import Unit, undoes
from itmp.plan import CheckStep, PulumiStep, WaitStep


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
