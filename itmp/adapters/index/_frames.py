"""The journal as a reader walks it: from any place onward, or one leaf at a known place.

Rules kept here: nothing is written and no lock is taken, so that looking never holds up a run; a frame that is not
whole yet ends the walk, because its writer may be at work; a frame that is read again is checked again.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from itmp.adapters.posix_log import durable, frames
from itmp.adapters.posix_log.files import segments
from itmp.errors import LogUnavailableError

_CHUNK: Final = 4 * 1024 * 1024
_STATE: Final = ".state"


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

    def onward(self, spot: Spot) -> Iterator[tuple[list[bytes], list[Spot]]]:
        """Yield leaves from `spot` to the end, a few megabytes at a time, each with its place."""
        for start, end in self._ranges(spot.index):
            at = spot.at if start == spot.segment else 0
            index = spot.index if start == spot.segment else start
            for leaves, ends in self._scan(start, at):
                begins = [at, *ends[:-1]]
                keep = [
                    (leaf, Spot(index=n, segment=start, at=begin))
                    for n, (leaf, begin) in enumerate(zip(leaves, begins, strict=True), index)
                    if n >= spot.index and (end is None or n < end)
                ]
                index, at = index + len(leaves), ends[-1]
                if keep:
                    yield [leaf for leaf, _ in keep], [place for _, place in keep]

    def leaf(self, spot: Spot) -> bytes:
        """Return the leaf at `spot`; `LogUnavailableError` when no whole frame stands there."""
        descriptor = self._descriptor(spot.segment)
        header = durable.read_at(descriptor, spot.at, frames.HEADER.size)
        if len(header) == frames.HEADER.size:
            length = frames.HEADER.unpack(header)[0]
            rest = durable.read_at(descriptor, spot.at + len(header), min(length, frames.MAX_FRAME))
            found = frames.scan(header + rest)
            if len(found.leaves) == 1 and found.tail == "clean":
                return found.leaves[0]
        raise LogUnavailableError("no leaf stands there", where=f"leaf {spot.index}", do="itmp audit verify")

    def _ranges(self, index: int) -> list[tuple[int, int | None]]:
        """Return the segments that hold leaf `index` and what follows, each with the first leaf of the next one."""
        starts = [start for start, _ in segments(self._state)]
        if not starts or starts[0] != 0:
            raise LogUnavailableError(
                "the journal is missing", where=str(self._state), do="itmp audit verify"
            )
        ends: list[int | None] = [*starts[1:], None]
        return [pair for pair in zip(starts, ends, strict=True) if pair[1] is None or pair[1] > index]

    def _scan(self, segment: int, at: int) -> Iterator[tuple[list[bytes], list[int]]]:
        descriptor = self._descriptor(segment)
        while data := durable.read_at(descriptor, at, _CHUNK):
            found = frames.scan(data)
            if not found.leaves:
                return
            yield found.leaves, [at + end for end in found.ends]
            at += found.end

    def _descriptor(self, segment: int) -> int:
        if segment not in self._open:
            path = self._state / f"journal.{segment}"
            try:
                self._open[segment] = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except OSError as error:
                raise LogUnavailableError(
                    f"the journal cannot be read: {error.strerror}", where=str(path), do="itmp audit verify"
                ) from error
        return self._open[segment]
