"""The shape of `policy/policy.yml`: pydantic models, strict, and the YAML reader in front of them.

Rules kept here: unknown keys, duplicate keys, anchors, tags and implicit dates are refused, so the document
means the same to every reader; every problem of one document is reported at once with the path of the
offending value; a key that is too weak to bind a person never enters a policy; one key belongs to one
signer.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.functional_validators import BeforeValidator

from itmp.calendars import Weekly, Window, parse_duration, parse_time
from itmp.errors import Error, InvalidInputError
from itmp.plan.model import Risk
from itmp.signing import ACTS, PublicKey, check_principal

SCHEMA: Final = "policy/v1"
T = TypeVar("T")

MAX_POLICY: Final = (
    40 * 1024
)  # it stands whole inside one leaf (itmp.audit.event.MAX_LEAF), beside its statements

MAX_LIMIT: Final = timedelta(days=366)

ChangeType: TypeAlias = Literal["standard", "normal", "emergency"]


def _time(value: object) -> datetime:
    return _translated(parse_time, value)


def _duration(value: object) -> timedelta:
    return _translated(parse_duration, value)


def _principal(value: object) -> str:
    return _translated(check_principal, value)


def _key(value: object) -> PublicKey:
    return _translated(PublicKey.parse, value)


def _translated(read: Callable[[str], T], value: object) -> T:
    """Call a reader of another room; pydantic wants `ValueError` where we raise `Error`."""
    if not isinstance(value, str):
        raise ValueError("must be text")  # noqa: TRY004 - pydantic collects ValueError only
    try:
        return read(value)
    except Error as error:
        raise ValueError(error.what) from error


Time: TypeAlias = Annotated[datetime, BeforeValidator(_time)]
Duration: TypeAlias = Annotated[timedelta, BeforeValidator(_duration)]
SignerId: TypeAlias = Annotated[str, BeforeValidator(_principal)]
Name: TypeAlias = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Key(_Shape):
    """One SSH key of a signer. `hardware` demands a touched FIDO key, `pin` that its PIN was given too."""

    key: Annotated[PublicKey, BeforeValidator(_key)]
    not_before: Time | None = None
    not_after: Time | None = None
    hardware: StrictBool = False
    pin: StrictBool = False

    @model_validator(mode="after")
    def _fits(self) -> "Key":
        if (self.hardware or self.pin) and not self.key.hardware:
            raise ValueError("the policy asks for hardware but the key is not a FIDO (sk-…) key")
        return self

    def valid_at(self, now: datetime) -> bool:
        """Whether the key may sign at `now`; both bounds are inclusive."""
        return not ((self.not_before and now < self.not_before) or (self.not_after and now > self.not_after))


class Signer(_Shape):
    """A person or a machine account, the roles it holds and its keys. Only people count for a quorum."""

    id: SignerId
    kind: Literal["human", "machine"] = "human"
    roles: tuple[Name, ...] = Field(min_length=1)
    keys: tuple[Key, ...] = Field(min_length=1)


class Quorum(_Shape):
    """How many distinct people in which roles must approve such a change in an environment at a risk."""

    environment: Name
    risk: tuple[Risk, ...] = Field(min_length=1)
    types: tuple[ChangeType, ...] = Field(min_length=1, default=("normal",))
    roles: tuple[Name, ...]
    count: StrictInt = Field(ge=0, le=20)

    @field_validator("risk", mode="before")
    @classmethod
    def _one_or_more(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _has_roles(self) -> "Quorum":
        if self.count and not self.roles:
            raise ValueError("a count above 0 needs the roles that may approve")
        return self


class Environment(_Shape):
    """A class of targets. A higher `rank` is stricter; `match` are globs, see `Policy.environment_of`."""

    name: Name
    rank: StrictInt = Field(ge=0)
    match: tuple[str, ...] = ()
    minimum_risk: Risk = "low"


class Separation(_Shape):
    """What one person may do alone in an environment, and why the organization accepts that."""

    environment: Name
    requester_approves: StrictBool = False
    approver_runs: StrictBool = False
    because: str = Field(min_length=8)


class WeeklyWindow(_Shape):
    """A weekly time in which changes of these environments may run: local start, duration in real hours."""

    environments: tuple[Name, ...] = Field(min_length=1)
    days: tuple[str, ...] = Field(min_length=1)
    start: str
    duration: str
    zone: str

    @model_validator(mode="after")
    def _readable(self) -> "WeeklyWindow":
        _translated(lambda _: self.weekly, "")
        return self

    @property
    def weekly(self) -> Weekly:
        """The recurrence itself."""
        return Weekly.parse(days=self.days, start=self.start, duration=self.duration, zone=self.zone)


class Freeze(_Shape):
    """A time in which nothing runs in these environments; changes of the types in `except_types` may."""

    name: str = Field(min_length=1, max_length=200)
    start: Time = Field(alias="from")
    end: Time = Field(alias="to")
    environments: tuple[Name, ...] = Field(min_length=1)
    except_types: tuple[ChangeType, ...] = Field(default=(), alias="except")

    @model_validator(mode="after")
    def _in_order(self) -> "Freeze":
        if not self.start < self.end:
            raise ValueError("'to' is not after 'from'")
        return self

    @property
    def window(self) -> Window:
        """The frozen time."""
        return Window(start=self.start, end=self.end)


class Limits(_Shape):
    """`approval`: how long an approval may be valid; `permit`: how long a permit may last.

    `unpinned_hosts`: whether a plan may reach hosts without a check of their keys. `anchors`: whether a run is
    refused where a local anchor cannot be read or has forgotten; one that contradicts the log always refuses.
    `unsynchronised_clock`: whether the gate judges times by a clock that the kernel does not call synchronised.
    """

    approval: Duration = timedelta(days=14)
    permit: Duration = timedelta(hours=24)
    unpinned_hosts: Literal["refuse", "allow"] = "refuse"
    anchors: Literal["tell", "refuse"] = "tell"
    unsynchronised_clock: Literal["refuse", "allow"] = "allow"

    @field_validator("approval", "permit")
    @classmethod
    def _bounded(cls, value: timedelta) -> timedelta:
        if not timedelta(0) < value <= MAX_LIMIT:
            raise ValueError(f"must be more than 0s and at most {MAX_LIMIT.days}d")
        return value


class Retention(_Shape):
    """`keep`: how long committed contents are kept; `hot`: how long they must be at hand. Leaves stay for ever."""

    keep: Duration = timedelta(days=366)
    hot: Duration = timedelta(days=92)

    @model_validator(mode="after")
    def _in_order(self) -> "Retention":
        if not timedelta(0) < self.hot <= self.keep:
            raise ValueError("hot must be more than 0s and no longer than keep")
        return self


class Amendment(_Shape):
    """Who may change the policy itself: so many distinct people in these roles, under the old version."""

    roles: tuple[Name, ...] = Field(min_length=1)
    count: StrictInt = Field(ge=1, le=20)


class Document(_Shape):
    """The whole policy document."""

    itmp: Literal["policy/v1"]
    signers: tuple[Signer, ...] = Field(min_length=1)
    roles: dict[Name, tuple[str, ...]]
    quorum: tuple[Quorum, ...]
    environments: tuple[Environment, ...] = Field(min_length=1)
    amend: Amendment
    separation: tuple[Separation, ...] = ()
    windows: tuple[WeeklyWindow, ...] = ()
    freezes: tuple[Freeze, ...] = ()
    limits: Limits = Limits()
    retention: Retention = Retention()

    @model_validator(mode="after")
    def _consistent(self) -> "Document":
        problems = [*_doubles(self), *_strangers(self)]
        if problems:
            raise ValueError("; ".join(problems))
        return self


def _doubles(document: Document) -> Iterator[str]:
    keys = [(key.key.blob, signer.id) for signer in document.signers for key in signer.keys]
    owners = Counter(blob for blob, _ in keys)
    yield from (f"a key of {name} stands twice in the policy" for blob, name in keys if owners[blob] > 1)
    for what, values in {
        "signer": [signer.id.casefold() for signer in document.signers],
        "environment": [environment.name for environment in document.environments],
        "environment rank": [str(environment.rank) for environment in document.environments],
        "separation for": [rule.environment for rule in document.separation],
        "quorum for": [
            f"{rule.environment} {risk} {kind}"
            for rule in document.quorum
            for risk in rule.risk
            for kind in rule.types
        ],
    }.items():
        yield from (f"{what} {value} stands twice" for value, count in Counter(values).items() if count > 1)


def _strangers(document: Document) -> Iterator[str]:
    environments = {environment.name for environment in document.environments}
    used = [
        *(rule.environment for rule in document.quorum),
        *(rule.environment for rule in document.separation),
        *(name for window in document.windows for name in window.environments),
        *(name for freeze in document.freezes for name in freeze.environments if name != "all"),
    ]
    yield from (f"environment {name} is not declared" for name in sorted(set(used) - environments))
    roles = [
        *(role for signer in document.signers for role in signer.roles),
        *(role for rule in document.quorum for role in rule.roles),
        *document.amend.roles,
    ]
    yield from (f"role {name} is not declared" for name in sorted(set(roles) - document.roles.keys()))
    acts = {act for role in document.roles.values() for act in role}
    yield from (f"{act!r} is no act" for act in sorted(acts - ACTS))
    deciders = {role for rule in document.quorum for role in rule.roles}
    mute = [
        role for role in sorted(deciders & document.roles.keys()) if "approve" not in document.roles[role]
    ]
    yield from (f"role {role} is in a quorum but may not approve" for role in mute)
    if document.roles.keys() >= set(document.amend.roles):
        able = [s for s in document.signers if s.kind == "human" and set(s.roles) & set(document.amend.roles)]
        if len(able) < document.amend.count:
            yield f"amend needs {document.amend.count} people, {len(able)} hold its roles: nobody could"


class _Loader(yaml.SafeLoader):
    """SafeLoader without dates, anchors and duplicate keys."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or event.anchor:
            raise yaml.YAMLError(f"anchors and aliases are not allowed ({event.start_mark})")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:  # noqa: FBT001, FBT002 - PyYAML's signature
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for position, key in enumerate(keys):
            if not isinstance(key, str) or key in keys[:position]:
                raise yaml.YAMLError(f"key {key!r:.60} stands twice or is no text ({node.start_mark})")
        return super().construct_mapping(node, deep=deep)


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern) for tag, pattern in resolvers if not tag.endswith((":timestamp", ":float", ":merge"))
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@lru_cache(maxsize=32)  # the gate walks the same few versions before every slice
def read(data: bytes) -> Document:
    """Read a policy's bytes; raise `InvalidInputError` that lists every problem."""
    if len(data) > MAX_POLICY:
        raise InvalidInputError(f"a policy of {len(data)} bytes; the limit is {MAX_POLICY}", where="policy")
    try:
        value = yaml.load(data.decode(), Loader=_Loader)  # noqa: S506 - a SafeLoader with less, not more
        return Document.model_validate(value)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, p['loc'])) or 'policy'}: {p['msg']}" for p in error.errors()]
        raise InvalidInputError("\n".join(lines), where="policy", do="Correct policy/policy.yml.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidInputError(f"not readable YAML: {error}", where="policy") from error
