"""Watching a run: the values that it tells while it goes, who is told, and what there is to come.

Rules kept here: a watcher sees and never decides; what it raises ends the watching and never the run; the log never
depends on it. Text in these values may come from a target: whoever prints it removes control characters.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from itmp.calendars import format_time
from itmp.execution import Progress, RunEvent
from itmp.execution.course import HALTS, reaction_of
from itmp.execution.progress import (
    ActionFinished,
    ActionStarted,
    AskStarted,
    HostChanged,
    RunFinished,
    RunLooking,
    RunStands,
    RunStarted,
    RunStopped,
    RunWaiting,
    RunWarned,
    SliceFinished,
    SlicePassed,
    SliceStarted,
    WaitStarted,
    to_json,
)
from itmp.execution.units import order
from itmp.workspace.glancing import Glances
from itmp.workspace.place import Workspace

__all__ = [
    "EVENT_SCHEMA",
    "ActionFinished",
    "ActionStarted",
    "AskStarted",
    "HostChanged",
    "OnEvent",
    "Outline",
    "Planned",
    "RunEvent",
    "RunFinished",
    "RunLooking",
    "RunStands",
    "RunStarted",
    "RunStopped",
    "RunWaiting",
    "RunWarned",
    "SliceFinished",
    "SlicePassed",
    "SliceStarted",
    "WaitStarted",
    "event_json",
    "outline",
    "watcher",
]

EVENT_SCHEMA: Final = "itmp-event/v1"
OnEvent: TypeAlias = Callable[[RunEvent], None]
"""Takes note of one event; returns soon, because the run waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One slice to come: `batch` of `batches` (0 outside `rolling`); beyond `budget` failed hosts the run stops.

    `budget` is None where a failure stops nothing; `excuses` says that hosts which a person goes on without do not
    count.
    """

    slice: str
    title: str
    hosts: tuple[str, ...]
    batch: int = 0
    batches: int = 0
    budget: int | None = None
    excuses: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """What a change's plan consists of, in the order of work; `window_end` is empty without a window."""

    change: str
    title: str
    slices: tuple[Planned, ...]
    window_end: str = ""


def outline(place: Workspace, name: str) -> Outline:
    """Return what a run of this change would go through, undo left out."""
    glances = Glances(place.reading(behind=True))  # it is read beside a run
    record = glances.record(glances.resolve(name))
    if record.request is None:
        return Outline(change=record.id, title="", slices=())
    manifest = glances.plan(record.request.plan).manifest
    window = record.request.window
    return Outline(
        change=record.id,
        title=manifest.title or manifest.name,
        slices=tuple(
            Planned(
                slice=unit.key,
                title=unit.step.title,
                hosts=unit.targets,
                batch=unit.batch,
                batches=len(unit.block.batches) if unit.block else 0,
                budget=_budget(unit.step.on_failure, unit.block.max_failures if unit.block else 0),
                excuses=unit.block is None or reaction_of(unit) in HALTS,
            )
            for unit in order(manifest)
            if unit.phase == "do"
        ),
        window_end=format_time(window.end) if window else "",
    )


def _budget(on_failure: str, allowed: int) -> int | None:
    return None if on_failure == "continue" else allowed


def event_json(event: RunEvent) -> dict[str, Any]:
    """Return the object that one line of `--stream` shows: `schema`, `event`, and the event's own values."""
    return {"schema": EVENT_SCHEMA, **to_json(event)}


def watcher(on_event: OnEvent | None) -> Progress:
    """Return what the run tells its events to; None is told nothing."""
    return _Watcher(on_event or _ignore)


class _Watcher:
    def __init__(self, on_event: OnEvent) -> None:
        self._on_event = on_event

    def on_event(self, event: RunEvent, /) -> None:
        """Pass `event` on."""
        self._on_event(event)


def _ignore(_event: RunEvent) -> None:
    """Take no note."""
