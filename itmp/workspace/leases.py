"""What a run acts on is leased to it: hosts, the hosts that its tasks are delegated to, and stacks.

Rules kept here:
- A host is leased by its name and, where ssh enters it, by its place too: two names of one machine are one lease, and
  names of one run may share a place.
- A lease dies with its process: it is a file of `.itmp/leases/` whose lock the kernel gives up at the holder's
  end, whichever way that comes. A file that nobody locks says nothing, and whoever sees it removes it.
- All or nothing: all that a run may act on is taken in one step under one short lock, so that nobody holds some of it
  while waiting for others, and no two runs can wait for each other.
- A run that waits holds nothing, and sleeps until a holder has ended or died: its file is then closed, which the kernel
  tells (`adapters.file_events`). Looking closes no file that was open for writing, so that no look wakes another.
- The holder is readable: the file says change, run, process, names and places.
- No child of the executor reaches these files: a play could take the lease of another run away.
"""

import fcntl
import json
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from itmp.adapters.file_events import FileEvents
from itmp.adapters.hold import is_locked, lock
from itmp.errors import BusyError
from itmp.plan import AnsibleStep, LeafStep, Plan, PulumiStep, slices
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
            f"{held.told}{after}",
            where=f"run {held.run}, process {held.pid}",
            do=f"Wait for it (--wait 30m), or follow it: itmp wait {held.change} --for finished",
        )
        self.held = held


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One thing that another run holds: `target` is its name here, `other` its name there, `key` what they share."""

    target: str
    other: str
    key: str
    change: str
    run: str
    pid: int

    @property
    def told(self) -> str:
        """Say who holds it, and under which name where that is another one."""
        if self.target == self.other:
            return f"{self.target} is held by {self.change}"
        return f"{self.target} ({self.key}) is held by {self.change} as {self.other}"

    def to_data(self) -> dict[str, Any]:
        """Return what a `change.refused` event says of it."""
        more = {} if self.target == self.other else {"name": self.other}
        return {"target": self.target, "change": self.change, "run": self.run, **more}


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

    def take(self, wanted: Mapping[str, str]) -> bool:
        """Return once all of `wanted` are ours: whether we had to wait, so that what was judged may be old.

        `wanted` maps names and places to the name of what they mean. Raises `TargetHeldError` when another holder
        outlasts our patience.
        """
        if self._file is not None or not wanted:
            return False
        (self._folder / _TURN).mkdir(parents=True, exist_ok=True, mode=0o700)
        held = self._try(wanted)
        if held is None:
            return False
        if self._patience <= 0:
            raise TargetHeldError(held, waited=self._patience)
        self._tell(held)
        self._outwait(wanted)
        return True

    def _outwait(self, wanted: Mapping[str, str]) -> None:
        """Return once all of `wanted` are ours; raise `TargetHeldError` when our patience ends first."""
        end = time.monotonic() + self._patience
        with closing(FileEvents((self._folder,))) as events:
            while (held := self._try(wanted)) is not None:
                left = end - time.monotonic()
                if left <= 0:
                    raise TargetHeldError(held, waited=self._patience)
                if events.wait(left):
                    time.sleep(_SETTLE)

    def _try(self, wanted: Mapping[str, str]) -> Held | None:
        with self._mutex():
            for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
                held = _holder(path, wanted)
                if held is not None:
                    return held
            self._file = self._write(wanted)
        return None

    def _write(self, wanted: Mapping[str, str]) -> tuple[Path, int]:
        path = self._folder / f"{self._change}-{self._run}-{os.getpid()}{_SUFFIX}"
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            lock(descriptor)
            body = {"change": self._change, "run": self._run, "pid": os.getpid(), "targets": dict(wanted)}
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


def acted_on(plan: Plan, hosts: Collection[str], *, phases: "Collection[Phase]") -> Mapping[str, str]:
    """Return all that a run of these phases on `hosts` may act on, by name and by place: hosts, delegates, stacks.

    A check asks from here and acts on nothing. A stack is named by its program and its name.
    """
    from itmp.adapters.ansible.places import entered_at  # noqa: PLC0415 - only a start asks

    steps = [part.step for phase in phases for part in slices(plan.manifest, phase)]
    names = {name: name for step in steps for name in _names(step, hosts)}
    return {**{place: name for name, place in entered_at(plan) if name in names}, **names}


def _names(step: LeafStep, hosts: Collection[str]) -> Iterator[str]:
    if isinstance(step, PulumiStep):
        yield f"stack {step.program} {step.stack}"
    elif isinstance(step, AnsibleStep) and any(host in hosts for host in step.hosts):
        yield from (host for host in step.hosts if host in hosts)
        yield from step.delegates


def _holder(path: Path, wanted: Mapping[str, str]) -> Held | None:
    """Return who holds one of `wanted` by the file at `path`; remove a file whose holder has ended."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        if is_locked(descriptor):
            return _common(descriptor, wanted)
        with suppress(FileNotFoundError):
            path.unlink()
        return None
    finally:
        os.close(descriptor)


def _common(descriptor: int, wanted: Mapping[str, str]) -> Held | None:
    with open(descriptor, "rb", closefd=False) as file:
        body = json.loads(file.read())
    theirs = body["targets"]
    if not isinstance(theirs, dict):  # of an executor of before, which still runs
        theirs = {name: name for name in theirs}
    common = sorted(wanted.keys() & theirs.keys(), key=lambda key: (wanted[key] != key, key))  # names first
    if not common:
        return None
    key = common[0]
    return Held(
        target=wanted[key],
        other=theirs[key],
        key=key,
        change=body["change"],
        run=body["run"],
        pid=body["pid"],
    )


__all__ = ["Held", "Leases", "TargetHeldError", "acted_on"]
