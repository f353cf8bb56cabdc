"""The order of system calls: durable before acknowledged, durable before visible, decided before signed.

The interpreter's own profiler tells which calls into the kernel are made, in order; nothing is replaced.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest

from itmp.adapters import posix_log
from itmp.adapters.clock import new_id
from itmp.adapters.posix_log import durable
from itmp.adapters.posix_log.marks import Marks
from itmp.audit import Cut, Event, Head, Log
from itmp.audit.merkle import EMPTY_ROOT
from itmp.errors import LogUnavailableError
from itmp.signing import NoteKey
from itmp.testing.memory_log import genesis

ORIGIN = "example.com/ops/2026"
KEY = NoteKey.generate(ORIGIN, bytes(range(32)))
WATCHED = {
    os.write: "write",
    os.fsync: "fsync",
    os.fdatasync: "fdatasync",
    os.rename: "rename",
    os.ftruncate: "ftruncate",
    os.unlink: "unlink",
}


def calls(work: Callable[[], object]) -> list[str]:
    """Return the names of the watched calls that `work` makes, in order."""
    made: list[str] = []

    def watch(_frame: FrameType, kind: str, function: object) -> None:
        if kind == "c_call" and getattr(function, "__name__", "") in WATCHED.values() and function in WATCHED:
            made.append(WATCHED[function])

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        work()
    finally:
        sys.setprofile(before)
    return made


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return posix_log.create(tmp_path, origin=ORIGIN, genesis=lambda vkey: genesis(ORIGIN, vkey), key=KEY)


def event() -> Event:
    return Event(id=new_id(), type="log.read", actor={"kind": "executor", "id": "i"})


def test_a_receipt_comes_after_one_sync_of_what_was_written(log: Log) -> None:
    assert calls(lambda: log.append(event())) == ["write", "fdatasync"]
    assert calls(lambda: log.extend([event() for _ in range(50)])) == ["write", "fdatasync"]
    assert calls(lambda: log.append(event(), durable=False)) == ["write"]


def test_what_is_durable_is_not_synced_again(log: Log) -> None:
    one, other = event(), event()
    log.append(one, durable=False)
    log.append(other)
    assert calls(lambda: log.append(one)) == []


def test_a_repeated_event_is_made_durable_before_its_receipt(log: Log) -> None:
    one = event()
    log.append(one, durable=False)
    assert calls(lambda: log.append(one)) == ["fdatasync"]


def test_a_file_is_synced_before_it_is_named_and_its_folder_after(tmp_path: Path) -> None:
    place = lambda: durable.place(tmp_path / "file", b"data", temporary=tmp_path / "new")  # noqa: E731 - one call
    assert calls(place) == ["write", "fsync", "rename", "fsync"]


def test_every_folder_on_the_way_is_synced_once_by_each_process(tmp_path: Path) -> None:
    folders = durable.Folders(tmp_path)
    assert calls(lambda: folders.make(tmp_path / "a/b/c")) == ["fsync"] * 3
    assert calls(lambda: folders.make(tmp_path / "a/b/c")) == []
    assert calls(lambda: durable.Folders(tmp_path).make(tmp_path / "a/b/c")) == ["fsync"] * 3


def test_leaves_are_durable_before_any_tile_is_written(log: Log) -> None:
    log.append(event())
    log.checkpoint()  # every folder is known now
    log.append(event(), durable=False)
    made = calls(log.checkpoint)
    assert made[0] == "fdatasync"
    assert made.count("fdatasync") == 1
    names = ("entries", "level 0", "history", "checkpoint")
    assert made.count("rename") == len(names)
    assert [name for name in made if name != "unlink"][1:] == ["write", "fsync", "rename", "fsync"] * len(
        names
    )


def test_a_torn_tail_is_kept_before_it_is_cut(tmp_path: Path, log: Log) -> None:
    with (tmp_path / "log/.state/journal.0").open("ab") as file:
        file.write(b"\x00\x00")
    made = calls(lambda: log.append(event()))
    assert made[:6] == ["write", "fsync", "rename", "fsync", "ftruncate", "fsync"]
    forgotten = made.index("unlink")
    assert "fdatasync" in made[6:forgotten]  # the record of the cut is durable before the cut is forgotten
    assert made[-2:] == ["write", "fdatasync"]


def test_no_signed_leaf_is_cut_whatever_the_marks_say(tmp_path: Path, log: Log) -> None:
    log.append(event())
    log.checkpoint()
    journal = tmp_path / "log/.state/journal.0"
    os.truncate(journal, journal.stat().st_size - 1)
    before = journal.read_bytes()
    (tmp_path / "log/.state/marks").unlink()
    with (
        pytest.raises(LogUnavailableError, match="damaged"),
        posix_log.PosixStore(tmp_path, boot="new").journal.exclusive(),
    ):
        pass
    assert journal.read_bytes() == before


def test_a_last_frame_that_changed_under_the_log_stops_it(tmp_path: Path, log: Log) -> None:
    log.append(event())
    journal = tmp_path / "log/.state/journal.0"
    data = bytearray(journal.read_bytes())
    data[-3] ^= 1
    with journal.open("r+b") as file:
        file.write(data)
    with pytest.raises(LogUnavailableError, match="last frame"):
        log.append(event())


def test_leaves_that_this_boot_saw_written_are_missed(tmp_path: Path, log: Log) -> None:
    Marks(tmp_path / "log/.state/marks").written = 5
    with pytest.raises(LogUnavailableError, match="were written"):
        log.append(event())


def test_a_cut_is_kept_until_it_is_forgotten(tmp_path: Path, log: Log) -> None:
    assert log.size() == 1
    store = posix_log.PosixStore(tmp_path, boot="new")
    cuts = store.journal.cuts
    cuts.keep(Cut(data=b"torn", size=1))
    cuts.keep(Cut(data=b"torn", size=1))
    assert cuts.pending() == Cut(data=b"torn", size=1)
    cuts.forget()
    assert cuts.pending() is None


def test_a_head_is_decided_before_it_is_signed(tmp_path: Path, log: Log) -> None:
    log.append(event())
    heads = posix_log.PosixStore(tmp_path, boot="new").heads
    old = heads.read()
    assert heads.swap(old, Head(origin=ORIGIN, size=2, root=log.root(2)))  # and the publisher dies here
    assert not heads.swap(old, Head(origin=ORIGIN, size=2, root=EMPTY_ROOT))
    signed = log.checkpoint()
    assert (signed.checkpoint.size, heads.read().note) == (2, signed.note)
