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
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from itmp.errors import ToolMissingError
from itmp.lab import _keeping as keeping
from itmp.lab.fleet import Fleet, Host, Login, check_names, make_key, membership, read_hosts, write_hosts

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
AcceptEnv {accepted}
Subsystem sftp internal-sftp
SetEnv HOME={root} ITMP_LAB_HOST={name} PYTHONPATH={python}
"""
_SOONER: Final = Path(__file__).with_name("_sitecustomize.py")
_ACCEPTED: Final = "LANG LC_*"  # as Debian and Red Hat configure their servers


class LoopbackFleet(Fleet):
    """Loopback hosts that are up."""

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

    def inside(self, name: str, argv: Sequence[str]) -> list[str]:
        """Return the argument list that runs `argv` on `name`: over ssh, for there is no other way in."""
        return self.ssh(name, shlex.join(argv))


def up(
    folder: Path,
    count: int,
    *,
    names: Sequence[str] | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    detached: bool = False,
) -> LoopbackFleet:
    """Start `count` hosts in `folder`, named `names` or host1, host2, …; `groups` maps a group to hosts.

    Unless `detached`, they end with this process even if it is killed. Raises `ToolMissingError` without sshd
    and `BusyError` when a fleet is up in `folder` already.
    """
    names = check_names(count, names)
    sshd = find_sshd()
    folder = folder.resolve()
    keeping.start_keeper(folder, tied=not detached)
    try:
        return _start(folder, sshd, membership(names, groups))
    except BaseException:
        keeping.end_keeper(folder)
        raise


def _start(folder: Path, sshd: str, groups: Mapping[str, tuple[str, ...]]) -> LoopbackFleet:
    login = Login(
        user=pwd.getpwuid(os.getuid()).pw_name, key=folder / "client_key", interpreter=sys.executable
    )
    if not login.key.exists():
        make_key(login.key, "itmp-lab")
    (folder / "python").mkdir(exist_ok=True)
    shutil.copyfile(_SOONER, folder / "python" / "sitecustomize.py")
    line = keeping.Line(folder)
    try:
        hosts = tuple(
            _serve(line, login, own=folder / "hosts" / name, sshd=sshd, name=name, groups=member)
            for name, member in groups.items()
        )
    finally:
        line.close()
    write_hosts(folder, KIND, hosts)
    return LoopbackFleet(folder=folder, hosts=hosts, login=login)


def _serve(
    line: keeping.Line, login: Login, *, own: Path, sshd: str, name: str, groups: tuple[str, ...]
) -> Host:
    root = own / "root"
    root.mkdir(parents=True, exist_ok=True)
    public = make_key(own / "host_key", name)
    config = own / "sshd_config"
    config.write_text(
        _CONFIG.format(
            folder=own,
            client=login.key,
            user=login.user,
            root=root,
            name=name,
            accepted=_ACCEPTED,
            python=login.key.with_name("python"),
        ),
        encoding="utf-8",
    )
    answer = line.ask(
        do="serve",
        name=name,
        address=_ADDRESS,
        argv=[sshd, "-i", "-f", str(config), "-E", str(own / "sshd.log")],
        log=str(own / "console.log"),
    )
    return Host(name=name, address=_ADDRESS, port=answer["port"], root=root, key=public, groups=groups)


def attach(folder: Path) -> LoopbackFleet:
    """Return the fleet that is up in `folder`, started by whichever process."""
    folder, hosts = read_hosts(folder, KIND)
    return LoopbackFleet(folder=folder, hosts=hosts, login=_login(folder))


def _login(folder: Path) -> Login:
    user = pwd.getpwuid(os.getuid()).pw_name
    return Login(user=user, key=folder / "client_key", interpreter=sys.executable)


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
