"""A restore drill holds few of the copy's leaves at a time, and reads on where the signed ones end."""

from collections.abc import Iterator, Sequence
from tracemalloc import get_traced_memory, reset_peak, start, stop

from itmp.audit import Event
from itmp.audit._integrate import integrate
from itmp.audit.merkle import Tree, leaf_hashes
from itmp.inquiry import Drill, drill
from itmp.testing.memory_log import MemoryPart, MemoryReader, MemoryStore
from itmp.testing.story import EXECUTOR, Story

SIGNED, SIZE, TEXT = 4000, 4100, "x" * 4000
STORY = Story()


class Part(MemoryPart):
    """A journal that is read in portions, as from a disk."""

    def chunks(self) -> Iterator[Sequence[bytes]]:
        for at in range(0, len(self.leaves), 500):
            yield [bytes(bytearray(leaf)) for leaf in self.leaves[at : at + 500]]


class Reader(MemoryReader):
    """A copy with such a journal."""

    def journal(self) -> Iterator[MemoryPart]:
        for part in super().journal():
            yield Part(path=part.path, start=part.start, leaves=part.leaves)


def leaf(index: int) -> bytes:
    if index == 0:
        return STORY.log.leaf(0).data
    clocks = {"t": "2027-11-22T05:00:00.000000Z", "mono": index, "boot": "another"}
    return Event(
        id=f"f{index:031x}", type="log.read", actor=EXECUTOR, data={"text": TEXT}, **clocks
    ).to_bytes()  # type: ignore[arg-type]


def drilled() -> tuple[Drill, int]:
    """The drill, and the most bytes that it held at a time."""
    made, tree, leaves = MemoryStore(STORY.key.name), Tree(), [leaf(index) for index in range(SIZE)]
    tree.extend(leaf_hashes(leaves[:SIGNED]))
    made.journal.write(leaves, last=False)
    integrate(made, STORY.key, tree, SIGNED)
    start()
    reset_peak()
    done = drill(Reader(made), STORY.key.verifier, genesis=STORY.log.leaf(0).hash)
    held = get_traced_memory()[1]
    stop()
    return done, held


def test_no_list_of_the_leaves_is_held() -> None:
    done, held = drilled()
    assert (done.exit_code, done.size, done.beyond) == (0, SIGNED, SIZE - SIGNED)
    assert held < SIZE * len(TEXT) / 2
    for _ in range(2):
        assert [(one.index, one.data) for one in done.leaves] == [(n, leaf(n)) for n in range(SIZE)]
