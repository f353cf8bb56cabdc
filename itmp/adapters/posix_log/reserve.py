"""Room on the disk that is kept for one last leaf: `log.full`.

Rules kept here: nobody writes without the reserve in place; it is spent once and taken again before the
next leaf.
"""

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from itmp.audit import DiskFullError

SIZE: Final = 256 * 1024
"""Bytes; four times the largest frame, for file systems that allocate generously."""

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_BLOCK: Final = 512  # st_blocks' unit


class Reserve:
    """A preallocated file."""

    def __init__(self, path: Path) -> None:
        self._path, self._name = path, os.fspath(path)

    @property
    def present(self) -> bool:
        """Whether the room is really allocated."""
        try:
            blocks = os.stat(self._name, follow_symlinks=False).st_blocks  # noqa: PTH116 - once per turn
        except FileNotFoundError:
            return False
        return blocks * _BLOCK >= SIZE

    def keep(self) -> None:
        """Allocate it if it is not there; `DiskFullError` when there is no room."""
        if self.present:
            return
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, SIZE)
            finally:
                os.close(descriptor)
        except OSError as error:
            with suppress(OSError):
                self.spend()
            if error.errno in FULL:
                raise full(error, self._path) from error
            raise

    def spend(self) -> None:
        """Give the room back to the disk."""
        self._path.unlink(missing_ok=True)


def full(error: OSError, path: Path) -> DiskFullError:
    """Return what to raise when the disk is full."""
    return DiskFullError(
        f"no room on the disk: {error.strerror}",
        where=str(path),
        do="Free space; nothing runs until the log can be written.",
    )
