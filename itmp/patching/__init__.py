"""Patch schedules: rings of hosts brought to locked package versions, and back."""

from collections.abc import Mapping
from typing import Final

from itmp.documents import Document
from itmp.patching.freeze import freeze
from itmp.patching.lock import Lock, read_lock
from itmp.patching.model import PatchSchedule
from itmp.patching.needs import needs, ring_pattern
from itmp.patching.resolve import SCRIPT, Reading, resolve

KINDS: Final[Mapping[str, type[Document]]] = {"patch-schedule/v1": PatchSchedule}
"""The kinds of document that this room knows, for the registry."""

__all__ = [
    "KINDS",
    "SCRIPT",
    "Lock",
    "PatchSchedule",
    "Reading",
    "freeze",
    "needs",
    "read_lock",
    "resolve",
    "ring_pattern",
]
