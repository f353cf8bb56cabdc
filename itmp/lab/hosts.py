"""What a lab tells about its hosts: addresses, pinned host keys, and an inventory that Ansible reads.

Rules kept here: host keys are pinned from the keys that the lab itself made, never scanned; an inventory
never switches host key checking off.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

DEFAULT_GROUP: Final = "lab"
_SSH_PORT: Final = 22


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


def to_state(host: Host) -> dict[str, Any]:
    """Return `host` as it is kept in a lab's state file."""
    return {
        **{name: getattr(host, name) for name in ("name", "address", "port", "key")},
        "root": str(host.root),
        "groups": list(host.groups),
    }


def from_state(value: Mapping[str, Any]) -> Host:
    """Return the host that `to_state` wrote."""
    return Host(
        name=value["name"],
        address=value["address"],
        port=value["port"],
        root=Path(value["root"]),
        key=value["key"],
        groups=tuple(value["groups"]),
    )
