"""The lockfile: exactly which versions a patch schedule brings its hosts from and to. People commit it.

Rules kept here: it is made by `resolve` and read byte for byte; indented canonical JSON, so that a review
shows one line per package; no clock, no machine path. One lock is for one platform: every host must be on it.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from itmp import canonical
from itmp.errors import InvalidInputError
from itmp.patching.simulation import NAME, VERSION

SCHEMA: Final = "itmp-patch-lock/v1"
_MAX: Final = 4 * 1024 * 1024

PackageName = Annotated[str, StringConstraints(pattern=f"^{NAME.pattern}$", max_length=200)]
Version = Annotated[str, StringConstraints(pattern=f"^{VERSION.pattern}$", max_length=200)]
_Fact = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]+$", max_length=60)]
_Model = ConfigDict(strict=True, extra="forbid", frozen=True, populate_by_name=True)


class Platform(BaseModel):
    """What a host is: os-release's ID and VERSION_CODENAME, and dpkg's architecture."""

    model_config = _Model

    distribution: _Fact
    release: _Fact
    architecture: _Fact

    def __str__(self) -> str:
        return f"{self.distribution} {self.release} {self.architecture}"


class Locked(BaseModel):
    """One package: `old` is the version that hosts have now (empty: not installed), `new` the one to bring.

    `back` says whether `old` could still be installed when the lock was made.
    """

    model_config = _Model

    old: Version | Literal[""] = Field(alias="from")
    new: Version = Field(alias="to")
    origin: str
    architecture: _Fact
    back: bool


class Lock(BaseModel):
    """The whole lockfile. `removals` maps a package that goes away to its version; `kept` names held ones."""

    model_config = _Model

    schema_name: Literal["itmp-patch-lock/v1"] = Field(alias="schema")
    schedule: str
    platform: Platform
    hosts: tuple[str, ...]
    packages: Mapping[PackageName, Locked]
    removals: Mapping[PackageName, str]
    kept: tuple[PackageName, ...]

    @property
    def upgrades(self) -> Mapping[str, Locked]:
        """The packages that hosts have now."""
        return {name: one for name, one in self.packages.items() if one.old}

    @property
    def additions(self) -> Mapping[str, Locked]:
        """The packages that an upgrade newly needs."""
        return {name: one for name, one in self.packages.items() if not one.old}

    def to_bytes(self) -> bytes:
        """Return the file's bytes."""
        value = self.model_dump(mode="json", by_alias=True)
        canonical.dumps(value)  # refuses what has no one encoding
        return (json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode()


def read_lock(data: bytes, where: str) -> Lock:
    """Read a lockfile; raise `InvalidInputError` unless `to_bytes` would give exactly `data` back."""
    again = "Make it again: itmp patch resolve."
    if len(data) > _MAX:
        raise InvalidInputError(f"a lockfile beyond {_MAX} bytes", where=where, do=again)
    try:
        lock = Lock.model_validate_json(data)
        same = lock.to_bytes() == data
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise InvalidInputError(f"not a lockfile: {place}: {first['msg']}", where=where, do=again) from None
    if not same:
        raise InvalidInputError("the lockfile was edited by hand", where=where, do=again)
    return lock
