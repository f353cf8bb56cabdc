"""A fleet, whichever its kind: its hosts, pinned host keys, an inventory that Ansible reads, and how it ends.

Rules kept here: host keys are pinned from the keys that the lab itself made, never scanned; an inventory
never switches host key checking off.
"""

import re
import shlex
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from itmp.errors import InvalidInputError, NotFoundError
from itmp.lab._keeping import end_keeper, read_state, write_state

DEFAULT_GROUP: Final = "lab"
_SSH_PORT: Final = 22
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One host of a lab. `root` is the directory that stands for its disk; `key` its public host key line."""

    name: str
    address: str
    port: int
    root: Path
    key: str
    groups: tuple[str, ...] = (DEFAULT_GROUP,)

    @property
    def known_hosts(self) -> str:
        """The line of a known_hosts file that pins this host's key."""
        place = self.address if self.port == _SSH_PORT else f"[{self.address}]:{self.port}"
        return f"{place} {self.key}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """How to log in to every host of one lab."""

    user: str
    key: Path
    interpreter: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet(ABC):
    """Hosts that are up. A context manager: leaving it takes them down."""

    folder: Path
    hosts: tuple[Host, ...]
    login: Login

    @abstractmethod
    def connections(self, name: str) -> int:
        """Return how many connections `name` has accepted since `up`: 0 proves that nobody touched it."""

    @abstractmethod
    def stop_host(self, name: str) -> None:
        """Cut `name` off: everything that runs there ends, connections are refused or time out."""

    @abstractmethod
    def start_host(self, name: str) -> None:
        """Let `name` answer again, at the same address and with the same key."""

    @abstractmethod
    def inside(self, name: str, argv: Sequence[str]) -> list[str]:
        """Return the argument list of a local process that runs `argv` on `name`."""

    @property
    def known_hosts(self) -> str:
        """Pinned host key lines of all hosts."""
        return "".join(host.known_hosts for host in self.hosts)

    def host(self, name: str) -> Host:
        """Return the host called `name`; raise `NotFoundError` when there is none."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise NotFoundError(
            f"no host {name!r} in this fleet", do=f"Hosts: {', '.join(h.name for h in self.hosts)}"
        )

    def write_inventory(self, path: Path) -> None:
        """Write an Ansible inventory of the fleet: INI for `.ini`, YAML otherwise."""
        write_inventory(path, self.hosts, self.login)

    def ssh(self, name: str, *command: str) -> list[str]:
        """Return the argument list that runs `command` (already quoted for a shell) on `name` over ssh."""
        pinned = self.folder / "known_hosts"
        pinned.write_text(self.known_hosts, encoding="utf-8")
        host = self.host(name)
        options = (
            "BatchMode=yes",
            "StrictHostKeyChecking=yes",
            f"UserKnownHostsFile={pinned}",
            "ConnectTimeout=10",
        )
        place = ["-p", str(host.port), f"{self.login.user}@{host.address}"]
        return [
            "ssh",
            "-F",
            "none",
            "-i",
            str(self.login.key),
            *(f"-o{option}" for option in options),
            *place,
            *command,
        ]

    def down(self) -> None:
        """End every host and every process that a session left behind. The files stay."""
        end_keeper(self.folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()


def check_names(count: int, names: Sequence[str] | None) -> Sequence[str]:
    """Return the names of `count` hosts (host1, host2, …); raise `InvalidInputError` if they do not fit."""
    names = names or [f"host{number}" for number in range(1, count + 1)]
    if len(names) != count or len(set(names)) != count or count < 1:
        raise InvalidInputError(
            f"{count} hosts need {count} different names", do="Give a count of at least 1."
        )
    for name in names:
        if not _NAME.fullmatch(name):
            raise InvalidInputError(f"{name!r} is no host name", do="Use letters, digits and hyphens.")
    return names


def make_key(path: Path, comment: str) -> str:
    """Write a new ed25519 key in OpenSSH's format to `path` (mode 0600) and return its public line."""
    key = Ed25519PrivateKey.generate()
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    path.with_name(path.name + ".pub").write_text(f"{public} {comment}\n", encoding="utf-8")
    return public


def membership(
    names: Sequence[str], groups: Mapping[str, Sequence[str]] | None
) -> dict[str, tuple[str, ...]]:
    """Return the groups of each host; without groups all hosts are in the group `lab`."""
    listed = {DEFAULT_GROUP: tuple(names)} if groups is None else groups
    return {name: tuple(group for group, members in listed.items() if name in members) for name in names}


def write_inventory(path: Path, hosts: Sequence[Host], login: Login) -> None:
    """Write an Ansible inventory: INI when `path` ends in `.ini`, YAML otherwise."""
    groups: dict[str, list[Host]] = {}
    for host in hosts:
        for group in host.groups:
            groups.setdefault(group, []).append(host)
    render = _ini if path.suffix == ".ini" else _yaml
    path.write_text(render(groups, hosts, login), encoding="utf-8")


def _host_vars(host: Host) -> dict[str, Any]:
    return {"ansible_host": host.address, "ansible_port": host.port, "host_root": str(host.root)}


def _all_vars(login: Login) -> dict[str, Any]:
    return {
        "ansible_user": login.user,
        "ansible_ssh_private_key_file": str(login.key),
        "ansible_python_interpreter": login.interpreter,
    }


def _yaml(groups: Mapping[str, Sequence[Host]], hosts: Sequence[Host], login: Login) -> str:
    tree = {
        "all": {
            "hosts": {host.name: _host_vars(host) for host in hosts},
            "vars": _all_vars(login),
            "children": {
                group: {"hosts": dict.fromkeys((host.name for host in members), None)}
                for group, members in groups.items()
            },
        }
    }
    text: str = yaml.safe_dump(tree, sort_keys=False)
    return text


def _ini(groups: Mapping[str, Sequence[Host]], hosts: Sequence[Host], login: Login) -> str:
    def pairs(values: Mapping[str, Any]) -> list[str]:
        return [f"{name}={shlex.quote(str(value))}" for name, value in values.items()]

    lines = [" ".join([host.name, *pairs(_host_vars(host))]) for host in hosts]
    for group, members in groups.items():
        lines += ["", f"[{group}]", *(host.name for host in members)]
    lines += ["", "[all:vars]", *pairs(_all_vars(login))]
    return "\n".join(lines) + "\n"


def write_hosts(folder: Path, kind: str, hosts: Sequence[Host]) -> None:
    """Write down which hosts are up in `folder`, for `attach` from another process."""
    values = [
        {
            "name": host.name,
            "address": host.address,
            "port": host.port,
            "root": str(host.root),
            "key": host.key,
            "groups": list(host.groups),
        }
        for host in hosts
    ]
    write_state(folder, {**read_state(folder), "kind": kind, "hosts": values})


def read_hosts(folder: Path, kind: str) -> tuple[Path, tuple[Host, ...]]:
    """Return the resolved folder and the hosts written down there; raise `NotFoundError` for another kind."""
    folder = folder.resolve()
    state = read_state(folder)
    if state.get("kind") != kind:
        raise NotFoundError(f"no {kind} fleet was started here", where=str(folder))
    return folder, tuple(
        Host(**{**value, "root": Path(value["root"]), "groups": tuple(value["groups"])})
        for value in state["hosts"]
    )
