"""Rule 11: the journal is read beside the entries, in portions of its own; whatever differs is named all the same."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import pytest

from itmp.audit import Event, verify
from itmp.audit._beside import Beside
from itmp.audit._integrate import integrate
from itmp.audit.merkle import Tree, leaf_hashes
from itmp.errors import EvidenceInvalidError
from itmp.signing import NoteKey
from itmp.testing.memory_log import MemoryPart, MemoryReader, MemoryStore, genesis

ORIGIN = "example.com/ops/2026"
KEY = NoteKey.generate(ORIGIN, bytes(range(32)))
SIGNED = 600
LEAVES = [
    genesis(ORIGIN, KEY.vkey).to_bytes(),
    *(
        Event(id=f"{n:032x}", type="log.read", actor={"kind": "executor", "id": "i"}).to_bytes()
        for n in range(1, SIGNED + 7)
    ),
]
EXTRA = Event(id="e" * 32, type="log.read", actor={"kind": "executor", "id": "x"}).to_bytes()


@dataclass(frozen=True, kw_only=True)
class Part(MemoryPart):
    """A segment that is read in portions of `each` leaves, and cannot be read from leaf `fails` on."""

    each: int = 100
    fails: int | None = None

    def chunks(self) -> Iterator[Sequence[bytes]]:
        for at in range(0, len(self.leaves), self.each):
            if self.fails is not None and self.start + at >= self.fails:
                raise EvidenceInvalidError("cannot be read", where=self.path)
            yield self.leaves[at : at + self.each]


class Reader(MemoryReader):
    """A log of 600 signed leaves with these segments as its journal."""

    def __init__(self, parts: Sequence[MemoryPart]) -> None:
        super().__init__(store())
        self._parts = parts

    def journal(self) -> Iterator[MemoryPart]:
        yield from self._parts


@cache
def store() -> MemoryStore:
    made, tree = MemoryStore(ORIGIN), Tree()
    tree.extend(leaf_hashes(LEAVES[:SIGNED]))
    made.journal.write(LEAVES[:SIGNED], last=False)
    integrate(made, KEY, tree, SIGNED)
    return made


def part(leaves: Sequence[bytes] = LEAVES, start: int = 0, **more: object) -> Part:
    return Part(path=f".state/journal.{start}", start=start, leaves=leaves, **more)  # type: ignore[arg-type]


def found(*parts: MemoryPart) -> list[tuple[str, str]]:
    findings = verify(Reader(parts), [KEY.verifier], events=False)
    return [(finding.name, finding.place) for finding in findings if finding.name != "unsigned"]


@pytest.mark.parametrize("each", [1, 255, 256, 257, 599, 600, 601, 1000])
def test_the_same_leaves_hold_in_whatever_portions(each: int) -> None:
    assert found(part(each=each)) == []
    assert found(part(LEAVES[:SIGNED], each=each)) == []


@pytest.mark.parametrize("at", [0, 1, 99, 100, 255, 256, 511, 512, 598, 599])
@pytest.mark.parametrize("each", [100, 256, 1000])
def test_each_other_leaf_is_named(at: int, each: int) -> None:
    other = [*LEAVES[:at], EXTRA, *LEAVES[at + 1 :]]
    assert found(part(other, each=each)) == [("journal-differs", f".state/journal.0: leaf {at}")]
    two = [EXTRA if n in {at, 300} else leaf for n, leaf in enumerate(LEAVES)]
    assert [place for _, place in found(part(two, each=each))] == [
        f".state/journal.0: leaf {n}" for n in sorted({at, 300})
    ]


@pytest.mark.parametrize("size", [0, 1, 256, 599])
def test_a_journal_that_is_short_is_named(size: int) -> None:
    assert found(part(LEAVES[:size])) == [("journal-short", ".state/journal.0")]


def test_later_segments_are_compared_as_well() -> None:
    first, later = part(LEAVES[:300]), part(LEAVES[300:], 300)
    assert found(first, later) == []
    assert found(part(LEAVES[:300], each=7), part([*LEAVES[300:400], EXTRA, *LEAVES[401:]], 300)) == [
        ("journal-differs", ".state/journal.300: leaf 400")
    ]
    assert found(part(LEAVES[300:], 300)) == []
    assert found(first, part(LEAVES[290:], 290)) == []
    assert found(first, part(LEAVES[SIGNED + 1 :], SIGNED + 1)) == [
        ("journal-gap", f".state/journal.{SIGNED + 1}")
    ]


@pytest.mark.parametrize("fails", [0, 100, 500, 600])
def test_a_segment_that_cannot_be_read_is_named_once_and_not_believed(fails: int) -> None:
    assert found(part(fails=fails))[0] == ("journal-unreadable", ".state/journal.0")


@pytest.mark.parametrize("tail", ["torn", "damaged"])
def test_how_a_segment_ends_is_told(tail: str) -> None:
    assert found(part(tail=tail)) == [(f"journal-{tail}", ".state/journal.0")]


def test_what_follows_the_entries_is_judged() -> None:
    findings = verify(Reader([part([*LEAVES[:SIGNED], b"no event"])]), [KEY.verifier])
    assert ("not-an-event", f"leaf {SIGNED}") in {(finding.name, finding.place) for finding in findings}


def test_it_is_read_once_and_no_further_than_the_first_difference() -> None:
    other = [*LEAVES[:150], EXTRA, *LEAVES[151:]]
    beside = Beside(part(other))
    for start in range(0, SIGNED, 60):
        beside.meet(start, LEAVES[start : start + 60])
    assert beside.at == 120
    assert [leaf for leaves in beside.rest() for leaf in leaves] == other[120:]
