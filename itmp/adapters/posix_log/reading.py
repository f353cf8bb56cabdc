"""Where a log's parts stand, and what reading it takes: its folder and its key.

Rules kept here: nothing is written; a key that others can read, or that is not ours, is refused.
"""

from pathlib import Path
from typing import Final

from itmp.adapters.posix_log import durable
from itmp.adapters.posix_log.files import PosixReader
from itmp.errors import LogUnavailableError, NotFoundError
from itmp.signing import NoteKey

LOG: Final = "log"
HEAD: Final = "head.sqlite"
SNAPSHOT: Final = "snapshot"
KEY: Final = Path("keys") / "log.key"
_MAX_KEY: Final = 4096


def open_reader(log_dir: Path) -> PosixReader:
    """Open a log's folder (or a copy of it) read-only; no key, no head record."""
    if not log_dir.is_dir():
        raise NotFoundError("there is no log here", where=str(log_dir))
    return PosixReader(log_dir)


def read_key(path: Path) -> NoteKey:
    """Read the log's key; refuse a file that others can read, or that is not ours."""
    with durable.unavailable("read", path):
        data = durable.read_private(path, _MAX_KEY)
    if data is None:
        raise LogUnavailableError(
            "the log's key is missing", where=str(path), do="Restore it, or start a new period."
        )
    return NoteKey.from_text(data.decode(errors="replace").removesuffix("\n"))
