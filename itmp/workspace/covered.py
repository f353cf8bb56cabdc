"""A log as far as its newest signed head covers it, for whoever judges one change's evidence and signs nothing.

Rules kept here: the head is read once, and everything is asked of that size: what is appended, or signed, meanwhile
changes no answer. The change's leaves are read once, after the head, so that none that it covers is missing.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from itmp.audit import Leaf, Log, SignedCheckpoint
    from itmp.canonical import Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    """What `itmp.evidence.build` needs of a log (`Trail`), of the leaves that `head` covers."""

    log: "Log"
    head: "SignedCheckpoint"
    leaves: "tuple[Leaf, ...]"

    @classmethod
    def read(cls, log: "Log", change: str) -> "tuple[Covered | None, tuple[Leaf, ...]]":
        """Return the log under its newest head, None where none was signed, and every leaf of the change."""
        head = log.published()
        leaves = log.of_change(change)
        if head is None:
            return None, leaves
        return cls(log=log, head=head, leaves=tuple(_below(leaves, head))), leaves

    @property
    def vkey(self) -> str:
        """The log's public key."""
        return self.log.vkey

    def published(self) -> "SignedCheckpoint | None":
        """Return the head."""
        return self.head

    def policy_leaves(self) -> "Iterable[Leaf]":
        """Return leaf 0 and every later leaf that changed the policy, in order."""
        return _below(self.log.policy_leaves(), self.head)

    def of_change(self, change: str) -> "tuple[Leaf, ...]":
        """Return the change's covered events in order."""
        if self.leaves and self.leaves[0].event.change == change:
            return self.leaves
        return tuple(_below(self.log.of_change(change), self.head))

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


def _below(leaves: "Iterable[Leaf]", head: "SignedCheckpoint") -> "Iterator[Leaf]":
    return (leaf for leaf in leaves if leaf.index < head.checkpoint.size)
