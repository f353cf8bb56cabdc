"""The verifier's tree: whatever it forgot, it answers as the whole tree does."""

from random import Random
from tracemalloc import get_traced_memory, start, stop

import pytest

from itmp.audit._lean import LeanTree
from itmp.audit.merkle import HASH, Tree, leaf_hash

HASHES = [leaf_hash(b"%d" % n) for n in range(5000)]


def both(size: int, seed: int) -> tuple[LeanTree, Tree]:
    """The same leaves in both, added in other portions."""
    lean, whole, random, at = LeanTree(), Tree(), Random(seed), 0  # noqa: S311 - portions
    whole.extend(HASHES[:size])
    while at < size:
        step = random.choice([1, 2, 15, 16, 17, 255, 256, 257, 1000])
        lean.extend(HASHES[at : min(size, at + step)])
        at += step
    return lean, whole


@pytest.mark.parametrize(
    "size", [0, 1, 2, 15, 16, 17, 31, 32, 33, 255, 256, 257, 1023, 1025, 4095, 4096, 4999]
)
def test_it_answers_as_the_whole_tree_does(size: int) -> None:
    lean, whole = both(size, size)
    assert (lean.size, lean.peaks) == (whole.size, whole.peaks)
    for level in range(14):
        width = size >> level
        for first in {0, 1, width // 2, max(width - 1, 0)}:
            for count in {0, 1, 2, width - first}:
                if first + count <= width and count >= 0:
                    assert lean.hashes(level, first, count) == whole.hashes(level, first, count)
        with pytest.raises(IndexError):
            lean.hashes(level, width, 1)
    for older in {*range(0, size + 1, 97), size}:
        assert lean.root(older) == whole.root(older)
    for index in range(0, size, 211):
        assert lean.inclusion(index, size) == whole.inclusion(index, size)
        assert lean.consistency(index + 1, size) == whole.consistency(index + 1, size)


def test_it_keeps_half_of_what_the_whole_tree_keeps() -> None:
    many, held = HASHES * 20, []
    for tree in (LeanTree(), Tree()):
        start()
        for at in range(0, len(many), 250):
            tree.extend(many[at : at + 250])
        held.append(get_traced_memory()[0] / len(many))
        stop()
    assert held[0] < 1.2 * (HASH + 2) < 0.7 * held[1], held
