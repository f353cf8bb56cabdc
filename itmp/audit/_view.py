"""What a `Log` remembers of its leaves: hashes, ids, each change's events. Derived from raw leaves alone.

Rules kept here: nothing enters but leaves, in order; a leaf that breaks its change's chain is refused, so
that no event is ever written on top of a contradiction. Reading an id, a time and a chain needs no full parse
of the event: the verifier does that.
"""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import count
from typing import Any, Final, NamedTuple

from itmp import canonical
from itmp.audit.event import Event
from itmp.audit.merkle import Tree, leaf_hash
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

    def extend(self, leaves: Sequence[bytes], events: Sequence[Event] | None = None) -> None:
        """Add the next leaves; raise `EvidenceInvalidError` at the first that contradicts the log so far.

        `events` are the leaves as parsed, where the caller made them.
        """
        facts = map(_read, leaves, count(self.size)) if events is None else map(_known, events)
        for leaf, fact in zip(leaves, facts, strict=True):
            self._note(fact, self.size)
            self.tree.extend((leaf_hash(leaf),))

    def hash_of(self, index: int) -> Digest:
        """Return leaf `index`'s hash."""
        return canonical.of_raw(self.tree.leaf(index))

    def head_of(self, change: str) -> Digest | None:
        """Return the hash of the change's newest event."""
        indexes = self.changes.get(change)
        return self.hash_of(indexes[-1]) if indexes else None

    def _note(self, fact: "_Fact", index: int) -> None:
        if fact.id in self.ids:
            raise EvidenceInvalidError("an event whose id stands in the log already", where=f"leaf {index}")
        if fact.change:
            self._chain(fact, index)
        self.ids[fact.id] = index
        self.newest = max(self.newest, fact.t)
        self.last_type = fact.type
        if fact.type in {"log.created", "policy.changed"}:
            self.policy = index
        elif fact.type == "log.recovered":
            data = fact.data or {}
            self.recovered.add((str(data.get("size")), str(data.get("blob"))))

    def _chain(self, fact: "_Fact", index: int) -> None:
        change = fact.change
        if change in self.closed:
            raise EvidenceInvalidError(f"an event of {change} after its close", where=f"leaf {index}")
        indexes = self.changes.get(change, [])
        previous = self.hash_of(indexes[-1]) if indexes else ""
        if fact.cseq != len(indexes) or fact.cprev != previous:
            raise EvidenceInvalidError(f"an event that breaks the chain of {change}", where=f"leaf {index}")
        self.changes.setdefault(change, indexes).append(index)
        if fact.type == "change.closed":
            self.closed.add(change)


class _Fact(NamedTuple):
    """What the view wants to know of an event."""

    id: str
    type: str
    t: str
    change: str
    cseq: int | None
    cprev: str
    data: Mapping[str, Any] | None


def _known(event: Event) -> _Fact:
    return _Fact(event.id, event.type, event.t, event.change, event.cseq, event.cprev, event.data)


def _read(leaf: bytes, index: int) -> _Fact:
    try:
        value = json.loads(leaf)
        known = value.get
        fact = _Fact(
            value["id"],
            value["type"],
            value["t"],
            known("change", ""),
            known("cseq"),
            known("cprev", ""),
            known("data"),
        )
        datetime.fromisoformat(fact.t)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise EvidenceInvalidError("a leaf that is no event", where=f"leaf {index}") from error
    if not (isinstance(fact.id, str) and isinstance(fact.type, str) and isinstance(fact.change, str)):
        raise EvidenceInvalidError("an event whose id, type or change is no text", where=f"leaf {index}")
    if not _TIME.match(fact.t) or not isinstance(fact.data, dict | None):
        raise EvidenceInvalidError("an event whose time or data is in another form", where=f"leaf {index}")
    return fact
