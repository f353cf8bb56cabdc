"""What there is to harm at a moment: the living processes and connections of one run, and nothing else.

A harm that strikes nothing proves nothing, so each finds its prey here first, by the process tree below the run's
command, and says what it was.
"""

import array
import contextlib
import ctypes
import os
import socket
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ground import WEB, Ground, journal, pause

from itmp.errors import NotFoundError

if TYPE_CHECKING:
    import subprocess

_GETFD: Final = 438  # pidfd_getfd(2)
_ESTABLISHED: Final = "01"
_CALLBACK: Final = "/a.sock"
_ENDED: Final = frozenset({"Z", "X", ""})
_SEEN: Final = 60
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def below(run: "subprocess.Popen[bytes]", *needles: str) -> list[int]:
    """Return the living processes below the command whose command line holds one of `needles`."""
    return [pid for pid in _tree(run) if any(needle in line(pid) for needle in needles)]


def signaled(pids: Iterable[int], number: int) -> str:
    """Signal what of `pids` still lives; return what that was, or an empty text."""
    hit = []
    for pid in pids:
        told = f"{pid} {line(pid)[:_SEEN]}"
        if state(pid) not in _ENDED:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
                hit.append(told)
    return "; ".join(hit)


def stopped(pid: int) -> bool:
    """Return whether a process that was sent SIGSTOP stands, once it does or has ended."""
    while state(pid) not in {"T", *_ENDED}:
        pause(0.005)
    return state(pid) == "T"


def state(pid: int) -> str:
    """Return the kernel's letter for the state of a process; an empty text if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
    except OSError:
        return ""


def line(pid: int) -> str:
    """Return the command line of a process."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def reached(ground: Ground, run: "subprocess.Popen[bytes]") -> dict[str, int]:
    """Return the hosts to which the run has a connection, each with the process that holds it."""
    holders = {inode: pid for pid in _tree(run) for inode in _sockets(pid)}
    names = {_as_kernel(ground.fleet.host(name).address): name for name in WEB}
    found = {}
    for row in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, _, remote, how, *_, inode = row.split()[:10]
        name = names.get(remote.partition(":")[0])
        if name and how == _ESTABLISHED and inode in holders:
            found[name] = holders[inode]
    return dict(sorted(found.items()))


class Looker:
    """Looks on while a command's acts are under way on hosts; cheap enough to look often."""

    def __init__(self, ground: Ground) -> None:
        self._ground, self._since = ground, time.time()
        self._folders: dict[str, Path] = {}

    def under_way(self) -> set[str]:
        """Return the acts that hosts have begun since and not ended, as far as hosts are up."""
        found = set()
        for host in WEB:
            with contextlib.suppress(NotFoundError, OSError):
                last = {one.since: one for one in journal(self._folder(host)) if one.since > self._since}
                found |= {one.act for one in last.values() if one.what in {"begin", "change"}}
        return found

    def _folder(self, host: str) -> Path:
        known = self._folders.get(host)
        if known is None or not known.exists():  # it has booted
            known = self._folders[host] = self._ground.on(host)
        return known


def callbacks_cut(run: "subprocess.Popen[bytes]") -> int:
    """Shut the callback's connections down in the executor; return how many there were."""
    try:
        pidfd = os.pidfd_open(run.pid)
    except OSError:
        return 0
    try:
        return sum(_shut(pidfd, number) for number in _descriptors(run.pid))
    finally:
        os.close(pidfd)


def _shut(pidfd: int, number: int) -> bool:
    taken = _LIBC.syscall(_GETFD, pidfd, number, 0)
    if taken < 0:
        return False
    try:
        copy = socket.socket(fileno=taken)
    except OSError:  # no socket
        os.close(taken)
        return False
    with copy, contextlib.suppress(OSError):
        ours = copy.family == socket.AF_UNIX and str(copy.getsockname()).endswith(_CALLBACK)
        if ours and not copy.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            copy.getpeername()  # raises where the other end is gone already
            copy.shutdown(socket.SHUT_RDWR)
            return True
    return False


def _tree(run: "subprocess.Popen[bytes]") -> Iterator[int]:
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            how, parent, *_ = stat.read_text(errors="replace").rpartition(")")[2].split()
            if how not in _ENDED:
                children.setdefault(int(parent), []).append(int(stat.parent.name))
    todo = [run.pid]
    while todo:
        some = children.get(todo.pop(), [])
        yield from some
        todo += some


def _descriptors(pid: int) -> list[int]:
    try:
        return [int(link.name) for link in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return []


def _sockets(pid: int) -> Iterator[str]:
    for number in _descriptors(pid):
        with contextlib.suppress(OSError):
            said = str(Path(f"/proc/{pid}/fd/{number}").readlink())
            if said.startswith("socket:["):
                yield said[8:-1]


def _as_kernel(address: str) -> str:
    """Write an address as /proc/net/tcp does."""
    return f"{array.array('I', socket.inet_aton(address))[0]:08X}"
