"""The log on a local disk of one machine: C2SP tlog-tiles as plain files, a journal, SQLite for the head.

Who is trusted: the account that owns the folder. It can lose or rewrite everything; kept checkpoints,
witnesses and signers' `seen` lines find that out. Network file systems are not supported: `flock` and shared
memory must be local. What writes loads when it is first used: who reads does without, and without a key
(`open_reading`).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from itmp.adapters.posix_log.files import STATE, JournalPart, PosixReader
from itmp.adapters.posix_log.reading import (
    LOG,
    is_own,
    key_of,
    open_reader,
    own_verifier,
    read_key,
    verifier_of,
    verifiers_of,
)
from itmp.audit.checkpoint import MAX_NOTE

__all__ = [
    "LOG",
    "MAX_NOTE",
    "STATE",
    "JournalPart",
    "PosixReader",
    "PosixStore",
    "create",
    "is_own",
    "key_of",
    "known_head",
    "open_log",
    "open_reader",
    "open_reading",
    "own_verifier",
    "read_key",
    "verifier_of",
    "verifiers_of",
]

if TYPE_CHECKING:
    from itmp.adapters.posix_log.opening import PosixStore, create, open_log
    from itmp.adapters.posix_log.readonly import known_head, open_reading


_HOME: Final = {
    "PosixStore": "opening",
    "create": "opening",
    "known_head": "readonly",
    "open_log": "opening",
    "open_reading": "readonly",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(name)
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
