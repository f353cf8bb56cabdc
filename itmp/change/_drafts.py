"""Runs and slices while `fold` gathers them; frozen into the record's values at the end."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from itmp.change._answers import Words
from itmp.change.record import ActionIntent, PermitRecord, ResultRecord, RunRecord, RunState, SliceRecord


@dataclass(slots=True)
class SliceDraft:
    """A slice while its results come in; `fixed` is what its intent says."""

    fixed: dict[str, Any]
    actions: list[ActionIntent] = field(default_factory=list)
    results: list[ResultRecord] = field(default_factory=list)
    reconciled: dict[str, str] = field(default_factory=dict)
    finished: Mapping[str, str] | None = None

    def freeze(self) -> SliceRecord:
        """Return the value."""
        return SliceRecord(
            **self.fixed,
            actions=tuple(self.actions),
            results=tuple(self.results),
            reconciled=self.reconciled,
            finished=self.finished,
        )


@dataclass(slots=True)
class RunDraft:
    """A run while its events come in."""

    id: str
    permits: list[PermitRecord] = field(default_factory=list)
    slices: list[SliceDraft] = field(default_factory=list)
    words: Words = field(default_factory=Words)
    state: RunState = "admitted"
    started: bool = False
    stopped: list[str] = field(default_factory=list)
    hosts: Mapping[str, str] = field(default_factory=dict)
    resources: Mapping[str, str] = field(default_factory=dict)

    def freeze(self) -> RunRecord:
        """Return the value."""
        return RunRecord(
            id=self.id,
            permits=tuple(self.permits),
            slices=tuple(part.freeze() for part in self.slices),
            answers=dict(self.words.answers),
            asks=frozenset(self.words.open.difference(self.words.answers)),
            state=self.state,
            started=self.started,
            stopped=tuple(self.stopped),
            hosts=self.hosts,
            resources=self.resources,
        )
