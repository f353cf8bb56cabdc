"""A spare name for a file that is only changed in place: whoever unlinks one of its two names loses nothing.

Rules kept here: both names mean one file, by a hard link, so that the spare one takes no room and is never behind. Two
files under the two names are what copying leaves, or a replacement; `settle` judges that for files that only grow.
Where the file system knows no links, or has no room for a name, the file goes without: it is a help, never a need.
"""

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from itmp.adapters.posix_log import durable
from itmp.errors import LogUnavailableError

FOLDER: Final = "spare"
_CHUNK: Final = 1 << 20


def spare_of(path: Path) -> Path:
    """Return the spare name of a file."""
    return path.parent / FOLDER / path.name


def is_file(path: Path, identity: tuple[int, int]) -> bool:
    """Whether one of the two names means the file of this device and inode."""
    return _identity(path) == identity or _identity(spare_of(path)) == identity


def gone(path: Path) -> bool:
    """Whether nothing has either name; `LogUnavailableError` where that cannot be told."""
    with durable.unavailable("looked for", path):
        return not any(_lies(one) for one in (path, spare_of(path)))


def other(path: Path) -> tuple[Path, ...]:
    """Return the spare name, where it means another file."""
    spare, mine = spare_of(path), _identity(path)
    with durable.unavailable("looked for", spare):
        return (spare,) if _lies(spare) and (mine is None or _identity(spare) != mine) else ()


def keep(path: Path) -> None:
    """Let the spare name mean this file, whatever it meant before; best effort."""
    spare, mine = spare_of(path), _identity(path)
    if mine is None or _identity(spare) == mine:
        return
    with suppress(OSError):
        durable.make_folder(spare.parent, mode=0o700)
        _link(path, spare)


def give_back(path: Path) -> None:
    """Let a name that nothing bears mean its file again, durably; nothing is done where there is no spare name."""
    if _identity(path) is not None or _identity(spare_of(path)) is None:
        return
    with durable.unavailable("named again", path):
        with suppress(FileExistsError):  # another process was first
            os.link(spare_of(path), path, follow_symlinks=False)
        durable.sync_folder(path.parent)


def drop(path: Path) -> None:
    """Durably remove the spare name: the file is about to be moved away."""
    spare = spare_of(path)
    if _identity(spare) is not None:
        spare.unlink(missing_ok=True)
        durable.sync_folder(spare.parent)


def settle(path: Path) -> None:
    """Make both names of a file that only grows mean one file: of two the longer, if it begins with the other.

    `LogUnavailableError` where it does not. Called by one at a time.
    """
    give_back(path)
    spare = spare_of(path)
    with durable.unavailable("read", path):
        if whole(path) == spare:
            _link(spare, path)
    keep(path)


def whole(path: Path) -> Path:
    """Return the name under which a file that only grows is whole: of two files the longer, as in `settle`."""
    spare, mine, others = spare_of(path), _identity(path), _identity(spare_of(path))
    if others is None or mine == others:
        return path
    if mine is None:
        return spare
    longer = max(path, spare, key=lambda one: one.stat(follow_symlinks=False).st_size)
    if not _begins(longer, spare if longer is path else path):
        raise LogUnavailableError(
            "two files under its two names, and neither begins with the other",
            where=f"{path} and {spare}",
            do="Compare both with the newest copy, and remove the one that is not this log's.",
        )
    return longer


def _link(source: Path, target: Path) -> None:
    """Durably let `target` mean the file of `source`, in one step."""
    new = target.with_name(f".{target.name}.new")
    new.unlink(missing_ok=True)
    os.link(source, new, follow_symlinks=False)
    new.rename(target)
    durable.sync_folder(target.parent)


def _lies(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _identity(path: Path) -> tuple[int, int] | None:
    """Return device and inode of a regular file; None for anything else."""
    try:
        status = os.stat(path, follow_symlinks=False)  # noqa: PTH116 - once per sync, and twice as fast
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else None


def _begins(longer: Path, shorter: Path) -> bool:
    with longer.open("rb") as one, shorter.open("rb") as other:
        while part := other.read(_CHUNK):
            if one.read(len(part)) != part:
                return False
    return True
