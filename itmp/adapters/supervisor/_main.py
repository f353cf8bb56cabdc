"""The supervisor process: `python -I -S _main.py LIFELINE GRACE LEVEL COUNT CLOSED… COUNT SHOWN… PROGRAM ARGUMENT…`.

Rules kept here: nothing that the program starts outlives this process's end. It is a subreaper, so a
descendant that calls `setsid` or loses its parent becomes our child instead of init's; when the program
ends, when we are told (SIGTERM), or when the executor dies (its end of the lifeline pipe closes), every
descendant is killed, again and again until none is left, and none lives to tell of another's end. If we are killed
ourselves, the program dies with us (parent-death signal) and the executor sweeps by token. What is CLOSED is closed to
the program and all that it starts, but for what is SHOWN, as LEVEL says (`_custody`), or the program is not started;
this process keeps its own view.

Standard library only, no import of itmp: it starts in some 20 ms and runs in isolated mode.
"""

import ctypes
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_NOT_STARTED, _NOT_CLOSED = 127, 126


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def descendants(root: int) -> Iterator[int]:
    """Yield the pids below `root`, parents first, as /proc shows them now."""
    children: dict[int, list[int]] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with suppress(OSError, ValueError, IndexError):
                children.setdefault(_parent(entry.name), []).append(int(entry.name))
    level = children.get(root, [])
    while level:
        yield from level
        level = [child for pid in level for child in children.get(pid, [])]


def _parent(pid: str) -> int:
    with open(f"/proc/{pid}/stat", "rb") as stat:  # noqa: PTH123 -- pathlib costs import time here
        return int(stat.read().rpartition(b")")[2].split()[1])


def _start(level: str, closed: list[str], shown: list[str], arguments: list[str]) -> int:
    supervisor = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        _close(level, closed, shown)
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == supervisor:
            for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
                signal.signal(number, signal.SIG_DFL)
            os.execvp(arguments[0], arguments)  # noqa: S606 -- the caller's own argument list, no shell
    except OSError as error:
        os.write(2, f"{arguments[0]}: {error.strerror}\n".encode())
    os._exit(_NOT_STARTED)


def _close(level: str, closed: list[str], shown: list[str]) -> None:
    if level == "none":
        return
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 -- as above
    import _custody  # type: ignore[import-not-found]  # noqa: PLC0415 -- isolated mode looks nowhere by itself

    try:
        _custody.close(level, closed, shown)
    except Exception as error:  # noqa: BLE001 -- whatever kept it open, the program must not see what is closed
        os.write(2, f"custody cannot be held: {error}\n".encode())
        os._exit(_NOT_CLOSED)
    finally:
        del sys.path[0]


def _reap(program: int, status: int | None) -> int | None:
    """Collect every ended child; return the program's exit code once it is known."""
    with suppress(ChildProcessError):
        while True:
            pid, raw = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid == program:
                status = os.waitstatus_to_exitcode(raw)
    return status


def _end_all() -> None:
    """Kill every descendant until none is left: what forks meanwhile is found in the next round.

    All stand still before the first one is killed, so that none sees another's end and tells of it.
    """
    while True:
        found = list(descendants(os.getpid()))
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in found:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, number)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.005)


def _watch(program: int, lifeline: int, grace: float) -> int:
    """Return the program's exit code, after its end, our grace period's end, or the executor's death."""
    wakeup, signals = os.pipe()
    os.set_blocking(signals, False)
    signal.set_wakeup_fd(signals)
    told: list[float] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: told.append(time.monotonic()))
    signal.signal(signal.SIGCHLD, lambda *_: None)
    status, forwarded = _reap(program, None), False
    while status is None:
        if told and not forwarded:
            forwarded = True
            os.kill(program, signal.SIGTERM)
        if told and time.monotonic() - told[0] >= grace:
            break
        ready, _, _ = select.select([lifeline, wakeup], [], [], 0.1 if told else None)
        if wakeup in ready:
            os.read(wakeup, 4096)
        status = _reap(program, status)
        if lifeline in ready:
            break
    return -signal.SIGKILL if status is None else status


def _counted(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Split off as many arguments as the first one says."""
    end = 1 + int(arguments[0])
    return arguments[1:end], arguments[end:]


def main(arguments: list[str]) -> int:
    """Run the program under supervision; return its exit code, 128 + n when signal n ended it."""
    lifeline, grace = int(arguments[0]), float(arguments[1])
    os.set_inheritable(lifeline, False)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    level, rest = arguments[2], arguments[3:]
    closed, rest = _counted(rest)
    shown, rest = _counted(rest)
    program = _start(level, closed, shown, rest)
    try:
        status = _watch(program, lifeline, grace)
    finally:
        _end_all()
    return 128 - status if status < 0 else status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
