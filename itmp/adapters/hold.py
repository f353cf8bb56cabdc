"""A file that one process holds, and whether anybody holds it, asked of the kernel by the lock itself.

Rules kept here: the lock is that of an open file description (Linux, `F_OFD_SETLK`): it is given up when its process
ends, whichever way that comes, and is seen by everybody who sees the file, also from other pid namespaces and
containers; asking takes nothing, so that it keeps nobody from taking it, and closes no file that was open for writing,
so that it wakes nobody who waits for files' events.
"""

import fcntl
import os
import struct
from pathlib import Path
from typing import Final

_FLOCK: Final = "hhqqi0q"
"""The kernel's `struct flock` of 64-bit systems: type, whence, start, length (0: to the end), process."""


def take(path: Path) -> int | None:
    """Take the file and return its descriptor, whose closing gives it back; `None` when somebody else holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        took = lock(descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    if not took:
        os.close(descriptor)
        return None
    return descriptor


def lock(descriptor: int) -> bool:
    """Take an open file (for writing) for as long as it is open; return whether nobody else holds it."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _lock(fcntl.F_WRLCK))
    except BlockingIOError:
        return False
    return True


def is_taken(path: Path) -> bool:
    """Whether anybody holds the file now. Raises `OSError` where the file cannot be read."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return is_locked(descriptor)
    finally:
        os.close(descriptor)


def is_locked(descriptor: int) -> bool:
    """Whether anybody else holds an open file now."""
    found = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _lock(fcntl.F_WRLCK))
    return bool(struct.unpack(_FLOCK, found)[0] != fcntl.F_UNLCK)


def _lock(kind: int) -> bytes:
    return struct.pack(_FLOCK, kind, os.SEEK_SET, 0, 0, 0)
