"""What a `Log` remembers of its leaves: hashes, ids, each change's events. Derived from raw leaves alone.

Rules kept here: nothing enters but leaves, in order; a leaf that breaks its change's chain is refused, so
that no event is ever written on top of a contradiction. Reading an id, a time and a chain needs no full parse
of the event: the verifier does that.
"""

import json
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from itmp import canonical
from itmp.audit.merkle import Tree, leaf_hashes
from itmp.canonical import Digest
from itmp.errors import EvidenceInvalidError

_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z\Z", re.ASCII)


class View:
    """The log's leaves [0, size) as an index in memory; about 300 bytes a leaf."""

    __slots__ = ("changes", "closed", "ids", "last_type", "newest", "policy", "recovered", "tree")

    def __init__(self) -> None:
        self.tree = Tree()
        self.ids: dict[str, int] = {}
        self.changes: dict[str, list[int]] = {}
        self.closed: set[str] = set()
        self.recovered: set[tuple[str, str]] = set()
        self.newest = ""
        self.policy = -1
        self.last_type = ""

    @property
    def size(self) -> int:
        """Leaves seen."""
        return self.tree.size

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Add the next leaves; raise `EvidenceInvalidError` at the first that contradicts the log so far."""
        for leaf, hashed in zip(leaves, leaf_hashes(leaves), strict=True):
            self._note(leaf, self.size)
            self.tree.extend((hashed,))

    def hash_of(self, index: int) -> Digest:
        """Return leaf `index`'s hash."""
        return canonical.of_raw(self.tree.leaf(index))

    def head_of(self, change: str) -> Digest | None:
        """Return the hash of the change's newest event."""
        indexes = self.changes.get(change)
        return self.hash_of(indexes[-1]) if indexes else None

    def _note(self, leaf: bytes, index: int) -> None:
        try:
            value = json.loads(leaf)
            name, kind, when, change = value["id"], value["type"], value["t"], value.get("change", "")
            datetime.fromisoformat(when)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise EvidenceInvalidError("a leaf that is no event", where=f"leaf {index}") from error
        if not (isinstance(name, str) and isinstance(kind, str) and isinstance(change, str)):
            raise EvidenceInvalidError("an event whose id, type or change is no text", where=f"leaf {index}")
        if not _TIME.match(when):
            raise EvidenceInvalidError("an event whose time is in another form", where=f"leaf {index}")
        if name in self.ids:
            raise EvidenceInvalidError("an event whose id stands in the log already", where=f"leaf {index}")
        self._chain(value, index)
        self.ids[name] = index
        self.newest = max(self.newest, when)
        self.last_type = kind
        if kind in {"log.created", "policy.changed"}:
            self.policy = index
        elif kind == "log.recovered":
            data = value.get("data") or {}
            self.recovered.add((str(data.get("size")), str(data.get("blob"))))

    def _chain(self, value: dict[str, Any], index: int) -> None:
        change = value.get("change")
        if change is None:
            return
        if change in self.closed:
            raise EvidenceInvalidError(f"an event of {change} after its close", where=f"leaf {index}")
        indexes = self.changes.get(change, [])
        previous = self.hash_of(indexes[-1]) if indexes else None
        if value.get("cseq") != len(indexes) or value.get("cprev") != previous:
            raise EvidenceInvalidError(f"an event that breaks the chain of {change}", where=f"leaf {index}")
        self.changes.setdefault(change, indexes).append(index)
        if value["type"] == "change.closed":
            self.closed.add(change)
