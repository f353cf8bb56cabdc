"""The plan-only ssh configuration: which hosts ssh may reach, and by which keys it knows them.

Rules kept here: ssh reads neither the user's nor the system's configuration; a host outside the slice
(its hosts and declared delegates) gets no connection; host keys are those of the plan and nothing is ever
learned.
"""

import base64
import hashlib
import hmac
import re
import shutil
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from itmp.errors import ToolMissingError
from itmp.plan.model import Host

_SAFE: Final = re.compile(r"[A-Za-z0-9_.:%@+-]+\Z")
_SSH_PORT: Final = 22


def config(hosts: Iterable[Host], known_hosts: Path) -> str:
    """Return the ssh configuration for connections to `hosts` and nobody else."""
    ports: dict[str, set[int]] = {}
    for host in hosts:
        if _SAFE.match(host.address):
            ports.setdefault(host.address, set()).add(host.port)
    allowed = "".join(_allow(address, sorted(found)) for address, found in sorted(ports.items()))
    return (
        f"{allowed}"
        "Host *\n"
        "  ProxyCommand /bin/false\n"
        f"  UserKnownHostsFile {known_hosts}\n"
        "  GlobalKnownHostsFile /dev/null\n"
        "  StrictHostKeyChecking yes\n"
        "  UpdateHostKeys no\n"
        "  VerifyHostKeyDNS no\n"
        "  BatchMode yes\n"
        "  PasswordAuthentication no\n"
        "  KbdInteractiveAuthentication no\n"
        "  ForwardAgent no\n"
        "  ForwardX11 no\n"
        "  PermitLocalCommand no\n"
        "  ServerAliveInterval 15\n"
        "  ServerAliveCountMax 4\n"
    )


def _allow(address: str, ports: list[int]) -> str:
    """Let one address through on `ports` only: hosts may share an address."""
    test = f"case %p in {'|'.join(map(str, ports))}) ;; *) exit 1 ;; esac"
    return f'Match originalhost {address} exec "{test}"\n  ProxyCommand none\n'


def arguments(config_file: Path, known_hosts: Path) -> str:
    """Return `ansible_ssh_args`: the first value that ssh meets wins, so no later argument weakens them."""
    options = {
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": str(known_hosts),
        "GlobalKnownHostsFile": "/dev/null",
        "VerifyHostKeyDNS": "no",
        "UpdateHostKeys": "no",
        "BatchMode": "yes",
        "ControlMaster": "auto",
        "ControlPersist": "30s",
    }
    return f"-F {config_file} " + " ".join(f"-o {name}={value}" for name, value in options.items())


def variables(config_file: Path, known_hosts: Path) -> dict[str, object]:
    """Return the variables that bind Ansible's ssh to the configuration, above any that the project sets."""
    return {
        "ansible_ssh_args": arguments(config_file, known_hosts),
        "ansible_host_key_checking": True,
        "ansible_ssh_host_key_checking": True,
        "ansible_ssh_executable": _tool("ssh"),
        "ansible_scp_executable": _tool("scp"),
        "ansible_sftp_executable": _tool("sftp"),
    }


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise ToolMissingError(f"{name} is not installed", do="Install the OpenSSH client.")
    return found


def pinned(known_hosts: bytes, hosts: Iterable[Host]) -> bytes:
    """Return the lines of `known_hosts` about `hosts`, and all of certificate authorities and revocations."""
    names = {_name(host.address, host.port) for host in hosts} | {host.address for host in hosts}
    lines = known_hosts.decode(errors="replace").splitlines()
    return "".join(line + "\n" for line in lines if _speaks(line, names)).encode()


def _speaks(line: str, names: set[str]) -> bool:
    fields = line.split()
    if not fields or fields[0].startswith("#"):
        return False
    if fields[0].startswith("@"):
        return True
    return any(_matches(pattern, names) for pattern in fields[0].split(","))


def _matches(pattern: str, names: set[str]) -> bool:
    if pattern.startswith("|1|"):
        return any(_hashed(pattern, name) for name in names)
    wild = pattern.replace("[", "[[]")  # [host]:port is literal, * and ? are not
    return any(fnmatchcase(name, wild) for name in names)


def _hashed(pattern: str, name: str) -> bool:
    parts = pattern.split("|")
    try:
        salt, wanted = base64.b64decode(parts[2]), base64.b64decode(parts[3])
    except (IndexError, ValueError):
        return False
    return hmac.compare_digest(hmac.new(salt, name.encode(), hashlib.sha1).digest(), wanted)


def _name(address: str, port: int) -> str:
    return address if port == _SSH_PORT else f"[{address}]:{port}"


def unpinned(known_hosts: bytes, hosts: Iterable[Host]) -> Iterator[str]:
    """Yield the names of `hosts` for which `known_hosts` holds no key."""
    lines = known_hosts.decode(errors="replace").splitlines()
    for host in hosts:
        names = {_name(host.address, host.port)}
        if not any(_speaks(line, names) for line in lines):
            yield host.name
