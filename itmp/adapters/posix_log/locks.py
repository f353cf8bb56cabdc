"""Turns among threads and processes of one machine, by `flock`.

Rules kept here: threads exclude each other; a forked child shares no lock, be it held or not; the lock is given back
explicitly, so that it is free also when a started program still holds the descriptor; a lock file that was replaced
while waiting counts for nothing.
"""

import fcntl
import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from itmp.adapters.posix_log.durable import shut, unavailable


class Lock:
    """The exclusive lock `path`, for `with`. Its file stays open between two turns, closed in forked children.

    One for each user of it in a process: two exclude each other like two processes.
    """

    __slots__ = (
        "__weakref__",
        "_closing",
        "_descriptor",
        "_held",
        "_identity",
        "_locking",
        "_mutex",
        "_path",
    )

    def __init__(self, path: Path) -> None:
        self._path, self._locking = os.fspath(path), unavailable("locked", path)
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
        self._descriptor = _opened(self._path)
        self._closing = weakref.finalize(self, shut, self._descriptor)
        held = os.fstat(self._descriptor)
        self._identity = held.st_dev, held.st_ino

    def _drop(self) -> None:
        if self._closing is not None:
            self._closing()
        self._closing, self._descriptor = None, -1


_KEPT = weakref.WeakSet[Lock]()


def _after_fork() -> None:
    for lock in list(_KEPT):
        lock.forked()


os.register_at_fork(after_in_child=_after_fork)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the exclusive lock `path` for the block; wait as long as it takes."""
    lock = Lock(path)
    try:
        with lock:
            yield
    finally:
        lock.close()


@contextmanager
def locked_folder(path: Path) -> Iterator[None]:
    """Hold the exclusive lock on a folder itself for the block."""
    with unavailable("locked", path):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except BaseException:
            shut(descriptor)
            raise
    try:
        yield
    finally:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        shut(descriptor)


def _opened(path: str) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _identity_of(path: str) -> tuple[int, int] | None:
    try:
        named = os.stat(path, follow_symlinks=False)  # noqa: PTH116 - twice per event, and twice as fast
    except FileNotFoundError:
        return None
    return named.st_dev, named.st_ino
