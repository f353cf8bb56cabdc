"""What a run acts on is leased to it: hosts, the hosts that its tasks are delegated to, and stacks.

Rules kept here:
- A lease dies with its process: it is a file of `.itmp/leases/` whose lock the kernel gives up at the holder's
  end, whichever way that comes. A file that nobody locks says nothing, and whoever sees it removes it.
- All or nothing: every name that a run may act on is taken in one step under one short lock, so that nobody holds some
  names while waiting for others, and no two runs can wait for each other.
- A run that waits holds nothing, and sleeps until a holder has ended or died: its file is then closed, which the kernel
  tells (`adapters.file_events`). Looking closes no file that was open for writing, so that no look wakes another.
- The holder is readable: the file says change, run, process and names.
- No child of the executor reaches these files: a play could take the lease of another run away.
"""

import fcntl
import json
import os
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from itmp.adapters.file_events import FileEvents
from itmp.adapters.hold import is_locked, lock
from itmp.errors import BusyError
from itmp.plan import AnsibleStep, LeafStep, Manifest, PulumiStep, slices
from itmp.workspace.place import Workspace

if TYPE_CHECKING:
    from itmp.execution.doors import Phase

_SETTLE: Final = 0.01
"""Seconds between an event and the look at it: the kernel tells of a close before it gives up the file's lock."""
_TURN: Final = "turn"
"""A folder of its own for the short lock: closing its file must not wake those who wait for a lease."""
_MUTEX: Final = "mutex"
_SUFFIX: Final = ".lease"


class TargetHeldError(BusyError):
    """Another change holds something that this one would act on; `held` says what, and who."""

    def __init__(self, held: "Held", *, waited: float) -> None:
        after = f" (waited {waited:g} s)" if waited else ""
        super().__init__(
            f"{held.target} is held by {held.change}{after}",
            where=f"run {held.run}, process {held.pid}",
            do=f"Wait for it (--wait 30m), or follow it: itmp wait {held.change} --for finished",
        )
        self.held = held


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One name that another run holds."""

    target: str
    change: str
    run: str
    pid: int

    def to_data(self) -> dict[str, Any]:
        """Return what a `change.refused` event says of it."""
        return {"target": self.target, "change": self.change, "run": self.run}


class Leases:
    """The leases of one run; a context manager that gives them back.

    `patience` is how many seconds to wait for another holder, `tell` is told once whom we wait for.
    """

    def __init__(
        self,
        place: Workspace,
        change: str,
        run: str,
        *,
        patience: float = 0.0,
        tell: Callable[[Held], None] = lambda _: None,
    ) -> None:
        self._folder, self._change, self._run = place.leases, change, run
        self._patience, self._tell = patience, tell
        self._file: tuple[Path, int] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            path, descriptor = self._file
            path.unlink(missing_ok=True)
            os.close(descriptor)
            self._file = None

    def take(self, names: Collection[str]) -> bool:
        """Return once all of `names` are ours: whether we had to wait, so that what was judged may be old.

        Raises `TargetHeldError` when another holder outlasts our patience.
        """
        if self._file is not None or not names:
            return False
        (self._folder / _TURN).mkdir(parents=True, exist_ok=True, mode=0o700)
        held = self._try(names)
        if held is None:
            return False
        if self._patience <= 0:
            raise TargetHeldError(held, waited=self._patience)
        self._tell(held)
        self._outwait(names)
        return True

    def _outwait(self, names: Collection[str]) -> None:
        """Return once all of `names` are ours; raise `TargetHeldError` when our patience ends first."""
        end = time.monotonic() + self._patience
        with closing(FileEvents((self._folder,))) as events:
            while (held := self._try(names)) is not None:
                left = end - time.monotonic()
                if left <= 0:
                    raise TargetHeldError(held, waited=self._patience)
                if events.wait(left):
                    time.sleep(_SETTLE)

    def _try(self, names: Collection[str]) -> Held | None:
        with self._mutex():
            for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
                held = _holder(path, names)
                if held is not None:
                    return held
            self._file = self._write(names)
        return None

    def _write(self, names: Collection[str]) -> tuple[Path, int]:
        path = self._folder / f"{self._change}-{self._run}-{os.getpid()}{_SUFFIX}"
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            lock(descriptor)
            body = {"change": self._change, "run": self._run, "pid": os.getpid(), "targets": sorted(names)}
            with open(descriptor, "wb", closefd=False) as file:
                file.write(json.dumps(body).encode())
        except BaseException:
            path.unlink(missing_ok=True)
            os.close(descriptor)
            raise
        return path, descriptor

    @contextmanager
    def _mutex(self) -> Iterator[None]:
        descriptor = os.open(self._folder / _TURN / _MUTEX, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def acted_on(manifest: Manifest, hosts: Collection[str], *, phases: "Collection[Phase]") -> frozenset[str]:
    """Return the names of all that a run of these phases on `hosts` may act on: hosts, delegates, stacks.

    A check asks from here and acts on nothing. A stack is named by its program and its name.
    """
    steps = [part.step for phase in phases for part in slices(manifest, phase)]
    return frozenset(name for step in steps for name in _names(step, hosts))


def _names(step: LeafStep, hosts: Collection[str]) -> Iterator[str]:
    if isinstance(step, PulumiStep):
        yield f"stack {step.program} {step.stack}"
    elif isinstance(step, AnsibleStep) and any(host in hosts for host in step.hosts):
        yield from (host for host in step.hosts if host in hosts)
        yield from step.delegates


def _holder(path: Path, names: Collection[str]) -> Held | None:
    """Return who holds one of `names` by the file at `path`; remove a file whose holder has ended."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        if is_locked(descriptor):
            return _common(descriptor, names)
        with suppress(FileNotFoundError):
            path.unlink()
        return None
    finally:
        os.close(descriptor)


def _common(descriptor: int, names: Collection[str]) -> Held | None:
    with open(descriptor, "rb", closefd=False) as file:
        body = json.loads(file.read())
    common = sorted(set(names).intersection(body["targets"]))
    if not common:
        return None
    return Held(target=common[0], change=body["change"], run=body["run"], pid=body["pid"])


__all__ = ["Held", "Leases", "TargetHeldError", "acted_on"]
