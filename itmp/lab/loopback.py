"""A fleet of OpenSSH servers on 127.0.0.1, one port and one directory per host, without root.

Rules kept here:
- Real OpenSSH answers every connection (`sshd -i`, one per connection, its sockets held by the keeper); only
  the fleet's own client key logs in, as the user who started the fleet.
- The hosts share this machine: what makes one a host is its port, its host key, its HOME and its `host_root`.
  Plays written for such a fleet keep their effects below `host_root`.
- Everything lives in one folder and ends with `down`, or with this process unless the fleet is detached.
"""

import os
import pwd
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from itmp.errors import InvalidInputError, NotFoundError, ToolMissingError
from itmp.lab import _keeping as keeping
from itmp.lab.hosts import Host, Login, from_state, make_key, membership, to_state, write_inventory

KIND: Final = "loopback"
_ADDRESS: Final = "127.0.0.1"
_CONFIG: Final = """\
HostKey {folder}/host_key
AuthorizedKeysFile {client}.pub
AllowUsers {user}
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
UseDNS no
PidFile none
PrintMotd no
LogLevel VERBOSE
Subsystem sftp internal-sftp
SetEnv HOME={root} ITMP_LAB_HOST={name}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Hosts that are up. A context manager: leaving it takes them down."""

    folder: Path
    hosts: tuple[Host, ...]
    login: Login

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

    def connections(self, name: str) -> int:
        """Return how many connections `name` has accepted since `up`: 0 proves that nobody touched it."""
        count: int = keeping.ask(self.folder, do="count", name=self.host(name).name)["count"]
        return count

    def stop_host(self, name: str) -> None:
        """Cut `name` off: its sessions and their processes end, its port refuses connections."""
        keeping.ask(self.folder, do="stop", name=self.host(name).name)

    def start_host(self, name: str) -> None:
        """Let `name` answer again, on the same port and with the same key."""
        keeping.ask(self.folder, do="start", name=self.host(name).name)

    def down(self) -> None:
        """End every host and every process that a session left behind. The files stay."""
        keeping.end_keeper(self.folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()


def up(
    folder: Path,
    count: int,
    *,
    names: Sequence[str] | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    detached: bool = False,
) -> Fleet:
    """Start `count` hosts in `folder`, named `names` or host1, host2, …; `groups` maps a group to its hosts.

    Unless `detached`, they end with this process even if it is killed. Raises `ToolMissingError` without sshd
    and `BusyError` when a fleet is up in `folder` already.
    """
    names = names or [f"host{number}" for number in range(1, count + 1)]
    if len(names) != count or len(set(names)) != count or count < 1:
        raise InvalidInputError(
            f"{count} hosts need {count} different names", do="Give a count of at least 1."
        )
    sshd = find_sshd()
    folder = folder.resolve()
    keeping.start_keeper(folder, tied=not detached)
    try:
        return _start(folder, sshd, membership(names, groups))
    except BaseException:
        keeping.end_keeper(folder)
        raise


def _start(folder: Path, sshd: str, groups: Mapping[str, tuple[str, ...]]) -> Fleet:
    login = Login(
        user=pwd.getpwuid(os.getuid()).pw_name, key=folder / "client_key", interpreter=sys.executable
    )
    if not login.key.exists():
        make_key(login.key, "itmp-lab")
    line = keeping.Line(folder)
    try:
        hosts = tuple(
            _serve(line, login, own=folder / "hosts" / name, sshd=sshd, name=name, groups=member)
            for name, member in groups.items()
        )
    finally:
        line.close()
    keeping.write_state(
        folder, {**keeping.read_state(folder), "kind": KIND, "hosts": [to_state(host) for host in hosts]}
    )
    return Fleet(folder=folder, hosts=hosts, login=login)


def _serve(
    line: keeping.Line, login: Login, *, own: Path, sshd: str, name: str, groups: tuple[str, ...]
) -> Host:
    root = own / "root"
    root.mkdir(parents=True, exist_ok=True)
    public = make_key(own / "host_key", name)
    config = own / "sshd_config"
    config.write_text(
        _CONFIG.format(folder=own, client=login.key, user=login.user, root=root, name=name), encoding="utf-8"
    )
    answer = line.ask(
        do="serve",
        name=name,
        address=_ADDRESS,
        argv=[sshd, "-i", "-f", str(config), "-E", str(own / "sshd.log")],
        log=str(own / "console.log"),
    )
    return Host(name=name, address=_ADDRESS, port=answer["port"], root=root, key=public, groups=groups)


def attach(folder: Path) -> Fleet:
    """Return the fleet that is up in `folder`, started by whichever process."""
    folder = folder.resolve()
    state = keeping.read_state(folder)
    if state.get("kind") != KIND:
        raise NotFoundError("no loopback fleet was started here", where=str(folder))
    login = Login(
        user=pwd.getpwuid(os.getuid()).pw_name, key=folder / "client_key", interpreter=sys.executable
    )
    return Fleet(folder=folder, hosts=tuple(from_state(value) for value in state["hosts"]), login=login)


def find_sshd() -> str:
    """Return the absolute path of sshd; raise `ToolMissingError` when OpenSSH's server is not installed."""
    found = shutil.which(
        "sshd", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    )
    if found is None:
        raise ToolMissingError(
            "no sshd is installed", do="Install OpenSSH's server (Debian: openssh-server)."
        )
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd of root refuses to start without it
    return str(Path(found).resolve())
