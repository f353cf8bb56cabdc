"""Who only reads the log meets writers, and neither believes a moment between two of their steps nor disturbs them."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path, PosixPath

from itmp.adapters.posix_log import PosixReader, frames, heads
from itmp.adapters.posix_log.heads import SqliteHeads
from itmp.adapters.posix_log.marks import Marks, owner_of
from itmp.adapters.posix_log.readonly_journal import ReadJournal
from itmp.audit import empty_head

BOOT = "boot"


def test_a_segment_that_a_writer_begins_meanwhile_is_not_missed(tmp_path: Path) -> None:
    (tmp_path / "journal.5").write_bytes(4 * frames.encode(b"leaf"))
    marks = Marks(tmp_path / "marks")
    marks.adopt(owner_of(BOOT, (1, 1, 5)))
    marks.written = 9

    def heals() -> int:
        """A writer begins a segment while the head is asked for, after the names were listed."""
        marks.adopt(owner_of(BOOT, (1, 1, 9)))
        marks.written = 9
        (tmp_path / "journal.9").touch()
        return 5

    journal = ReadJournal(tmp_path, PosixReader(tmp_path), boot=BOOT, signed=heals)
    assert journal.size() == 9


class Watched(PosixPath):
    """A path whose bytes are read only while this process has no lock on it."""

    def read_bytes(self) -> bytes:
        assert heads._OPEN.locked(), "closing it drops the locks of another thread's SQLite"
        return super().read_bytes()


def test_what_a_killed_writer_began_is_taken_back_in_a_copy_and_no_lock_of_ours_is_lost(
    tmp_path: Path,
) -> None:
    record, killed = tmp_path / "head.sqlite", tmp_path / "killed"
    SqliteHeads(record).create(empty_head("example.com/ops"))
    killed.mkdir()
    with closing(sqlite3.connect(record, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = OFF")
        db.execute("BEGIN IMMEDIATE")
        db.execute("UPDATE head SET size = 7")
        for path in tmp_path.glob("head.sqlite*"):
            shutil.copy(path, killed)
    assert (killed / "head.sqlite-journal").stat().st_size
    assert SqliteHeads(Watched(killed / "head.sqlite")).look().size == 0
