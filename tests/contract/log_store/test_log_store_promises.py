"""The store's own promises, below the log."""

import pytest
from log_places import ORIGIN, Place

from itmp.audit import Head
from itmp.errors import EvidenceInvalidError, LogUnavailableError


def test_leaves_come_back_in_order_and_exactly(place: Place) -> None:
    journal = place.store().journal
    leaves = [bytes([65 + n]) * (n * 1000 + 1) for n in range(40)]
    with journal.exclusive() as turn:
        start = turn.size
        turn.write(leaves[:1])
        turn.write(leaves[1:])
        assert turn.size == start + 40
    journal.sync(start + 40)
    other = place.store().journal
    assert other.size() == start + 40
    assert list(other.read(start, start + 40)) == leaves
    assert list(other.read(start + 3, start + 4)) == [leaves[3]]
    assert list(other.read(start, start)) == []


@pytest.mark.parametrize("span", [(0, 2), (1, 2), (-1, 1), (1, 0)])
def test_leaves_that_are_not_there_are_an_error(place: Place, span: tuple[int, int]) -> None:
    with pytest.raises(LogUnavailableError):
        place.store().journal.read(*span)


def test_files_are_replaced_whole_and_listed(place: Place) -> None:
    files = place.store().files
    assert files.get("a/b", 10) is None
    files.put("a/b", b"one")
    files.put("a/c/d", b"two")
    files.put("a/b", b"three")
    assert files.get("a/b", 10) == b"three"
    assert list(files.names("a")) == ["a/b", "a/c/d"]
    assert list(files.names("nothing")) == []
    files.remove("a/b")
    files.remove("a/b")
    assert files.get("a/b", 10) is None


def test_a_file_above_its_limit_is_refused(place: Place) -> None:
    files = place.store().files
    files.put("big", b"x" * 11)
    assert files.get("big", 11) == b"x" * 11
    with pytest.raises(EvidenceInvalidError):
        files.get("big", 10)


def test_the_head_moves_only_from_what_it_is(place: Place) -> None:
    heads, others = place.store().heads, place.store().heads
    old = heads.read()
    new = Head(origin=ORIGIN, size=7, root=b"r" * 32)
    assert heads.swap(old, new)
    assert not others.swap(old, Head(origin=ORIGIN, size=7, root=b"s" * 32))
    assert others.read() == new
    assert others.swap(new, Head(origin=ORIGIN, size=7, root=b"r" * 32, note=b"note"))
    assert not heads.swap(new, new)


def test_publishers_take_turns_and_stores_complain_of_nothing(place: Place) -> None:
    store = place.store()
    with store.publishing():
        pass
    with store.publishing():
        store.journal.sync(1)
    with store.journal.exclusive():
        pass
    assert list(store.complaints()) == []
