"""The plan-only ssh configuration: which hosts ssh may reach, and by which keys it knows them.

Rules kept here: ssh reads neither the user's nor the system's configuration; a host outside the slice
(its hosts and declared delegates) gets no connection; host keys are those of the plan and nothing is ever
learned; connections are shared over sockets beside the configuration and over no others. What a run starts on a host
over ssh can be marked as the run's own, without a change of any command: by a variable of the session, whose name
begins as those that servers take by default (`AcceptEnv LC_*`).
"""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from itmp.adapters.ansible import _ssh_options
from itmp.adapters.ansible._ssh_files import SAFE, Hop
from itmp.adapters.ansible._ways import Way, Ways, unsafe
from itmp.errors import ToolMissingError
from itmp.plan.model import Host

FURTHER: Final = (
    "ansible_ssh_common_args",
    "ansible_ssh_extra_args",
    "ansible_scp_extra_args",
    "ansible_sftp_extra_args",
)
FOLDER: Final = "@FOLDER@"
MARK: Final = "@MARK@"
UNPINNED: Final = "  StrictHostKeyChecking no\n"
_OF_KEYS: Final = frozenset({"StrictHostKeyChecking", "UserKnownHostsFile"})


def config(hosts: Iterable[Host], ways: Ways, *, marked: bool = False) -> str:
    """Return the ssh configuration for connections to `hosts`, over the hops of their `ways`, and to nobody else.

    `arguments` add the keys; `FOLDER` in it stands for the folder that will hold it; where sessions are `marked`,
    `MARK` stands for the variable that marks them.
    """
    plain: dict[str, set[int]] = {}
    blocks: list[str] = []
    for host in hosts:
        way = ways.of.get(host.name, Way())
        if not SAFE.match(host.address) or unsafe(way):
            continue
        if way == Way() and host.name not in ways.unpinned:
            plain.setdefault(host.address, set()).add(host.port)
            continue
        blocks += [_hop(hop) for hop in way.via]
        blocks.append(_way(host, way, unpinned=host.name in ways.unpinned))
    allowed = "".join(_allow(address, sorted(found)) for address, found in sorted(plain.items()))
    return (
        f"{''.join(dict.fromkeys(blocks))}"
        f"{allowed}"
        "Host *\n"
        "  ProxyCommand /bin/false\n"
        f"  UserKnownHostsFile {FOLDER}/known_hosts\n"
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
        "  ServerAliveCountMax 4\n" + (f"  SetEnv {MARK}\n" if marked else "")
    )


def places(hosts: Iterable[Host], ways: Ways) -> Iterator[tuple[str, int]]:
    """Yield every address and port whose key must be pinned."""
    for host in hosts:
        way = ways.of.get(host.name, Way())
        yield (way.end.host, way.end.port) if way.end else (host.address, host.port)
        yield from ((hop.host, hop.port) for hop in way.via)


def _hop(hop: Hop) -> str:
    return f"{_match(hop.host, hop.port)}{_login(hop)}{_ssh_options.lines(hop.options)}  ProxyCommand none\n"


def _way(host: Host, way: Way, *, unpinned: bool) -> str:
    lines = _match(host.address, host.port)
    if way.end:
        lines += f"  HostName {way.end.host}\n  Port {way.end.port}\n{_login(way.end)}"
    lines += _ssh_options.lines(way.options)
    if unpinned:
        lines += f"{UNPINNED}  UserKnownHostsFile /dev/null\n"
    if not way.via:
        return f"{lines}  ProxyCommand none\n"
    hops = ",".join(
        f"{hop.user}{'@' if hop.user else ''}{_bracketed(hop.host)}:{hop.port}" for hop in way.via
    )
    return f"{lines}  ProxyJump {hops}\n"


def _match(address: str, port: int) -> str:
    return f'Match originalhost {address} exec "test %p = {port}"\n'


def _login(hop: Hop) -> str:
    user = f"  User {hop.user}\n" if hop.user else ""
    return user + "".join(f"  IdentityFile {key}\n" for key in hop.keys)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _allow(address: str, ports: list[int]) -> str:
    """Let one address through on `ports` only: hosts may share an address."""
    test = f"case %p in {'|'.join(map(str, ports))}) ;; *) exit 1 ;; esac"
    return f'Match originalhost {address} exec "{test}"\n  ProxyCommand none\n'


def arguments(config_file: Path, known_hosts: Path, *, pinned: bool = True) -> str:
    """Return `ansible_ssh_args`: the first value that ssh meets wins, so no later argument weakens them.

    Unless all hosts are `pinned`, the configuration alone says whose key is checked.
    """
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
    if not pinned:
        options = {name: value for name, value in options.items() if name not in _OF_KEYS}
    return f"-F {config_file} " + " ".join(f"-o {name}={value}" for name, value in options.items())


def variables(
    config_file: Path, known_hosts: Path, *, pinned: bool = True, contained: bool = False
) -> dict[str, object]:
    """Return the variables that bind Ansible's ssh to the configuration, above any that the project sets.

    `contained`: ssh is the container's own, by its name.
    """
    tools = {name: name if contained else _tool(name) for name in ("ssh", "scp", "sftp")}
    return {
        "ansible_ssh_args": arguments(config_file, known_hosts, pinned=pinned),
        # Any further argument could run a command here (ProxyCommand) or lead to another host.
        **dict.fromkeys(FURTHER, ""),
        # A live connection at a path that the project names was opened past this configuration and these keys. The
        # name of the socket stays Ansible's own: it is short, as a socket's path must be, and `reset_connection` asks.
        "ansible_control_path": "",
        "ansible_control_path_dir": str(config_file.parent / "cp"),
        "ansible_ssh_pkcs11_provider": "",  # a library that ssh would load
        "ansible_host_key_checking": True,
        "ansible_ssh_host_key_checking": True,
        **{f"ansible_{name}_executable": tool for name, tool in tools.items()},
    }


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise ToolMissingError(f"{name} is not installed", do="Install the OpenSSH client.")
    return found
