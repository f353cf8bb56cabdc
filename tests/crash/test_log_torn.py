"""Torn tails: cut where a crash may leave them, and only there."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from itmp.adapters import posix_log
from itmp.adapters.posix_log import frames
from itmp.adapters.posix_log.marks import Marks
from itmp.audit import Event, Log, verify
from itmp.errors import LogUnavailableError
from itmp.signing import NoteKey
from itmp.testing.memory_log import StepClock, counting_ids, genesis

ORIGIN = "example.com/ops/2026"
KEY = NoteKey.generate(ORIGIN, bytes(range(32)))
START = datetime(2026, 11, 22, 5, tzinfo=UTC)
NEXT = Event(id="f" * 32, type="log.read", actor={"kind": "executor", "id": "i"})


def event(n: int) -> Event:
    return Event(id=f"{n:032x}", type="log.read", actor={"kind": "executor", "id": "i"})


def open_again(root: Path, boot: str) -> Log:
    return posix_log.open_log(root, clock=StepClock(START, boot=boot), ids=counting_ids(int(boot, 36)))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Genesis and one event signed, two events after that."""
    root = tmp_path / "root"
    log = posix_log.create(
        root,
        origin=ORIGIN,
        genesis=genesis(ORIGIN, KEY.vkey),
        key=KEY,
        clock=StepClock(START),
        ids=counting_ids(1),
    )
    log.append(event(1))
    log.checkpoint()
    log.extend([event(2), event(3)], durable=False)
    return root


def journal(root: Path) -> Path:
    return root / "log/.state/journal.0"


def lay(root: Path, data: bytes) -> None:
    """Leave the journal as a power cut does, which takes the marks of what came later with it."""
    journal(root).write_bytes(data)
    (root / "log/.state/marks").unlink()


def ends(root: Path) -> list[int]:
    return frames.scan(journal(root).read_bytes()).ends


def test_a_tail_torn_at_each_byte_is_cut_and_recorded(root: Path) -> None:
    whole = journal(root).read_bytes()
    start = ends(root)[2]
    for at in range(start + 1, len(whole)):
        lay(root, whole[:at])
        log = open_again(root, f"boot{at}")
        receipt = log.append(NEXT)
        recovered = log.leaf(3).event
        assert (recovered.type, receipt.index) == ("log.recovered", 4)
        data = recovered.data
        assert (data["cut"], data["size"]) == (at - start, 3)
        assert log.blob(data["blob"]) == whole[start:at]
        assert list((root / "log/.state/cuts").iterdir()) == []
    lay(root, whole[:at])
    log = open_again(root, "last")
    log.append(NEXT)
    log.checkpoint()
    assert verify(posix_log.open_reader(root / "log"), [KEY.verifier]) == ()


@pytest.mark.parametrize(
    "tail", [bytes(1), bytes(4096), b"\x00\x00\x00\x10abcd" + bytes(100)], ids=["zero", "page", "lost page"]
)
def test_pages_that_never_arrived_are_cut(root: Path, tail: bytes) -> None:
    with journal(root).open("ab") as file:
        file.write(tail)
    log = open_again(root, "another")
    assert log.append(NEXT).index == 5
    assert log.leaf(4).event.data["cut"] == len(tail)


def test_a_torn_tail_is_ignored_by_readers_until_a_writer_cuts_it(root: Path) -> None:
    os.truncate(journal(root), ends(root)[3] - 1)
    before = journal(root).read_bytes()
    assert open_again(root, "another").size() == 3
    assert journal(root).read_bytes() == before


def test_a_signed_leaf_is_never_cut(root: Path) -> None:
    data = journal(root).read_bytes()
    damaged = data[: ends(root)[1] - 1]
    journal(root).write_bytes(damaged)
    with pytest.raises(Exception, match=r"2 leaves|1 leaves") as caught:
        open_again(root, "another")
    assert caught.value.exit_code == 42
    assert journal(root).read_bytes() == damaged


def test_a_leaf_that_this_boot_saw_written_is_never_cut(root: Path) -> None:
    damaged = journal(root).read_bytes()[:-1]
    log = posix_log.open_log(root, clock=StepClock(START))
    os.truncate(journal(root), len(damaged))
    same_boot = posix_log.open_log(root, clock=StepClock(START))
    for writer in (log, same_boot):
        with pytest.raises(LogUnavailableError):
            writer.append(NEXT)
    assert journal(root).read_bytes() == damaged


@pytest.mark.parametrize("leaf", [2, 3])
def test_damage_before_the_tail_is_never_cut(root: Path, leaf: int) -> None:
    data = bytearray(journal(root).read_bytes())
    data[ends(root)[leaf - 1] + 2] ^= 1  # the length of the frame
    if leaf == 3:
        data += frames.encode(b"{}")
    journal(root).write_bytes(data)
    log = open_again(root, "another")
    with pytest.raises(LogUnavailableError, match="damaged"):
        log.append(NEXT)
    assert journal(root).read_bytes() == data


def test_a_cut_is_recorded_even_when_the_recorder_dies(root: Path) -> None:
    cuts = root / "log/.state/cuts"
    os.truncate(journal(root), ends(root)[3] - 5)
    store = posix_log.PosixStore(root, boot="another")
    with store.journal.exclusive() as turn:  # cut here, and the process ends before the log says so
        assert turn.cut
    store.close()
    assert len(list(cuts.iterdir())) == 1
    log = open_again(root, "third")
    assert log.append(NEXT).index == 4
    assert [leaf.event.type for leaf in log.leaves(3)] == ["log.recovered", "log.read"]
    assert list(cuts.iterdir()) == []


def test_a_failed_sync_stops_every_process_and_a_fresh_open_saves_the_leaves(root: Path) -> None:
    clock = StepClock(START + timedelta(seconds=1), step=timedelta(seconds=1))
    first, second = (posix_log.open_log(root, clock=clock) for _ in range(2))
    first.append(event(3))
    first.append(event(4), durable=False)
    marks = Marks(root / "log/.state/marks")
    assert marks.synced == 4
    assert marks.written == 5
    marks.poisoned = 5
    for log in (first, second):
        with pytest.raises(LogUnavailableError, match="sync failed"):
            log.append(NEXT, durable=False)
        assert log.size() == 5
        assert not log.health(START.replace(year=2027)).ok
    third = posix_log.open_log(root, clock=clock)
    assert sorted(path.name for path in (root / "log/.state").glob("journal.*")) == ["journal.0", "journal.4"]
    assert third.append(NEXT).index == 5
    assert [log.append(NEXT).index for log in (first, second)] == [5, 5]
    assert first.append(event(5)).index == 6
    third.checkpoint()
    assert verify(posix_log.open_reader(root / "log"), [KEY.verifier]) == ()
    assert open_again(root, "another").size() == 7


@pytest.mark.parametrize("way", ["unlinked", "replaced"])
def test_a_journal_taken_away_is_noticed(root: Path, way: str) -> None:
    log = posix_log.open_log(root, clock=StepClock(START))
    data = journal(root).read_bytes()
    journal(root).unlink()
    (root / "log/.state/spare/journal.0").unlink()
    if way == "replaced":
        journal(root).write_bytes(data)
    with pytest.raises(LogUnavailableError, match=r"gone|another file"):
        log.append(NEXT)
