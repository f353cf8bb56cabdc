"""The tree of a verifier, who keeps a hash of every leaf and of few other nodes: 34 bytes a leaf instead of 64.

Rules kept here: every fourth level is kept whole, those of tiles among them; of the levels between only what is not
hashed upwards yet; whoever asks for more of those has it computed from the level below them.
"""

from collections.abc import Sequence
from typing import Final

from itmp.audit.merkle import Tree, parents

_STEP: Final = 4  # divides the height of a tile; 15 hashes at most are computed again for one


class LeanTree(Tree):
    """A `Tree` that begins with its first leaf."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(older=self._again)

    def extend(self, hashes: Sequence[bytes]) -> None:
        """Add leaf hashes (32 bytes each)."""
        super().extend(hashes)
        for level in range(len(self._levels) - 1):
            if level % _STEP:
                self._forget(level)

    def _again(self, level: int, start: int, count: int) -> bytes:
        depth = level % _STEP
        row = self.hashes(level - depth, start << depth, count << depth)
        for _ in range(depth):
            row = parents(row)
        return row
