"""Stores that fail in both ways: the log repeats safely, publishes one root per size, and never lies."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime

import pytest

from itmp import canonical
from itmp.audit import Cut, DiskFullError, Event, Head, Log, verify
from itmp.audit.blobs import blob_path
from itmp.errors import Error, EvidenceInvalidError, ForkError, InvalidInputError, LogUnavailableError
from itmp.signing import NoteKey
from itmp.testing.memory_log import (
    Faults,
    MemoryFiles,
    MemoryHeads,
    MemoryJournal,
    MemoryReader,
    MemoryStore,
    StepClock,
    counting_ids,
    genesis,
    memory_log,
)

ORIGIN = "example.com/ops/2026"
KEY = NoteKey.generate(ORIGIN, bytes(range(32)))
START = datetime(2026, 11, 22, 5, tzinfo=UTC)


@pytest.fixture
def pair() -> tuple[Log, MemoryStore]:
    return memory_log(KEY, start=START)


def event(n: int, **fields: object) -> Event:
    return Event(
        id=f"e{n:031x}", type="check.finished", actor={"kind": "executor", "id": "i"}, change="C", **fields
    )


def again(store: MemoryStore) -> Log:
    return Log(store, KEY, StepClock(START, boot="boot-2"), counting_ids(2))


def names(store: MemoryStore) -> list[str]:
    return [finding.name for finding in verify(MemoryReader(store), [KEY.verifier])]


@pytest.mark.parametrize(("when", "size"), [("not done", 1), ("done", 2)])
def test_a_write_that_fails_is_repeated_without_a_duplicate(
    pair: tuple[Log, MemoryStore], when: str, size: int
) -> None:
    log, store = pair
    store.faults.plan("write", when)
    with pytest.raises(LogUnavailableError):
        log.append(event(1))
    assert log.size() == size
    assert log.append(event(1)).index == 1
    assert log.append(event(2)).leaf.event.cseq == 1
    assert names(store) == ["unsigned"]


class Racing(StepClock):
    """A clock beside which another process appends an event of a later moment just after it was read."""

    def __init__(self, other: Log) -> None:
        super().__init__(START)
        self._other = other

    def now(self) -> datetime:
        moment = super().now()
        self._other.append(event(1))
        return moment


def test_what_is_appended_while_the_clock_is_read_is_not_of_the_future(pair: tuple[Log, MemoryStore]) -> None:
    log, store = pair
    other = Log(store, KEY, StepClock(START.replace(hour=6)), counting_ids(2))
    assert log.health(Racing(other)).findings == ()
    assert [one.name for one in log.health(Racing(other)).findings] == ["clock-behind"], "it was there before"


@pytest.mark.parametrize("when", ["not done", "done"])
def test_a_failed_sync_gives_no_receipt_and_stops_everybody(pair: tuple[Log, MemoryStore], when: str) -> None:
    log, store = pair
    store.faults.plan("sync", when)
    with pytest.raises(LogUnavailableError):
        log.append(event(1))
    with pytest.raises(LogUnavailableError):
        again(store).append(event(2))
    assert not log.health(START.replace(year=2027)).ok
    store.reopen()
    assert log.append(event(1)).index == 1


def test_what_rides_along_is_lost_until_something_durable_follows(pair: tuple[Log, MemoryStore]) -> None:
    log, store = pair
    assert not log.append(event(1), durable=False).durable
    store.power_cut()
    fresh = again(store)
    assert fresh.size() == 1
    fresh.append(event(1), durable=False)
    fresh.append(event(2))
    store.power_cut()
    assert again(store).size() == 3


@pytest.mark.parametrize("when", ["not done", "done"])
@pytest.mark.parametrize("place", ["sync", "put", "swap"])
@pytest.mark.parametrize("skip", range(6))
def test_a_publication_that_fails_anywhere_is_finished_by_the_next(
    pair: tuple[Log, MemoryStore], place: str, when: str, skip: int
) -> None:
    log, store = pair
    log.extend([event(n) for n in range(300)], durable=False)
    store.faults.plan(place, when, skip=skip)
    with suppress(LogUnavailableError):
        log.checkpoint()
    store.faults.clear()
    store.reopen()
    grave = {finding.name for finding in verify(MemoryReader(store), [KEY.verifier]) if finding.grave}
    last_step = (place, when, skip) == ("put", "done", 5)  # the history tells of a head that is not published
    assert grave == ({"checkpoint-behind"} if last_step else set())
    fresh = again(store)
    fresh.append(event(300))
    signed = fresh.checkpoint()
    assert signed.checkpoint.size == 302
    assert names(store) == []


@pytest.mark.parametrize(
    "path", ["tile/entries/000.p/3", "tile/0/000.p/3", "tile/entries/000", "tile/0/000", "tile/1/000.p/1"]
)
def test_nothing_is_signed_that_did_not_land_as_it_was_written(
    pair: tuple[Log, MemoryStore], path: str
) -> None:
    log, store = pair
    log.extend([event(n) for n in range(2 if path.endswith("3") else 300)])
    store.files.rot = {path}
    head = store.heads.head
    with pytest.raises((LogUnavailableError, EvidenceInvalidError)):
        log.checkpoint()
    assert store.heads.head == head
    store.files.rot = set()
    log.checkpoint()
    assert names(store) == []


def test_a_full_disk_is_the_last_thing_the_log_says(pair: tuple[Log, MemoryStore]) -> None:
    log, store = pair
    store.journal.room = 2
    with pytest.raises(DiskFullError):
        log.extend([event(n) for n in range(3)])
    assert [leaf.event.type for leaf in log.leaves(1)] == ["check.finished", "check.finished", "log.full"]
    with pytest.raises(DiskFullError):
        log.append(event(9))
    assert log.size() == 4
    store.journal.room = None
    assert [one.index for one in log.extend([event(n) for n in range(3)])] == [1, 2, 4]
    assert names(store) == ["unsigned"]


def test_a_cut_tail_is_recorded_once_with_its_bytes(pair: tuple[Log, MemoryStore]) -> None:
    log, store = pair
    store.journal.cuts = [Cut(data=b"torn", size=1), Cut(data=b"other", size=1)]
    log.append(event(1))
    log.append(event(2))
    cuts = [leaf.event.data for leaf in log.leaves() if leaf.event.type == "log.recovered"]
    assert [log.blob(data["blob"]) for data in cuts] == [b"torn", b"other"]
    assert [data["cut"] for data in cuts] == [4, 5]
    store.journal.cuts = [Cut(data=b"torn", size=1)]  # the recorder died before it forgot
    log.append(event(3))
    assert log.size() == 6
    assert store.journal.cuts == []


@pytest.mark.parametrize("when", ["not done", "done"])
def test_a_cut_whose_recorder_died_beside_its_leaf_is_recorded_once(
    pair: tuple[Log, MemoryStore], when: str
) -> None:
    log, store = pair
    store.journal.cuts = [Cut(data=b"torn", size=1)]
    store.faults.plan("write", when)
    with pytest.raises(LogUnavailableError):
        log.append(event(1))
    assert store.journal.cuts == [Cut(data=b"torn", size=1)]
    other = again(store)
    other.append(event(1))
    assert [leaf.event.type for leaf in other.leaves(1)] == ["log.recovered", "check.finished"]
    assert [path for path in store.files.content if path.startswith("blobs/")] == [
        blob_path(canonical.digest(b"torn"))
    ]
    assert store.journal.cuts == []


def test_a_cut_that_no_leaf_may_record_stays_and_is_no_content(pair: tuple[Log, MemoryStore]) -> None:
    log, store = pair
    for last in ("key.revoked", "key.rotated"):
        log.append(Event(id=f"{last:x<32}", type=last, actor={"kind": "executor", "id": "i"}))
        store.journal.cuts = [Cut(data=b"torn", size=log.size())]
        with suppress(Error):
            log.append(event(1))
        assert store.journal.cuts == [Cut(data=b"torn", size=log.size())]
    assert [leaf.event.type for leaf in log.leaves(1)] == ["key.revoked", "key.rotated"]
    assert not [path for path in store.files.content if path.startswith("blobs/")]


def test_no_head_is_signed_that_the_leaves_do_not_continue(pair: tuple[Log, MemoryStore]) -> None:
    log, store = pair
    log.append(event(1))
    log.checkpoint()
    for head in (Head(origin=ORIGIN, size=2, root=b"x" * 32), Head(origin=ORIGIN, size=9, root=b"x" * 32)):
        store.heads.head = head
        with pytest.raises(ForkError):
            log.checkpoint()
        with pytest.raises(ForkError):
            again(store)
        assert [one.name for one in log.health(START.replace(year=2027)).findings] == ["rolled-back"]


class RacingHeads(MemoryHeads):
    """Another machine decides first."""

    def swap(self, old: Head, new: Head) -> bool:
        self.head = Head(origin=old.origin, size=new.size, root=b"x" * 32)
        return super().swap(old, new)


def test_nothing_is_signed_when_another_decided_first(pair: tuple[Log, MemoryStore]) -> None:
    log, store = pair
    log.append(event(1))
    store.heads = RacingHeads(store.heads.head, store.faults)
    before = dict(store.files.content)
    with pytest.raises(ForkError, match="moved"):
        log.checkpoint()
    assert {path for path in store.files.content if not path.startswith("tile/")} == {
        path for path in before if not path.startswith("tile/")
    }
    assert store.heads.head.note == b""


class UnreadableFiles(MemoryFiles):
    """Files of which, once, those below `folder` cannot be listed, or the one of that name not be read again."""

    folder, seen = "", 0

    def get(self, path: str, limit: int) -> bytes | None:
        self._fail(path, times=2)
        return super().get(path, limit)

    def names(self, folder: str) -> Sequence[str]:
        self._fail(folder, times=1)
        return super().names(folder)

    def _fail(self, path: str, *, times: int) -> None:
        self.seen += path == self.folder
        if path == self.folder and self.seen == times:
            raise EvidenceInvalidError("cannot be read: Input/output error", where=path)


@pytest.mark.parametrize("path", ["tile/entries/000.p", "tile/0/000.p", "checkpoint"])
def test_a_file_that_cannot_be_read_after_a_head_was_decided_makes_it_no_strangers(path: str) -> None:
    store = MemoryStore(ORIGIN)
    store.files = files = UnreadableFiles(Faults())
    log, _ = memory_log(KEY, start=START, store=store)
    log.checkpoint()
    log.extend([event(n) for n in range(256)])
    files.folder = path
    assert log.checkpoint().checkpoint.size == 257
    assert files.seen >= (2 if path == "checkpoint" else 1)
    assert names(store) == []


def test_an_id_that_stands_twice_is_not_built_upon(pair: tuple[Log, MemoryStore]) -> None:
    log, store = pair
    leaf = log.append(event(1)).leaf.data
    store.journal.leaves.append(leaf.replace(b'"change":"C",', b"").replace(b'"cseq":0,', b""))
    with pytest.raises(EvidenceInvalidError, match="id"):
        again(store)


def test_a_checkpoint_newer_than_the_leaves_is_a_fork(pair: tuple[Log, MemoryStore]) -> None:
    log, store = pair
    old = store.heads.head
    log.append(event(1))
    log.checkpoint()
    del store.journal.leaves[1:]
    store.heads.head = old
    with pytest.raises(ForkError):
        again(store)
    del store.files.content["checkpoint"]
    with pytest.raises(ForkError, match="history"):
        again(store)


def test_a_head_record_put_back_alone_is_carried_forward(pair: tuple[Log, MemoryStore]) -> None:
    log, store = pair
    old = store.heads.head
    log.append(event(1))
    signed = log.checkpoint()
    store.heads.head = old
    assert again(store).checkpoint() == signed


def test_a_rewritten_leaf_is_noticed_by_whoever_knew_it(pair: tuple[Log, MemoryStore]) -> None:
    log, store = pair
    log.extend([event(1), event(2)])
    store.journal.leaves[1] = event(1, t="2026-11-22T05:00:00.000000Z", cseq=0, rc=9).to_bytes()
    with pytest.raises(EvidenceInvalidError):
        list(log.leaves())
    with pytest.raises(LogUnavailableError, match="changed"):
        log.checkpoint()
    with pytest.raises(EvidenceInvalidError, match="chain"):
        again(store)


@pytest.mark.parametrize(
    "leaf",
    [
        b"{}",
        b"[]",
        b"\xff",
        b'{"id":[],"t":"","type":""}',
        b'{"id":"a","t":"2026-13-01T00:00:00.000000Z","type":"x"}',
        b"[" * 9000,
    ],
)
def test_no_event_is_written_on_top_of_a_leaf_that_is_none(
    pair: tuple[Log, MemoryStore], leaf: bytes
) -> None:
    log, store = pair
    store.journal.leaves.append(leaf)
    with pytest.raises(EvidenceInvalidError):
        log.append(event(1))
    assert store.journal.leaves[-1] == leaf


def test_a_log_has_one_key_and_one_name() -> None:
    _, store = memory_log(KEY, start=START)
    other = NoteKey.generate("example.com/other", bytes(32))
    with pytest.raises(InvalidInputError, match="key"):
        Log(store, other, StepClock(START), counting_ids(2))
    thief = NoteKey.generate(ORIGIN, b"o" * 32)
    with pytest.raises(Error) as caught:
        Log(store, thief, StepClock(START), counting_ids(2))
    assert caught.value.exit_code in {40, 42}
    foreign = MemoryStore(ORIGIN)
    Log(foreign, KEY, StepClock(START), counting_ids(1)).append(genesis(ORIGIN, thief.vkey))
    with pytest.raises(ForkError, match="first leaf"):
        again(foreign)


class BusyJournal(MemoryJournal):
    """A journal that others write, and publish, whenever somebody has just looked how long it is."""

    others: Callable[[], object] | None = None

    def size(self) -> int:
        size, others = super().size(), self.others
        if others:
            self.others = None
            others()
        return size


@pytest.fixture
def busy() -> tuple[Log, MemoryStore, BusyJournal]:
    store = MemoryStore(ORIGIN)
    store.journal = journal = BusyJournal(store.faults)
    log, _ = memory_log(KEY, start=START, store=store)
    return log, store, journal


def test_a_head_that_is_published_while_a_log_opens_is_no_fork(
    busy: tuple[Log, MemoryStore, BusyJournal],
) -> None:
    log, store, journal = busy
    journal.others = lambda: (log.append(event(1)), log.checkpoint())
    assert again(store).size() == 2


def test_a_head_that_is_published_while_health_is_judged_is_no_rollback(
    busy: tuple[Log, MemoryStore, BusyJournal],
) -> None:
    log, store, journal = busy
    other = again(store)
    journal.others = lambda: (log.append(event(1)), log.checkpoint())
    assert other.health(START.replace(year=2027)).findings == ()
