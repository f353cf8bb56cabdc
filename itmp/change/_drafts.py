"""Runs and slices while `fold` gathers them; frozen into the record's values at the end."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from itmp.change._answers import Words
from itmp.change.record import ActionIntent, PermitRecord, ResultRecord, RunRecord, RunState, SliceRecord
from itmp.errors import RefusedError


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
    cause: int = 0
    hosts: Mapping[str, str] = field(default_factory=dict)
    resources: Mapping[str, str] = field(default_factory=dict)

    def begin(self) -> None:
        """Begin an attempt."""
        self.state, self.started, self.cause = "running", True, 0

    def stop(self, why: str, code: int) -> None:
        """Note what stopped an attempt: the first word counts, and a plan that was left more than any other."""
        self.stopped.append(why)
        self.cause = code if code == RefusedError.exit_code else self.cause or code

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
            cause=self.cause,
            hosts=self.hosts,
            resources=self.resources,
        )
