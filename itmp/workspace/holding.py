"""While a run goes: hold its change, listen for stops, and keep the published head close behind the log.

Rules kept here: one process at a time holds a change, and its lock dies with it (`leases` is about what it acts
on); Ctrl-C, SIGTERM, a closed terminal and a signed stop statement are heard between actions; a checkpoint covers every
intent within about a second and every result within a few, and one that fails stops nothing by itself, because the next
append will.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Final

from itmp.adapters.hold import is_taken, take
from itmp.errors import BusyError, Error
from itmp.workspace import changes
from itmp.workspace.place import Workspace

PUBLISH: Final = 0.5
"""Seconds between two looks whether the published head is behind: formats allow an intent one second."""
LATER: Final = 3.0
"""Seconds that results may wait for a head: signing one holds up whoever appends, and a barrier makes them durable."""
_INTENTS: Final = ("slice.intended", "action.intended")


class ChangeHeldError(BusyError):
    """Another process of this workspace holds the change."""


@contextmanager
def held(place: Workspace, change: str) -> Iterator[None]:
    """Hold the change against other processes of this workspace; the lock dies with its process."""
    for folder in (place.leases, place.runs):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = place.leases / f"{change}.lock"
    with suppress(OSError):  # not there yet, or not ours to read: taking it tells
        if is_taken(lock):  # a look wakes nobody; a file that was open for writing does when it closes
            raise _taken(change)
    descriptor = take(lock)
    if descriptor is None:
        raise _taken(change)
    try:
        yield
    finally:
        os.close(descriptor)


def _taken(change: str) -> ChangeHeldError:
    return ChangeHeldError(
        f"another process is running {change}", do=f"Follow it: itmp wait {change} --for finished"
    )


class Stops:
    """Whether somebody asked to stop: by a signal (`signalled`), or by a signed statement as well (a call)."""

    def __init__(self, watch: Callable[[], bool]) -> None:
        self.signalled = False
        self._watch = watch

    def __call__(self) -> bool:
        """Look whether anybody has asked, in whichever way."""
        return self.signalled or self._watch()


@contextmanager
def stopping(place: Workspace, change: str) -> Iterator[Stops]:
    """Say whether somebody asked to stop: Ctrl-C, SIGTERM, a closed terminal, or a signed stop statement."""
    stops = Stops(_StopWatch(place, change))

    def note(_number: int, _frame: FrameType | None) -> None:
        stops.signalled = True

    old = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield stops
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def hearing(stops: Stops, tell: Callable[[], None]) -> Callable[[], None]:
    """Return what calls `tell` once after a signal was heard: a long action may be under way, and its person waits."""
    told: list[bool] = []

    def look() -> None:
        if stops.signalled and not told:
            told.append(True)
            with suppress(Exception):  # a watcher's trouble is not the run's
                tell()

    return look


class _StopWatch:
    """Reads only statements that are new since it last looked: it is asked before each action."""

    def __init__(self, place: Workspace, change: str) -> None:
        self._place, self._change = place, change
        self._seen, self._known = place.log.size(), len(changes.find(place, change).stops)
        self._asked = False

    def __call__(self) -> bool:
        newest = self._place.log.newest("statement.recorded")
        if not self._asked and newest >= self._seen:
            told = self._place.log.leaves(self._seen, newest + 1)
            if any(b"act stop" in leaf.data for leaf in told):
                self._asked = len(changes.find(self._place, self._change).stops) > self._known
            self._seen = newest + 1
        return self._asked


@contextmanager
def publishing(place: Workspace, look: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Keep the published checkpoint close behind the log until the block ends; `look` is called now and then."""
    done = threading.Event()

    def follow() -> None:
        published, since = 0, time.monotonic()
        while not done.wait(PUBLISH):
            look()
            with suppress(Error):
                urgent = max(map(place.log.newest, _INTENTS)) >= published
                late = time.monotonic() >= since + LATER and place.log.size() > published
                if urgent or late:
                    published, since = place.log.checkpoint().checkpoint.size, time.monotonic()

    thread = threading.Thread(target=follow, name="itmp-publish", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
