"""The change record: the values that `fold` derives from a change's events, and nothing else.

Rules kept here: the record is a pure function of the leaves and the policy's history, so two readers of the
same log have the same record; what does not count is kept as a finding with its reason; absence in the
record is absence in the leaves, never in an index.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias

from itmp.calendars import Window
from itmp.canonical import Digest
from itmp.change._shape import ChangeType
from itmp.change.statements import Given

State: TypeAlias = Literal[
    "new", "assess", "authorize", "scheduled", "implement", "review", "closed", "canceled"
]
RunState: TypeAlias = Literal["admitted", "running", "succeeded", "failed", "undone", "stopped", "unknown"]
Mode: TypeAlias = Literal["run", "resume", "undo"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A leaf that counts for nothing, and why."""

    index: int
    leaf: Digest
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The valid `change.opened`: who asks for what."""

    given: Given
    type: ChangeType
    plan: Digest
    window: Window | None

    @property
    def leaf(self) -> Digest:
        """The leaf hash that approvals name."""
        return self.given.leaf

    @property
    def requester(self) -> str:
        """Who opened the change."""
        return self.given.signer

    @property
    def external(self) -> str:
        """The external record's reference; empty without one."""
        return self.given.line("external")


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """A valid `approve` or `reject` of this request."""

    given: Given
    approves: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """A valid `revoke`.

    `of` is the vote's leaf, `voter` its signer (empty when `of` is no vote of this change).
    """

    given: Given
    of: Digest
    voter: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultRecord:
    """One `action.finished`, `check.finished` or `action.reconciled`, as written."""

    index: int
    leaf: Digest
    type: str
    intent: Digest
    target: Mapping[str, str]
    action: str
    outcome: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionIntent:
    """One durable `action.intended` of a Pulumi slice."""

    index: int
    leaf: Digest
    action: str
    target: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceRecord:
    """One `slice.intended` and all that answered it. `finished` maps host to state, if it ever was.

    `passed` says why nothing of it was done, `until` when a wait ends.
    """

    index: int
    leaf: Digest
    key: str
    step: str
    phase: str
    hosts: tuple[str, ...]
    work: str
    permit: Digest
    actions: tuple[ActionIntent, ...] = ()
    results: tuple[ResultRecord, ...] = ()
    reconciled: Mapping[str, str] = field(default_factory=dict)
    finished: Mapping[str, str] | None = None
    passed: str = ""
    until: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PermitRecord:
    """One `permit.issued`, as written."""

    index: int
    leaf: Digest
    at: datetime
    run: str
    mode: Mode
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One run: its permits (the first and one for each resume), slices in order, answers, and how it ended.

    `hosts` and `resources` map each target to its final state once finished; `started` says that `run.started` was
    written. `answers` maps the key of a question's slice to the answer that counts, `asks` are the keys of those that
    wait for one. `stopped` says why attempts stopped, `cause` with which exit code the newest one did (0: it did not).
    """

    id: str
    permits: tuple[PermitRecord, ...] = ()
    slices: tuple[SliceRecord, ...] = ()
    answers: Mapping[str, Given] = field(default_factory=dict)
    asks: frozenset[str] = frozenset()
    state: RunState = "admitted"
    started: bool = False
    stopped: tuple[str, ...] = ()
    cause: int = 0
    hosts: Mapping[str, str] = field(default_factory=dict)
    resources: Mapping[str, str] = field(default_factory=dict)

    @property
    def targets(self) -> Mapping[str, str]:
        """Every target's final state: hosts, then resources."""
        return {**self.hosts, **self.resources}

    @property
    def active(self) -> bool:
        """Whether it was admitted and has not ended."""
        return self.state in {"admitted", "running"}

    @property
    def open_slices(self) -> tuple[SliceRecord, ...]:
        """Intents without their `slice.finished`: what a crash left behind."""
        return tuple(part for part in self.slices if part.finished is None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRecord:
    """A change as its events tell it.

    `head` is the leaf hash of its newest event, `count` how many there are.

    `starts` are the valid statements run, resume and undo; `stops` the valid stop statements. `state` says
    `scheduled` only where `fold` was given the plan (the quorum depends on the plan's targets).
    """

    id: str
    state: State
    request: Request | None
    votes: tuple[Vote, ...] = ()
    revocations: tuple[Revocation, ...] = ()
    starts: tuple[Given, ...] = ()
    stops: tuple[Given, ...] = ()
    canceled: Given | None = None
    reviewed: Given | None = None
    closed: Given | None = None
    permits: tuple[PermitRecord, ...] = ()
    runs: tuple[RunRecord, ...] = ()
    refusals: int = 0
    findings: tuple[Finding, ...] = ()
    head: Digest | None = None
    count: int = 0

    @property
    def plan(self) -> Digest | None:
        """The digest that was put up for approval."""
        return self.request.plan if self.request else None

    @property
    def run(self) -> RunRecord | None:
        """The newest run."""
        return self.runs[-1] if self.runs else None

    def start_of(self, leaf: Digest) -> Given | None:
        """The valid start statement in this leaf."""
        return next((given for given in self.starts if given.leaf == leaf), None)

    def standing(self) -> Mapping[str, Vote | Revocation]:
        """Each voter's last word by position in the log: a vote, or the revocation of one of theirs."""
        words: list[tuple[str, Vote | Revocation]] = [
            *((vote.given.signer, vote) for vote in self.votes),
            *((item.voter, item) for item in self.revocations),
        ]
        return dict(sorted(words, key=lambda pair: pair[1].given.index))
