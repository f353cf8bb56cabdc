"""Child processes that cannot outlive us.

Ansible, the engine, stack programs and parsers run under a supervisor. Rules kept here: every child gets
its own session, an explicit environment that carries the run token, and a supervisor process (`_main`)
which ends all descendants, also those that called `setsid`, when the child ends, when it is told, or when
this process dies, however it dies. What `custody.close` has closed is closed to every child, but for one kind: a
container engine has to mount, and its containers see only what they are given. Standard input, output and error are the
caller's choice. Linux only: it rests on subreapers, parent-death signals, pidfds
and /proc.

Who is trusted: processes of our own uid. One that erases its environment and escapes a killed supervisor
is found by neither the supervisor nor `sweep`.
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

from itmp.adapters.supervisor import custody
from itmp.errors import Error, ToolMissingError

TOKEN: Final = "ITMP_RUN_TOKEN"  # noqa: S105 -- the name of a variable, not a secret
_SWEEP_ROUNDS: Final = 200
_NOT_STARTED: Final = 127


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """What a child left behind: exit code (128 + n when signal n ended it), output, errors."""

    rc: int
    stdout: bytes
    stderr: bytes


class Supervised:
    """A running child process with its supervisor; a context manager that leaves nothing running.

    `grace` is how many seconds the child has after `stop` before everything is killed; `shown` are folders in which it
    works although what is around them is closed to children. `uncovered` is for container engines alone: what runs in
    their containers must not be given what is closed.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        token: str,
        environment: Mapping[str, str],
        folder: Path | None = None,
        shown: Sequence[Path] = (),
        grace: float = 5.0,
        uncovered: bool = False,
        stdin: int | IO[Any] = subprocess.DEVNULL,
        stdout: int | IO[Any] = subprocess.DEVNULL,
        stderr: int | IO[Any] = subprocess.DEVNULL,
    ) -> None:
        """Start `argv` in `folder` with exactly `environment` and the run token."""
        self._token = token
        life, self._lifeline = os.pipe()
        try:
            self._process = subprocess.Popen(
                custody.supervision(life, grace, argv, shown, uncovered=uncovered),
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                cwd=folder,
                env={**environment, TOKEN: token},
                pass_fds=(life,),
                start_new_session=True,
            )
        except BaseException:
            os.close(self._lifeline)
            raise
        finally:
            os.close(life)
        self.pidfd = os.pidfd_open(self._process.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        os.close(self.pidfd)

    @property
    def pid(self) -> int:
        """The supervisor's pid."""
        return self._process.pid

    def poll(self) -> int | None:
        """Return the exit code, or `None` while the child or one of its descendants runs."""
        return self._settle(self._process.poll())

    def wait(self, timeout: float | None = None) -> int | None:
        """Return the exit code, or `None` when `timeout` seconds have passed."""
        try:
            return self._settle(self._process.wait(timeout))
        except subprocess.TimeoutExpired:
            return None

    def stop(self) -> None:
        """Ask the child to end (SIGTERM); everything is killed after the grace period. Returns at once."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGTERM)

    def end(self) -> int:
        """Kill the child and all its descendants; return once they are gone."""
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1
        rc = self.wait()
        return 0 if rc is None else rc

    def feed(self, data: bytes) -> None:
        """Write `data` to the child's standard input (a pipe) and close it; no error if it has ended."""
        stream = self._process.stdin
        if stream is not None:
            with suppress(BrokenPipeError):
                stream.write(data)
                stream.close()

    def communicate(self, data: bytes, timeout: float) -> Completed:
        """Feed `data`, collect both outputs; raise `Error` after `timeout` seconds, with everything ended."""
        try:
            out, err = self._process.communicate(data, timeout)
        except subprocess.TimeoutExpired as error:
            self.end()
            raise Error(f"a child process was ended after {timeout:.0f} s") from error
        rc = self.poll()
        return Completed(rc=0 if rc is None else rc, stdout=out or b"", stderr=err or b"")

    def _settle(self, code: int | None) -> int | None:
        if code is not None and code < 0:  # the supervisor itself was killed: nobody ended its descendants
            sweep(self._token)
            return 128 - code
        return code


def run(
    argv: Sequence[str],
    *,
    token: str,
    environment: Mapping[str, str],
    folder: Path | None = None,
    data: bytes = b"",
    timeout: float,
    uncovered: bool = False,
) -> Completed:
    """Run `argv` to its end with `data` on its standard input; raise `Error` after `timeout` seconds.

    Raises `ToolMissingError` when the program cannot be started.
    """
    pipe = subprocess.PIPE
    with Supervised(
        argv, token=token, environment=environment, folder=folder, uncovered=uncovered,
        stdin=pipe, stdout=pipe, stderr=pipe,
    ) as child:  # fmt: skip
        done = child.communicate(data, timeout)
    if done.rc == _NOT_STARTED:
        raise ToolMissingError(f"{argv[0]} cannot be started", do="Install it, or put it on PATH.")
    return done


def sweep(token: str) -> tuple[str, ...]:
    """Kill every process of ours whose environment carries `token`; return `pid name` of each found."""
    found: dict[int, str] = {}
    for _ in range(_SWEEP_ROUNDS):
        alive = dict(_carriers(token))
        if not alive:
            break
        found |= alive
        for pid in alive:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
    return tuple(f"{pid} {name}" for pid, name in sorted(found.items()))


def _carriers(token: str) -> Iterator[tuple[int, str]]:
    mark = f"\0{TOKEN}={token}\0".encode()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        with suppress(OSError):
            if mark in b"\0" + (folder / "environ").read_bytes() and not _zombie(folder):
                yield int(folder.name), (folder / "comm").read_text().strip()


def _zombie(folder: Path) -> bool:
    return (folder / "stat").read_bytes().rpartition(b")")[2].split()[0] == b"Z"


__all__ = ["TOKEN", "Completed", "Supervised", "run", "sweep"]
