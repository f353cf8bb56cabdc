"""Starting a keeper, talking to it and ending it; from the process that started it or from any later one.

Rules kept here: a process is killed only after its id, start time and command line were all found to be those
that were written down when it was started; a fleet's folder is private to its user (mode 0700).
"""

import json
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any, Final

from itmp.errors import BusyError, Error, InvalidInputError, NotFoundError

_KEEPER: Final = Path(__file__).with_name("_keeper.py")
_PATIENCE: Final = 20.0
_STATE: Final = "fleet.json"


class LabError(Error):
    """The lab could not start, reach or end something; nothing outside its folder was touched."""

    exit_code = 13


def start_keeper(folder: Path, *, tied: bool) -> None:
    """Start a keeper in `folder`; `tied`: it ends (and everything with it) when this process ends.

    Raises `BusyError` when a fleet lives there already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    if alive(folder):
        raise BusyError("a fleet is up here already", where=str(folder), do="Run `itmp lab down` first.")
    reader, writer = os.pipe()
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, "-I", "-S", str(_KEEPER), str(folder), str(os.getpid() if tied else 0)],
        dict(os.environ),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, writer, 1),
            (
                os.POSIX_SPAWN_OPEN,
                2,
                str(folder / "keeper.log"),
                os.O_WRONLY | os.O_CREAT | os.O_APPEND,
                0o600,
            ),
        ],
        setsid=True,
    )
    os.close(writer)
    write_state(folder, {"keeper": pid, "started": started(pid)})
    with os.fdopen(reader, "rb") as pipe:
        if pipe.readline() != b"ready\n":
            raise LabError("the lab's keeper did not start", where=str(folder), do="See keeper.log there.")


def started(pid: int) -> str:
    """Return the start time of a process in clock ticks since boot, or an empty text when it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] == "Z" else fields[19]


def alive(folder: Path) -> bool:
    """Return whether the process written down in `folder` still runs and is that very keeper."""
    try:
        state = read_state(folder)
        command = Path(f"/proc/{state['keeper']}/cmdline").read_bytes()
    except (NotFoundError, OSError):
        return False
    ours = command.split(b"\0")[3:5] == [os.fsencode(_KEEPER), os.fsencode(folder)]
    return ours and bool(state["started"]) and started(state["keeper"]) == state["started"]


def read_state(folder: Path) -> dict[str, Any]:
    """Return what was written down about the fleet in `folder`; raise `NotFoundError` when there is none."""
    try:
        state = json.loads((folder / _STATE).read_bytes())
    except FileNotFoundError as error:
        raise NotFoundError(
            "no fleet was started here", where=str(folder), do="Run `itmp lab up N`."
        ) from error
    except ValueError as error:
        raise InvalidInputError("the fleet's state file is damaged", where=str(folder / _STATE)) from error
    if not isinstance(state, dict) or not isinstance(state.get("keeper"), int):
        raise InvalidInputError("the fleet's state file is damaged", where=str(folder / _STATE))
    return state


def write_state(folder: Path, state: dict[str, Any]) -> None:
    """Replace the state file as a whole."""
    temporary = folder / f"{_STATE}.{os.getpid()}"
    temporary.write_text(json.dumps(state, indent=1), encoding="utf-8")
    temporary.rename(folder / _STATE)


class Line:
    """A connection to the keeper of `folder`. Closed by `close`; one request at a time."""

    def __init__(self, folder: Path) -> None:
        if not alive(folder):
            raise NotFoundError("no fleet runs here", where=str(folder), do="Run `itmp lab up N`.")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(_PATIENCE)
        descriptor = os.open(folder, os.O_PATH)
        try:  # through /proc a path of any length fits a UNIX socket's 107 bytes
            self._socket.connect(f"/proc/self/fd/{descriptor}/control")
        except OSError as error:
            self._socket.close()
            raise LabError(f"the lab's keeper does not answer: {error}", where=str(folder)) from error
        finally:
            os.close(descriptor)
        self._stream = self._socket.makefile("rwb", buffering=-1)

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send one request and return its answer; raise `LabError` when the keeper reports a failure."""
        self._stream.write(json.dumps(request).encode() + b"\n")
        self._stream.flush()
        line = self._stream.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": "the keeper has ended"}
        if "error" in answer:
            raise LabError(f"the lab could not {request['do']} {request.get('name', '')}: {answer['error']}")
        return answer

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()
        self._socket.close()


def ask(folder: Path, **request: Any) -> dict[str, Any]:
    """Send one request to the keeper of `folder`."""
    line = Line(folder)
    try:
        return line.ask(**request)
    finally:
        line.close()


def end_keeper(folder: Path) -> None:
    """End the keeper and everything that it started; return when it is gone. Without one nothing happens."""
    if not alive(folder):
        return
    pid: int = read_state(folder)["keeper"]
    try:
        watch = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(watch, signal.SIGTERM)
        if not select.select([watch], [], [], _PATIENCE)[0]:
            signal.pidfd_send_signal(watch, signal.SIGKILL)
            select.select([watch], [], [], _PATIENCE)
    finally:
        os.close(watch)
    _reap(pid)


def _reap(pid: int) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        try:
            if os.waitpid(pid, os.WNOHANG)[0] == pid:
                return
        except ChildProcessError:
            return  # started by another process, whose child it is
        time.sleep(0.005)
