"""Rule 8: an id that occurs twice is named wherever the two are; an equal hash of two ids is no finding."""

from collections.abc import Callable, Iterator, Sequence
from random import Random
from tracemalloc import get_traced_memory, start, stop

import pytest

from itmp.audit import Event, verify
from itmp.audit._ids import Ids, twice
from itmp.audit._integrate import integrate
from itmp.audit._stories import Stories
from itmp.audit.merkle import Tree, leaf_hash, leaf_hashes
from itmp.audit.tiles import Tile, encode_bundle
from itmp.audit.verify import _Audit
from itmp.signing import NoteKey
from itmp.testing.memory_log import MemoryPart, MemoryReader, MemoryStore, genesis

ORIGIN = "example.com/ops/2026"
KEY = NoteKey.generate(ORIGIN, bytes(range(32)))
SIGNED, SIZE = 600, 620


def leaf(index: int, name: str = "") -> bytes:
    clocks = {"t": "2026-11-22T05:00:00.000000Z", "mono": index, "boot": "b"}
    if index == 0:
        first = genesis(ORIGIN, KEY.vkey)
        return Event(id="0" * 32, type=first.type, actor=first.actor, data=first.data, **clocks).to_bytes()  # type: ignore[arg-type]
    actor = {"kind": "executor", "id": "i"}
    return Event(id=name or f"{index:032x}", type="log.read", actor=actor, **clocks).to_bytes()  # type: ignore[arg-type]


class Reader(MemoryReader):
    """A log that may have another journal, or other bundles when they are read a second time."""

    def __init__(
        self,
        made: MemoryStore,
        parts: Sequence[MemoryPart] = (),
        later: Callable[[Tile], bytes] | None = None,
    ) -> None:
        super().__init__(made)
        self._parts, self._later, self._read = parts, later, set[str]()

    def journal(self) -> Iterator[MemoryPart]:
        yield from self._parts or super().journal()

    def get(self, path: str, limit: int) -> bytes | None:
        if path.startswith("tile/entries/"):
            if self._later is not None and path in self._read:
                return self._later(Tile.parse(path))
            self._read.add(path)
        return super().get(path, limit)


def log_of(leaves: Sequence[bytes]) -> MemoryStore:
    made, tree = MemoryStore(ORIGIN), Tree()
    tree.extend(leaf_hashes(leaves[:SIGNED]))
    made.journal.write(leaves, last=False)
    integrate(made, KEY, tree, SIGNED)
    return made


def found(reader: MemoryReader) -> list[tuple[str, str, str]]:
    findings = verify(reader, [KEY.verifier])
    return [(one.name, one.place, one.message) for one in findings if one.name != "unsigned"]


def doubled(pairs: Sequence[tuple[int, int]]) -> list[bytes]:
    again = {later: f"{first:032x}" for first, later in pairs}
    return [leaf(index, again.get(index, "")) for index in range(SIZE)]


@pytest.mark.parametrize(
    "pairs",
    [
        [(1, 2)], [(1, 255)], [(255, 256)], [(5, 599)], [(511, 512)],  # signed
        [(3, 600)], [(599, 619)], [(600, 619)],  # in the journal alone, one or both
        [(7, 8), (7, 300), (9, 601), (610, 611)],
    ],
)  # fmt: skip
def test_both_leaves_are_named_wherever_they_are(pairs: list[tuple[int, int]]) -> None:
    said = [("id-twice", f"leaf {later}", f"the id of leaf {first}") for first, later in pairs]
    made = log_of(doubled(pairs))
    assert found(Reader(made)) == said
    all_leaves = tuple(made.journal.leaves)
    parts = [
        MemoryPart(path=f".state/journal.{low}", start=low, leaves=all_leaves[low:high])
        for low, high in ((0, 605), (605, SIZE))
    ]
    assert found(Reader(made, parts)) == said


def test_none_is_named_where_all_differ() -> None:
    assert found(Reader(log_of(doubled([])))) == []


HONEST = doubled([])


@pytest.mark.parametrize(
    "later",
    [lambda _: b"", lambda tile: encode_bundle(HONEST[tile.start : tile.start + tile.width])],
    ids=["empty", "of other ids"],
)
def test_a_log_that_reads_otherwise_the_second_time_is_not_believed(later: Callable[[Tile], bytes]) -> None:
    reader = Reader(log_of(doubled([(5, 599)])), later=later)
    assert ("id-twice", "leaf 599", "the id of leaf 5") in found(reader)


def test_leaves_are_read_again_wherever_they_are() -> None:
    reader = Reader(log_of(HONEST))
    audit = _Audit(reader, [KEY.verifier], stories=None)
    head = audit.newest_head()
    assert head is not None
    assert audit.read_entries(head)
    audit.check_journal(head)
    wanted = [0, 255, 256, 599, 600, 619]
    assert dict(audit.read_again(wanted)) == {index: HONEST[index] for index in wanted}


@pytest.mark.parametrize(
    "hashed", [lambda _: 1, lambda name: int(name[-1:], 16), lambda name: -len(name), hash]
)
def test_ids_of_one_hash_are_told_apart(hashed: object) -> None:
    leaves = doubled([(7, 8), (7, 300)])
    stories = Stories(Ids(hashed))  # type: ignore[arg-type]
    for index, data in enumerate(leaves):
        stories.take(index, data, leaf_hash(data))
    stories.finish(lambda wanted: ((index, leaves[index]) for index in wanted))
    assert [(one.place, one.message) for one in stories.findings] == [
        ("leaf 8", "the id of leaf 7"),
        ("leaf 300", "the id of leaf 7"),
    ]


def test_suspects_that_cannot_be_read_again_stay_suspected() -> None:
    groups = [[1, 4, 9]]
    assert list(twice(groups, {1: "a", 4: "b", 9: "b"})) == [(9, 4)]
    assert list(twice(groups, {1: "a", 4: "b", 9: "c"})) == []
    assert list(twice(groups, {1: "a", 4: "b"})) == [(4, 1), (9, 1)]


def test_every_pair_is_found_among_many() -> None:
    random = Random(1)  # noqa: S311 - which ids occur twice
    names = [f"{random.randrange(20_000):x}" for _ in range(10_000)]
    ids = Ids()
    for index, name in enumerate(names):
        ids.add(name, index)
    first: dict[str, int] = {}
    told = {
        (index, first[name]) for index, name in enumerate(names) if first.setdefault(name, index) != index
    }
    assert set(twice(ids.suspects(), dict(enumerate(names)))) == told


def test_an_id_takes_a_dozen_bytes() -> None:
    ids, many = Ids(), 100_000
    start()
    for index in range(many):
        ids.add(f"{index:032x}", index)
    held = get_traced_memory()[0]
    stop()
    assert held / many < 15
