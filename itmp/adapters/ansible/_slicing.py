"""Writes what one slice of an Ansible step needs, and says with which command and environment it runs.

Rules kept here: the slice gets the plan's bytes afresh; ssh's configuration, sockets and Ansible's scratch are in a
private folder with a short path, in memory where there is such; texts of a document's variables are data, never
templates. What a crash leaves behind holds no secret, and says no more than that something may be left over: plays may
have written there, so what asks the targets is laid out afresh too.
"""

import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from itmp.adapters import supervisor
from itmp.adapters.ansible import _config, _handlers, _piping, _ssh, layout
from itmp.adapters.ansible._tasks import is_local
from itmp.adapters.ansible._ways import Ways
from itmp.adapters.ansible.start import REMOTE_FOLDERS
from itmp.adapters.known_hosts import PinnedKeys
from itmp.adapters.supervisor import custody
from itmp.canonical import digest
from itmp.errors import Error, NotFoundError
from itmp.execution.doors import Room, Slice
from itmp.plan import AnsibleStep, Plan
from itmp.plan.model import Host

REMOTE_TOKEN: Final = "ITMP_RUN"  # noqa: S105 -- the name of a variable on targets, not a secret
SESSION_TOKEN: Final = "LC_ITMP_RUN"  # noqa: S105 -- as above; a server takes it if it takes LC_*


class LostError(Error):
    """Ansible itself failed or was ended: something may still be running on targets."""

    exit_code = 14


@dataclass(slots=True, kw_only=True)
class Fresh:
    """A slice's folder; `kept` once work goes on that nobody has seen end. A child can write there and not here."""

    folder: Path
    kept: bool = False


class Slicing:
    """One slice: the plan's bytes in `folder`, sockets and scratch in `short`."""

    def __init__(
        self, plan: Plan, part: Slice, step: AnsibleStep, room: Room, *, contained: bool = False
    ) -> None:
        self._plan, self._part, self._step = plan, part, step
        self.room, self.contained = room, contained

    def write(
        self, folder: Path, short: Path, vaults: Mapping[str, str], passed: tuple[str, ...]
    ) -> dict[str, Any]:
        """Lay the slice out and return the child's request."""
        self.lay_out(folder)
        playbook = ["playbook", *("--limit", f"@{folder / 'limit'}"), *("-e", f"@{folder / 'vars.json'}")]
        playbook += [word for tag in self._step.tags for word in ("--tags", tag)]
        playbook += [word for tag in self._step.skip_tags for word in ("--skip-tags", tag)]
        playbook.append(str(folder / self._step.playbook))
        mark = f"{SESSION_TOKEN}={remote_token(self.room)}"
        return {
            "command": command(folder, short, vaults, playbook, mark=mark, contained=self.contained),
            "environment": self._environment(folder, short, passed),
            "folder": str(folder / "project" / "playbooks"),
            "data": str(folder / "runner"),
            "scratch": str(short),
        }

    def lay_out(self, folder: Path) -> tuple[str, ...]:
        """Write the plan's bytes and what binds the slice to `folder`, which is empty; return whom it may act on."""
        wanted = [p for p in self._plan.manifest.artifacts if p.startswith(("project/", "inventory/"))]
        layout.lay_out(folder, ((path, self._plan.artifact(path)) for path in wanted))
        hosts = self._allowed()
        layout.write(folder, "limit", "".join(f"{name}\n" for name in self._part.hosts).encode())
        layout.write(folder, "delegates", "".join(f"{host.name}\n" for host in hosts).encode())
        layout.write(folder, "vars.json", json.dumps(self._variables()).encode())
        layout.write(folder, layout.BOUNDS, json.dumps(self._bounds(hosts)).encode())
        layout.write(folder, _handlers.FILE, _handlers.write(self._part.owed))
        pinned = PinnedKeys(data=self._artifact(layout.KNOWN_HOSTS))
        ways = Ways.from_bytes(self._artifact(layout.WAYS))
        layout.write(folder, "known_hosts", pinned.only(_ssh.places(hosts, ways)))
        layout.write(folder, "ssh_config", _ssh.config(hosts, ways, marked=True).encode())
        return tuple(host.name for host in hosts)

    def _variables(self) -> dict[str, Any]:
        asked = {name: f"{{{{ lookup('itmp_secret', {name!r}) }}}}" for name in self._step.secrets}
        return {**unsafe(dict(self._step.vars)), **asked}

    def _bounds(self, hosts: list[Host]) -> dict[str, Any]:
        """Return what `_bounds.Bounds` reads: whom the slice acts on, where they answer, and which are here."""
        frozen = json.loads(self._artifact(layout.SNAPSHOT) or b"{}")
        own = frozen.get("_meta", {}).get("hostvars", {})
        local = [
            host.name
            for host in hosts
            if any(
                is_local(values.get("ansible_connection"))
                for values in (
                    own.get(host.name, {}),
                    *(frozen.get(group, {}).get("vars", {}) for group in ("all", *host.groups)),
                )
            )
        ]
        return {
            "hosts": sorted(self._part.hosts),
            "targets": sorted({*self._part.hosts, *self._step.delegates}),
            "addresses": {host.name: [host.address, host.port] for host in hosts},
            "local": local,
            "plugins": {
                name: way.connection
                for name, way in Ways.from_bytes(self._artifact(layout.WAYS)).of.items()
                if way.connection != "ssh"
            },
        }

    def _artifact(self, path: str) -> bytes:
        return self._plan.artifact(path) if path in self._plan.manifest.artifacts else b""

    def _allowed(self) -> list[Host]:
        inventory = self._plan.manifest.inventory
        names = {*self._part.hosts, *self._step.delegates}
        found = [host for host in inventory.hosts if host.name in names] if inventory else []
        found += [
            Host(name=one.name, address=one.address, port=one.port, groups=(), vars=digest(b""))
            for one in self._step.adds
            if one.name in names
        ]
        missing = set(self._part.hosts) - {host.name for host in found} - {"localhost"}
        if missing:
            listed = ", ".join(sorted(missing)[:5])
            raise NotFoundError(f"not in the plan's inventory: {listed}", where=self._part.key)
        return found

    def _environment(self, folder: Path, short: Path, passed: tuple[str, ...]) -> dict[str, str]:
        said = {path: self._artifact(path) for path in _config.FILES if path in self._plan.manifest.artifacts}
        honoured = _config.of(said).honoured
        forks = layout.forks(honoured, len(self._part.hosts))
        own = [Path(path).stem for path in self._plan.manifest.artifacts if path.startswith(layout.CALLBACKS)]
        piped = any("pipelining" in values for values in honoured.values())
        return environment(folder, short, self.room, passed, forks=forks, pipelining=not piped) | {
            "ITMP_REMOTE_MARK": f"{REMOTE_TOKEN}={remote_token(self.room)}",
            "ANSIBLE_STDOUT_CALLBACK": "itmp_actions",
            **({"ANSIBLE_CALLBACKS_ENABLED": ",".join(own)} if own else {}),
            "_ANSIBLE_CALLBACK_DISPATCH_ERROR_BEHAVIOR": "error",
        }


def command(
    folder: Path,
    short: Path,
    vaults: Mapping[str, str],
    arguments: list[str],
    *,
    mark: str,
    contained: bool = False,
) -> list[str]:
    """Return an Ansible command line over the layout in `folder`, with ssh's files copied to `short`.

    `mark` is the variable `NAME=VALUE` that ssh gives each session. `contained`: it will run in a container, which has
    programs of its own.
    """
    python = layout.python(contained=contained)
    layout.write(short, "known_hosts", layout.plain(folder / "known_hosts") or b"")
    text = (
        (layout.plain(folder / "ssh_config") or b"")
        .decode()
        .replace(_ssh.FOLDER, str(short))
        .replace(_ssh.MARK, mark)
    )
    layout.write(short, "ssh_config", text.encode())
    pinned = _ssh.UNPINNED not in text
    ssh = _ssh.variables(short / "ssh_config", short / "known_hosts", pinned=pinned, contained=contained)
    bound = layout.write(short, "ssh.json", json.dumps(ssh).encode())
    script = f'#!/bin/sh\nexec "{python}" -P -m itmp.adapters.ansible.vault_client "$@"\n'
    client = layout.write(short, "itmp-client", script.encode())
    ids = [part for name in sorted(vaults) for part in ("--vault-id", f"{name}@{client}")]
    kind, *rest = arguments
    return [
        python,
        "-P",
        "-m",
        "itmp.adapters.ansible.start",
        kind,
        "-i",
        str(layout.inventory(folder)),
        *rest,
        *ids,
        "-e",
        f"@{bound}",
    ]


def environment(
    folder: Path, short: Path, room: Room, passed: tuple[str, ...], *, forks: int, pipelining: bool = True
) -> dict[str, str]:
    """Return Ansible's environment for connections to targets; without `pipelining` the project's own word counts."""
    for name in ("home", "local", "cp"):
        (short / name).mkdir(mode=0o700, exist_ok=True)
    return layout.environment(folder, temporary=short, passed=passed) | {
        "ITMP_LAYOUT": str(folder),
        supervisor.TOKEN: room.token,
        "ANSIBLE_HOST_KEY_CHECKING": "True",
        **({_piping.VARIABLE: "True"} if pipelining else {}),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(short / "cp"),
        REMOTE_FOLDERS: remote_token(room),
        "ANSIBLE_FORKS": str(forks),
    }


def asked(folder: Path, short: Path, called: list[str], variables: dict[str, str]) -> dict[str, Any]:
    """Return the child's request for a question to targets, which leaves nothing in `folder`."""
    return {
        "command": called,
        "environment": variables,
        "folder": str(folder / "project" / "playbooks"),
        "data": str(short / "runner"),
        "scratch": str(short),
    }


def remote_token(room: Room) -> str:
    """Return the mark of a run's processes on targets: not the token itself, which targets need not know."""
    return hashlib.sha256(f"itmp/remote\0{room.token}".encode()).hexdigest()[:32]


def unsafe(value: Any) -> Any:
    """Mark every text of a document's variables as data, so that none is ever a template."""
    if isinstance(value, str):
        return {"__ansible_unsafe": value}
    if isinstance(value, Mapping):
        return {str(key): unsafe(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [unsafe(item) for item in value]
    return value


@contextmanager
def fresh_folder(room: Room, part: Slice) -> Iterator[Fresh]:
    """Give a fresh folder in the run's room; what may still run on targets leaves it to `left_folders`.

    That is so after a crash, after a run of Ansible that is lost or was cut off, where this machine or a connection
    failed, and where it is `kept`. Of what is left only the plain files on top stay: it is a sign, and nothing more.
    """
    room.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = Fresh(folder=Path(tempfile.mkdtemp(prefix=_name(part), dir=room.folder)))
    try:
        yield fresh
    except (LostError, OSError):
        fresh.kept = True
        raise
    finally:
        if fresh.kept:
            _empty(fresh.folder)
        else:
            shutil.rmtree(fresh.folder, ignore_errors=True)


def _empty(folder: Path) -> None:
    """Remove what takes room: one host that is always away would else leave a whole layout behind each run."""
    with suppress(OSError):
        for path in folder.iterdir():
            if path.is_symlink():
                path.unlink()
            elif path.is_dir():
                shutil.rmtree(path, ignore_errors=True)


def left_folders(room: Room, part: Slice) -> tuple[Path, ...]:
    """Return the folders that runs of `part` left behind because they died."""
    found = room.folder.glob(f"{_name(part)}*") if room.folder.is_dir() else ()
    return tuple(sorted(folder for folder in found if not folder.is_symlink()))


@contextmanager
def short_folder(room: Room) -> Iterator[Path]:
    """Give a private folder with a short path, for sockets and scratch."""
    folder = Path(tempfile.mkdtemp(prefix=_prefix(room), dir=_shelter()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def clear_short_folders(room: Room) -> None:
    """Remove what a dead run left of them."""
    for folder in _shelter().glob(f"{_prefix(room)}*"):
        shutil.rmtree(folder, ignore_errors=True)


def _shelter() -> Path:
    """Return the folder of all short folders of this account: closed to children, each of which is shown its own."""
    shelter = custody.shelter()
    shelter.mkdir(mode=0o700, exist_ok=True)
    found = shelter.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise Error(
            "not a private folder of this account",
            where=str(shelter),
            do="Find out who made it, and remove it.",
        )
    custody.close_too(shelter)
    return shelter


def _prefix(room: Room) -> str:
    return f"{room.token[:12]}-"


def _name(part: Slice) -> str:
    """Return a folder name that differs between slices whose keys differ."""
    shown = "".join(c if c.isalnum() else "-" for c in part.key)[:40]
    return f"{shown}-{hashlib.sha256(part.key.encode()).hexdigest()[:8]}-"
