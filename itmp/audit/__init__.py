"""The audit trail: event schema, Merkle tree, tiles, checkpoint, proofs, append and verify logic.

Rules kept here: this room judges and never touches a disk or a clock itself; its doors are `LogStore` and
`Clock`. What writes the log loads when it is first used: who reads does without.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from itmp.audit.checkpoint import Checkpoint, CheckpointError, SignedCheckpoint, check_origin
from itmp.audit.doors import Clock, Cut, Files, Head, Heads, Journal, LogReader, LogStore, Turn
from itmp.audit.event import Event, leaf_digest
from itmp.audit.merkle import Inclusions, ProofError, verify_consistency, verify_inclusion
from itmp.audit.model import (
    BACKWARD,
    DiskFullError,
    Expect,
    Finding,
    HeadMovedError,
    Health,
    Leaf,
    LogEndedError,
    Receipt,
)
from itmp.audit.verify import verify

__all__ = [
    "BACKWARD",
    "STANDING",
    "STANDING_ENDS",
    "Checkpoint",
    "CheckpointError",
    "Clock",
    "Cut",
    "DiskFullError",
    "Event",
    "Expect",
    "Files",
    "Finding",
    "Head",
    "HeadMovedError",
    "Heads",
    "Health",
    "Inclusions",
    "Journal",
    "Leaf",
    "Log",
    "LogEndedError",
    "LogReader",
    "LogStore",
    "ProofError",
    "Receipt",
    "SignedCheckpoint",
    "Turn",
    "check_origin",
    "empty_head",
    "leaf_digest",
    "verify",
    "verify_consistency",
    "verify_inclusion",
]

if TYPE_CHECKING:
    from itmp.audit._view import STANDING, STANDING_ENDS
    from itmp.audit.log import Log, empty_head

_HOME: Final = {"Log": "log", "empty_head": "log", "STANDING": "_view", "STANDING_ENDS": "_view"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(name)
    return getattr(import_module(f"itmp.audit.{_HOME[name]}"), name)
