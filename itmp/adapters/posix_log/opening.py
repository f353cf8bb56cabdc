"""Making and opening a log on disk, with its key.

Rules kept here: the key is a file of its own (0600, beside the log, never inside it), refused when others can
read it; a log appears at its place only when it is complete; opening never makes anything up for a part that
is missing (`mending` says what it can give back). A creator may die at any moment: before the log is at its place, the
next one takes back what the dead one had put there and begins anew; after that, the next opening makes the log's name
durable.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from itmp.adapters.clock import SystemClock, new_id
from itmp.adapters.posix_log import durable, mending
from itmp.adapters.posix_log.files import STATE, PosixFiles
from itmp.adapters.posix_log.heads import SqliteHeads
from itmp.adapters.posix_log.journal import PosixJournal
from itmp.adapters.posix_log.locks import Guard, locked, locked_folder
from itmp.adapters.posix_log.reading import HEAD, KEY, LOG, PUBLISHING, SNAPSHOT, key_of
from itmp.audit import Clock, Event, Log, check_origin, empty_head
from itmp.audit.snapshot import EVERY
from itmp.errors import InvalidInputError, NotFoundError
from itmp.signing import LogKey

_STAGING: Final = ".creating"
_IN_ORDER: Final = (str(KEY), HEAD, LOG)  # the log last: it is there only when all is
_PARTS: Final = "Open it. Remove a lone key or head record only if no log was ever made with it."
_STALE_SECONDS: Final = 24 * 3600.0


class PosixStore:
    """A log's folder and its head record; see `itmp.audit.LogStore`."""

    def __init__(self, root: Path, *, boot: str) -> None:
        self._state, self._publishing = root / LOG / STATE, root / PUBLISHING
        self.files = PosixFiles(root / LOG, state=self._state, top=root / LOG)
        self.snapshots = PosixFiles(root / SNAPSHOT, state=self._state, top=root)
        self.heads = SqliteHeads(root / HEAD)
        self.journal = PosixJournal(
            self._state, boot=boot, signed=lambda: self.heads.read().size, rebuild=self._rebuild
        )
        if self.heads.gone:
            with locked_folder(root):
                mending.remake_record(self.heads, self.files, self.journal.proven())
        self.heads.keep()

    @contextmanager
    def publishing(self) -> Iterator[None]:
        """Wait for the publisher's turn; whoever has just had it comes after those who wait."""
        with ExitStack() as turn:
            with locked_folder(self._state):  # `flock` alone lets go first who asks again at once
                turn.enter_context(locked(self._publishing))
            yield

    def guard(self) -> Guard:
        """Return what threads exclude each other by."""
        return Guard()

    def complaints(self) -> Sequence[str]:
        """Return what keeps the store from taking leaves."""
        return self.journal.complaints()

    def close(self) -> None:
        """Close all files."""
        self.journal.close()

    def _rebuild(self, segment: Path, start: int, end: int) -> None:
        temporary = durable.temporary(self._state)
        mending.rebuild(self.files, self.heads.read(), segment, start, end, temporary=temporary)


def create(
    root: Path,
    *,
    origin: str,
    genesis: Event | Callable[[str], Event],
    key: LogKey,
    clock: Clock | None = None,
    ids: Callable[[], str] = new_id,
) -> Log:
    """Make `<root>/{log,head.sqlite,keys/log.key}` with `genesis` (or what it returns for the vkey) first.

    Returns the open log with its first checkpoint published. `InvalidInputError` when any part exists
    already. `LogUnavailableError`: perhaps made; open it, and when there is none, create it again.
    """
    if check_origin(origin) != key.name:
        raise InvalidInputError(
            f"the key is named {key.name}, the log {origin}", do="Generate the key for the origin."
        )
    clock = clock or SystemClock()
    first = genesis if isinstance(genesis, Event) else genesis(key.vkey)
    with durable.unavailable("made", root):
        durable.make_folder(root, mode=0o700)
    with locked_folder(root), durable.unavailable("made", root):
        staging = root / _STAGING
        _clear(root, staging)
        _build(staging, origin=origin, genesis=first, key=key, clock=clock, ids=ids)
        _put_in_place(root, staging)
    return open_log(root, clock=clock, ids=ids)


def _clear(root: Path, staging: Path) -> None:
    """Refuse where a part of a log is; remove what a creator that died had made. We hold the lock on `root`."""
    if (staging / LOG).exists() and not (root / LOG).exists():
        _take_back(root, staging)
    for part in _IN_ORDER:
        if (root / part).exists():
            raise InvalidInputError("a log exists here, or a part of one", where=str(root / part), do=_PARTS)
    shutil.rmtree(staging, ignore_errors=True)


def _take_back(root: Path, staging: Path) -> None:
    """Return key and head record to a dead creator's staging, if that is where they are from: nobody had its log."""
    placed = [part for part in (HEAD, str(KEY)) if (root / part).exists()]
    if all(_came_from(staging / part, root / part) for part in placed):
        for part in placed:
            (root / part).rename(staging / part)
            durable.sync_folder((root / part).parent)


def _came_from(staged: Path, placed: Path) -> bool:
    """Whether a part was renamed from `staged`. After a power cut it may have both names."""
    return not staged.exists() or staged.read_bytes() == placed.read_bytes()


def _put_in_place(root: Path, staging: Path) -> None:
    durable.make_folder(root / KEY.parent, mode=0o700)
    for part in _IN_ORDER:
        (staging / part).rename(root / part)
        durable.sync_folder((root / part).parent)
    with suppress(PermissionError):  # of a folder that we may not list, as others' are
        durable.sync_folder(root.parent)
    shutil.rmtree(staging, ignore_errors=True)  # the log is made; what stays is litter


def _settle(root: Path) -> None:
    """Complete what a creator left that died, or met an error, when its log was at its place."""
    staging = root / _STAGING
    if staging.exists():
        with locked_folder(root), durable.unavailable("opened", root):
            durable.sync_folder(root)
            shutil.rmtree(staging, ignore_errors=True)


def _build(
    root: Path, *, origin: str, genesis: Event, key: LogKey, clock: Clock, ids: Callable[[], str]
) -> None:
    durable.make_folder(root, mode=0o700)
    temporary = root / "key.new"
    durable.make_folder(root / KEY.parent, mode=0o700)
    durable.place(root / KEY, key.to_text().encode() + b"\n", temporary=temporary, mode=0o600)
    SqliteHeads(root / HEAD).create(empty_head(origin))
    PosixJournal.create(root / LOG / STATE)
    store = PosixStore(root, boot=clock.boot())
    try:
        log = Log(store, key, clock, ids)
        log.append(genesis)
        log.checkpoint()
    finally:
        store.close()


def open_log(
    root: Path,
    *,
    clock: Clock | None = None,
    ids: Callable[[], str] = new_id,
    every: int = EVERY,
    key: LogKey | None = None,
    make: Callable[..., Log] = Log,
) -> Log:
    """Open the log below `root` with `key`, else its own: from the newest snapshot on, else from the first leaf.

    A log that has ended has none any more: it can be read, and no head is signed.

    A new snapshot is kept at the first checkpoint `every` leaves after the last. `make` is `Log`, or what adds to it.

    `NotFoundError`: there is none. `LogUnavailableError`: a part is missing or damaged. `ForkError`: it is
    older than, or different from, a head that is known.
    """
    with durable.unavailable("opened", root):
        if not (root / LOG).is_dir():
            raise NotFoundError("there is no log here", where=str(root / LOG), do="Make one: itmp init.")
        _settle(root)
    clock = clock or SystemClock()
    key = key or key_of(root)
    with durable.unavailable("opened", root):
        durable.sweep(root / LOG / STATE / "tmp", older=_STALE_SECONDS)
    return make(PosixStore(root, boot=clock.boot()), key, clock, ids, every=every)
