"""Turns on a busy log: a head that was published meanwhile is taken, and nobody reads what others wrote within a turn."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from itmp.audit import Event, Head, Log
from itmp.audit._leaves import CHUNK
from itmp.errors import ForkError
from itmp.signing import NoteKey
from itmp.testing.memory_log import (
    Faults,
    MemoryJournal,
    MemoryStore,
    MemoryTurn,
    StepClock,
    counting_ids,
    memory_log,
)

ORIGIN = "example.com/ops/2026"
KEY = NoteKey.generate(ORIGIN, bytes(range(32)))
START = datetime(2026, 11, 22, 5, tzinfo=UTC)
IDS = counting_ids(5)


class WatchedJournal(MemoryJournal):
    """Counts the leaves that are read while a writer has its turn."""

    def __init__(self, faults: Faults) -> None:
        super().__init__(faults)
        self.taken, self.within = False, 0

    @contextmanager
    def exclusive(self) -> Iterator[MemoryTurn]:
        with super().exclusive() as turn:
            self.taken = True
            try:
                yield turn
            finally:
                self.taken = False

    def read(self, start: int, end: int) -> Sequence[bytes]:
        self.within += (end - start) * self.taken
        return super().read(start, end)


class BusyStore(MemoryStore):
    """Lets `meanwhile` happen while somebody waits to publish."""

    def __init__(self) -> None:
        super().__init__(ORIGIN)
        self.journal = self.watched = WatchedJournal(self.faults)
        self.meanwhile: list[Callable[[], object]] = []

    @contextmanager
    def publishing(self) -> Iterator[None]:
        while self.meanwhile:
            self.meanwhile.pop()()
        self.watched.taken = True
        try:
            with super().publishing():
                yield
        finally:
            self.watched.taken = False


def event() -> Event:
    return Event(
        id=IDS(), type="check.finished", actor={"kind": "machine", "id": "m"}, change="CHG-0000000001"
    )


@pytest.fixture
def store() -> BusyStore:
    store = BusyStore()
    memory_log(KEY, start=START, store=store)
    return store


def opened(store: MemoryStore) -> Log:
    return Log(store, KEY, StepClock(datetime.now(UTC)), counting_ids(9))


def signed_sizes(store: MemoryStore) -> list[str]:
    return [name.removeprefix("history/") for name in store.files.names("history")]


def test_who_was_served_while_waiting_takes_that_head(store: BusyStore) -> None:
    mine, other = opened(store), opened(store)
    mine.append(event())
    store.meanwhile = [lambda: (other.append(event()), other.checkpoint(), other.append(event()))]
    signed = mine.checkpoint()
    assert (signed.checkpoint.size, signed.checkpoint.root) == (3, mine.root(3))
    assert signed == other.published()
    assert signed_sizes(store) == ["1.note", "3.note"]
    assert mine.size() == 4


def test_a_head_from_before_my_leaf_serves_me_not(store: BusyStore) -> None:
    mine, other = opened(store), opened(store)
    other.checkpoint()
    mine.append(event())
    assert mine.checkpoint().checkpoint.size == 2
    assert signed_sizes(store) == ["1.note", "2.note"]


@pytest.mark.parametrize("step", ["unsigned", "unpublished"])
def test_a_publisher_that_died_meanwhile_is_completed(store: BusyStore, step: str) -> None:
    mine, other = opened(store), opened(store)
    mine.append(event())

    def die() -> None:
        other.checkpoint()
        head = store.heads.read()
        store.files.put("checkpoint", b"")
        store.files.remove("checkpoint")
        if step == "unsigned":
            store.heads.head = Head(origin=head.origin, size=head.size, root=head.root)

    store.meanwhile = [die]
    signed = mine.checkpoint()
    assert signed.checkpoint.size == 2
    assert store.files.get("checkpoint", 4096) == signed.note == store.heads.read().note


@pytest.mark.parametrize("size", [2, 9])
def test_a_head_of_another_history_is_a_fork_and_serves_nobody(store: BusyStore, size: int) -> None:
    mine, other = opened(store), opened(store)
    mine.append(event())

    def fork() -> None:
        note = other.checkpoint().note
        store.heads.head = Head(origin=ORIGIN, size=size, root=bytes(32), note=note)

    store.meanwhile = [fork]
    with pytest.raises(ForkError):
        mine.checkpoint()


def test_what_others_wrote_is_read_before_a_turn_and_not_within(store: BusyStore) -> None:
    mine, other = opened(store), opened(store)
    acts: list[Callable[[], object]] = [
        lambda: mine.append(event()),
        mine.checkpoint,
        lambda: mine.put_blob(b"content"),
        lambda: mine.keep("1/tsa", b"token"),
    ]
    for act in acts:
        other.extend([event() for _ in range(CHUNK + 1)])
        other.checkpoint()
        store.watched.within = 0
        act()
        assert store.watched.within < CHUNK
        assert mine.size() == other.size()
