"""Turns among threads and processes of one machine, by `flock` on a file opened anew each time.

Rules kept here: a fresh open file description per turn, so that threads exclude each other and a forked child
shares no lock; the lock is given back explicitly, also when a child still holds the descriptor; a lock file
that was replaced while waiting counts for nothing.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from itmp.adapters.posix_log.durable import shut, unavailable


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the exclusive lock `path` for the block; wait as long as it takes."""
    with unavailable("locked", path):
        descriptor = _acquire(path)
    try:
        yield
    finally:
        _release(descriptor)


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
        _release(descriptor)


def _acquire(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is(path, descriptor):
                return descriptor
        except BaseException:
            shut(descriptor)
            raise
        shut(descriptor)


def _release(descriptor: int) -> None:
    """Unlock for forked children too; closing unlocks for us even if that fails."""
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    shut(descriptor)


def _is(path: Path, descriptor: int) -> bool:
    try:
        named = os.stat(path, follow_symlinks=False)  # noqa: PTH116 - twice per event, and twice as fast
    except FileNotFoundError:
        return False
    held = os.fstat(descriptor)
    return (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)
