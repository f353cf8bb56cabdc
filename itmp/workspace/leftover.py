"""Runs that nobody carries out any more, for people who look: that it is so, and what to type first.

Rules kept here: a run is carried out by whoever holds its change; a run that ended meanwhile was not left; where a
resume could not find out by itself what became of a target, a person is asked to say so first.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from itmp.change import ChangeRecord
from itmp.plan import AnsibleStep
from itmp.workspace.glancing import Glances
from itmp.workspace.noticing import is_held
from itmp.workspace.place import Workspace
from itmp.workspace.running import SOME

if TYPE_CHECKING:
    from itmp.execution import RunStory
    from itmp.execution.units import Unit

GONE: Final = "the process that carried it out is gone; what it left is not known"
NOBODY: Final = "carried out by nobody"


def is_gone(place: Workspace, record: ChangeRecord) -> bool:
    """Whether nobody carries out the run that has not ended: nobody holds it, and then it still has not ended."""
    if not (record.run and record.run.active) or is_held(place, record.id):
        return False
    again = Glances(place.reading()).record(record.id)
    return bool(again.run and again.run.active and not is_held(place, record.id))


def reconciling(glances: Glances, record: ChangeRecord) -> tuple[str, ...]:
    """Return the commands by which a person says what became of targets of which no resume could find it out."""
    if record.run is None or record.request is None or record.run.state not in {"running", "unknown"}:
        return ()
    from itmp.execution.units import order  # noqa: PLC0415 - a run that ended well needs no story

    units = {unit.key: unit for unit in order(glances.plan(record.request.plan).manifest)}
    names = dict.fromkeys(_for_a_person(glances.story(record, record.run), units))
    return tuple(f"itmp reconcile {record.id} {name} ok|failed --reason TEXT" for name in list(names)[:SOME])


def _for_a_person(story: "RunStory", units: "dict[str, Unit]") -> Iterator[str]:
    """Yield unknown targets without a probe, and those where one would not see whether an owed handler ran."""
    for key, target in story.unknown():
        step = units[key].step
        if (key, target) in story.owed or (isinstance(step, AnsibleStep) and target not in step.probes):
            yield target
