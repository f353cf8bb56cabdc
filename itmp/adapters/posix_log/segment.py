"""One journal segment: an open file of frames and where each frame ends.

Rules kept here: only whole frames are indexed; bytes are checked again each time they are read; a file that
is shorter than what was indexed, or that is no longer the file of its name, is damage.
"""

import os
import stat
import weakref
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from itmp.adapters.posix_log import durable, frames, spare
from itmp.errors import LogUnavailableError

_NUMBERS: Final = 3
"""What a position consists of: segment, leaf and byte."""
_CHUNK: Final = 4 * 1024 * 1024
_REPAIR: Final = "Do not append; run itmp audit verify and restore the newest copy."


class Segment:
    """Frames of leaves `start`, `start` + 1, … in the file `path`. The journal does the locking.

    `identity` is device, inode and first leaf; `ends` where each frame ends, in bytes, after the first `skipped`
    frames, which end at byte `offset`.
    """

    __slots__ = (
        "__weakref__",
        "_closing",
        "_last",
        "_name",
        "descriptor",
        "ends",
        "identity",
        "offset",
        "path",
        "skipped",
        "start",
    )

    def __init__(self, path: Path, start: int, *, reading: bool = False) -> None:
        self.path, self.start, self._name = path, start, os.fspath(path)
        self.ends = array("Q")
        self.skipped = self.offset = 0
        self._last = b""
        try:
            flags = os.O_RDONLY | os.O_NONBLOCK if reading else os.O_RDWR | os.O_APPEND
            self.descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise LogUnavailableError(
                f"the journal cannot be opened: {error.strerror}", where=str(path)
            ) from error
        self._closing = weakref.finalize(self, durable.shut, self.descriptor)
        status = os.fstat(self.descriptor)
        self.identity = status.st_dev, status.st_ino, start
        if not stat.S_ISREG(status.st_mode):
            self.close()
            raise LogUnavailableError("the journal is no regular file", where=str(path))

    def close(self) -> None:
        """Close the file; a forgotten segment closes itself."""
        self._closing()

    @property
    def count(self) -> int:
        """Whole frames indexed."""
        return self.skipped + len(self.ends)

    @property
    def end(self) -> int:
        """Where the last indexed frame ends, in bytes."""
        return self.ends[-1] if self.ends else self.offset

    def end_of(self, count: int) -> int:
        """Return where the first `count` frames end; not fewer than were skipped."""
        return self.ends[count - self.skipped - 1] if count > self.skipped else self.offset

    def index_from(self, size: int, position: Sequence[int]) -> int | None:
        """Index from a `Journal`'s position on; return its leaf, None where it is none or `size` leaves are not there.

        What was skipped then may be too much: the segment is to be opened anew.
        """
        if size == 0 or len(position) != _NUMBERS:
            return None
        start, low, offset = position
        if not (self.start == start <= low < size and 0 <= offset < self.length()):
            return None
        self.skipped, self.offset = low - start, offset  # nothing is indexed yet
        self.index()
        return low if self.start + self.count >= size else None

    def length(self) -> int:
        """Return the file's length in bytes; raise when it lost what was indexed."""
        length = os.lseek(
            self.descriptor, 0, os.SEEK_END
        )  # where it stands says nothing: it appends and reads by place
        if length < self.end:
            raise LogUnavailableError(
                f"the journal shrank from {self.end} to {length} bytes", where=str(self.path), do=_REPAIR
            )
        return length

    def index(self) -> frames.Tail:
        """Index whole frames that were added since; return how the file ends now."""
        length = self.length()
        while self.end < length:
            data = durable.read_at(self.descriptor, self.end, min(_CHUNK, length - self.end))
            found = frames.scan(data, self.end)
            if not found.ends:
                return found.tail if len(data) == length - self.end else "damaged"
            base = self.end
            self.ends.extend([base + end for end in found.ends])
            self._last = data[found.ends[-2] if len(found.ends) > 1 else 0 : found.end]
        return "clean"

    def append(self, leaves: Sequence[bytes]) -> None:
        """Write frames at the end and index them; on an error, `index` tells what of them is whole.

        Raises `LogUnavailableError` when the file did not grow by exactly these frames.
        """
        encoded = [frames.encode(leaf) for leaf in leaves]
        durable.write_all(self.descriptor, b"".join(encoded))
        end = self.end
        for frame in encoded:
            end += len(frame)
            self.ends.append(end)
        self._last = encoded[-1] if encoded else self._last
        if os.lseek(self.descriptor, 0, os.SEEK_END) != end:
            raise LogUnavailableError(
                "somebody writes the journal without a turn", where=str(self.path), do=_REPAIR
            )

    def read(self, low: int, high: int) -> list[bytes]:
        """Return leaves [low, high), counted within the segment, none skipped; raise when their bytes changed."""
        begin = self.end_of(low)
        data = durable.read_at(self.descriptor, begin, self.end_of(high) - begin) if high > low else b""
        found = frames.scan(data)
        if len(found.leaves) != high - low or found.tail != "clean":
            raise LogUnavailableError(
                "the journal's bytes changed", where=f"{self.path}: leaf {self.start + low}", do=_REPAIR
            )
        return found.leaves

    def renew(self) -> frames.Tail:
        """Index what was added since; return how the file ends now. Raise when the last frame changed.

        When nothing was added this is one read: of the last frame, and of a byte that must not be there.
        """
        size, start = len(self._last), self.end - len(self._last)
        if os.pread(self.descriptor, size + 1, start) == self._last:
            return "clean"
        self.length()
        if durable.read_at(self.descriptor, start, size) != self._last:
            raise LogUnavailableError("the journal's last frame changed", where=str(self.path), do=_REPAIR)
        return self.index()

    def check_linked(self) -> None:
        """Raise unless the open file is the one its name means; a name that was taken is given back first."""
        try:
            named = os.stat(self._name, follow_symlinks=False)  # noqa: PTH116 - once per turn, and twice as fast
        except FileNotFoundError:
            spare.give_back(self.path)
            self.check_named()
            return
        except OSError as error:
            raise LogUnavailableError(
                f"the journal cannot be found: {error.strerror}", where=str(self.path), do=_REPAIR
            ) from error
        if (named.st_dev, named.st_ino) != self.identity[:2]:
            raise LogUnavailableError(
                "the journal was replaced by another file", where=str(self.path), do=_REPAIR
            )

    def check_named(self) -> None:
        """Raise unless one of its two names means the open file: what only we can read is lost when we end."""
        if not spare.is_file(self.path, self.identity[:2]):
            raise LogUnavailableError(
                "the journal is gone: nobody will find what was written",
                where=str(self.path),
                do="Open the log anew; it says what is missing.",
            )
