"""A fleet of Debian hosts in namespaces: own sshd, package database, address and a reboot that restarts them.

Rules kept here:
- Nothing has a global name but one veth link: namespaces, mounts and disks exist while the keeper's processes
  do and vanish with them, whichever way they end. Nothing that this did not make is touched.
- The hosts' shared system is read-only; what a host writes goes to memory and is gone after `down`.
- Hosts reach each other and the package repository, not the outside; this machine reaches them at 10.77.N.x.
- It needs root, and `ip`, `nsenter`, `unshare` and `mmdebstrap`.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from itmp.errors import InvalidInputError, NotFoundError, ToolMissingError
from itmp.lab import _keeping as keeping
from itmp.lab import _packages as packages
from itmp.lab._base import base
from itmp.lab._hub import LINK, NETWORK, PORT
from itmp.lab._keeping import end_keeper
from itmp.lab.fleet import Fleet, Host, Login, check_names, make_key, membership, read_hosts, write_hosts

KIND: Final = "namespaces"
TOOLS: Final = ("ip", "nsenter", "unshare", "mmdebstrap", "mount")
MOST: Final = 200
_HUB: Final = Path(__file__).with_name("_hub.py")
_PATIENCE: Final = 30.0
_RESTART: Final = 129  # process 1 ended by SIGHUP: what reboot(2) does to a process namespace
_MOUNT: Final = """\
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/up,workdir=$2/work" "$2/root" &&
exec chroot "$2/root" /sbin/lab-init
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceFleet(Fleet):
    """Namespace hosts that are up. `subnet` is N of their addresses 10.77.N.x, `hub` the hub's process id."""

    subnet: int
    hub: int

    def connections(self, name: str) -> int:
        """Return how many connections the host's sshd has accepted since `up` or the last `reset`."""
        log = self._disk(name) / "up/var/log/sshd.log"
        return log.read_text(encoding="utf-8", errors="replace").count("Connection from ")

    def boots(self, name: str) -> tuple[str, ...]:
        """Return the boot id of each boot of `name`, oldest first."""
        return tuple((self._disk(name) / "up/var/log/boots").read_text(encoding="utf-8").split())

    def stop_host(self, name: str) -> None:
        """End everything on `name` at once, as a power cut would; its disk stays."""
        keeping.ask(self.folder, do="stop", name=self.host(name).name)

    def start_host(self, name: str) -> None:
        """Boot `name` again from its disk; return when its sshd listens."""
        listened = _listened(self._disk(name))
        keeping.ask(self.folder, do="start", name=self.host(name).name)
        _await(lambda: _listened(self._disk(name)) > listened, f"{name} did not boot", self.folder)

    def reset(self, name: str) -> None:
        """Give `name` a pristine disk (same address, same host key) and boot it."""
        self.stop_host(name)
        shutil.rmtree(self._disk(name))
        _furnish(self._disk(name), self.host(name), self.folder, self.subnet)
        self.start_host(name)

    def inside(self, name: str, argv: Sequence[str]) -> list[str]:
        """Return the argument list that runs `argv` inside `name`, without ssh."""
        found = keeping.ask(self.folder, do="pids", name=self.host(name).name)["pids"]
        if not found:
            raise NotFoundError(f"{name} is stopped", do="Start it first.")
        init = Path(f"/proc/{found[0]}/task/{found[0]}/children").read_text(encoding="ascii").split()[0]
        return ["nsenter", "-t", init, "-m", "-p", "-u", "-i", "-n", "-r", "-w", "--", *argv]

    def down(self) -> None:
        """End every host, the network and the disks; return when the link outside is gone as well."""
        link = Path(f"/sys/class/net/{LINK}{self.subnet}/ifindex")
        ours = link.read_bytes() if link.exists() else b""
        end_keeper(self.folder)

        def gone() -> bool:  # the kernel takes a dead namespace apart in its own time
            try:
                return link.read_bytes() != ours
            except OSError:
                return True

        _await(gone, "the lab's link did not go away", self.folder)

    def release_update(self) -> None:
        """Publish version 2.0 of the lab's packages in its repository."""
        packages.publish(self.folder / "repo", packages.NEW)

    def _disk(self, name: str) -> Path:
        return Path(f"/proc/{self.hub}/root{self.folder}/disks/{self.host(name).name}")


def up(
    folder: Path,
    count: int,
    *,
    names: Sequence[str] | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    detached: bool = False,
    report: Callable[[str], None] = lambda _: None,
) -> NamespaceFleet:
    """Start `count` Debian hosts in `folder`, named `names` or host1, host2, …, in `groups`.

    Unless `detached`, they end with this process even if it is killed. `report` is told about the half
    minute that the first start on a machine takes. Raises `ToolMissingError` with the reason when
    this machine cannot.
    """
    names = check_names(count, names)
    if count > MOST:
        raise InvalidInputError(f"{count} hosts in one subnet; the limit is {MOST}")
    if reason := why_not():
        raise ToolMissingError(f"no namespace hosts here: {reason}", do="Use the loopback lab instead.")
    system = base(report)
    folder = folder.resolve()
    if set(f"{folder}{system}") & set(',:\\"'):
        raise InvalidInputError("a mount option cannot hold this folder's name", where=str(folder))
    keeping.start_keeper(folder, tied=not detached)
    try:
        return _start(folder, system, membership(names, groups))
    except BaseException:
        end_keeper(folder)
        raise


def _start(folder: Path, system: Path, groups: Mapping[str, tuple[str, ...]]) -> NamespaceFleet:
    login = _login(folder)
    if not login.key.exists():
        make_key(login.key, "itmp-lab")
    packages.publish(folder / "repo", packages.OLD)
    hub = _start_hub(folder, len(groups))
    hosts = tuple(
        _prepare(folder, name, member, f"{NETWORK}.{hub['subnet']}.{10 + number}")
        for number, (name, member) in enumerate(groups.items(), start=1)
    )
    write_hosts(folder, KIND, hosts)
    fleet = NamespaceFleet(folder=folder, hosts=hosts, login=login, subnet=hub["subnet"], hub=hub["pid"])
    for host, held in zip(hosts, hub["hosts"], strict=True):
        _furnish(fleet._disk(host.name), host, folder, fleet.subnet)  # noqa: SLF001 — its own module
        _boot(fleet, host, system, held)
    for host in hosts:
        disk = fleet._disk(host.name)  # noqa: SLF001 — its own module
        _await(lambda disk=disk: _listened(disk) > 0, f"{host.name} did not boot", folder)  # type: ignore[misc]
    return fleet


def _start_hub(folder: Path, count: int) -> dict[str, Any]:
    ready = folder / "hub.json"
    ready.unlink(missing_ok=True)
    argv = [sys.executable, "-I", "-S", str(_HUB), str(folder), str(count)]
    keeping.ask(folder, do="keep", name=".hub", argv=argv, log=str(folder / "hub.log"))

    def stands() -> bool:
        return ready.exists() or not keeping.ask(folder, do="pids", name=".hub")["pids"]

    _await(stands, "the lab's network did not come up", folder)
    if not ready.exists():
        log = (folder / "hub.log").read_text(encoding="utf-8", errors="replace").strip()
        raise keeping.LabError(
            f"the lab's network did not come up: {log[-400:]}", where=str(folder / "hub.log")
        )
    hub: dict[str, Any] = json.loads(ready.read_bytes())
    return hub


def _prepare(folder: Path, name: str, groups: tuple[str, ...], address: str) -> Host:
    own = folder / "hosts" / name
    own.mkdir(parents=True, exist_ok=True)
    key = make_key(own / "host_key", name)
    return Host(name=name, address=address, port=22, root=Path("/"), key=key, groups=groups)


def _furnish(disk: Path, host: Host, folder: Path, subnet: int) -> None:
    """Write what makes the shared system this host, into its upper layer."""
    for part in ("up/etc/ssh", "up/etc/apt", "up/root/.ssh", "work", "root"):
        (disk / part).mkdir(parents=True, exist_ok=True)
    own, hub = folder / "hosts" / host.name, f"{NETWORK}.{subnet}.1"
    (disk / "up/root/.ssh").chmod(0o700)
    (disk / "up/root").chmod(0o700)
    shutil.copy(own / "host_key", disk / "up/etc/ssh/ssh_host_ed25519_key")
    shutil.copy(own / "host_key.pub", disk / "up/etc/ssh/ssh_host_ed25519_key.pub")
    shutil.copy(folder / "client_key.pub", disk / "up/root/.ssh/authorized_keys")
    texts = {
        "hostname": f"{host.name}\n",
        "hosts": f"127.0.0.1 localhost\n{hub} repository\n{host.address} {host.name}\n",
        "apt/sources.list": f"deb [trusted=yes] http://{hub}:{PORT} ./\n",
    }
    for path, text in texts.items():
        (disk / "up/etc" / path).write_text(text, encoding="utf-8")


def _boot(fleet: NamespaceFleet, host: Host, system: Path, held: int) -> None:
    hub = f"/proc/{fleet.hub}"
    enter = ["nsenter", f"--mount={hub}/ns/mnt", f"--net={hub}/fd/{held}", "--"]
    isolate = [
        "unshare",
        "--mount",
        "--pid",
        "--uts",
        "--ipc",
        "--fork",
        "--kill-child",
        "--propagation",
        "private",
    ]
    disk = fleet.folder / "disks" / host.name
    keeping.ask(
        fleet.folder,
        do="keep",
        name=host.name,
        argv=[*enter, *isolate, "sh", "-c", _MOUNT, "sh", str(system), str(disk)],
        log=str(fleet.folder / "hosts" / host.name / "console.log"),
        again=[_RESTART],
    )


def _listened(disk: Path) -> int:
    """Return how often the host's sshd has begun to listen: one per boot."""
    try:
        log = (disk / "up/var/log/sshd.log").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return 0
    return log.count("Server listening on 0.0.0.0 ")


def _await(condition: Callable[[], bool], what: str, folder: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise keeping.LabError(what, where=str(folder), do="See hub.log and hosts/*/console.log there.")
        time.sleep(0.01)


def _login(folder: Path) -> Login:
    return Login(user="root", key=folder / "client_key", interpreter="/usr/bin/python3")


def attach(folder: Path) -> NamespaceFleet:
    """Return the fleet that is up in `folder`, started by whichever process."""
    folder, hosts = read_hosts(folder, KIND)
    hub = json.loads((folder / "hub.json").read_bytes())
    return NamespaceFleet(
        folder=folder, hosts=hosts, login=_login(folder), subnet=hub["subnet"], hub=hub["pid"]
    )


def why_not() -> str:
    """Return why this machine cannot run namespace hosts, or an empty text when it can."""
    if os.getuid() != 0:
        return "needs root"
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    if "overlay" not in Path("/proc/filesystems").read_text(encoding="ascii").split():
        return "the kernel has no overlayfs"
    trial = [
        "unshare",
        "--mount",
        "--net",
        "--pid",
        "--uts",
        "--ipc",
        "--fork",
        "mount",
        "-t",
        "tmpfs",
        "none",
        "/mnt",
    ]
    done = subprocess.run(trial, capture_output=True, text=True, check=False, timeout=_PATIENCE)
    return f"this account may not make namespaces: {done.stderr.strip()}" if done.returncode else ""
