"""What a `Log` remembers of its leaves: hashes, ids, each change's events. Derived from raw leaves alone.

Rules kept here: nothing enters but leaves, in order, on top of an authenticated snapshot of those before; a leaf that
breaks its change's chain is refused, so that no event is ever written on top of a contradiction.
"""

from collections.abc import Sequence
from typing import Final, Protocol

from itmp import canonical
from itmp.audit._fact import Fact, read_fact
from itmp.audit.merkle import Tree, leaf_hashes
from itmp.canonical import Digest
from itmp.errors import EvidenceInvalidError

STANDING: Final = frozenset({"log.created", "policy.changed", "key.revoked", "key.rotated"})
"""Types of leaves that say who may do what, and by which key the log is signed: few, and always needed."""

STANDING_ENDS: Final = tuple(f'"type":"{name}","v":1}}'.encode() for name in sorted(STANDING))
"""How the canonical leaves of these types end."""


class Base(Protocol):
    """What is known of the leaves before a view's first one, without holding it in memory."""

    def find(self, name: str) -> int | None:
        """Return the leaf that has this id."""

    def events_of(self, change: str) -> list[int]:
        """Return the leaves of a change, in order."""

    def is_closed(self, leaf: int) -> bool:
        """Whether this leaf closes its change."""

    def begun(self) -> list[str]:
        """Return every change, in the order of their first events."""


class Nothing:
    """The base of a view that begins at leaf 0."""

    def find(self, name: str) -> int | None:  # noqa: ARG002 - a `Base` takes it
        """There is none."""
        return None

    def events_of(self, change: str) -> list[int]:  # noqa: ARG002 - as above
        """There are none."""
        return []

    def is_closed(self, leaf: int) -> bool:  # noqa: ARG002 - as above
        """There is none."""
        return False

    def begun(self) -> list[str]:
        """There are none."""
        return []


class View:
    """The log's leaves [0, size): those after `base` as an index in memory, about 300 bytes a leaf."""

    __slots__ = (
        "_base",
        "_begun",
        "_changes",
        "_closed",
        "_ids",
        "_newest_of",
        "last_type",
        "newest",
        "policies",
        "recovered",
        "tree",
    )

    def __init__(self, tree: Tree | None = None, base: Base | None = None) -> None:
        self.tree = tree or Tree()
        self._base: Base = base or Nothing()
        self._ids: dict[str, int] = {}
        self._changes: dict[str, list[int]] = {}
        self._begun: list[str] = []
        self._closed: set[str] = set()
        self.recovered: set[tuple[str, str]] = set()
        self.policies: list[int] = []
        self.newest = ""
        self.last_type = ""
        self._newest_of: dict[str, int] = {}

    @property
    def size(self) -> int:
        """Leaves seen."""
        return self.tree.size

    @property
    def policy(self) -> int:
        """The newest leaf that says who may do what, -1 when there is none."""
        return self.policies[-1] if self.policies else -1

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Add the next leaves; raise `EvidenceInvalidError` at the first that contradicts the log so far."""
        for index, (leaf, hashed) in enumerate(zip(leaves, leaf_hashes(leaves), strict=True), self.size):
            fact = read_fact(leaf, index)
            if self.find(fact.id) is not None:
                raise EvidenceInvalidError(
                    "an event whose id stands in the log already", where=f"leaf {index}"
                )
            if fact.change:
                self._check_chain(fact, index)
            self.take((fact,), (hashed,))

    def take(self, facts: Sequence[Fact], hashes: Sequence[bytes]) -> None:
        """Add the next leaves, which were drafted on this view: their ids are new and their chains go on."""
        for index, fact in enumerate(facts, self.size):
            self._note(fact, index)
        self.tree.extend(hashes)

    def hash_of(self, index: int) -> Digest:
        """Return leaf `index`'s hash."""
        return canonical.of_raw(self.tree.leaf(index))

    def find(self, name: str) -> int | None:
        """Return the leaf that has this id."""
        index = self._ids.get(name)
        return self._base.find(name) if index is None else index

    def events_of(self, change: str) -> Sequence[int]:
        """Return the leaves of a change, in order. What the base knows is not kept: whoever reads, reads them all."""
        found = self._changes.get(change)
        return self._base.events_of(change) if found is None else found

    def newest_of(self, kind: str) -> int:
        """Return the newest leaf of a type among those after the base, -1 where none is."""
        return self._newest_of.get(kind, -1)

    def is_closed(self, change: str) -> bool:
        """Whether nothing joins the change any more."""
        self._grown(change)
        return change in self._closed

    def _grown(self, change: str) -> list[int]:
        """Return the leaves of a change that is about to grow, kept; empty when it has none yet."""
        if change not in self._changes:
            indexes = self._base.events_of(change)
            if not indexes:
                return indexes
            self._changes[change] = indexes
            if self._base.is_closed(indexes[-1]):
                self._closed.add(change)
        return self._changes[change]

    def changes(self) -> tuple[str, ...]:
        """Return every change, in the order of their first events."""
        return (*self._base.begun(), *self._begun)

    def head_of(self, change: str) -> Digest | None:
        """Return the hash of the change's newest event."""
        indexes = self.events_of(change)
        return self.hash_of(indexes[-1]) if indexes else None

    def _check_chain(self, fact: Fact, index: int) -> None:
        indexes = self._grown(fact.change)
        if fact.change in self._closed:
            raise EvidenceInvalidError(f"an event of {fact.change} after its close", where=f"leaf {index}")
        previous = self.hash_of(indexes[-1]) if indexes else ""
        if fact.cseq != len(indexes) or fact.cprev != previous:
            raise EvidenceInvalidError(
                f"an event that breaks the chain of {fact.change}", where=f"leaf {index}"
            )

    def _note(self, fact: Fact, index: int) -> None:
        if fact.change:
            self._link(fact, index)
        self._ids[fact.id] = index
        self.newest = max(self.newest, fact.t)
        self.last_type = fact.type
        self._newest_of[fact.type] = index
        if fact.type in STANDING:
            self.policies.append(index)
        elif fact.type == "log.recovered":
            data = fact.data or {}
            self.recovered.add((str(data.get("size")), str(data.get("blob"))))

    def _link(self, fact: Fact, index: int) -> None:
        change = fact.change
        if not self._grown(change):
            self._begun.append(change)
            self._changes[change] = []
        self._changes[change].append(index)
        if fact.type == "change.closed":
            self._closed.add(change)
