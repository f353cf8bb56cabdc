"""The log on a local disk of one machine: C2SP tlog-tiles as plain files, a journal, SQLite for the head.

Who is trusted: the account that owns the folder. It can lose or rewrite everything; kept checkpoints,
witnesses and signers' `seen` lines find that out. Network file systems are not supported: `flock` and shared
memory must be local.
"""

from itmp.adapters.posix_log.files import STATE, JournalPart, PosixReader
from itmp.adapters.posix_log.opening import LOG, PosixStore, create, key_of, open_log, open_reader, read_key
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
