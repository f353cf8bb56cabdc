"""What only the disk has: keys, permissions, locks across forks, room."""

import resource
import shutil
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from itmp.adapters import posix_log
from itmp.adapters.clock import SystemClock, new_id
from itmp.adapters.posix_log import durable
from itmp.audit import DiskFullError, Event, Log
from itmp.errors import EvidenceInvalidError, InvalidInputError, LogUnavailableError, NotFoundError
from itmp.signing import NoteKey
from itmp.testing.memory_log import genesis

ORIGIN = "example.com/ops/2026"
KEY = NoteKey.generate(ORIGIN, bytes(range(32)))


def create(root: Path) -> Log:
    return posix_log.create(root, origin=ORIGIN, genesis=lambda vkey: genesis(ORIGIN, vkey), key=KEY)


def event(**fields: object) -> Event:
    return Event(id=new_id(), type="log.read", actor={"kind": "executor", "id": "i"}, **fields)


def test_a_new_log_has_its_parts_in_their_places(tmp_path: Path) -> None:
    log = create(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["head.sqlite", "keys", "log", "spare"]
    assert stat.S_IMODE((tmp_path / "keys/log.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    assert KEY.to_text() not in "".join(
        path.read_text("latin-1") for path in (tmp_path / "log").rglob("*") if path.is_file()
    )
    assert (log.size(), log.origin, log.vkey) == (1, ORIGIN, KEY.vkey)
    assert log.published().checkpoint.size == 1


def test_a_log_is_made_once(tmp_path: Path) -> None:
    create(tmp_path)
    before = (tmp_path / "log/checkpoint").read_bytes()
    with pytest.raises(InvalidInputError, match="exists"):
        create(tmp_path)
    (tmp_path / "log").rename(tmp_path / "gone")
    with pytest.raises(InvalidInputError, match="exists"):
        create(tmp_path)
    assert (tmp_path / "gone/checkpoint").read_bytes() == before


def test_a_creation_that_died_is_begun_again(tmp_path: Path) -> None:
    (tmp_path / ".creating/log").mkdir(parents=True)
    (tmp_path / ".creating/log/checkpoint").write_text("left over")
    assert create(tmp_path).size() == 1
    assert not (tmp_path / ".creating").exists()


@pytest.mark.parametrize("placed", [["keys/log.key"], ["keys/log.key", "head.sqlite"]])
@pytest.mark.parametrize("both", [False, True], ids=["moved", "two names"])
def test_parts_that_a_dead_creator_had_put_in_place_are_taken_back(
    tmp_path: Path, placed: list[str], *, both: bool
) -> None:
    """As after a kill, or a power cut that left a part both names, before the log came to its place."""
    create(tmp_path)
    staging = tmp_path / ".creating"
    (staging / "keys").mkdir(parents=True)
    for part in ("keys/log.key", "head.sqlite", "log"):
        if part not in placed:
            (tmp_path / part).rename(staging / part)
        elif both:
            shutil.copy(tmp_path / part, staging / part)
    with pytest.raises(NotFoundError):
        posix_log.open_log(tmp_path)
    other = NoteKey.generate(ORIGIN, bytes(32))
    first = genesis(ORIGIN, other.vkey)
    assert posix_log.create(tmp_path, origin=ORIGIN, genesis=first, key=other).vkey == other.vkey
    assert not staging.exists()


def test_a_key_that_no_dead_creator_placed_is_never_taken_away(tmp_path: Path) -> None:
    create(tmp_path)
    staging = tmp_path / ".creating"
    (staging / "keys").mkdir(parents=True)
    (staging / "keys/log.key").write_text("another")
    (tmp_path / "log").rename(staging / "log")
    with pytest.raises(InvalidInputError, match="exists"):
        create(tmp_path)
    assert (tmp_path / "keys/log.key").read_text().startswith(KEY.to_text())
    assert (tmp_path / "head.sqlite").exists()


def test_opening_completes_what_a_creator_left_whose_log_is_in_place(tmp_path: Path) -> None:
    create(tmp_path)
    (tmp_path / ".creating/keys").mkdir(parents=True)
    assert posix_log.open_log(tmp_path).append(event()).index == 1
    assert not (tmp_path / ".creating").exists()


def test_a_key_of_another_name_makes_no_log(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError):
        posix_log.create(tmp_path, origin="example.com/other", genesis=event(), key=KEY)
    assert list(tmp_path.iterdir()) == []


def test_one_of_many_creators_wins(tmp_path: Path) -> None:
    def attempt(n: int) -> str:
        key = NoteKey.generate(ORIGIN, bytes([n]) * 32)
        try:
            posix_log.create(tmp_path, origin=ORIGIN, genesis=lambda vkey: genesis(ORIGIN, vkey), key=key)
        except InvalidInputError:
            return ""
        return key.vkey

    with ThreadPoolExecutor(4) as pool:
        winners = [vkey for vkey in pool.map(attempt, range(4)) if vkey]
    assert winners == [posix_log.open_log(tmp_path).vkey]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    create(tmp_path)
    (tmp_path / "keys/log.key").chmod(mode)
    with pytest.raises(InvalidInputError, match="others"):
        posix_log.open_log(tmp_path)


def test_missing_parts_are_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        posix_log.open_log(tmp_path)
    with pytest.raises(NotFoundError):
        posix_log.open_reader(tmp_path / "log")
    create(tmp_path)
    for part in ("keys/log.key", "head.sqlite", "log/.state/journal.0"):
        for path in ("spare/head.sqlite", "log/.state/spare/journal.0", "log/.state/marks"):
            (tmp_path / path).unlink(missing_ok=True)
        (tmp_path / part).rename(tmp_path / "aside")
        with pytest.raises(LogUnavailableError, match=part.rpartition("/")[2]):
            posix_log.open_log(tmp_path)
        (tmp_path / "aside").rename(tmp_path / part)
    (tmp_path / "keys/log.key").write_text("not a key")
    with pytest.raises(InvalidInputError):
        posix_log.open_log(tmp_path)


def test_lost_marks_cost_nothing(tmp_path: Path) -> None:
    log = create(tmp_path)
    (tmp_path / "log/.state/marks").unlink()
    assert log.append(event()).index == 1
    (tmp_path / "log/.state/marks").write_bytes(b"\xff" * 4096)
    assert posix_log.open_log(tmp_path).append(event()).index == 2


def test_the_marks_say_what_is_durable(tmp_path: Path) -> None:
    log = create(tmp_path)
    store = posix_log.PosixStore(tmp_path, boot=SystemClock().boot())
    log.append(event(), durable=False)
    assert (store.journal._marks.written, store.journal._marks.synced) == (2, 1)
    log.append(event())
    assert (store.journal._marks.written, store.journal._marks.synced) == (3, 3)
    store.close()


def test_processes_forked_from_one_log_share_no_lock(tmp_path: Path) -> None:
    create(tmp_path)
    script = """
import os, sys
from pathlib import Path
from itmp.adapters import posix_log
from itmp.adapters.clock import new_id
from itmp.audit import Event
log = posix_log.open_log(Path(sys.argv[1]))
children = [os.fork() for _ in range(2)]
if 0 in children:
    for n in range(20):
        log.append(Event(id=new_id(), type="check.finished", actor={"kind": "executor", "id": "i"}, change="C"))
    os._exit(0)
assert all(os.waitpid(child, 0)[1] == 0 for child in children)
"""
    script = script.replace(
        "children = [os.fork() for _ in range(2)]",
        "children = []\nfor _ in range(2):\n    children.append(os.fork())\n    if not children[-1]:\n        break",
    )
    subprocess.run([sys.executable, "-c", script, tmp_path], check=True, timeout=60)
    chain = [leaf.event.cseq for leaf in posix_log.open_log(tmp_path).of_change("C")]
    assert chain == list(range(40))


def test_a_file_that_may_not_grow_is_a_full_disk(tmp_path: Path) -> None:
    log = create(tmp_path)
    journal = tmp_path / "log/.state/journal.0"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    posix_log.open_log(tmp_path).append(event())
    before = journal.read_bytes()
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 100, limits[1]))
    try:
        with pytest.raises(DiskFullError):
            log.append(event(step="x" * 1000))
        assert journal.read_bytes() == before
        with pytest.raises(DiskFullError):
            log.append(event())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert log.append(event()).index == 2
    assert log.health(datetime.now(UTC)).ok


def test_a_spent_reserve_is_named_and_taken_again(tmp_path: Path) -> None:
    log = create(tmp_path)
    reserve = tmp_path / "log/.state/reserve"
    reserve.unlink()
    assert [finding.name for finding in log.health(datetime.now(UTC)).findings] == ["store"]
    log.append(event())
    assert reserve.stat().st_blocks * 512 >= 256 * 1024
    assert log.health(datetime.now(UTC)).ok


@pytest.mark.parametrize("path", ["/etc/passwd", "../head.sqlite", "tile/../../head.sqlite"])
def test_paths_stay_inside(tmp_path: Path, path: str) -> None:
    create(tmp_path)
    with pytest.raises(EvidenceInvalidError):
        posix_log.open_reader(tmp_path / "log").get(path, 10_000)


def test_a_reader_writes_nothing(tmp_path: Path) -> None:
    create(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "log").rglob("*")}
    reader = posix_log.open_reader(tmp_path / "log")
    assert [(part.start, len(leaves)) for part in reader.journal() for leaves in part.chunks()] == [(0, 1)]
    assert reader.names("history") == ["history/1.note"]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "log").rglob("*")} == before


def test_a_failed_placement_leaves_the_old_content_and_no_litter(tmp_path: Path) -> None:
    target, scratch = tmp_path / "a/b", tmp_path / "tmp"
    durable.Folders(tmp_path).make(target.parent)
    durable.place(target, b"old", temporary=scratch)
    scratch.write_text("taken")
    with pytest.raises(FileExistsError):
        durable.place(target, b"new", temporary=scratch)
    assert target.read_bytes() == b"old"
    target.unlink()
    target.mkdir()
    with pytest.raises(OSError):  # noqa: PT011 - which one depends on the file system
        durable.place(target, b"new", temporary=tmp_path / "tmp2")
    assert not (tmp_path / "tmp2").exists()


def test_ids_sort_by_time_and_differ() -> None:
    ids = [new_id() for _ in range(100)]
    assert len(set(ids)) == 100
    assert all(len(one) == 32 and int(one, 16) >= 0 for one in ids)
    assert [one[:12] for one in ids] == sorted(one[:12] for one in ids)
    clock = SystemClock()
    assert clock.now().tzinfo is UTC
    assert clock.mono() <= clock.mono()
    assert clock.boot() == SystemClock().boot() != ""
