"""Where stacks keep their state on this machine, and the exact environment of the engine.

Rules kept here: the folder is private (0700) and belongs to one executor account; the passphrase is made
once, never printed and never passed as an argument. Children get this environment and nothing else: a
private PULUMI_HOME hides the user's plugins and logins, no plugin is fetched, and loopback never goes
through a proxy. A preview works on a copy, so that it changes nothing here.

Layout: `state/` (Pulumi's file backend), `home/` (PULUMI_HOME), `work/<program>/` (settings of its stacks),
`bin/` (starts our provider), `leases/`, `passphrase`.
"""

import fcntl
import json
import os
import secrets
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from itmp.errors import BusyError, InvalidInputError

_PASSED: Final = (
    "HOME",
    "TMPDIR",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "https_proxy",
    "http_proxy",
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
)
_LOGS: Final = 100
_LOOPBACK: Final = "127.0.0.1,localhost"
_SYSTEM_PATH: Final = "/usr/local/bin:/usr/bin:/bin"
_PROVIDER: Final = "pulumi-resource-itmp"


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudPlace:
    """Region and endpoint of the cloud; empty means what the AWS environment or profile says."""

    region: str = ""
    endpoint: str = ""

    @property
    def environment(self) -> Mapping[str, str]:
        """Return every AWS variable of this process, with region and endpoint settled."""
        found = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        region = self.region or found.get("AWS_REGION", "") or found.get("AWS_DEFAULT_REGION", "")
        if region:
            found |= {"AWS_REGION": region, "AWS_DEFAULT_REGION": region}
        return found | ({"AWS_ENDPOINT_URL": self.endpoint} if self.endpoint else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class StackName:
    """A program's catalog name and a stack of it."""

    program: str
    stack: str


@dataclass(frozen=True, slots=True)
class Place:
    """The state folder of this workspace's stacks."""

    root: Path

    def prepare(self) -> None:
        """Create what is missing; safe from several processes at once."""
        for folder in (self.root, *(self.root / name for name in ("state", "home", "work", "bin", "leases"))):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._once("passphrase", secrets.token_hex(32), 0o600)
        script = f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -I -B -m itmp.provider.main "$@"\n'
        self._once(f"bin/{_PROVIDER}", script, 0o700, again=True)
        self._forget_logs()

    def _forget_logs(self) -> None:
        """Drop the engine's oldest logs: it writes one per call and never removes any."""
        for path in sorted((self.root / "home" / "logs").glob("*.log"), key=_age)[:-_LOGS]:
            path.unlink(missing_ok=True)

    def _once(self, name: str, text: str, mode: int, *, again: bool = False) -> None:
        path = self.root / name
        if path.exists() and not (again and path.read_text() != text):
            return
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
            file.write(text)
        if again:
            temporary.replace(path)
            return
        with suppress(FileExistsError):
            os.link(temporary, path)  # the first writer wins: everyone then reads one passphrase
        temporary.unlink()

    def exists(self, name: StackName) -> bool:
        """Whether the stack has a state."""
        return self._state(name).is_file()

    def _state(self, name: StackName) -> Path:
        return self.root / "state" / ".pulumi" / "stacks" / name.program / f"{name.stack}.json"

    def engine_locks(self, name: StackName) -> tuple[Path, ...]:
        """Return the engine's own lock files on the stack."""
        folder = self.root / "state" / ".pulumi" / "locks" / "organization" / name.program / name.stack
        return tuple(sorted(folder.glob("*.json")))

    def work(self, name: StackName) -> Path:
        """Return the settings folder of a program's stacks."""
        return self.root / "work" / name.program

    def configure(self, name: StackName, config: Mapping[str, Any]) -> Path:
        """Write project and stack settings for one operation; return their folder.

        The stack's encryption salt, which the engine keeps in the same file, is preserved.
        """
        folder = self.work(name)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        project = {"name": name.program, "runtime": "python", "main": str(folder)}
        _write(folder / "Pulumi.yaml", json.dumps(project))
        settings = self._settings(name)
        kept = {}
        if settings.is_file():
            with open(settings, encoding="utf-8", opener=unlinked) as file:
                kept = yaml.safe_load(file)
        values = {f"{name.program}:{key}": _config_text(value) for key, value in config.items()}
        salt = {key: value for key, value in (kept or {}).items() if key == "encryptionsalt"}
        _write(settings, json.dumps({**salt, "config": values}))
        return folder

    def _settings(self, name: StackName) -> Path:
        return self.work(name) / f"Pulumi.{name.stack}.yaml"

    def copy(self, name: StackName, target: Path) -> "Place":
        """Return a place in `target` with this stack's state and settings, for a preview."""
        twin = Place(target)
        twin.prepare()
        if self.exists(name):
            for path in (self._state(name), self._settings(name), self.root / "state/.pulumi/meta.yaml"):
                if path.is_file():
                    landed = target / path.relative_to(self.root)
                    landed.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, landed, follow_symlinks=False)
            shutil.copyfile(self.root / "passphrase", target / "passphrase")
        return twin

    @contextmanager
    def lease(self, name: StackName) -> Iterator[None]:
        """Hold the stack for this process; raise `BusyError` when another one holds it."""
        path = self.root / "leases" / f"{name.program}.{name.stack}"
        with open(path, "w", opener=unlinked) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                where = f"{name.program}/{name.stack}"
                raise BusyError("another run holds this stack", where=where, do="Wait for it.") from error
            yield

    def environment(self, engine: Path, cloud: CloudPlace) -> dict[str, str]:
        """Return the whole environment of the engine and of everything that it starts."""
        passed = {name: os.environ[name] for name in _PASSED if name in os.environ}
        direct = ",".join(filter(None, (os.environ.get("NO_PROXY", os.environ.get("no_proxy")), _LOOPBACK)))
        return {
            **passed,
            **cloud.environment,
            "NO_PROXY": direct,
            "no_proxy": direct,
            "LANG": "C.UTF-8",
            "PATH": f"{self.root / 'bin'}:{engine.parent}:{_SYSTEM_PATH}",
            "PULUMI_HOME": str(self.root / "home"),
            "PULUMI_BACKEND_URL": f"file://{self.root / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(self.root / "passphrase"),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        }


def unlinked(path: str, flags: int) -> int:
    """Open what the engine's children may have replaced: through a link they would reach what is closed to them."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _write(path: Path, text: str) -> None:
    with open(path, "w", encoding="utf-8", opener=unlinked) as file:
        file.write(text)


def _age(path: Path) -> float:
    with suppress(FileNotFoundError):
        return path.stat().st_mtime
    return 0.0


def _config_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def drop_dead_lock(place: Place, name: StackName, cancel: Callable[[], Any]) -> None:
    """Call `cancel` when a dead engine has left its lock; the caller holds the lease.

    Raises `BusyError` when the engine that holds it still lives, or lived on another machine.
    """
    locks = place.engine_locks(name)
    for path in locks:
        try:
            holder = json.loads(path.read_text())
            pid, host = int(holder["pid"]), str(holder["hostname"])
        except FileNotFoundError:
            continue
        except (ValueError, KeyError, TypeError):
            pid, host = 0, os.uname().nodename  # cut off while it was written
        if host != os.uname().nodename or _is_engine(pid):
            raise BusyError(
                f"the engine of process {pid} on {host} holds this stack",
                where=f"{name.program}/{name.stack}",
                do="Wait for it; if that machine is gone, run `pulumi cancel` there.",
            )
    if locks:
        cancel()


def _is_engine(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == "pulumi"
    except OSError:
        return False


def stack_name(program: str, stack: str) -> StackName:
    """Return a checked name: both parts become file names and urns."""
    for part in (program, stack):
        plain = part.replace("-", "").replace("_", "").replace(".", "")
        if not plain.isascii() or not plain.isalnum() or part.startswith((".", "-")) or len(part) > 100:  # noqa: PLR2004 -- the engine's limit for a stack's name
            raise InvalidInputError(
                f"not a name for a program or stack: {part!r:.120}", do="Use letters, digits, - and _."
            )
    return StackName(program=program, stack=stack)


__all__ = ["CloudPlace", "Place", "StackName", "drop_dead_lock", "stack_name", "unlinked"]
