"""A log opened for reading alone: by its public key, without a lock, a mark or a repair, by anybody who may read it.

Rules kept here: nothing is written, whatever is asked; what a crash left is read as recovery would leave it, and left
as it is; where the log is in its own place (`is_own`) it is held against its head record and marks as by a writer; of a
copy without them the newest published head stands for the record, so that only
what somebody kept tells of an older copy.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from itmp.adapters.clock import SystemClock, new_id
from itmp.adapters.posix_log.files import STATE, PosixReader
from itmp.adapters.posix_log.heads import SqliteHeads
from itmp.adapters.posix_log.locks import Guard
from itmp.adapters.posix_log.mending import proven_head
from itmp.adapters.posix_log.periods import record_of
from itmp.adapters.posix_log.reading import HEAD, LOG, SNAPSHOT, is_own, verifier_of
from itmp.adapters.posix_log.readonly_journal import ReadJournal, refuse
from itmp.audit import Clock, Head, Log, SignedCheckpoint
from itmp.audit.checkpoint import MAX_NOTE
from itmp.errors import LogUnavailableError, NotFoundError
from itmp.signing import NoteVerifier


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadKey:
    """The public half of a log's key: it opens the log for reading, and signs nothing."""

    verifier: NoteVerifier

    @property
    def name(self) -> str:
        """The log's origin."""
        return self.verifier.name

    @property
    def vkey(self) -> str:
        """The public half's text."""
        return self.verifier.vkey

    def sign(self, text: str) -> bytes:
        """Refuse."""
        refuse(Path(text.partition("\n")[0]))

    def to_text(self) -> str:
        """Return the verifier key: no secret."""
        return self.vkey

    def fault(self) -> str:
        """Say that it never signs."""
        return "the log was opened for reading alone"


class ReadFiles(PosixReader):
    """Files that are read and never changed."""

    def put(self, path: str, data: bytes) -> None:  # noqa: ARG002 - a `Files` takes it
        """Refuse."""
        refuse(self._inside(path))

    def remove(self, path: str) -> None:
        """Refuse."""
        refuse(self._inside(path))


class ReadHeads:
    """The head record as it stands; of a copy without one, the published head."""

    def __init__(self, root: Path, store: "ReadStore") -> None:
        self._record, self._store = SqliteHeads(record_of(root)), store

    def read(self) -> Head:
        """Return the record, or what recovery would make of what is left of it."""
        return self._store.published() if self._record.gone else self._record.look()

    def swap(self, old: Head, new: Head) -> bool:  # noqa: ARG002 - a `Heads` takes them
        """Refuse."""
        refuse(Path(HEAD))


class ReadStore:
    """A log's folder, and its head record where that is beside it; see `itmp.audit.LogStore`."""

    def __init__(self, root: Path, verifier: NoteVerifier, *, boot: str) -> None:
        self._root, self._verifier = root, verifier
        self._own = is_own(root)
        self.files, self.snapshots = ReadFiles(root / LOG), ReadFiles(root / SNAPSHOT)
        self.heads = ReadHeads(root, self)
        self._proven: Callable[[], int] = lambda: 0  # while the journal opens, which may ask for the head
        self.journal = ReadJournal(
            root / LOG / STATE,
            self.files,
            boot=boot if self._own else "",
            signed=lambda: self.heads.read().size,
        )
        self._proven = self.journal.proven

    def publishing(self) -> AbstractContextManager[None]:
        """Refuse."""
        refuse(self._root / LOG)

    def guard(self) -> Guard:
        """Return what threads exclude each other by."""
        return Guard()

    def complaints(self) -> Sequence[str]:
        """Return nothing: whether a writer could go on is not for a reader to say."""
        return ()

    def published(self) -> Head:
        """Return the newest head without the record: in the log's own place only where the journal is proven whole."""
        if self._own:
            head = proven_head(self.files, self._proven())
            if head is None:
                raise LogUnavailableError(
                    "the head record is gone",
                    where=str(self._root / HEAD),
                    do="Restore head.sqlite: without it a rollback of the log could not be seen.",
                )
            return head
        note = self.files.get("checkpoint", MAX_NOTE)
        if note is None:
            raise LogUnavailableError(
                "the checkpoint is missing", where="checkpoint", do="Copy the log again."
            )
        seen = SignedCheckpoint.open(note, (self._verifier,), where="checkpoint").checkpoint
        return Head(origin=seen.origin, size=seen.size, root=seen.root, note=note)


def known_head(root: Path) -> Head:
    """Return the head that the log below `root` is held against by who only reads it, unjudged; see `open_reading`."""
    record = SqliteHeads(record_of(root))
    if not record.gone:
        return record.look()
    return ReadStore(root, verifier_of(root), boot=SystemClock().boot()).published()


def open_reading(root: Path, *, clock: Clock | None = None) -> Log:
    """Open the log below `root` for reading alone, by the public key that its first leaf names.

    Whatever would write raises `LogUnavailableError`. The errors are those of `open_log`.
    """
    if not (root / LOG).is_dir():
        raise NotFoundError("there is no log here", where=str(root / LOG))
    clock, verifier = clock or SystemClock(), verifier_of(root)
    return Log(ReadStore(root, verifier, boot=clock.boot()), ReadKey(verifier=verifier), clock, new_id)
