"""The plan-only ssh configuration: which hosts ssh may reach, and by which keys it knows them.

Rules kept here: ssh reads neither the user's nor the system's configuration; a host outside the slice
(its hosts and declared delegates) gets no connection; host keys are those of the plan and nothing is ever
learned.
"""

import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from itmp.errors import ToolMissingError
from itmp.plan.model import Host

FURTHER: Final = (
    "ansible_ssh_common_args",
    "ansible_ssh_extra_args",
    "ansible_scp_extra_args",
    "ansible_sftp_extra_args",
)
_SAFE: Final = re.compile(r"[A-Za-z0-9_.:%@+-]+\Z")


def config(hosts: Iterable[Host]) -> str:
    """Return the ssh configuration for connections to `hosts` and nobody else; `arguments` add the keys."""
    ports: dict[str, set[int]] = {}
    for host in hosts:
        if _SAFE.match(host.address):
            ports.setdefault(host.address, set()).add(host.port)
    allowed = "".join(_allow(address, sorted(found)) for address, found in sorted(ports.items()))
    return (
        f"{allowed}"
        "Host *\n"
        "  ProxyCommand /bin/false\n"
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
        # Any further argument could run a command here (ProxyCommand) or lead to another host.
        **dict.fromkeys(FURTHER, ""),
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
