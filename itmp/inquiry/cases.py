"""One change as an auditor reads it: who asked, who approved, what ran when, how it ended.

Rules kept here: a case is derived from the change's own leaves, all of them, and from the policy's history; the
environment and the risk are the policy's reading of the plan at the time of the request, never the document's word;
where the plan's bytes are gone both are `unknown`, and never guessed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from itmp.audit import Leaf
from itmp.canonical import Digest
from itmp.change import ChangeRecord, PermitRecord, PolicyHistory, RunRecord, fold, time_of
from itmp.change.handover import period_of
from itmp.change.lists import Blob
from itmp.errors import RefusedError
from itmp.plan import AnsibleStep, Manifest, all_steps

UNKNOWN: Final = "unknown"
_ENDS: Final = frozenset({"run.finished", "run.stopped"})
_DOINGS: Final = _ENDS | frozenset(
    (
        "run.started",
        "run.resumed",
        "slice.intended",
        "slice.finished",
        "action.intended",
        "action.finished",
        "check.finished",
    )
)
"""What the executor writes while a run is under way; people's words about a run may come long after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A run as one permit let it be: who started it, and how long it was under way.

    `parts` are (leaf, from, to), without gaps: from the permit's leaf, then from each slice's intent, to the next of
    them and in the end to the attempt's last event. The leaf tells which policy stood when the gate was asked.
    """

    permit: PermitRecord
    by: str
    parts: tuple[tuple[int, datetime, datetime], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCase:
    """One run: who started it (and each resume), from when to when, and how it ended; `ended` is None while it goes."""

    id: str
    modes: tuple[str, ...]
    started_by: tuple[str, ...]
    started: datetime
    ended: datetime | None
    state: str
    targets: int
    attempts: tuple[Attempt, ...]
    """One for each permit."""
    spans: tuple[tuple[str, datetime, datetime | None], ...]
    """(host, from, to) of each slice: when the run was allowed to act on the host; None: no end is recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One change; `record` holds the rest. `first` and `last` are the times of its first and newest event.

    `period` is that of its log.
    """

    record: ChangeRecord
    period: str
    manifest: Manifest | None
    environment: str
    risk: str
    needed: int | None
    """How many approvals the policy asked for at the time of the request; None where nobody can tell."""
    first: datetime
    last: datetime
    runs: tuple[RunCase, ...]
    open_index: int
    times: tuple[tuple[Digest, datetime], ...]
    """(leaf hash, time) of each event."""

    @property
    def id(self) -> str:
        """The change's id."""
        return self.record.id

    @property
    def approvers(self) -> tuple[str, ...]:
        """Everybody whose last word is an approval."""
        votes = self.record.standing().items()
        return tuple(sorted(name for name, word in votes if getattr(word, "approves", False)))

    @classmethod
    def of(
        cls, leaves: tuple[Leaf, ...], history: PolicyHistory, *, manifest: Manifest | None, blob: Blob
    ) -> "Case":
        """Read a change's leaves, all of them and at least one; raises like `fold`."""
        times = {leaf.hash: time_of(leaf) for leaf in leaves}
        record = fold(leaves, history, manifest=manifest, now=times[leaves[-1].hash], blob=blob)
        environment, risk, needed = _reading(record, history, manifest)
        return cls(
            record=record,
            period=period_of(history.origin),
            manifest=manifest,
            environment=environment,
            risk=risk,
            needed=needed,
            first=times[leaves[0].hash],
            last=times[leaves[-1].hash],
            runs=_runs(record, manifest, leaves, times),
            open_index=leaves[0].index,
            times=tuple(times.items()),
        )


def _reading(
    record: ChangeRecord, history: PolicyHistory, manifest: Manifest | None
) -> tuple[str, str, int | None]:
    if manifest is None or record.request is None:
        return UNKNOWN, UNKNOWN, None
    policy = history.at(record.request.given.index).policy
    reading = policy.read(manifest)
    try:
        needed = policy.quorum_for(reading.environment, reading.risk, record.request.type).count
    except RefusedError:  # no rule: nothing of the kind may run
        return reading.environment, reading.risk, None
    return reading.environment, reading.risk, needed


def _runs(
    record: ChangeRecord,
    manifest: Manifest | None,
    leaves: tuple[Leaf, ...],
    times: Mapping[Digest, datetime],
) -> tuple[RunCase, ...]:
    ends: dict[str, datetime] = {}
    barriers: dict[str, datetime] = {}
    for leaf in leaves:
        event = leaf.event
        if event.type in _ENDS:
            ends[event.run] = times[leaf.hash]
        elif event.type == "slice.finished":
            barriers[event.intent] = times[leaf.hash]
    return tuple(
        RunCase(
            id=run.id,
            modes=tuple(permit.mode for permit in run.permits),
            started_by=tuple(_starter(record, permit) for permit in run.permits),
            started=run.permits[0].at,
            ended=None if run.active else ends.get(run.id),
            state=run.state,
            targets=len(run.targets),
            attempts=_attempts(run, record, leaves, times),
            spans=_spans(run, _delegates(manifest), times, barriers),
        )
        for run in record.runs
    )


def _attempts(
    run: RunRecord, record: ChangeRecord, leaves: tuple[Leaf, ...], times: Mapping[Digest, datetime]
) -> tuple[Attempt, ...]:
    """Part a run's events by the permit that they came under."""
    own = [leaf for leaf in leaves if leaf.event.run == run.id and leaf.event.type in _DOINGS]
    ends = [*(permit.index for permit in run.permits[1:]), leaves[-1].index + 1]
    found = list[Attempt]()
    for permit, end in zip(run.permits, ends, strict=True):
        mine = [leaf for leaf in own if permit.index < leaf.index < end]
        begun = [(leaf.index, times[leaf.hash]) for leaf in mine if leaf.event.type == "slice.intended"]
        begun = [(permit.index, permit.at), *begun]
        untils = [*(at for _, at in begun[1:]), times[mine[-1].hash] if mine else permit.at]
        parts = tuple((index, at, until) for (index, at), until in zip(begun, untils, strict=True))
        found.append(Attempt(permit=permit, by=_starter(record, permit), parts=parts))
    return tuple(found)


def _starter(record: ChangeRecord, permit: PermitRecord) -> str:
    for leaf in permit.body.get("statements", ()):
        given = record.start_of(leaf)
        if given is not None:
            return given.signer
    return UNKNOWN


def _delegates(manifest: Manifest | None) -> Mapping[str, tuple[str, ...]]:
    """Return the hosts that each step may delegate to: it acts there as well."""
    steps = all_steps(manifest) if manifest else ()
    return {step.id: step.delegates for step in steps if isinstance(step, AnsibleStep)}


def _spans(
    run: RunRecord,
    delegates: Mapping[str, tuple[str, ...]],
    times: Mapping[Digest, datetime],
    barriers: Mapping[str, datetime],
) -> tuple[tuple[str, datetime, datetime | None], ...]:
    return tuple(
        (host, times[part.leaf], barriers.get(part.leaf))
        for part in run.slices
        for host in dict.fromkeys((*part.hosts, *delegates.get(part.step, ())))
    )
