"""The doors of the log: where leaves become durable (`LogStore`) and what time it is (`Clock`).

Who is trusted: the store keeps bytes and order; it never signs and never judges. Whoever controls the store
can lose or damage leaves, and is found out by the signed head, by the record in `Heads`, or by any kept
checkpoint.
"""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol


class Clock(Protocol):
    """Wall and monotonic time of this machine."""

    def now(self) -> datetime:
        """Return the aware UTC time."""

    def mono(self) -> int:
        """Return monotonic nanoseconds since this boot."""

    def boot(self) -> str:
        """Return this boot's id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A torn tail that was cut: its bytes, and how many whole leaves stood before it."""

    data: bytes
    size: int


class Turn(Protocol):
    """One writer's exclusive turn. It ends with the `with` block; nobody else appends meanwhile."""

    @property
    def size(self) -> int:
        """Whole leaves in the journal at this moment."""

    @property
    def cut(self) -> Cut | None:
        """A torn tail whose cut has not been recorded in the log yet."""

    def write(self, leaves: Sequence[bytes], *, last: bool = False) -> None:
        """Append leaves, in order, visible to every reader, not yet durable.

        `DiskFullError`: a prefix of them may be there (see `size`). `last` spends the reserve that is kept
        for one final leaf. Any other error: unknown; the journal refuses all writers until it is opened anew.
        """

    def forget_cut(self) -> None:
        """The cut is recorded and durable: stop reporting it."""


class Journal(Protocol):
    """Leaves in order; leaf n is frame n. Safe for many threads and processes on one machine.

    Every error is a `LogUnavailableError`: what was durable stays, what was not may or may not be there.
    """

    def exclusive(self) -> AbstractContextManager[Turn]:
        """Wait for the turn to write; on entry the tail is whole (a torn one is cut), the file linked."""

    def sync(self, size: int) -> None:
        """Return once the first `size` leaves survive a power cut; one sync may serve many callers."""

    def size(self) -> int:
        """Return how many whole leaves are visible, without waiting for a turn."""

    def read(self, start: int, end: int) -> Sequence[bytes]:
        """Return leaves [start, end); raise when one is not there or damaged."""

    def position(self, size: int) -> Sequence[int]:
        """Return numbers by which `resume` finds leaf `size` - 1 again; empty when it cannot."""

    def resume(self, size: int, position: Sequence[int]) -> int | None:
        """Take up the journal near its leaf `size` - 1, without reading what is before; before any other use.

        Returns the first leaf that needs no reading of those before, at most `size` - 1; None when the position
        does not fit. The position may be anybody's: the caller checks the leaves from there against their hashes.
        With size 0 the journal is taken up from its first leaf.
        """


class Files(Protocol):
    """Static files below the log's folder, by relative path. Nothing is ever changed in place."""

    def get(self, path: str, limit: int) -> bytes | None:
        """Return the content, None when absent; `EvidenceInvalidError` above `limit` bytes or for no file."""

    def put(self, path: str, data: bytes) -> None:
        """Durably place or replace `path`: a crash leaves the old content or the new, never a mixture."""

    def names(self, folder: str) -> Sequence[str]:
        """Return the paths of all files below `folder`, sorted."""

    def remove(self, path: str) -> None:
        """Remove a file; absent is fine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The newest head that was decided: it may be signed (`note` not empty) or about to be."""

    origin: str
    size: int
    root: bytes
    note: bytes = b""


class Heads(Protocol):
    """The durable compare-and-swap record, outside the log's folder: it forbids two heads and rollback."""

    def read(self) -> Head:
        """Return the record; `LogUnavailableError` when it is gone."""

    def swap(self, old: Head, new: Head) -> bool:
        """Durably replace `old` by `new`; False (and nothing done) when the record is not `old`."""


class JournalPart(Protocol):
    """One journal segment as a reader finds it."""

    @property
    def path(self) -> str:
        """Its name."""

    @property
    def start(self) -> int:
        """Index of its first leaf."""

    @property
    def tail(self) -> Literal["clean", "torn", "damaged"]:
        """What follows its whole frames: nothing, an interrupted write, or damage. Known after `chunks`."""

    def chunks(self) -> Iterable[Sequence[bytes]]:
        """Yield the leaves of its whole frames, in portions."""


class LogReader(Protocol):
    """A log's folder, or a copy of one, read-only: the auditor's door. All that it returns may be hostile."""

    def get(self, path: str, limit: int) -> bytes | None:
        """Return the content, None when absent; `EvidenceInvalidError` above `limit` bytes or for no file."""

    def names(self, folder: str) -> Sequence[str]:
        """Return the paths of all files below `folder`, sorted."""

    def journal(self) -> Iterable[JournalPart]:
        """Yield the journal's segments, oldest first; none for a copy without them."""

    def wait(self) -> None:
        """Let a publisher that may be at work take its next step; a fraction of a second, none where nobody writes."""


class LogStore(Protocol):
    """Everything that a `Log` stands on."""

    @property
    def journal(self) -> Journal:
        """Where leaves land first."""

    @property
    def files(self) -> Files:
        """Where they are published."""

    @property
    def snapshots(self) -> Files:
        """Where authenticated snapshots are kept, outside the log's folder: they may be lost at any time."""

    @property
    def heads(self) -> Heads:
        """What has been decided."""

    def publishing(self) -> AbstractContextManager[None]:
        """Wait for the turn to publish; one publisher at a time on this machine."""

    def guard(self) -> AbstractContextManager[object]:
        """Return a new guard of what the threads of one process remember together; it may be entered again.

        In a process forked while another thread was inside, entering it raises `LogUnavailableError`.
        """

    def complaints(self) -> Sequence[str]:
        """Return what is wrong with the store now (no reserve, poisoned by a failed sync), for people."""
