"""What a plan is made of: frozen values that map one to one onto the manifest `itmp-plan/v1`.

Rules kept here: the manifest holds no clock, no random value and no machine path, so the same inputs give the
same bytes on any machine, in any folder, under any hash seed. Nothing here reads or writes; `codec` turns
these values into bytes and back. Collections are tuples and mappings whose order is decided by whoever
freezes them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from itmp.canonical import Digest

SCHEMA: Final = "itmp-plan/v1"
OMITTED: Final[Mapping[str, bool]] = {"omitted": True}
"""Marks a field that came later: it does not stand in a manifest where it has its default."""

Risk: TypeAlias = Literal["low", "moderate", "high"]
Kind: TypeAlias = Literal["runbook", "patch-schedule", "capacity-adjustment"]
OnFailure: TypeAlias = str
"""`stop`, `continue`, `undo`, or the id of a later step at which the run goes on."""
AnswerType: TypeAlias = Literal["boolean", "integer", "string", "choice"]
CheckMode: TypeAlias = Literal["full", "none", "unknown"]
Section: TypeAlias = Literal["task", "handler", "rescue", "always", "facts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedTask:
    """One task that a step may perform: where it is written and the resolved action it calls.

    `path` is an artifact path, `line` counts from 1, `action` is a fully qualified collection name. `check`
    says how far check mode can be trusted for it.
    """

    path: str
    line: int
    action: str
    name: str
    section: Section = "task"
    check: CheckMode = "unknown"
    no_log: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpProbe:
    """Ask `url` until it answers `status` (and, if given, its body holds `contains`)."""

    url: str
    status: int = 200
    contains: str = ""
    kind: Literal["http"] = "http"


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpProbe:
    """Connect to `host`:`port`."""

    host: str
    port: int
    kind: Literal["tcp"] = "tcp"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandProbe:
    """Run `argv` on the host (with `become`: as root) once: it exits with `rc` and, if given, prints `contains`."""

    argv: tuple[str, ...]
    rc: int = 0
    contains: str = ""
    become: bool = False
    kind: Literal["command"] = "command"


NetworkProbe: TypeAlias = HttpProbe | TcpProbe
"""What is asked from the executor."""
Probe: TypeAlias = NetworkProbe | CommandProbe


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """A host that no inventory holds and that a play adds while it runs (`add_host`), with its declared place."""

    name: str
    address: str
    port: int = 22


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsibleStep:
    """One playbook over frozen hosts.

    `playbook` is an artifact path below `project/`. `hosts` are the frozen targets (inventory names, and those
    of `adds`: hosts that come into being while it runs), `delegates` the hosts that tasks may be delegated to.
    `vars` become extra variables, `secrets` maps a variable's name to a reference (`env:NAME`, `file:PATH`, …)
    that is resolved at run time. `opaque` names dynamic includes whose content is not knowable before the run.
    `tags` and `skip_tags` are Ansible's own choice of tasks (empty: all). `probes` maps a host to how a
    person-less resume finds out whether the step's effect is there. `undoes` names, in the undo
    phase, the one step that this takes back: it runs only where that one was begun.
    """

    id: str
    title: str
    playbook: str
    hosts: tuple[str, ...]
    expected: tuple[ExpectedTask, ...]
    delegates: tuple[str, ...] = ()
    vars: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    opaque: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    skip_tags: tuple[str, ...] = ()
    adds: tuple[Added, ...] = ()
    probes: Mapping[str, Probe] = field(default_factory=dict)
    timeout: int = 3600
    always: bool = False
    on_failure: OnFailure = "stop"
    undoes: str = ""
    kind: Literal["ansible"] = "ansible"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckStep:
    """Ask from the controller, per host, until the answer is right or `within` seconds have passed."""

    id: str
    title: str
    hosts: tuple[str, ...]
    probes: Mapping[str, NetworkProbe]
    within: int
    always: bool = False
    on_failure: OnFailure = "stop"
    kind: Literal["check"] = "check"


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """A value of the world that the plan rests on, read by ourselves: `field` of resource `id` of `knob`.

    `value` was read at compile time; the start is unmoved while the present value lies in `low`..`high`.
    """

    knob: str
    id: str
    field: str
    value: int
    low: int
    high: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One input of a resource operation: what it is before (`None`: unknown to the engine) and after."""

    old: Any
    new: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One normalised operation of the Pulumi engine: `op` is create, update, replace, delete or same."""

    urn: str
    op: str
    type: str
    name: str
    inputs: Mapping[str, Change]


@dataclass(frozen=True, slots=True, kw_only=True)
class PulumiStep:
    """One stack update: program bytes below `program/` in the artifacts, configuration and operations."""

    id: str
    title: str
    program: str
    stack: str
    config: Mapping[str, Any]
    operations: tuple[Operation, ...]
    present: tuple[Present, ...]
    secrets: Mapping[str, str] = field(default_factory=dict)
    timeout: int = 1800
    always: bool = False
    on_failure: OnFailure = "stop"
    kind: Literal["pulumi"] = "pulumi"


@dataclass(frozen=True, slots=True, kw_only=True)
class AskStep:
    """A question to people; the run waits for a signed answer.

    `answer` is its type, `choices` the texts that a `choice` can be. `roles` are those in which it may be answered
    (empty: any that the policy lets answer). Inside a rolling block `after` names the batches after which it is
    asked. `anew`, outside one: it is asked again once anything that stands before it begins again. Plans of before that
    rule have no such key and go by their own.
    """

    id: str
    title: str
    question: str
    answer: AnswerType
    choices: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    after: tuple[int, ...] = ()
    anew: bool = field(default=False, metadata=OMITTED)
    always: bool = False
    on_failure: OnFailure = "stop"
    kind: Literal["ask"] = "ask"


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitStep:
    """Time that passes: `seconds` from the moment it is reached, or (0) `until` a time, RFC 3339 in UTC."""

    id: str
    title: str
    seconds: int = 0
    until: str = ""
    always: bool = False
    on_failure: OnFailure = "stop"
    kind: Literal["wait"] = "wait"


LeafStep: TypeAlias = AnsibleStep | CheckStep | PulumiStep | AskStep | WaitStep
HostStep: TypeAlias = AnsibleStep | CheckStep


@dataclass(frozen=True, slots=True, kw_only=True)
class RollingStep:
    """Steps that each batch passes through together before the next batch starts.

    `batches` are the frozen hosts in order; `max_failures` counts failed hosts over the whole run.
    """

    id: str
    title: str
    hosts: tuple[str, ...]
    batches: tuple[tuple[str, ...], ...]
    max_failures: int
    steps: tuple[AnsibleStep | CheckStep | AskStep | WaitStep, ...]
    on_failure: OnFailure = "stop"
    kind: Literal["rolling"] = "rolling"


Step: TypeAlias = AnsibleStep | CheckStep | PulumiStep | AskStep | WaitStep | RollingStep


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A host of the frozen inventory that the plan touches, with the digest of its variables."""

    name: str
    address: str
    port: int
    groups: tuple[str, ...]
    vars: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """The frozen inventory: `snapshot` is the artifact path of its JSON, `sources` the paths it came from.

    `patterns` are the host patterns that were resolved: the gate resolves them again to see who is new. `ways` says of
    hosts that plain ssh does not reach how they are reached (a connection plugin, jumps, what an ssh alias stands for);
    `unpinned` are reached without a check of their key, which the policy must allow.
    """

    sources: tuple[str, ...]
    snapshot: str
    hosts: tuple[Host, ...]
    patterns: tuple[str, ...] = ()
    ways: Mapping[str, str] = field(default_factory=dict)
    unpinned: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What the gate does when frozen hosts are gone, or new ones match: `skip` is how many may be gone."""

    gone: Literal["refuse", "skip"] = "refuse"
    skip: int = 0
    new: Literal["refuse", "ignore"] = "refuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """When the document was last reviewed (RFC 3339 date) and the last day on which that still counts."""

    on: str
    due: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file of the workspace that went into the plan: path there and digest (for the stale warning)."""

    path: str
    digest: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Everything that people approve. `artifacts` maps an artifact path to the digest of its bytes.

    `guards` maps a step's id (a block's too) to the CEL text that must hold when it is reached.
    """

    kind: Kind
    name: str
    title: str
    owner: str
    environment: str
    risk: Risk
    document: Source
    inputs: Mapping[str, Any]
    steps: tuple[Step, ...]
    undo: tuple[LeafStep, ...]
    artifacts: Mapping[str, Digest]
    versions: Mapping[str, str]
    sources: tuple[Source, ...] = ()
    inventory: Inventory | None = None
    reviewed: Review | None = None
    moved: Moved = field(default_factory=Moved)
    notes: tuple[str, ...] = ()
    guards: Mapping[str, str] = field(default_factory=dict)
    schema: Literal["itmp-plan/v1"] = SCHEMA
