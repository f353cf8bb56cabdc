"""The write-ahead journal `.state/journal.<first leaf>`: appended under `flock`, synced by one for many.

Rules kept here:
1. A turn starts on a whole tail. A torn one is cut only beyond every signed leaf and every leaf that this
   boot saw written whole; its bytes are kept (`.state/cuts`) until the log has recorded the cut.
2. A written frame is never overwritten or removed.
3. A leaf counts as durable only after an `fdatasync` that began after its frame was whole.
4. A failed sync poisons the segment for every process: the kernel may have dropped the pages and a second
   sync would lie. Opening the log anew copies what is not known to be durable into a fresh file.
5. A reserve on disk is kept for one last leaf; without it nobody writes.
6. Every segment has a spare name, and no leaf counts as durable in a file that neither name means. What the marks tell
   of must be there when a journal is taken up; what an unlinked one takes is `mending`'s.
7. The marks of another boot or segment are looked at, and give way, under the sync lock: who had looked before would
   wipe what a failed sync has said since. Who only reads leaves them as they are.
"""

import errno
import itertools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Self

from itmp.adapters.posix_log import durable, frames, spare
from itmp.adapters.posix_log.cuts import Cuts
from itmp.adapters.posix_log.durable import unavailable
from itmp.adapters.posix_log.files import segments
from itmp.adapters.posix_log.locks import Guard, Lock
from itmp.adapters.posix_log.marks import Marks, owner_of
from itmp.adapters.posix_log.mending import Rebuild, mend
from itmp.adapters.posix_log.reserve import FULL, Reserve, full
from itmp.adapters.posix_log.segment import Segment
from itmp.audit import Cut
from itmp.errors import LogUnavailableError

_REPAIR: Final = "Do not append; run itmp audit verify and restore the newest copy."
_STRIDE: Final = 256  # leaves in a bundle: what is before the last one is read from bundles


class PosixJournal:
    """The journal of one log's folder; see `itmp.audit.Journal`. `signed` returns the newest signed size."""

    def __init__(self, state: Path, *, boot: str, signed: Callable[[], int], rebuild: Rebuild) -> None:
        self._state, self._boot, self._signed = state, boot, signed
        self._mine = _identity(state)
        self._mutex = Guard()
        self.cuts, self._reserve = Cuts(state), Reserve(state / "reserve")
        self._segments: list[Segment] = []
        self._indexed, self._low, self._owner, self._others, self._owed = False, 0, b"", b"", 0
        self._appending, self._syncing = unavailable("appended to", state), unavailable("synced", state)
        self._append_lock, self._sync_lock = Lock(state / "append.lock"), Lock(state / "sync.lock")
        with unavailable("opened", state), self._append_lock, self._sync_lock:
            self._marks = Marks(state / "marks")
            mended = mend(state, self._marks, boot=boot, signed=signed, rebuild=rebuild, cuts=self.cuts)
            self._load()
            if mended:
                self._begin_marks()
            elif self._marks.owned(self._owner) and self._marks.poisoned:
                self._heal()

    @staticmethod
    def create(state: Path) -> None:
        """Make the empty journal of a new log."""
        durable.make_folder(state / "tmp")
        durable.make_folder(state / "cuts")
        durable.place(state / "journal.0", b"", temporary=durable.temporary(state))

    def close(self) -> None:
        """Close all files."""
        with self._mutex:
            for segment in self._segments:
                segment.close()
            self._segments = []
            self._marks.close()
        self._append_lock.close()
        self._sync_lock.close()

    def exclusive(self) -> "PosixTurn":
        """Wait for the turn, when the block begins; see the module's rules."""
        return PosixTurn(self)

    def sync(self, size: int) -> None:
        """Return once the first `size` leaves are durable."""
        with self._mutex:  # another's sync may have covered us while we came here
            if self._segments and self._marks.owned(self._owner) and self._marks.synced >= size:
                return
        with self._sync_lock, self._syncing:
            with self._mutex:
                self._adopt()
                segment = self._segments[-1]  # kept open while it is held here
            self._refuse_poisoned()
            if self._marks.synced >= size:
                return
            target = max(self._marks.written, size)
            try:
                os.fdatasync(segment.descriptor)
            except OSError as error:
                self._marks.poisoned = error.errno or errno.EIO
                raise
            segment.check_named()
            self._marks.synced = target

    def size(self) -> int:
        """Return how many whole frames there are."""
        with self._mutex, unavailable("read", self._state):
            self._follow()
            self._segments[-1].index()
            return self.total

    def read(self, start: int, end: int) -> Sequence[bytes]:
        """Return leaves [start, end)."""
        with self._mutex, unavailable("read", self._state):
            if start < self._low:
                self._load()
            self._index()
            if not 0 <= start <= end <= self.total:
                raise LogUnavailableError(
                    f"the journal has no leaves {start} to {end}", where=str(self._state)
                )
            leaves: list[bytes] = []
            for segment, limit in self._bounds():
                low, high = max(start, segment.start), min(end, limit)
                if low < high:
                    leaves += segment.read(low - segment.start, high - segment.start)
            return leaves

    def position(self, size: int) -> Sequence[int]:
        """Return segment, leaf and byte of a frame at most 256 leaves before the end of `size`."""
        with self._mutex, unavailable("read", self._state):
            self._follow()
            last = self._segments[-1]
            low = max((size - 1) // _STRIDE * _STRIDE, last.start + last.skipped)
            if not low < size <= self.total:
                return ()
            return last.start, low, last.end_of(low - last.start)

    def resume(self, size: int, position: Sequence[int]) -> int | None:
        """Index from the position on, if it can be one."""
        with self._mutex, unavailable("read", self._state):
            self._load()
            low = self._segments[-1].index_from(size, position)
            if low is None:
                self._load()
                return None
            self._indexed, self._low = True, low
            self._check_told()
            return low

    def proven(self) -> int:
        """Return how many leaves there are, if a writer of this boot saw just these in this very file; else 0."""
        with self._append_lock, self._mutex, unavailable("read", self._state):
            self._follow()
            self._segments[-1].index()
            mine = self._marks.owned(self._owner)
            return self.total if mine and self._marks.written == self.total else 0

    def complaints(self) -> Sequence[str]:
        """Return what keeps the journal from taking leaves."""
        found = []
        if self._marks.owned(self._owner) and self._marks.poisoned:
            found.append(f"a sync failed: {os.strerror(self._marks.poisoned)}; open the log anew")
        if not self._reserve.present:
            found.append("the reserve for the last leaf is gone: the disk is or was full")
        return found

    # What a turn does.

    @property
    def total(self) -> int:
        """Whole leaves, as far as this process has looked."""
        last = self._segments[-1]
        return last.start + last.count

    def begin(self) -> None:
        """Wait for the turn."""
        self._append_lock.__enter__()
        try:
            with self._mutex, self._appending:
                self._follow()
                if self._marks.owned(self._owner):
                    self._begin()
                    return
            with self._sync_lock, self._mutex, self._appending:  # in this order, as when it syncs
                self._adopt()
                self._begin()
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """Give the turn back."""
        self._append_lock.__exit__(None, None, None)

    def append(self, leaves: Sequence[bytes], *, last: bool = False) -> None:
        """Write frames within the turn."""
        with self._mutex, self._appending:
            self._write(leaves, last=last)

    def cut(self) -> Cut | None:
        """Return the oldest cut that the log has not recorded."""
        if self._marks.settled:
            return None
        cut = self.cuts.pending()
        self._marks.settled = int(cut is None)
        return cut

    # Inside; the mutex is held.

    def _bounds(self) -> list[tuple[Segment, int]]:
        """Each segment with the first leaf that is not its own any more."""
        return [
            *((one, following.start) for one, following in itertools.pairwise(self._segments)),
            (self._segments[-1], self.total),
        ]

    def _load(self) -> None:
        named = [(start, self._state / path.name) for start, path in segments(self._state)]
        for _, path in named:
            spare.give_back(path)
        self._segments = [Segment(path, start) for start, path in named]
        if not self._segments or self._segments[0].start != 0:
            raise LogUnavailableError("the journal is missing", where=str(self._state), do=_REPAIR)
        self._indexed, self._low = False, 0
        self._owner = owner_of(self._boot, self._segments[-1].identity)
        self._others = self._marks.owner
        self._owed = 0 if self._marks.owned(self._owner) else self._marks.told(self._boot)

    def _adopt(self) -> None:
        """Make the marks this segment's, once all that they told of is there. The sync lock is held: see rule 7."""
        self._follow()
        if not self._owed:
            self._marks.adopt(self._owner)

    def _check_told(self) -> None:
        """Raise unless all is there that the marks told of when the segment was found.

        Where less is there than was signed, whoever compares the heads says so: that is a rollback.
        """
        if self.total < self._owed:
            if self.total < self._signed():
                return
            raise LogUnavailableError(
                f"the journal lost leaves {self.total} to {self._owed - 1}, which were written",
                where=str(self._segments[-1].path),
                do="Put back the newest copy of it. Only to go on without these leaves for ever: remove .state/marks.",
            )
        self._owed = 0

    def _index(self) -> None:
        """Find every frame, unless `resume` has found those that are needed."""
        if self._indexed:
            return
        for segment in self._segments:
            segment.index()
        for segment, limit in self._bounds():
            if segment.start + segment.count < limit:
                raise LogUnavailableError(
                    f"the journal lacks leaves before {limit}", where=str(segment.path), do=_REPAIR
                )
        self._indexed = True
        self._check_told()

    def _follow(self) -> None:
        """Load again when another process moved the journal to a fresh segment."""
        if not self._segments:
            raise LogUnavailableError("the journal is closed", where=str(self._state))
        if not self._marks.linked():
            if _identity(self._state) != self._mine:
                raise LogUnavailableError(
                    "another log lies here now: this one's period is over",
                    where=str(self._state),
                    do="Open the workspace anew (start the program again).",
                )
            self._marks.close()
            self._marks, self._others = Marks(self._state / "marks"), b""
        if not self._marks.owned(self._owner) and (self._owed or self._marks.owner != self._others):
            self._load()
        self._index()

    def _refuse_poisoned(self) -> None:
        if not self._marks.owned(self._owner):
            raise LogUnavailableError(
                f"the journal ends at leaf {self.total}, before the newest head",
                where=str(self._segments[-1].path),
                do=_REPAIR,
            )
        if self._marks.poisoned:
            raise LogUnavailableError(
                f"an earlier sync failed: {os.strerror(self._marks.poisoned)}",
                where=str(self._state),
                do="Check the disk, then start again: opening the log anew saves what can be saved.",
            )

    def _begin(self) -> None:
        """Rule 1."""
        self._refuse_poisoned()
        self._reserve.keep()
        last = self._segments[-1]
        last.check_linked()
        tail = last.renew()
        if self.total < self._marks.written:
            raise LogUnavailableError(
                f"the journal has {self.total} whole leaves, {self._marks.written} were written",
                where=str(last.path),
                do=_REPAIR,
            )
        if tail != "clean":
            self._cut(tail)
        self._marks.written = self.total

    def _cut(self, tail: frames.Tail) -> None:
        last = self._segments[-1]
        rest = durable.read_at(last.descriptor, last.end, last.length() - last.end)
        if tail != "torn" or self.total < self._signed():
            raise LogUnavailableError(
                f"{len(rest)} damaged bytes after leaf {self.total - 1}", where=str(last.path), do=_REPAIR
            )
        self._marks.settled = 0
        self.cuts.keep(Cut(data=rest, size=self.total))
        os.ftruncate(last.descriptor, last.end)
        os.fsync(last.descriptor)

    def _write(self, leaves: Sequence[bytes], *, last: bool) -> None:
        segment = self._segments[-1]
        if last:
            self._reserve.spend()
        try:
            segment.append(leaves)
        except OSError as error:
            self._keep_whole(segment, error)
            if error.errno in FULL:
                raise full(error, segment.path) from error
            raise
        self._marks.written = self.total

    def _keep_whole(self, segment: Segment, error: OSError) -> None:
        """After a failed write: whole frames stay (rule 2), the torn rest goes; else poison."""
        try:
            segment.index()
            os.ftruncate(segment.descriptor, segment.end)
            self._marks.written = self.total
        except OSError:
            self._marks.poisoned = error.errno or errno.EIO
        if error.errno not in FULL:
            self._marks.poisoned = error.errno or errno.EIO

    def _heal(self) -> None:
        """Rule 4: what is not known to be durable goes into a fresh file, named by its first leaf."""
        self._index()
        last = self._segments[-1]
        if last.index() == "damaged":
            raise LogUnavailableError(
                "a sync failed and the journal is damaged", where=str(last.path), do=_REPAIR
            )
        keep, total = max(self._marks.synced, last.start), self.total
        if total < keep:
            raise LogUnavailableError(
                f"a sync failed, and the journal lost leaves {total} to {keep - 1}",
                where=str(last.path),
                do=_REPAIR,
            )
        data = b"".join([frames.encode(leaf) for leaf in last.read(keep - last.start, total - last.start)])
        target = self._state / f"journal.{keep}"
        # Before the fresh file is there: what a failed sync lost was promised to nobody, and is not to be missed in it.
        self._marks.written = total
        spare.drop(target)  # the poisoned file's own, if the fresh one takes its name
        durable.place(target, data, temporary=durable.temporary(self._state))
        if durable.read_file(target, len(data)) != data:
            raise LogUnavailableError("the fresh journal does not hold what was written", where=str(target))
        spare.keep(target)
        self._load()
        self._begin_marks()

    def _begin_marks(self) -> None:
        """Say of a segment that was just written, durably, what it holds."""
        self._adopt()
        self._marks.written = self._marks.synced = self.total


def _identity(folder: Path) -> tuple[int, int]:
    """Return what names a folder wherever it is moved; (0, 0) where there is none."""
    with unavailable("looked at", folder):
        try:
            status = folder.stat()
        except FileNotFoundError:
            return (0, 0)
    return (status.st_dev, status.st_ino)


class PosixTurn:
    """The writers' turn, one at a time; see `itmp.audit.Turn`."""

    __slots__ = ("_journal",)

    def __init__(self, journal: PosixJournal) -> None:
        self._journal = journal

    def __enter__(self) -> Self:
        """Wait for the turn."""
        self._journal.begin()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Give the turn back."""
        self._journal.end()

    @property
    def size(self) -> int:
        """Whole leaves."""
        return self._journal.total

    @property
    def cut(self) -> Cut | None:
        """The oldest cut that the log has not recorded."""
        return self._journal.cut()

    def write(self, leaves: Sequence[bytes], *, last: bool = False) -> None:
        """Append frames."""
        self._journal.append(leaves, last=last)

    def forget_cut(self) -> None:
        """Drop the oldest pending cut."""
        self._journal.cuts.forget()
