"""Where a workspace is and what its `itmp.yml` says.

Rules kept here: everything the gate uses is in the logged policy, never here; `itmp.local.yml` (not committed)
overrides `itmp.yml` key by key; unknown keys are refused, so that a typing error never changes a run silently.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from itmp.errors import InvalidInputError, NotFoundError

FILE: Final = "itmp.yml"
LOCAL: Final = "itmp.local.yml"
STATE: Final = ".itmp"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Me(_Part):
    """Who signs here by default: the signer's id (only shown) and the key file."""

    signer: str = ""
    key: str = ""


class Aws(_Part):
    """Where the cloud is: credentials come only from the AWS environment or profile."""

    region: str = "us-east-1"
    endpoint: str = ""


class Backends(_Part):
    """Outside systems."""

    aws: Aws = Aws()


_NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    "directory": (), "witness": ("url", "key"), "rfc3161": ("url", "roots"), "git": ("path",), "s3": ("bucket",),
}  # fmt: skip
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,30}\Z")
_TOKEN: Final = re.compile(r"env:ITMP_ALERT_[A-Z0-9_]{1,60}\Z")


class AnchorSetting(_Part):
    """One place that remembers the log's heads; which keys it needs depends on its kind."""

    kind: Literal["directory", "witness", "rfc3161", "git", "s3"]
    name: str = ""
    path: str = ""
    account: str = ""
    url: str = ""
    key: str = ""
    roots: str = ""
    bucket: str = ""
    days: int = Field(default=400, ge=1, le=36500)
    lag: str = "24h"

    def check(self, name: str) -> None:
        """Raise `InvalidInputError` unless everything that its kind needs is said, and `name` can name files."""
        if not _NAME.match(name):
            raise InvalidInputError(
                f"{name!r:.60} cannot name an anchor", where=FILE, do="Use a-z, 0-9 and -."
            )
        if missing := [key for key in _NEEDS[self.kind] if not getattr(self, key)]:
            raise InvalidInputError(
                f"anchor {name} of kind {self.kind} needs {', '.join(missing)}", where=FILE
            )


class AlertSetting(_Part):
    """One route of alerts: a program (`command`, its words) or a receiver (`url`), which may ask for a `token`."""

    name: str
    command: tuple[str, ...] = ()
    url: str = ""
    token: str = ""

    def check(self) -> None:
        """Raise `InvalidInputError` for a name that is none, or a token that a committed file could misuse."""
        if not _NAME.match(self.name):
            raise InvalidInputError(
                f"{self.name!r:.60} cannot name an alert", where=FILE, do="Use a-z, 0-9 and -."
            )
        if self.token and not _TOKEN.match(self.token):
            raise InvalidInputError(
                f"alert {self.name}: its token is no variable that is meant for alerts",
                where=FILE,
                do="Name one that begins so: env:ITMP_ALERT_TOKEN",
            )


class Config(_Part):
    """`itmp.yml`: organization (a domain), log name, inventories, outside systems, anchors, alerts, who I am.

    `custody: none` lets child processes see the state folder; permits say so, and evidence repeats it. `agent_keys` are
    the fingerprints of those keys of the ssh-agent that children may log in with; unset: all, an empty list: none.
    """

    organization: str
    log: str = "ops"
    inventories: tuple[str, ...] = ()
    known_hosts: str = "inventories/known_hosts"
    ssh_config: str = ""
    callbacks: tuple[str, ...] = ()
    vault: Mapping[str, str] = Field(default_factory=dict)
    custody: Literal["auto", "none"] = "auto"
    agent_keys: tuple[str, ...] | None = None
    backends: Backends = Backends()
    anchors: tuple[AnchorSetting, ...] = ()
    alerts: tuple[AlertSetting, ...] = ()
    me: Me = Me()


def find_root(start: Path | None = None) -> Path:
    """Return the workspace: `ITMP_WORKSPACE`, else the nearest folder upward that holds `itmp.yml`."""
    named = os.environ.get("ITMP_WORKSPACE", "")
    if named.startswith("ssh://"):
        raise InvalidInputError(
            "a workspace over ssh is not available in this version",
            where="ITMP_WORKSPACE",
            do="Log in to that machine and run itmp there.",
        )
    if named:
        return _checked(Path(named))
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / FILE).is_file():
            return folder
    raise NotFoundError(
        f"no {FILE} here or in any folder above",
        where=str(here),
        do="Run `itmp init` in the folder of your runbooks.",
    )


def _checked(folder: Path) -> Path:
    if not (folder / FILE).is_file():
        raise NotFoundError(f"no {FILE} in it", where=str(folder), do="Point ITMP_WORKSPACE at a workspace.")
    return folder.resolve()


def load(root: Path) -> Config:
    """Read `itmp.yml` and what `itmp.local.yml` overrides; raise `InvalidInputError` with file and key."""
    merged = _merge(_read(root / FILE), _read(root / LOCAL) if (root / LOCAL).is_file() else {})
    try:
        config = Config.model_validate(merged, strict=False)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise InvalidInputError(
            f"{key}: {first['msg']}", where=FILE, do="Known keys: " + ", ".join(Config.model_fields)
        ) from error
    _check(config)
    return config


def _check(config: Config) -> None:
    """Raise `InvalidInputError` for what must not be found out on the day on which it is needed."""
    from itmp.calendars import parse_duration  # noqa: PLC0415 - the command line's help starts faster

    for anchor in config.anchors:
        parse_duration(anchor.lag)
    for alert in config.alerts:
        alert.check()
    if len({alert.name for alert in config.alerts}) != len(config.alerts):
        raise InvalidInputError("two alerts have one name", where=FILE, do="Give each its own.")


def _read(path: Path) -> dict[str, Any]:
    try:
        value = yaml.load(path.read_bytes(), Loader=yaml.CSafeLoader)
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"cannot be read: {error}", where=path.name) from error
    if not isinstance(value, dict):
        raise InvalidInputError("is not a mapping of keys", where=path.name, do="Start from `itmp init`.")
    return value


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged
