"""Turns among threads and processes of one machine, by `flock`.

Rules kept here: threads exclude each other; a forked child shares no lock, be it held or not, nor the descriptor of one
that another thread was opening, and it waits for no thread that it has not; the lock is given back explicitly, so that
it is free also when a started program still holds the descriptor; a lock file that was replaced while waiting is none.
"""

import fcntl
import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from itmp.adapters.posix_log.durable import shut, unavailable
from itmp.errors import LogUnavailableError


class Lock:
    """The exclusive lock `path`, for `with`. Its file stays open between two turns, closed in forked children.

    One for each user of it in a process: two exclude each other like two processes. `folder`: it is one, and is there.
    """

    __slots__ = (
        "__weakref__",
        "_closing",
        "_descriptor",
        "_flags",
        "_held",
        "_identity",
        "_locking",
        "_mutex",
        "_path",
    )

    def __init__(self, path: Path, *, folder: bool = False) -> None:
        self._path, self._locking = os.fspath(path), unavailable("locked", path)
        self._flags = _FOLDER if folder else _FILE
        self._identity = (0, 0)
        self._closing: weakref.finalize[..., object] | None = None
        self._fresh()
        _KEPT.add(self)

    def __enter__(self) -> None:
        """Wait for the turn, as long as it takes."""
        self._mutex.acquire()
        try:
            with self._locking:
                self._take()
            self._held = True
        except BaseException:
            self._drop()
            self._mutex.release()
            raise

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Give the turn back; what was taken before a fork is the parent's."""
        if not self._held:
            return
        self._held = False
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        except OSError:
            self._drop()  # closing unlocks for us even if unlocking fails
        finally:
            self._mutex.release()

    def close(self) -> None:
        """Close the file; the next turn opens it again."""
        with self._mutex:
            self._drop()

    def forked(self) -> None:
        """In a forked child: forget the turn and the descriptor that are the parent's."""
        self._drop()
        self._fresh()

    def _fresh(self) -> None:
        self._mutex, self._held, self._descriptor = threading.Lock(), False, -1

    def _take(self) -> None:
        while True:
            if self._descriptor < 0:
                self._open()
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            if _identity_of(self._path) == self._identity:
                return
            self._drop()

    def _open(self) -> None:
        with _OPENING:
            self._descriptor = os.open(self._path, self._flags, 0o600)
            self._closing = weakref.finalize(self, shut, self._descriptor)
        held = os.fstat(self._descriptor)
        self._identity = held.st_dev, held.st_ino

    def _drop(self) -> None:
        if self._closing is not None:
            self._closing()
        self._closing, self._descriptor = None, -1


class Guard:
    """What the threads of one process exclude each other by, over what they remember together; may be entered again.

    What another thread was changing when this process was forked is not to be used in the child, and its lock would
    never be free there: entering raises `LogUnavailableError` then.
    """

    __slots__ = ("__weakref__", "_lock", "_lost")

    def __init__(self) -> None:
        self._lock, self._lost = threading.RLock(), False
        _KEPT.add(self)

    def __enter__(self) -> None:
        """Wait for the other threads."""
        if self._lost:
            raise LogUnavailableError(
                "another thread was using this log when this process was forked from it",
                do="Open the log anew in the forked process, and ask the same again.",
            )
        self._lock.acquire()

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Let the other threads go on."""
        self._lock.release()

    def forked(self) -> None:
        """In a forked child: see whether a thread that is not here was inside."""
        if self._lock.acquire(blocking=False):
            self._lock.release()
        else:
            self._lost = True


_FILE: Final = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_OPENING: Final = threading.Lock()
"""Held while a lock's file is opened and written down, and while this process is forked."""
_KEPT: Final = weakref.WeakSet[Lock | Guard]()


def _after_fork() -> None:
    _OPENING.release()
    for kept in list(_KEPT):
        kept.forked()


os.register_at_fork(before=_OPENING.acquire, after_in_parent=_OPENING.release, after_in_child=_after_fork)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the exclusive lock `path` for the block; wait as long as it takes."""
    yield from _hold(Lock(path))


@contextmanager
def locked_folder(path: Path) -> Iterator[None]:
    """Hold the exclusive lock on a folder itself for the block."""
    yield from _hold(Lock(path, folder=True))


def _hold(lock: Lock) -> Iterator[None]:
    try:
        with lock:
            yield
    finally:
        lock.close()


def _identity_of(path: str) -> tuple[int, int] | None:
    try:
        named = os.stat(path, follow_symlinks=False)  # noqa: PTH116 - twice per event, and twice as fast
    except FileNotFoundError:
        return None
    return named.st_dev, named.st_ino
