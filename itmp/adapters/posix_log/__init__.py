"""The log on a local disk of one machine: C2SP tlog-tiles as plain files, a journal, SQLite for the head.

Who is trusted: the account that owns the folder. It can lose or rewrite everything; kept checkpoints,
witnesses and signers' `seen` lines find that out. Network file systems are not supported: `flock` and shared
memory must be local. What writes loads when it is first used: who reads does without.
"""

from typing import TYPE_CHECKING, Any

from itmp.adapters.posix_log.files import STATE, JournalPart, PosixReader
from itmp.adapters.posix_log.reading import LOG, key_of, open_reader, read_key
from itmp.audit.checkpoint import MAX_NOTE

__all__ = [
    "LOG",
    "MAX_NOTE",
    "STATE",
    "JournalPart",
    "PosixReader",
    "PosixStore",
    "create",
    "key_of",
    "open_log",
    "open_reader",
    "read_key",
]

if TYPE_CHECKING:
    from itmp.adapters.posix_log.opening import PosixStore, create, open_log


def __getattr__(name: str) -> Any:
    if name not in {"PosixStore", "create", "open_log"}:
        raise AttributeError(name)
    from itmp.adapters.posix_log import opening  # noqa: PLC0415 - as the docstring says

    return getattr(opening, name)
