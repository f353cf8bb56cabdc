"""Runs that nobody carries out any more, for people who look: that it is so, what it left, and what to type first.

Rules kept here: a run is carried out by whoever holds its change; a run that ended meanwhile was not left; where a
resume could not find out by itself what became of a target, a person is asked to say so first.
"""

from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from itmp.adapters.index import Query
from itmp.change import ChangeRecord
from itmp.errors import Error
from itmp.plan import AnsibleStep
from itmp.workspace.glancing import Glances
from itmp.workspace.noticing import is_held
from itmp.workspace.place import Workspace

if TYPE_CHECKING:
    from itmp.execution import RunStory
    from itmp.execution.progress import RunWarned
    from itmp.execution.units import Unit

_MOST: Final = 200
"""How many changes that began and did not end are looked at; what older ones left is told by their own status."""
_RUNS: Final = ("run.started", "run.resumed", "run.finished")
GONE: Final = "the process that carried it out is gone; what it left is not known"
SOME: Final = 10
"""How many commands a person is offered at once."""
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


def left_by_others(
    place: Workspace, record: ChangeRecord, names: Collection[str] = ()
) -> "tuple[RunWarned, ...]":
    """Return which other changes have left targets of this one's plan (or `names` of them) unknown.

    It is for the eye alone: it rests on the index, and a log that cannot be looked through gives nothing.
    """
    with suppress(Error):
        glances = Glances(place.reading(), place.plan)
        if record.request is None:
            return ()
        wanted = _targets(glances, record)
        wanted &= set(names) or wanted
        others = (other for other in glances.reading.begun(_MOST) if other != record.id)
        found = (_left(place, glances, other, wanted) for other in others if _may_lack(glances, other))
        return tuple(one for one in found if one)
    return ()


def told_of(warned: "RunWarned") -> str:
    """Return the line that says it."""
    return f"{warned.change} has left {', '.join(warned.targets)} unknown; type: {warned.do}"


def _targets(glances: Glances, record: ChangeRecord) -> set[str]:
    from itmp.execution.units import order  # noqa: PLC0415 - as above

    assert record.request is not None  # noqa: S101 - the caller has looked
    manifest = glances.plan(record.request.plan).manifest
    return {target for unit in order(manifest) if not unit.word for target in unit.targets}


def _may_lack(glances: Glances, other: str) -> bool:
    """Whether the newest word on a change's runs leaves room for something unknown."""
    newest = glances.reading.index.leaves(Query(change=other, types=_RUNS, newest=True, limit=1))
    return any(
        leaf.event.type != "run.finished" or (leaf.event.data or {}).get("state") == "unknown"
        for leaf in newest
    )


def _left(place: Workspace, glances: Glances, other: str, wanted: Collection[str]) -> "RunWarned | None":
    from itmp.execution.progress import RunWarned  # noqa: PLC0415 - as above

    record = glances.record(other)
    if record.run is None or is_held(place, other):  # whoever runs holds its hosts, and their end is to come
        return None
    lost = tuple(
        t for t, state in glances.hosts(record, record.run).items() if state == "unknown" and t in wanted
    )
    asks = [line for line in reconciling(glances, record) if line.split()[3] in lost]
    return (
        RunWarned(change=other, targets=lost, do=asks[0] if asks else f"itmp resume {other}")
        if lost
        else None
    )


def _for_a_person(story: "RunStory", units: "dict[str, Unit]") -> Iterator[str]:
    """Yield unknown targets without a probe, and those where one would not see whether an owed handler ran."""
    for key, target in story.unknown():
        step = units[key].step
        if (key, target) in story.owed or (isinstance(step, AnsibleStep) and target not in step.probes):
            yield target
