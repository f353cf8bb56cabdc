"""Where a workspace is and what its `itmp.yml` says.

Rules kept here: everything the gate judges by is in the logged policy, never here; of what stands here it takes the
places of local anchors alone, which check 8 asks, and a policy that demands anchors is not met by taking them out.
`itmp.local.yml` (not committed) overrides `itmp.yml` key by key; unknown keys are refused, so that a typing error never
changes a run silently. Every command reads these files, so nothing large is imported to check them.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import yaml

from itmp.errors import InvalidInputError, NotFoundError

FILE: Final = "itmp.yml"
LOCAL: Final = "itmp.local.yml"
STATE: Final = ".itmp"
T = TypeVar("T")
_MOST_DAYS: Final = 36500


class _Wrong(Exception):  # noqa: N818 - a signal to `load`, never seen outside
    """What is wrong, with the key below which it stands."""

    def __init__(self, why: str, *keys: str) -> None:
        super().__init__(why)
        self.keys = keys


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _Wrong("must be a text")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise _Wrong("must be a list of texts")
    return tuple(_each(_text, value))


def _texts_or_none(value: Any) -> tuple[str, ...] | None:
    return None if value is None else _texts(value)


def _named(value: Any) -> Mapping[str, str]:
    if not isinstance(value, dict):
        raise _Wrong("must be a mapping of texts")
    return dict(zip(_each(_text, list(value)), _each(_text, list(value.values())), strict=True))


def _days(value: Any) -> int:
    if type(value) is not int or not 1 <= value <= _MOST_DAYS:
        raise _Wrong(f"must be a whole number from 1 to {_MOST_DAYS}")
    return value


def _word(*words: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in words:
            raise _Wrong(f"must be one of {', '.join(words)}")
        return str(value)

    return read


def _each(read: Callable[[Any], T], values: list[Any]) -> list[T]:
    found = []
    for at, value in enumerate(values):
        try:
            found.append(read(value))
        except _Wrong as wrong:
            raise _Wrong(str(wrong), str(at), *wrong.keys) from None
    return found


def _part(kind: type[T]) -> Callable[[Any], T]:
    """Return how a mapping becomes a `kind`, a dataclass whose fields say how they are read (default: a text)."""

    def read(value: Any) -> T:
        if not isinstance(value, dict):
            raise _Wrong("must be a mapping of keys")
        known = {one.name: one for one in fields(kind)}  # type: ignore[arg-type]  # each is a dataclass
        for key in value:
            if key not in known:
                raise _Wrong("no such key", str(key))
        for name, one in known.items():
            if name not in value and one.default is MISSING and one.default_factory is MISSING:
                raise _Wrong("is missing", name)
        return kind(
            **{key: _read_key(known[key].metadata.get("read", _text), key, value[key]) for key in value}
        )

    return read


def _parts(kind: type[T], what: str) -> Callable[[Any], tuple[T, ...]]:
    """Return how a list of mappings becomes as many of `kind`."""

    def read(value: Any) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise _Wrong(f"must be a list of {what}")
        return tuple(_each(_part(kind), value))

    return read


def _read_key(read: Callable[[Any], T], key: str, value: Any) -> T:
    try:
        return read(value)
    except _Wrong as wrong:
        raise _Wrong(str(wrong), key, *wrong.keys) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Me:
    """Who signs here by default: the signer's id (only shown) and the key file."""

    signer: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aws:
    """Where the cloud is: credentials come only from the AWS environment or profile."""

    region: str = "us-east-1"
    endpoint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backends:
    """Outside systems."""

    aws: Aws = field(default=Aws(), metadata={"read": _part(Aws)})


_NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    "directory": (), "witness": ("url", "key"), "rfc3161": ("url", "roots"), "git": ("path",), "s3": ("bucket",),
}  # fmt: skip
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,30}\Z")
_TOKEN: Final = re.compile(r"env:ITMP_ALERT_[A-Z0-9_]{1,60}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorSetting:
    """One place that remembers the log's heads; which keys it needs depends on its kind."""

    kind: Literal["directory", "witness", "rfc3161", "git", "s3"] = field(metadata={"read": _word(*_NEEDS)})
    name: str = ""
    path: str = ""
    account: str = ""
    url: str = ""
    key: str = ""
    roots: str = ""
    bucket: str = ""
    days: int = field(default=400, metadata={"read": _days})
    lag: str = "24h"

    @property
    def where(self) -> str:
        """Its place as it is said here; another one is another anchor, whatever its name."""
        return os.path.normpath(self.path) if self.path else self.url or self.bucket or self.account

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


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertSetting:
    """One route of alerts: a program (`command`, its words) or a receiver (`url`), which may ask for a `token`."""

    name: str
    command: tuple[str, ...] = field(default=(), metadata={"read": _texts})
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """`itmp.yml`: organization (a domain), log name, inventories, outside systems, anchors, alerts, who I am.

    `custody: none` lets child processes see the state folder; permits say so, and evidence repeats it. `agent_keys` are
    the fingerprints of those keys of the ssh-agent that children may log in with; unset: all, an empty list: none.
    """

    organization: str
    log: str = "ops"
    inventories: tuple[str, ...] = field(default=(), metadata={"read": _texts})
    known_hosts: str = "inventories/known_hosts"
    ssh_config: str = ""
    callbacks: tuple[str, ...] = field(default=(), metadata={"read": _texts})
    vault: Mapping[str, str] = field(default_factory=dict, metadata={"read": _named})
    custody: Literal["auto", "none"] = field(default="auto", metadata={"read": _word("auto", "none")})
    agent_keys: tuple[str, ...] | None = field(default=None, metadata={"read": _texts_or_none})
    backends: Backends = field(default=Backends(), metadata={"read": _part(Backends)})
    anchors: tuple[AnchorSetting, ...] = field(
        default=(), metadata={"read": _parts(AnchorSetting, "anchors")}
    )
    alerts: tuple[AlertSetting, ...] = field(default=(), metadata={"read": _parts(AlertSetting, "alerts")})
    me: Me = field(default=Me(), metadata={"read": _part(Me)})


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
        config = _part(Config)(merged)
    except _Wrong as wrong:
        known = ", ".join(one.name for one in fields(Config))
        raise InvalidInputError(
            f"{'.'.join(wrong.keys)}: {wrong}", where=FILE, do=f"Known keys: {known}"
        ) from wrong
    _check(config)
    return config


def _check(config: Config) -> None:
    """Raise `InvalidInputError` for what must not be found out on the day on which it is needed."""
    if config.anchors:
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
