"""How far the journal is written and synced: numbers in memory shared by all processes of one boot.

Rules kept here: the numbers count leaves; they belong to one boot and one journal segment (device, inode,
first leaf), else they count as zero and everything is synced anew; `poisoned` outlives the process that saw a
sync fail. Each number is one aligned 8-byte store. They are an optimisation and an alarm: losing the file costs one
sync, and what they tell of must be there. One thing they prove: when a writer of this boot saw how many leaves there
are, and nobody wrote since, there were no more.
"""

import mmap
import os
import struct
from pathlib import Path
from typing import Final

from itmp.errors import LogUnavailableError

_FILE: Final = 4096
_BOOT: Final = 64
_OWNER: Final = struct.Struct(f"={_BOOT}sQQQ")
_SLOT: Final = 16  # the numbers start at byte 128
_WRITTEN, _SYNCED, _POISONED, _SETTLED = range(_SLOT, _SLOT + 4)


def owner_of(boot: str, segment: tuple[int, int, int]) -> bytes:
    """Return the bytes that name a boot and a segment (device, inode, first leaf)."""
    return _OWNER.pack(boot.encode()[:_BOOT], *segment)


class Marks:
    """The shared numbers of one journal. Changed only under the journal's locks, by nobody who opens them `reading`."""

    __slots__ = ("_identity", "_map", "_numbers", "_path")

    def __init__(self, path: Path, *, reading: bool = False) -> None:
        self._path = os.fspath(path)
        flags = os.O_RDONLY if reading else os.O_RDWR | os.O_CREAT
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(descriptor).st_size < _FILE:
                if reading:
                    raise LogUnavailableError("the marks are cut short", where=self._path)
                os.posix_fallocate(descriptor, 0, _FILE)
            self._map = mmap.mmap(
                descriptor, _FILE, access=mmap.ACCESS_READ if reading else mmap.ACCESS_DEFAULT
            )
            status = os.fstat(descriptor)
            self._identity = status.st_dev, status.st_ino
        finally:
            os.close(descriptor)
        self._numbers = memoryview(self._map).cast("Q")

    @property
    def owner(self) -> bytes:
        """Whose the numbers are; see `owner_of`."""
        return self._map[: _OWNER.size]

    def adopt(self, owner: bytes) -> None:
        """Zero the numbers unless they are the owner's; see `owner_of`. Asked by one at a time."""
        if not self.owned(owner):
            self.written = self.synced = self.poisoned = self.settled = 0
            self._map[: len(owner)] = owner

    def owned(self, owner: bytes) -> bool:
        """Whether the numbers are the owner's."""
        return self.owner == owner

    def told(self, boot: str) -> int:
        """How many leaves must be there, in whatever file: in this boot those written, in any those synced.

        A page that names no boot is damage and tells of nothing.
        """
        named = self._map[:_BOOT].rstrip(b"\0")
        return max(self.synced, self.written_in(boot)) if named.isascii() and named else 0

    def written_in(self, boot: str) -> int:
        """Leaves whose frames a writer of this boot saw whole or wrote; 0 when there was none."""
        return self.written if self._is_of(boot) else 0

    def start_in(self, boot: str) -> int:
        """The first leaf of the segment that the numbers are of, if they are of this boot."""
        return int(_OWNER.unpack(self._map[: _OWNER.size])[3]) if self._is_of(boot) else 0

    def _is_of(self, boot: str) -> bool:
        return self._map[: _OWNER.size].startswith(boot.encode()[:_BOOT].ljust(_BOOT, b"\0"))

    def linked(self) -> bool:
        """Whether other processes still find this file."""
        try:
            named = os.stat(self._path, follow_symlinks=False)  # noqa: PTH116 - twice per event, and twice as fast
        except FileNotFoundError:
            return False
        return (named.st_dev, named.st_ino) == self._identity

    def close(self) -> None:
        """Unmap."""
        self._numbers.release()
        self._map.close()

    @property
    def written(self) -> int:
        """Leaves whose frames are whole in the page cache."""
        return self._numbers[_WRITTEN]

    @written.setter
    def written(self, value: int) -> None:
        self._numbers[_WRITTEN] = value

    @property
    def synced(self) -> int:
        """Leaves that survive a power cut."""
        return self._numbers[_SYNCED]

    @synced.setter
    def synced(self, value: int) -> None:
        self._numbers[_SYNCED] = value

    @property
    def settled(self) -> int:
        """1 when no cut waits to be recorded; 0 when that is not known."""
        return self._numbers[_SETTLED]

    @settled.setter
    def settled(self, value: int) -> None:
        self._numbers[_SETTLED] = value

    @property
    def poisoned(self) -> int:
        """The errno of a failed sync, 0 when none failed."""
        return self._numbers[_POISONED]

    @poisoned.setter
    def poisoned(self, value: int) -> None:
        self._numbers[_POISONED] = value
