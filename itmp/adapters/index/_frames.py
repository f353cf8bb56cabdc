"""The journal as a reader walks it: from any place onward, or one leaf at a known place.

Rules kept here: nothing is written and no lock is taken, so that looking never holds up a run; a frame that is not
whole yet ends the walk, because its writer may be at work; a segment that lacks leaves before the next one is damage,
never a gap; a frame that is read again is checked again.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from itmp.adapters.posix_log import durable, frames
from itmp.adapters.posix_log.files import segments
from itmp.errors import LogUnavailableError

CHUNK: Final = 4 * 1024 * 1024
_FIRST: Final = 128 * 1024
"""Bytes in which whoever wants a first screen likely finds it."""
_STATE: Final = ".state"
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """Where leaf `index` stands: in the journal segment that begins with leaf `segment`, its frame from byte `at`."""

    index: int
    segment: int
    at: int


class Frames:
    """The journal of the log in `folder`, open for reading."""

    def __init__(self, folder: Path) -> None:
        self._state = folder / _STATE
        self._open: dict[int, int] = {}

    def close(self) -> None:
        """Close all files."""
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open = {}

    def newest(self) -> int:
        """Return the first leaf of the newest segment: another one tells that the journal was healed."""
        return self._starts()[-1]

    def onward(self, spot: Spot, chunk: int = CHUNK) -> Iterator[tuple[list[bytes], list[Spot]]]:
        """Yield leaves from `spot` to the end, `chunk` bytes at a time, each with its place."""
        for first, leaves, segment, begins in self._walk(spot, chunk):
            spots = [Spot(index=n, segment=segment, at=at) for n, at in enumerate(begins, first)]
            yield leaves, spots

    def leaves(self, spot: Spot) -> Iterator[tuple[Spot, list[bytes]]]:
        """Yield leaves from `spot` to the end with the place of the first: few at once, and then more and more."""
        for first, leaves, segment, begins in self._walk(spot, _FIRST, most=CHUNK):
            yield Spot(index=first, segment=segment, at=begins[0]), leaves

    def some(self, spot: Spot, count: int) -> list[bytes]:
        """Return the `count` leaves from `spot` on; `LogUnavailableError` when they are not there any more."""
        found = list[bytes]()
        for leaves, _ in self._scan(spot.segment, spot.at, CHUNK, 0):
            found += leaves
            if len(found) >= count:
                return found[:count]
        raise LogUnavailableError("leaves are gone", where=f"leaf {spot.index}", do="itmp audit verify")

    def beyond(self, spot: Spot) -> int:
        """Return how many bytes the journal has from `spot` on."""
        lengths = {start: os.fstat(self._descriptor(start)).st_size for start, _ in self._ranges(spot.index)}
        return sum(lengths.values()) - (spot.at if spot.segment in lengths else 0)

    def _walk(
        self, spot: Spot, chunk: int, most: int = 0
    ) -> Iterator[tuple[int, list[bytes], int, list[int]]]:
        """Yield (index of the first, leaves, segment, where each one's frame begins) from `spot` to the end."""
        for start, end in self._ranges(spot.index):
            at = spot.at if start == spot.segment else 0
            index = spot.index if start == spot.segment else start
            for leaves, ends in self._scan(start, at, chunk, most):
                begins = [at, *ends[:-1]]
                low = max(0, spot.index - index)
                high = len(leaves) if end is None else min(len(leaves), end - index)
                if low < high:
                    yield index + low, leaves[low:high], start, begins[low:high]
                index, at = index + len(leaves), ends[-1]
            if end is not None and index < end:
                raise LogUnavailableError(
                    f"the journal lacks leaves before {end}", where=str(self._state), do="itmp audit verify"
                )

    def leaf(self, spot: Spot) -> bytes:
        """Return the leaf at `spot`; `LogUnavailableError` when no whole frame stands there."""
        data = b""
        with suppress(OSError, OverflowError):  # no place in any file
            data = self._frame(self._descriptor(spot.segment), spot.at)
        found = frames.scan(data)
        if len(found.leaves) == 1 and found.tail == "clean":
            return found.leaves[0]
        raise LogUnavailableError(
            "no leaf stands there",
            where=f"leaf {spot.index}",
            do="itmp audit verify says whether the log or only the index was changed; itmp audit reindex.",
        )

    def _frame(self, descriptor: int, at: int) -> bytes:
        header = durable.read_at(descriptor, at, frames.HEADER.size)
        length = frames.HEADER.unpack(header)[0] if len(header) == frames.HEADER.size else 0
        return header + durable.read_at(descriptor, at + len(header), min(length, frames.MAX_FRAME))

    def _ranges(self, index: int) -> list[tuple[int, int | None]]:
        """Return the segments that hold leaf `index` and what follows, each with the first leaf of the next one."""
        starts = self._starts()
        ends: list[int | None] = [*starts[1:], None]
        return [pair for pair in zip(starts, ends, strict=True) if pair[1] is None or pair[1] > index]

    def _starts(self) -> list[int]:
        starts = [start for start, _ in segments(self._state)]
        if not starts or starts[0] != 0:
            raise LogUnavailableError(
                "the journal is missing", where=str(self._state), do="itmp audit verify"
            )
        return starts

    def _scan(self, segment: int, at: int, chunk: int, most: int) -> Iterator[tuple[list[bytes], list[int]]]:
        """Yield whole frames of a segment from byte `at` on, `chunk` bytes and each time twice as many up to `most`."""
        descriptor = self._descriptor(segment)
        while data := durable.read_at(descriptor, at, chunk):
            chunk = max(chunk, min(2 * chunk, most))
            found = frames.scan(data)
            if not found.leaves:
                return
            yield found.leaves, [at + end for end in found.ends]
            at += found.end

    def _descriptor(self, segment: int) -> int:
        if segment not in self._open:
            path = dict(segments(self._state)).get(segment, self._state / f"journal.{segment}")
            try:
                descriptor = os.open(path, _READ)
            except OSError as error:
                raise LogUnavailableError(
                    f"the journal cannot be read: {error.strerror}", where=str(path), do="itmp audit verify"
                ) from error
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.close(descriptor)
                raise LogUnavailableError(
                    "the journal is no regular file", where=str(path), do="itmp audit verify"
                )
            self._open[segment] = descriptor
        return self._open[segment]
