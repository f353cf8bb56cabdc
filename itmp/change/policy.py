"""The policy: one logged, versioned object that says who may do what, and reads a plan's targets.

Rules kept here: a policy is its bytes (they are hashed as received); what it does not allow it refuses: a
missing quorum rule is a refusal and never 0; targets that no environment claims belong to the strictest
one; where several claim them, the strictest wins; a document can raise environment and risk and never lower
them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Final

from itmp import canonical
from itmp.calendars import Freeze, Weekly
from itmp.canonical import Digest
from itmp.change import _shape
from itmp.change._shape import (
    Amendment,
    ChangeType,
    Environment,
    Key,
    Quorum,
    Retention,
    Separation,
    Signer,
)
from itmp.errors import RefusedError
from itmp.plan import Manifest, added, delegates, resources, targets
from itmp.plan.model import Risk
from itmp.signing import PublicKey

RISKS: Final[tuple[Risk, ...]] = ("low", "moderate", "high")
_KINDS: Final = frozenset({"group", "address", "resource", "host"})
CLOCK: Final = "clock-unsynchronised"
"""What check 8 names where `limits.unsynchronised_clock` refuses."""
SYNCHRONISED: Final = "synchronised"
"""What a permit says of its `clock` where that limit was asked for and held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Something a plan acts on, as the policy sees it: a host with its groups and address, or a resource."""

    name: str
    kind: str = "host"
    groups: tuple[str, ...] = ()
    address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The policy's reading of a plan: the environment and the risk that the gate goes by."""

    environment: str
    risk: Risk


@dataclass(frozen=True, slots=True)
class Policy:
    """One version of the policy. Compare versions by `digest`."""

    data: bytes
    digest: Digest = field(init=False)
    document: _shape.Document = field(init=False, repr=False, compare=False)
    _known: Mapping[str, Signer] = field(init=False, repr=False, compare=False)
    _acts: Mapping[str, tuple[str, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "document", _shape.read(self.data))
        object.__setattr__(self, "_known", {signer.id: signer for signer in self.document.signers})
        object.__setattr__(self, "_acts", _granted(self.document.roles))
        object.__setattr__(self, "digest", canonical.digest(self.data))

    @classmethod
    def from_bytes(cls, data: bytes) -> "Policy":
        """Read `policy.yml`; raise `InvalidInputError` that lists every problem."""
        return cls(data)

    @property
    def amend(self) -> Amendment:
        """Who may change this version."""
        return self.document.amend

    @property
    def approval_limit(self) -> timedelta:
        """The longest time for which one approval may be valid."""
        return self.document.limits.approval

    @property
    def permit_limit(self) -> timedelta:
        """The longest time for which one permit may last."""
        return self.document.limits.permit

    @property
    def unpinned_hosts(self) -> bool:
        """Whether a plan may reach hosts without a check of their keys."""
        return self.document.limits.unpinned_hosts == "allow"

    @property
    def anchors_demanded(self) -> bool:
        """Whether a local anchor that cannot be read refuses a run."""
        return self.document.limits.anchors == "refuse"

    @property
    def clock_demanded(self) -> bool:
        """Whether the gate refuses while the kernel does not call its clock synchronised."""
        return self.document.limits.unsynchronised_clock == "refuse"

    @property
    def retention(self) -> Retention:
        """How long committed contents are kept, and must be at hand."""
        return self.document.retention

    @property
    def signers(self) -> tuple[Signer, ...]:
        """Everybody that this version knows."""
        return self.document.signers

    def signer(self, name: str) -> Signer | None:
        """The signer with exactly this id."""
        return self._known.get(name)

    def key_of(self, name: str, key: PublicKey) -> Key | None:
        """The entry of `key` among the keys of signer `name`."""
        signer = self.signer(name)
        return next((entry for entry in signer.keys if entry.key == key), None) if signer else None

    def holds(self, name: str, role: str) -> bool:
        """Whether signer `name` holds `role` in this version."""
        signer = self.signer(name)
        return signer is not None and role in signer.roles

    def may(self, role: str, act: str) -> bool:
        """Whether `role` grants `act`."""
        return act in self.acts_of(role)

    def acts_of(self, role: str) -> tuple[str, ...]:
        """What `role` grants: the acts that it lists.

        A policy that lists `read` nowhere was written without a thought of it: there whoever may run may read what
        runs left, and whoever may destroy it too.
        """
        return self._acts.get(role, ())

    def environment_of(self, targets: Iterable[Target]) -> str:
        """The strictest environment that any of `targets` belongs to; the strictest of all without targets.

        A glob of `match` reads the target's host name, or `group:…`, `address:…`, `resource:…`. Names come
        from the inventory, so a policy that must not trust its authors matches addresses.
        """
        strictest, found = self._strictest(), None
        for target in targets:
            one = self._environment(target, strictest)
            if one is strictest:  # no two have one rank: a thousand more targets change nothing
                return one.name
            found = one if found is None else max(found, one, key=_rank)
        return (found or strictest).name

    def read(self, manifest: Manifest) -> Reading:
        """The environment and risk of a plan: the reading of its frozen targets, raised by the document."""
        names = {environment.name: environment for environment in self.document.environments}
        said = names.get(manifest.environment, self._strictest())
        targeted = names[self.environment_of(targets_of(manifest))]
        environment = max(said, targeted, key=_rank)
        risk = max(manifest.risk, environment.minimum_risk, key=RISKS.index)
        return Reading(environment=environment.name, risk=risk)

    def quorum_for(self, environment: str, risk: Risk, kind: ChangeType = "normal") -> Quorum:
        """The rule for a change of type `kind`; raise `RefusedError` where the policy has none."""
        for rule in self.document.quorum:
            if rule.environment == environment and risk in rule.risk and kind in rule.types:
                return rule
        raise RefusedError(
            f"the policy has no quorum rule for {kind} changes of {risk} risk in {environment}",
            do="Such a change cannot run. Propose a policy that has a rule for it: itmp policy propose",
        )

    def separation_for(self, environment: str) -> Separation | None:
        """What this policy says in writing about one person doing several things; `None`: nothing."""
        return next((rule for rule in self.document.separation if rule.environment == environment), None)

    def windows_for(self, environment: str) -> tuple[Weekly, ...]:
        """The weekly windows of `environment`; none means that any time will do."""
        return tuple(window.weekly for window in self.document.windows if environment in window.environments)

    def freezes_for(self, environment: str, kind: ChangeType) -> tuple[Freeze, ...]:
        """The freezes that bind a change of type `kind` in `environment`."""
        return tuple(
            Freeze(name=freeze.name, window=freeze.window)
            for freeze in self.document.freezes
            if kind not in freeze.except_types and {"all", environment} & set(freeze.environments)
        )

    def role_for(self, name: str, act: str) -> str | None:
        """A role of signer `name` that grants `act` (the first in the policy's order)."""
        signer = self.signer(name)
        return next((role for role in signer.roles if self.may(role, act)), None) if signer else None

    def _strictest(self) -> Environment:
        return max(self.document.environments, key=_rank)

    def _environment(self, target: Target, strictest: Environment) -> Environment:
        matching = [
            environment
            for environment in self.document.environments
            if any(_matches(glob, target) for glob in environment.match)
        ]
        return max(matching, key=_rank) if matching else strictest


def _granted(roles: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    """Return what each role grants, once: whoever reads a long log asks for each statement."""
    found = {role: tuple(acts) for role, acts in roles.items()}
    if any("read" in acts for acts in found.values()):
        return found
    return {role: (*acts, "read") if {"run", "redact"} & set(acts) else acts for role, acts in found.items()}


def targets_of(manifest: Manifest) -> tuple[Target, ...]:
    """Everything that a plan acts on: hosts of both phases, delegates, changed resources."""
    known = {host.name: host for host in manifest.inventory.hosts} if manifest.inventory else {}
    new = added(manifest)
    names = dict.fromkeys((*targets(manifest), *delegates(manifest)))
    hosts = [
        Target(name=name, groups=known[name].groups, address=known[name].address)
        if name in known
        else Target(name=name, address=new[name].address if name in new else "")
        for name in names
    ]
    return (*hosts, *(Target(name=urn, kind="resource") for urn in resources(manifest)))


def _matches(glob: str, target: Target) -> bool:
    kind, colon, pattern = glob.partition(":")
    if not colon or kind not in _KINDS:
        kind, pattern = "host", glob
    if kind == "group":
        return any(fnmatchcase(value, pattern) for value in target.groups)
    if kind == "address":
        return bool(target.address) and fnmatchcase(target.address, pattern)
    return kind == target.kind and fnmatchcase(target.name, pattern)


def _rank(environment: Environment) -> int:
    return environment.rank


def still_valid(policy: Policy, name: str, role: str, now: datetime) -> bool:
    """Whether `name` holds `role` in `policy` and has a key that is valid at `now`."""
    signer = policy.signer(name)
    return signer is not None and role in signer.roles and any(key.valid_at(now) for key in signer.keys)
