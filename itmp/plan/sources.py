"""The door `Sources`: what a document needs from the world, and the facts that come back.

`needs(document)` and `freeze(document, facts)` are pure; only `Sources.gather` looks at the world. It reads,
in child processes with the caller's own rights, and changes nothing; every problem it meets is an
`InvalidInputError` that names file and line (problems of one gather are reported together). Facts are
values: same world, same facts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from itmp.plan.model import Added, ExpectedTask, Host, Operation, Present, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayNeed:
    """One playbook run that a plan wants to make.

    `playbook` is a catalog name (`lb_drain` for `playbooks/lb_drain.yml`) or, when `rendered` is given, the
    name under which those bytes shall stand beside the catalog's playbooks. `pattern` is the host pattern of
    the step (empty: the playbook's own `hosts:` decide alone). `sliced` says that it runs batch by batch,
    where `run_once`, `serial` and several host patterns are refused unless `per_slice`. `tags` and `skip_tags`
    choose tasks as Ansible's options of these names do. `adds` declares hosts that plays add while they run:
    names of the inventory, and `new` ones with their place. `mark` is file:line:column of the step.
    """

    id: str
    playbook: str
    mark: str
    pattern: str = ""
    rendered: bytes | None = None
    vars: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    delegates: tuple[str, ...] = ()
    public_vars: tuple[str, ...] = ()
    sliced: bool = False
    per_slice: bool = False
    tags: tuple[str, ...] = ()
    skip_tags: tuple[str, ...] = ()
    adds: tuple[str, ...] = ()
    new: tuple[Added, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class KnobNeed:
    """A present value to read: `field` of resource `id` of kind `knob`, e.g. aws:autoscaling:Group."""

    knob: str
    id: str
    field: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StackNeed:
    """One stack update to preview: catalog folder `stacks/<program>`, stack name, configuration, knobs.

    A string value `${present:<knob>:<id>:<field>}` in `config` stands for the value that gather reads.
    """

    id: str
    program: str
    stack: str
    mark: str
    config: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    knobs: tuple[KnobNeed, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """All that a document needs.

    `patterns` are host patterns to resolve. The inventories come from the command line or itmp.yml and are
    known to the implementation. `image` is the container image in which Ansible reads the plays (empty: none).
    `compared`: the answer is held against a plan and not kept, so secrets in clear, of which that plan's document may
    have allowed some, are no problem of it.
    """

    plays: tuple[PlayNeed, ...] = ()
    stacks: tuple[StackNeed, ...] = ()
    patterns: tuple[str, ...] = ()
    image: str = ""
    compared: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryFacts:
    """The inventory as it is now.

    `snapshot` are the bytes to freeze; `patterns` maps each asked pattern to hosts in inventory order; `ways` says of
    hosts that plain ssh does not reach how they are reached, `unpinned` whose key is not checked.
    """

    sources: tuple[str, ...]
    snapshot: bytes
    hosts: tuple[Host, ...]
    patterns: Mapping[str, tuple[str, ...]]
    ways: Mapping[str, str] = field(default_factory=dict)
    unpinned: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayFacts:
    """What Ansible's own parser says of one play need.

    `playbook` is its artifact path; `hosts` are the hosts that it would act on (its own patterns, cut to the
    step's pattern), in inventory order, then hosts that it adds.
    """

    playbook: str
    hosts: tuple[str, ...]
    expected: tuple[ExpectedTask, ...]
    delegates: tuple[str, ...] = ()
    opaque: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StackFacts:
    """What the engine's preview and our own reading say of a stack need; `program` is the artifact folder."""

    program: str
    config: Mapping[str, Any]
    operations: tuple[Operation, ...]
    present: tuple[Present, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything gathered. `artifacts` maps a path to bytes; `versions` names tools and their versions.

    Artifact paths: `project/…` (the Ansible project, catalog at `project/playbooks/`, rendered plays at
    `project/playbooks/_itmp_<id>.yml`), `inventory/snapshot.json`, `inventory/{group_vars,host_vars}/…`,
    `inventory/known_hosts`, `program/<folder>/…` (stack programs, with `program/pulumi_itmp/` beside them).
    """

    inventory: InventoryFacts | None = None
    plays: Mapping[str, PlayFacts] = field(default_factory=dict)
    stacks: Mapping[str, StackFacts] = field(default_factory=dict)
    artifacts: Mapping[str, bytes] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    sources: tuple[Source, ...] = ()
    notes: tuple[str, ...] = ()

    def joined(self, other: "Facts") -> "Facts":
        """Return the facts of both, gathered from different parts of the world."""
        return Facts(
            inventory=self.inventory or other.inventory,
            plays={**self.plays, **other.plays},
            stacks={**self.stacks, **other.stacks},
            artifacts={**self.artifacts, **other.artifacts},
            versions={**self.versions, **other.versions},
            sources=(*self.sources, *other.sources),
            notes=(*self.notes, *other.notes),
        )


class Sources(Protocol):
    """Looks at the world for a plan."""

    def gather(self, needs: Needs) -> Facts:
        """Return the facts for `needs`; see the module's contract."""
