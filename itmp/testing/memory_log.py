"""A log in memory that keeps the contract of `LogStore`, and can fail in both ways.

Rules kept here: a leaf is visible when written and survives `power_cut` only when synced; a failure that was
asked for strikes once, before the effect ("not done") or after it ("done", and reported failed all the same);
a failed sync refuses every writer until `reopen`. One store serves many `Log`s and threads, as one folder
serves many processes.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeAlias

from itmp.audit import Cut, DiskFullError, Event, Head, Log, empty_head
from itmp.errors import EvidenceInvalidError, LogUnavailableError
from itmp.signing import NoteKey

Place: TypeAlias = Literal["write", "sync", "put", "swap"]
When: TypeAlias = Literal["not done", "done"]


class StepClock:
    """A clock that moves by `step` each time it is read, or is set by hand."""

    def __init__(
        self, start: datetime, *, step: timedelta = timedelta(milliseconds=1), boot: str = "boot-1"
    ) -> None:
        self.time, self.step, self.boot_id = start.astimezone(UTC), step, boot
        self._mono = 0

    def now(self) -> datetime:
        """Return the time, then move on."""
        now, self.time = self.time, self.time + self.step
        return now

    def mono(self) -> int:
        """Return nanoseconds, then move on."""
        self._mono += int(self.step / timedelta(microseconds=1)) * 1000
        return self._mono

    def boot(self) -> str:
        """Return the boot's id."""
        return self.boot_id


def counting_ids(prefix: int = 0) -> Callable[[], str]:
    """Return a source of event ids 0, 1, 2, … after `prefix`, in their 32 hex digits."""
    numbers = iter(range(2**63))
    return lambda: f"{prefix:012x}{next(numbers):020x}"


class Faults:
    """Failures to come: each strikes once, at the use of its place after `skip` others."""

    def __init__(self) -> None:
        self._planned: dict[tuple[Place, When], tuple[int, Exception]] = {}

    def plan(self, place: Place, when: When, error: Exception | None = None, *, skip: int = 0) -> None:
        """Let a coming use of `place` raise `error` before or after its effect."""
        self._planned[place, when] = skip, error or LogUnavailableError(f"{place} failed: {when}")

    def clear(self) -> None:
        """Forget what has not struck."""
        self._planned.clear()

    def strike(self, place: Place, when: When) -> None:
        """Raise what is planned here."""
        if (place, when) not in self._planned:
            return
        skip, error = self._planned.pop((place, when))
        if skip == 0:
            raise error
        self._planned[place, when] = skip - 1, error


class MemoryJournal:
    """Leaves in a list; see `itmp.audit.Journal`."""

    def __init__(self, faults: Faults) -> None:
        self.leaves: list[bytes] = []
        self.synced = 0
        self.cuts: list[Cut] = []
        self.poisoned = False
        self.room: int | None = None
        self._faults, self._lock = faults, threading.Lock()

    @contextmanager
    def exclusive(self) -> Iterator["MemoryTurn"]:
        """Wait for the turn to write."""
        with self._lock:
            self._refuse_poisoned()
            yield MemoryTurn(self)

    def sync(self, size: int) -> None:
        """Make the first `size` leaves survive `power_cut`."""
        self._refuse_poisoned()
        if self.synced >= size:
            return
        try:
            self._faults.strike("sync", "not done")
            self.synced = len(self.leaves)
            self._faults.strike("sync", "done")
        except LogUnavailableError:
            self.poisoned = True
            raise

    def size(self) -> int:
        """Return how many leaves there are."""
        return len(self.leaves)

    def read(self, start: int, end: int) -> Sequence[bytes]:
        """Return leaves [start, end)."""
        if not 0 <= start <= end <= len(self.leaves):
            raise LogUnavailableError(f"the journal has no leaves {start} to {end}")
        return self.leaves[start:end]

    def position(self, size: int) -> Sequence[int]:
        """Return where the last bundle of `size` leaves begins."""
        return ((size - 1) // 256 * 256,) if size else ()

    def resume(self, size: int, position: Sequence[int]) -> int | None:
        """Take up where `position` says."""
        if not size or len(position) != 1 or not position[0] < size <= len(self.leaves):
            return None
        return position[0]

    def write(self, leaves: Sequence[bytes], *, last: bool) -> None:
        """Append leaves; `room`, when set, is how many still fit (the reserve excepted)."""
        self._faults.strike("write", "not done")
        for leaf in leaves:
            if self.room is not None and not last:
                if self.room == 0:
                    raise DiskFullError("no room")
                self.room -= 1
            self.leaves.append(leaf)
        self._faults.strike("write", "done")

    def _refuse_poisoned(self) -> None:
        if self.poisoned:
            raise LogUnavailableError("an earlier sync failed", do="Open the log anew.")


class MemoryTurn:
    """One writer's turn; see `itmp.audit.Turn`."""

    def __init__(self, journal: MemoryJournal) -> None:
        self._journal = journal

    @property
    def size(self) -> int:
        """Leaves in the journal."""
        return len(self._journal.leaves)

    @property
    def cut(self) -> Cut | None:
        """A cut that was planted and not recorded yet."""
        return self._journal.cuts[0] if self._journal.cuts else None

    def write(self, leaves: Sequence[bytes], *, last: bool = False) -> None:
        """Append leaves."""
        self._journal.write(leaves, last=last)

    def forget_cut(self) -> None:
        """Drop the oldest cut."""
        del self._journal.cuts[:1]


class MemoryFiles:
    """Files in a dictionary; see `itmp.audit.Files`. What is put under a name in `rot` lands with a bit flipped."""

    def __init__(self, faults: Faults) -> None:
        self.content: dict[str, bytes] = {}
        self.rot: set[str] = set()
        self._faults = faults

    def get(self, path: str, limit: int) -> bytes | None:
        """Return the content."""
        data = self.content.get(path)
        if data is not None and len(data) > limit:
            raise EvidenceInvalidError(f"not a regular file of at most {limit} bytes", where=path)
        return data

    def put(self, path: str, data: bytes) -> None:
        """Place or replace a file."""
        self._faults.strike("put", "not done")
        self.content[path] = bytes(data) if path not in self.rot else bytes([data[0] ^ 1]) + data[1:]
        self._faults.strike("put", "done")

    def names(self, folder: str) -> Sequence[str]:
        """Return the paths below `folder`."""
        return sorted(path for path in self.content if not folder or path.startswith(folder + "/"))

    def remove(self, path: str) -> None:
        """Remove a file."""
        self.content.pop(path, None)


class MemoryHeads:
    """The head record in a variable; see `itmp.audit.Heads`."""

    def __init__(self, head: Head, faults: Faults) -> None:
        self.head = head
        self._faults = faults

    def read(self) -> Head:
        """Return the record."""
        return self.head

    def swap(self, old: Head, new: Head) -> bool:
        """Replace `old` by `new` if it is still the record."""
        self._faults.strike("swap", "not done")
        if self.head != old:
            return False
        self.head = new
        self._faults.strike("swap", "done")
        return True


class MemoryStore:
    """A whole store; see `itmp.audit.LogStore`. `faults.plan(…)` makes it fail."""

    def __init__(self, origin: str) -> None:
        self.faults = Faults()
        self.journal = MemoryJournal(self.faults)
        self.files = MemoryFiles(self.faults)
        self.snapshots = MemoryFiles(Faults())
        self.heads = MemoryHeads(empty_head(origin), self.faults)
        self._publishing = threading.Lock()

    @contextmanager
    def publishing(self) -> Iterator[None]:
        """Wait for the publisher's turn."""
        with self._publishing:
            yield

    def guard(self) -> AbstractContextManager[object]:
        """Return what threads exclude each other by; nothing in memory is of use to a forked child."""
        return threading.RLock()

    def complaints(self) -> Sequence[str]:
        """Return what keeps the store from taking leaves."""
        return ["an earlier sync failed"] if self.journal.poisoned else []

    def power_cut(self) -> None:
        """Lose every leaf that was not synced; open a fresh `Log` afterwards."""
        del self.journal.leaves[self.journal.synced :]
        self.journal.poisoned = False

    def reopen(self) -> None:
        """Do what opening a folder anew does after a failed sync: everything visible becomes durable."""
        self.journal.poisoned = False
        self.journal.synced = len(self.journal.leaves)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPart:
    """The journal as a reader finds it."""

    path: str
    start: int
    leaves: Sequence[bytes]
    tail: Literal["clean", "torn", "damaged"] = "clean"

    def chunks(self) -> Iterator[Sequence[bytes]]:
        """Yield the leaves."""
        yield self.leaves


class MemoryReader:
    """A store read as an auditor reads a folder; see `itmp.audit.LogReader`."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def get(self, path: str, limit: int) -> bytes | None:
        """Return the content."""
        return self._store.files.get(path, limit)

    def names(self, folder: str) -> Sequence[str]:
        """Return the paths below `folder`."""
        return self._store.files.names(folder)

    def journal(self) -> Iterator[MemoryPart]:
        """Yield the one segment."""
        yield MemoryPart(path=".state/journal.0", start=0, leaves=tuple(self._store.journal.leaves))

    def wait(self) -> None:
        """Return at once: who else publishes here, a test says."""


def genesis(origin: str, vkey: str, *, policy: str = "") -> Event:
    """Return a first leaf for tests: no statements, `policy` as given."""
    data = {"schema": "itmp-log/v1", "origin": origin, "log_key": vkey, "previous": None}
    return Event(
        id="0" * 32,
        type="log.created",
        actor={"kind": "human", "id": "root@example.com"},
        data={**data, "policy": policy, "statements": []},
    )


def memory_log(
    key: NoteKey,
    *,
    start: datetime,
    first: Event | None = None,
    store: MemoryStore | None = None,
) -> tuple[Log, MemoryStore]:
    """Return a log in memory with its first leaf and checkpoint, and its store."""
    store = store or MemoryStore(key.name)
    log = Log(store, key, StepClock(start), counting_ids(prefix=1))
    log.append(first or genesis(key.name, key.vkey))
    log.checkpoint()
    return log, store
