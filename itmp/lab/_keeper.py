"""The keeper: one small process that owns a fleet's listening sockets and child processes.

Rules kept here:
- It is run by path and needs the standard library alone: starting it costs an interpreter and no more.
- Nothing outlives it. It is the subreaper of everything it starts; each direct child dies with it
  (parent-death signal); told to end, or tied to a process that ends, it kills all its descendants.
- Ports are held, not guessed: a host's port is reserved by a bound socket from its first start until the end,
  so that a stopped host refuses connections and nobody else can get its port.
- Each accepted connection is counted before anything answers it: a count of 0 proves an untouched host.
- One thread, one loop; requests are JSON lines on the UNIX socket `control` in the fleet's folder (mode
  0700). Who can open that socket can run programs as this user; only this user can.
"""

import contextlib
import ctypes
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_MARK: Final = "ITMP_LAB_HOST"
_BACKLOG: Final = 128
_KILL_ROUNDS: Final = 200
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> None:
    """Ask the kernel to kill this process when the thread that forked it ends."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class Unit:
    """One host: either a port whose connections are each served by a program, or one program kept running."""

    def __init__(self, request: dict[str, Any]) -> None:
        self.name: str = request["name"]
        self.argv: list[str] = request["argv"]
        self.log: str = request["log"]
        self.again: list[int] = request.get("again", [])
        self.env: dict[str, str] = {**os.environ, **request.get("env", {}), _MARK: self.name}
        self.served: bool = request["do"] == "serve"
        self.count = 0
        self.pids: set[int] = set()
        self.restart_at = 0.0
        self.listener: socket.socket | None = None
        self.reserved = _bound(request["address"], 0) if self.served else None

    def listen(self) -> socket.socket:
        """Open the port to connections."""
        assert self.reserved is not None  # noqa: S101 — a unit that serves always has its port
        address, port = self.reserved.getsockname()
        self.listener = _bound(address, port)
        self.listener.listen(_BACKLOG)
        self.listener.setblocking(False)
        return self.listener

    def spawn(self, stdin: socket.socket | None = None) -> int:
        """Start the program, its standard input and output being the connection where there is one."""
        with Path(self.log).open("ab") as log:
            child = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL if stdin is None else stdin.fileno(),
                stdout=log if stdin is None else stdin.fileno(),
                stderr=log,
                env=self.env,
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509 — this process has one thread
            )
        child.returncode = 0  # reaped by the loop, not by Popen
        self.pids.add(child.pid)
        return child.pid


def _bound(address: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind((address, port))
    return sock


class Keeper:
    """The loop. `folder` holds the control socket, `parent` is the process to end with (0: none)."""

    def __init__(self, folder: Path, parent: int) -> None:
        self.units: dict[str, Unit] = {}
        self.ending = False
        self.selector = selectors.DefaultSelector()
        self.control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        (folder / "control").unlink(missing_ok=True)
        os.chdir(folder)  # a UNIX socket's path is limited to 107 bytes; a relative one always fits
        self.control.bind("control")
        self.control.listen(_BACKLOG)
        self.selector.register(self.control, selectors.EVENT_READ, self._client)
        self._watch_children()
        if parent:
            self.selector.register(os.pidfd_open(parent), selectors.EVENT_READ, self._end)

    def _watch_children(self) -> None:
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: self._end())
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self.selector.register(reader, selectors.EVENT_READ, lambda: self._reap(reader))

    def loop(self) -> None:
        """Serve until told to end; then kill every descendant."""
        while not self.ending:
            due = [unit.restart_at for unit in self.units.values() if unit.restart_at]
            timeout = max(0.0, min(due) - time.monotonic()) if due else None
            for key, _ in self.selector.select(timeout):
                key.data()
            self._restart()
        for unit in self.units.values():
            self._close(unit)
        self._kill(lambda: descendants(os.getpid()))
        self._reap_last()

    def _end(self) -> None:
        self.ending = True

    def _restart(self) -> None:
        for unit in self.units.values():
            if unit.restart_at and unit.restart_at <= time.monotonic():
                unit.restart_at = 0.0
                unit.spawn()

    def _reap(self, wakeup: int) -> None:
        os.read(wakeup, 4096)
        self._reap_all()

    def _reap_all(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._ended(pid, os.waitstatus_to_exitcode(status))

    def _reap_last(self) -> None:
        """Wait (bounded) for the killed: a namespace ends only when its process 1 has been waited for."""
        for _ in range(_KILL_ROUNDS):
            self._reap_all()
            if not Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii"):
                return
            time.sleep(0.005)

    def _kill(self, find: Callable[[], list[int]]) -> None:
        """Kill what `find` finds until it finds nothing (bounded): a process may fork meanwhile."""
        for _ in range(_KILL_ROUNDS):
            pids = find()
            if not pids:
                return
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._reap_all()
            time.sleep(0.005)

    def _ended(self, pid: int, code: int) -> None:
        for unit in self.units.values():
            if pid in unit.pids:
                unit.pids.discard(pid)
                if (128 - code if code < 0 else code) in unit.again:
                    unit.restart_at = time.monotonic() + 0.05

    def _client(self) -> None:
        connection, _ = self.control.accept()
        stream = connection.makefile("rwb", buffering=0)

        def answer() -> None:
            line = stream.readline()
            if not line:
                self.selector.unregister(connection)
                stream.close()
                connection.close()
                return
            try:
                reply = self._do(json.loads(line))
            except (OSError, KeyError, ValueError) as error:
                reply = {"error": f"{type(error).__name__}: {error}"}
            stream.write(json.dumps(reply).encode() + b"\n")

        self.selector.register(connection, selectors.EVENT_READ, answer)

    def _do(self, request: dict[str, Any]) -> dict[str, Any]:
        match request["do"]:
            case "serve" | "keep":
                unit = self.units[request["name"]] = Unit(request)
                return self._start(unit)
            case "start":
                return self._start(self.units[request["name"]])
            case "stop":
                return self._stop(self.units[request["name"]])
            case "count":
                self._accept(self.units[request["name"]])
                return {"count": self.units[request["name"]].count}
            case "pids":
                return {"pids": sorted(self.units[request["name"]].pids)}
            case "end":
                self.ending = True
                return {}
        raise ValueError(request["do"])

    def _start(self, unit: Unit) -> dict[str, Any]:
        if not unit.served:
            return {"pid": next(iter(unit.pids)) if unit.pids else unit.spawn()}
        if unit.listener is None:
            self.selector.register(unit.listen(), selectors.EVENT_READ, lambda: self._accept(unit))
        assert unit.reserved is not None  # noqa: S101 — a unit that serves always has its port
        return {"port": unit.reserved.getsockname()[1]}

    def _accept(self, unit: Unit) -> None:
        while unit.listener is not None:
            try:
                connection, _ = unit.listener.accept()
            except BlockingIOError:
                return
            unit.count += 1
            with connection:
                connection.setblocking(True)
                unit.spawn(connection)

    def _close(self, unit: Unit) -> None:
        if unit.listener is not None:
            self.selector.unregister(unit.listener)
            unit.listener.close()
            unit.listener = None

    def _stop(self, unit: Unit) -> dict[str, Any]:
        unit.restart_at = 0.0
        again, unit.again = unit.again, []
        self._close(unit)
        self._kill(lambda: [pid for root in unit.pids for pid in (root, *descendants(root))])
        self._kill(lambda: [pid for pid in descendants(os.getpid()) if _marked(pid, unit.name)])
        unit.again = again
        return {}


def descendants(root: int) -> list[int]:
    """Return every living process below `root`, parents first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue
            state, parent = stat.rpartition(")")[2].split()[:2]
            if state != "Z":
                children.setdefault(int(parent), []).append(int(entry.name))
    found, todo = [], [root]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def _marked(pid: int, name: str) -> bool:
    try:
        return f"{_MARK}={name}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


def main() -> None:
    """Run as `_keeper.py FOLDER PARENT`: `PARENT` is a process id to end with, or 0."""
    folder, parent = Path(sys.argv[1]), int(sys.argv[2])
    if parent and os.getppid() != parent:
        return
    _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    keeper = Keeper(folder, parent)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    keeper.loop()


if __name__ == "__main__":
    main()
