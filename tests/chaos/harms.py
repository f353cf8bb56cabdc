"""The harms: each strikes at one moment of a run and says how it is healed. Every choice comes from the seed."""

import array
import contextlib
import ctypes
import os
import random
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from ground import HOME, WEB, Ground, pause
from places import carriers

Heal = Callable[[], None]
Harm = Callable[[Ground, "subprocess.Popen[bytes]", random.Random], Heal]
_GETFD: Final = 438  # pidfd_getfd(2)
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def _healed() -> None:
    """Nothing to heal."""


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _of_run(run: "subprocess.Popen[bytes]", needle: str) -> list[int]:
    """The processes below the command that carry a run's token and whose command line holds `needle`."""
    found, todo, children = [], [run.pid], _children()
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    mine = set(found)
    return [pid for pid, line in carriers("").items() if needle in line and pid in mine]


def _children() -> dict[int, list[int]]:
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(stat.read_text(errors="replace").rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    return children


def kill_cli(_: Ground, run: "subprocess.Popen[bytes]", __: random.Random) -> Heal:
    run.kill()
    return _healed


def kill_runner(_: Ground, run: "subprocess.Popen[bytes]", __: random.Random) -> Heal:
    for pid in _of_run(run, "ansible.child"):
        _signal(pid, signal.SIGKILL)
    return _healed


def kill_ansible(_: Ground, run: "subprocess.Popen[bytes]", __: random.Random) -> Heal:
    for pid in _of_run(run, "ansible.start"):
        _signal(pid, signal.SIGKILL)
    return _healed


def kill_supervisor(_: Ground, run: "subprocess.Popen[bytes]", __: random.Random) -> Heal:
    for pid in _of_run(run, "supervisor/_main.py"):
        _signal(pid, signal.SIGKILL)
    return _healed


def kill_ssh(_: Ground, run: "subprocess.Popen[bytes]", __: random.Random) -> Heal:
    for pid in _of_run(run, "ssh "):
        _signal(pid, signal.SIGKILL)
    return _healed


def stop_cli(_: Ground, run: "subprocess.Popen[bytes]", chance: random.Random) -> Heal:
    _signal(run.pid, signal.SIGSTOP)
    pause(chance.uniform(0.2, 3))
    _signal(run.pid, signal.SIGCONT)
    return _healed


def stop_runner(_: Ground, run: "subprocess.Popen[bytes]", chance: random.Random) -> Heal:
    pids = _of_run(run, "ansible.start")
    for pid in pids:
        _signal(pid, signal.SIGSTOP)
    pause(chance.uniform(0.2, 3))
    if chance.random() < 0.5:
        run.kill()
    for pid in pids:
        _signal(pid, signal.SIGCONT)
    return _healed


def cut_socket(_: Ground, run: "subprocess.Popen[bytes]", __: random.Random) -> Heal:
    """Shut the callback's connection down under the executor."""
    with contextlib.suppress(OSError):
        pidfd = os.pidfd_open(run.pid)
        try:
            for link in Path(f"/proc/{run.pid}/fd").iterdir():
                _shut(pidfd, int(link.name))
        finally:
            os.close(pidfd)
    return _healed


def _shut(pidfd: int, number: int) -> None:
    taken = _LIBC.syscall(_GETFD, pidfd, number, 0)
    if taken < 0:
        return
    try:
        with socket.socket(fileno=taken) as copy:
            if copy.family == socket.AF_UNIX and not copy.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                copy.shutdown(socket.SHUT_RDWR)
    except OSError:
        with contextlib.suppress(OSError):
            os.close(taken)


def kill_sshd(ground: Ground, _: "subprocess.Popen[bytes]", chance: random.Random) -> Heal:
    host = chance.choice(WEB)
    ground.shell(host, "for p in $(pidof sshd); do kill -9 $p; done; true")
    start = "pidof -s sshd >/dev/null || /usr/sbin/sshd -E /var/log/sshd.log"
    if chance.random() < 0.5:
        ground.shell(host, start)
    return lambda: _ignore(ground.shell(host, start))


def power_off(ground: Ground, _: "subprocess.Popen[bytes]", chance: random.Random) -> Heal:
    host = chance.choice(WEB)
    ground.fleet.stop_host(host)
    return lambda: ground.fleet.start_host(host)


def reboot(ground: Ground, _: "subprocess.Popen[bytes]", chance: random.Random) -> Heal:
    host = chance.choice(WEB)
    ground.fleet.stop_host(host)
    ground.fleet.start_host(host)
    return _healed


def cut_network(ground: Ground, run: "subprocess.Popen[bytes]", chance: random.Random) -> Heal:
    host = chance.choice(WEB)
    ground.connected(host, up=False)
    pause(chance.uniform(0.5, 5))
    if chance.random() < 0.4:
        run.kill()
    ground.connected(host, up=True)
    return _healed


def fill_host(ground: Ground, _: "subprocess.Popen[bytes]", chance: random.Random) -> Heal:
    host = chance.choice(WEB)
    disk = f"{HOME}/disk"
    ground.shell(
        host,
        f"mount -t tmpfs -o size=4k,nr_inodes=8 full {disk} && cat /dev/zero > {disk}/fill 2>/dev/null; true",
    )
    return lambda: _ignore(ground.shell(host, f"umount -l {disk} || true"))


def fill_controller(ground: Ground, _: "subprocess.Popen[bytes]", __: random.Random) -> Heal:
    fill = ground.root / ".itmp" / "fill"
    with contextlib.suppress(OSError), fill.open("wb", buffering=0) as file:
        block = array.array("B", bytes(65536)).tobytes()
        while file.write(block):
            pass
    with contextlib.suppress(OSError), fill.open("ab", buffering=0) as file:
        while file.write(b"\0" * 16):
            pass
    return lambda: fill.unlink(missing_ok=True)


def read_only(ground: Ground, _: "subprocess.Popen[bytes]", __: random.Random) -> Heal:
    log, aside = str(ground.root / ".itmp" / "log"), str(ground.root.parent / "log-aside")
    Path(aside).mkdir(exist_ok=True)
    # It is made read-only where nobody can open a file for writing meanwhile, which would keep it writable.
    subprocess.run(["mount", "--bind", log, aside], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", aside], check=True)
    subprocess.run(["mount", "--bind", aside, log], check=True)
    subprocess.run(["umount", "-l", aside], check=True)
    return lambda: _ignore(subprocess.run(["umount", "-l", log], check=True))


def _ignore(_: object) -> None:
    """Only the effect counts."""


HARMS: Final[Mapping[str, Harm]] = {
    harm.__name__: harm
    for harm in (
        kill_cli, kill_runner, kill_ansible, kill_supervisor, kill_ssh, stop_cli, stop_runner, cut_socket,
        kill_sshd, power_off, reboot, cut_network, fill_host, fill_controller, read_only,
    )
}  # fmt: skip
