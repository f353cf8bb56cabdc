"""A log as far as its newest signed head covers it, for whoever judges evidence and signs nothing.

Rules kept here: the head is read once, and everything is asked of that size: what is appended, or signed, meanwhile
changes no answer.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from itmp.audit import Leaf, Log, SignedCheckpoint
    from itmp.canonical import Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    """What `itmp.evidence.build` needs of a log (`Trail`), of the leaves that `head` covers."""

    log: "Log"
    head: "SignedCheckpoint"

    @classmethod
    def of(cls, log: "Log") -> "Covered | None":
        """Return the log under its newest head; None where none was signed."""
        head = log.published()
        return None if head is None else cls(log=log, head=head)

    @property
    def vkey(self) -> str:
        """The log's public key."""
        return self.log.vkey

    def published(self) -> "SignedCheckpoint | None":
        """Return the head."""
        return self.head

    def policy_leaves(self) -> "Iterable[Leaf]":
        """Return leaf 0 and every later leaf that changed the policy, in order."""
        return (leaf for leaf in self.log.policy_leaves() if leaf.index < self.head.checkpoint.size)

    def of_change(self, change: str) -> "tuple[Leaf, ...]":
        """Return the change's covered events in order."""
        size = self.head.checkpoint.size
        return tuple(leaf for leaf in self.log.of_change(change) if leaf.index < size)

    def prove_inclusion(self, index: int, size: int) -> tuple[bytes, ...]:
        """Return the hashes from leaf `index` to the root of `size`."""
        return self.log.prove_inclusion(index, size)

    def prove_consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        """Return the proof that `new` leaves continue `old` ones."""
        return self.log.prove_consistency(old, new)

    def blob(self, digest: "Digest") -> bytes:
        """Return content by its digest."""
        return self.log.blob(digest)

    def anchored(self) -> "Iterable[tuple[int, str]]":
        """Yield the size and name of every file that an anchor gave."""
        return self.log.anchored()

    def kept(self, size: int | None = None) -> "Iterable[tuple[str, bytes]]":
        """Yield what anchors gave (for the head of `size` leaves)."""
        return self.log.kept(size)
