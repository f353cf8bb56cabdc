"""The journal for whoever only reads it: no lock, no mark, no repair; it may be of another account, or a copy.

Rules kept here:
1. Leaves are those of whole frames; what follows the last one may be a write that is under way, and is left alone.
2. What stood in a segment that has no name left is read from the published leaves, where `mending` would make it again
   from these; a copy may have no journal at all, or one that was copied before its newest head.
3. Of a log in its own place, what the marks tell of must be there, as for a writer; of a copy they tell nothing.
4. Files that are added are followed; another log in this one's place is an error.
"""

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NoReturn

from itmp.adapters.posix_log import spare
from itmp.adapters.posix_log.durable import unavailable
from itmp.adapters.posix_log.files import PosixReader, segments
from itmp.adapters.posix_log.locks import Guard
from itmp.adapters.posix_log.marks import Marks, owner_of
from itmp.adapters.posix_log.mending import check_all_published, check_published
from itmp.adapters.posix_log.segment import Segment
from itmp.audit import Turn
from itmp.audit.published import bundled
from itmp.errors import LogUnavailableError

Read = Callable[[int, int], Sequence[bytes]]


class ReadJournal:
    """The journal below `state`; see `itmp.audit.Journal`. `signed` returns the newest signed size.

    `boot` is this boot's id where the log is in its own place; empty for a copy.
    """

    def __init__(self, state: Path, files: PosixReader, *, boot: str, signed: Callable[[], int]) -> None:
        self._state, self._files, self._boot, self._signed = state, files, boot, signed
        self._mutex = Guard()
        self._segments: list[Segment] = []
        self._indexed, self._low, self._first, self._further, self._told = False, 0, 0, 0, 0
        with unavailable("opened", state):
            self._mine, self._changed = _looked(state)
            self._marks = _marks(state / "marks") if boot else None
            self._load()

    def exclusive(self) -> AbstractContextManager[Turn]:
        """Refuse: nobody writes here."""
        refuse(self._state)

    def sync(self, size: int) -> None:  # noqa: ARG002 - a `Journal` takes it
        """Refuse: what is durable is for who writes to know."""
        refuse(self._state)

    def size(self) -> int:
        """Return how many whole leaves there are."""
        with self._mutex, unavailable("read", self._state):
            self._follow()
            self._index()
            return self._total

    def read(self, start: int, end: int) -> Sequence[bytes]:
        """Return leaves [start, end)."""
        with self._mutex, unavailable("read", self._state):
            if start < self._low:
                self._load()
            self._index()
            if not 0 <= start <= end <= self._total:
                raise LogUnavailableError(
                    f"the journal has no leaves {start} to {end}", where=str(self._state)
                )
            leaves: list[bytes] = []
            for low, high, read in self._pieces():
                begin, until = max(start, low), min(end, high)
                if begin < until:
                    leaves += read(begin, until)
            return leaves

    def position(self, size: int) -> Sequence[int]:  # noqa: ARG002 - a `Journal` takes it
        """Return nothing: no snapshot is written here."""
        return ()

    def resume(self, size: int, position: Sequence[int]) -> int | None:
        """Index from the position on, if it can be one."""
        with self._mutex, unavailable("read", self._state):
            self._load()
            low = self._segments[-1].index_from(size, position) if self._segments else None
            if low is None:
                self._load()
                return None
            self._indexed, self._low = True, low
            self._check_told()
            return low

    def proven(self) -> int:
        """Return how many leaves there are, if a writer of this boot saw just these in this very file; else 0."""
        if self._marks is None or not self._segments:
            return 0
        total = self.size()
        mine = self._marks.owned(owner_of(self._boot, self._segments[-1].identity))
        return total if mine and self._marks.written == total else 0

    # Inside; the mutex is held.

    @property
    def _end(self) -> int:
        """Where the last segment ends."""
        return self._segments[-1].start + self._segments[-1].count if self._segments else 0

    @property
    def _total(self) -> int:
        return max(self._end, self._further)

    def _load(self) -> None:
        # Read before the frames are counted: a writer counts a frame only when it is whole.
        # Which segment is the newest is read before their names: one that comes meanwhile is followed, and not missed.
        self._told = self._marks.told(self._boot) if self._marks else 0
        newest = self._marks.start_in(self._boot) if self._marks else 0
        starts = [start for start, _ in segments(self._state)]
        self._segments = [
            Segment(spare.whole(self._state / f"journal.{start}"), start, reading=True) for start in starts
        ]
        self._indexed, self._low = False, 0
        self._further = self._unnamed(starts, newest)
        self._first = starts[0] if starts else self._further

    def _unnamed(self, starts: Sequence[int], newest: int) -> int:
        """Rule 2: return up to which leaf the published ones stand for a segment after the last that has a name.

        `newest` is where the newest segment begins, by the marks.
        """
        if not self._boot:
            return self._signed()
        if starts and starts[0] != 0:
            check_published(self._state, starts[0], self._signed())
        if starts and newest <= starts[-1]:
            return 0
        if self._marks is None:
            raise LogUnavailableError(
                "the journal is gone: leaves may have been in it alone",
                where=str(self._state),
                do="Put back the newest copy of it.",
            )
        target, end = self._state / f"journal.{newest if starts else 0}", self._signed()
        check_all_published(target, self._marks, self._boot, end)
        return end

    def _pieces(self) -> Iterator[tuple[int, int, Read]]:
        """Yield which leaves are read from where: published ones, each segment, published ones."""
        yield 0, self._first, self._bundled
        ends = [*(following.start for _, following in itertools.pairwise(self._segments)), self._end]
        for segment, end in zip(self._segments, ends, strict=False):
            yield segment.start, end, _reading(segment)
        yield max(self._end, self._first), self._further, self._bundled

    def _bundled(self, start: int, end: int) -> Sequence[bytes]:
        leaves = bundled(self._files, self._signed(), start=start)
        return list(itertools.islice(leaves, end - start))

    def _index(self) -> None:
        if self._indexed:
            if self._segments:
                self._segments[-1].index()
            return
        for segment in self._segments:
            segment.index()
        for segment, following in itertools.pairwise(self._segments):
            if segment.start + segment.count < following.start:
                raise LogUnavailableError(
                    f"the journal lacks leaves before {following.start}",
                    where=str(segment.path),
                    do="Restore the newest copy.",
                )
        self._indexed = True
        self._check_told()

    def _check_told(self) -> None:
        """Rule 3. Where less is there than was signed, whoever compares the heads says so: that is a rollback."""
        if self._total < self._told and self._signed() <= self._total:
            raise LogUnavailableError(
                f"the journal lost leaves {self._total} to {self._told - 1}, which were written",
                where=str(self._segments[-1].path if self._segments else self._state),
                do="Put back the newest copy of it.",
            )

    def _follow(self) -> None:
        identity, changed = _looked(self._state)
        if identity != self._mine:
            raise LogUnavailableError(
                "another log lies here now: this one's period is over",
                where=str(self._state),
                do="Open the workspace anew (start the program again).",
            )
        if changed != self._changed:
            self._changed = changed
            if [start for start, _ in segments(self._state)] != [one.start for one in self._segments]:
                self._load()


def refuse(place: Path) -> NoReturn:
    """Raise: a log that was opened for reading takes nothing."""
    raise LogUnavailableError(
        "this log was opened for reading alone: nothing is written to it, and nothing signed",
        where=str(place),
    )


def _reading(segment: Segment) -> Read:
    return lambda start, end: segment.read(start - segment.start, end - segment.start)


def _marks(path: Path) -> Marks | None:
    """Return the marks as they are; None where there are none, which is no harm but where a segment is gone."""
    try:
        return Marks(path, reading=True)
    except FileNotFoundError:
        return None


def _looked(folder: Path) -> tuple[tuple[int, int], int]:
    """Return what names a folder wherever it is moved, and when a file in it was added last; zeros where none is."""
    try:
        status = os.stat(folder)  # noqa: PTH116 - for every question, and twice as fast
    except FileNotFoundError:
        return (0, 0), 0
    return (status.st_dev, status.st_ino), status.st_mtime_ns
