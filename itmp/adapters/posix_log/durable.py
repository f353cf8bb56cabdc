"""Durable file operations: what is reported done survives a power cut, what is not leaves the old state.

Rules kept here: content is written to a temporary file on the same file system, synced, renamed, and the
folder synced; a new folder's parent is synced; a failed sync is never repeated on the same descriptor; reads
follow no symbolic link and accept regular files within a limit only.
"""

import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from itmp.errors import EvidenceInvalidError, InvalidInputError, LogUnavailableError

_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CHUNK: Final = 1 << 20


class Unavailable:
    """Turns what the system refuses into `LogUnavailableError`. Holds no state: one serves any number of blocks."""

    __slots__ = ("_place", "_what")

    def __init__(self, what: str, place: Path) -> None:
        self._what, self._place = what, place

    def __enter__(self) -> None:
        """Begin a block."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Translate an `OSError`; let all else pass."""
        if isinstance(error, OSError):
            raise LogUnavailableError(
                f"cannot be {self._what}: {error.strerror or error}",
                where=str(self._place),
                do="Check the disk and its permissions.",
            ) from error


def unavailable(what: str, place: Path) -> Unavailable:
    """Turn what the system refuses into `LogUnavailableError`: `place` cannot be `what`."""
    return Unavailable(what, place)


def temporary(state: Path) -> Path:
    """Return a name below `state` that nobody else uses."""
    return state / "tmp" / f"{os.getpid()}-{os.urandom(8).hex()}"


def sync_folder(folder: Path) -> None:
    """Make names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path, *, mode: int = 0o755) -> None:
    """Make `folder` and its missing parents, each durable."""
    if folder.is_dir():
        return
    make_folder(folder.parent, mode=mode)
    try:
        folder.mkdir(mode=mode)
    except FileExistsError:
        if not folder.is_dir():
            raise
    sync_folder(folder.parent)


class Folders:
    """Folders below `top` that this process knows to be durable.

    That a folder exists proves nothing: whoever made it may have died before its parent was synced. So each
    is synced once by every process that writes into it. A link in a folder's place is refused: what is written,
    and later removed, would be of another folder.
    """

    def __init__(self, top: Path) -> None:
        self._known = {top}

    def make(self, folder: Path) -> None:
        """Make `folder` and what is missing above it, durably."""
        if folder in self._known:
            return
        self.make(folder.parent)
        folder.mkdir(exist_ok=True)
        if folder.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        sync_folder(folder.parent)
        self._known.add(folder)


def place(target: Path, data: bytes, *, temporary: Path, mode: int = 0o644) -> None:
    """Durably put `data` at `target`, whole or not at all; `temporary` is a free name on its file system."""
    try:
        with _created(temporary, mode) as descriptor:
            write_all(descriptor, data)
            os.fsync(descriptor)
        temporary.rename(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


def replace(target: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Durably put `data` at `target` where one writer at a time does: what it left when it was killed goes first."""
    temporary = target.with_name(f".{target.name}.new")
    temporary.unlink(missing_ok=True)
    place(target, data, temporary=temporary, mode=mode)


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data` where the descriptor stands."""
    view = memoryview(data)[os.write(descriptor, data) :] if data else memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def shut(descriptor: int) -> None:
    """Close what was only read or locked: an error then says nothing about any data."""
    with suppress(OSError):
        os.close(descriptor)


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """Open a regular file for reading, following no link; `EvidenceInvalidError` for anything else."""
    try:
        descriptor = os.open(path, _READ)
    except OSError as error:
        raise EvidenceInvalidError(f"cannot be read: {error.strerror}", where=str(path)) from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise EvidenceInvalidError("not a regular file", where=str(path))
        yield descriptor
    except OSError as error:
        raise EvidenceInvalidError(f"cannot be read: {error.strerror}", where=str(path)) from error
    finally:
        shut(descriptor)


def read_file(path: Path, limit: int) -> bytes | None:
    """Return a file's content, None when absent; `EvidenceInvalidError` for links, devices, too much."""
    try:
        with opened(path) as descriptor:
            return _read_whole(descriptor, limit, path)
    except EvidenceInvalidError as error:
        if isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
            return None
        raise


def _read_whole(descriptor: int, limit: int, path: Path) -> bytes:
    size = os.fstat(descriptor).st_size
    if size > limit:
        raise EvidenceInvalidError(f"a file of {size} bytes; the limit is {limit}", where=str(path))
    return read_at(descriptor, 0, size)


def sweep(folder: Path, *, older: float) -> None:
    """Remove left-over temporary files that are `older` seconds old; their writers are dead."""
    limit = time.time() - older
    for path in folder.iterdir():
        with suppress(OSError):
            if path.stat(follow_symlinks=False).st_mtime < limit:
                path.unlink()


def read_private(path: Path, limit: int) -> bytes | None:
    """Return a file's content, None when absent; `InvalidInputError` when anybody else can read or own it."""
    try:
        descriptor = os.open(path, _READ)
    except FileNotFoundError:
        return None
    try:
        status = os.fstat(descriptor)
        mine = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
        if not mine or status.st_mode & 0o077 or status.st_size > limit:
            raise InvalidInputError(
                "not a file that only its owner can read",
                where=str(path),
                do="chmod 600; if others could read a key, consider it stolen and rotate it.",
            )
        return read_at(descriptor, 0, status.st_size)
    finally:
        os.close(descriptor)


def read_at(descriptor: int, start: int, size: int) -> bytes:
    """Return `size` bytes from `start`, fewer at the end of the file."""
    parts = []
    while size > 0:
        part = os.pread(descriptor, min(size, _CHUNK), start)
        if not part:
            break
        parts.append(part)
        start, size = start + len(part), size - len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


@contextmanager
def _created(path: Path, mode: int) -> Iterator[int]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def sync_file(descriptor: int) -> None:
    """Make what was written to an open file durable."""
    os.fsync(descriptor)
