"""The compare-and-swap head record: one row in SQLite, beside the log's folder, never inside it.

Rules kept here: each swap is one immediate transaction with a full sync, folder included; who only looks writes
nothing, and takes back in a copy what a killed writer began; a record that is gone is given back by its spare name, or
is an error, never an empty log; it appears at its place whole; a process is forked only while none of its threads has
the record open, for SQLite's own locks would stay as they are in the child, and it is copied only then.
Who can write this file and the log together can roll both back: kept checkpoints and witnesses find that out.
"""

import os
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from itmp.adapters.posix_log import durable, spare
from itmp.audit import Head
from itmp.errors import LogUnavailableError

_SCHEMA: Final = """CREATE TABLE head (
  one INTEGER PRIMARY KEY CHECK (one = 1), origin TEXT NOT NULL, size INTEGER NOT NULL, root BLOB NOT NULL,
  note BLOB NOT NULL) STRICT"""
_WAIT_SECONDS: Final = 30.0
_OPEN: Final = threading.Lock()
os.register_at_fork(before=_OPEN.acquire, after_in_parent=_OPEN.release, after_in_child=_OPEN.release)


class SqliteHeads:
    """The record in one file. Opened for each use: it is read rarely and shared by threads and processes."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def create(self, head: Head) -> None:
        """Make the record; it must not exist."""
        if self._path.exists():
            raise LogUnavailableError("a head record exists already", where=str(self._path))
        with self._open("rwc") as db:
            db.execute("BEGIN IMMEDIATE")
            db.execute(_SCHEMA)
            db.execute(
                "INSERT INTO head VALUES (1, ?, ?, ?, ?)", (head.origin, head.size, head.root, head.note)
            )
            db.execute("COMMIT")

    @property
    def gone(self) -> bool:
        """Whether neither of the record's names is there."""
        return spare.gone(self._path)

    def keep(self) -> None:
        """Give the record its spare name."""
        spare.keep(self._path)

    def make_again(self, head: Head) -> None:
        """Put a new record where there is none; one at a time."""
        new = self._path.with_name(f".{self._path.name}.new")
        with durable.unavailable("made again", self._path):
            new.unlink(missing_ok=True)
            SqliteHeads(new).create(head)
            new.rename(self._path)
            durable.sync_folder(self._path.parent)

    def read(self) -> Head:
        """Return the record; `LogUnavailableError` when it is gone or damaged."""
        with self._open("rw") as db:
            return self._row(db)

    def look(self) -> Head:
        """Return the record as `read` does, and leave everything as it is."""
        path = self._path if self._path.exists() else spare.spare_of(self._path)
        begun = path.with_name(f"{path.name}-journal")
        try:
            with self._connected(path, "ro") as db:
                return self._row(db)
        except LogUnavailableError:
            if not begun.exists():
                raise
        with durable.unavailable("copied", path), tempfile.TemporaryDirectory() as folder:
            with _OPEN:  # closing a file drops every lock that this process's SQLite holds on it
                for one in (path, begun):
                    (Path(folder) / one.name).write_bytes(one.read_bytes())
            with self._connected(Path(folder) / path.name, "rw") as db:
                return self._row(db)

    def _row(self, db: sqlite3.Connection) -> Head:
        row = db.execute("SELECT origin, size, root, note FROM head").fetchone()
        if row is None:
            raise LogUnavailableError("the head record is empty", where=str(self._path))
        return Head(origin=row[0], size=row[1], root=row[2], note=row[3])

    def swap(self, old: Head, new: Head) -> bool:
        """Replace `old` by `new` if it is still the record."""
        with self._open("rw") as db:
            db.execute("BEGIN IMMEDIATE")
            changed = db.execute(
                "UPDATE head SET size = ?, root = ?, note = ?"
                " WHERE origin = ? AND size = ? AND root = ? AND note = ?",
                (new.size, new.root, new.note, old.origin, old.size, old.root, old.note),
            ).rowcount
            db.execute("COMMIT")
        return changed == 1

    @contextmanager
    def _open(self, mode: str) -> Iterator[sqlite3.Connection]:
        spare.give_back(self._path)
        with self._connected(self._path, mode) as db:
            db.execute("PRAGMA synchronous = EXTRA")
            yield db

    @contextmanager
    def _connected(self, path: Path, mode: str) -> Iterator[sqlite3.Connection]:
        try:
            uri = f"{path.absolute().as_uri()}?mode={mode}"
            with (
                _OPEN,
                closing(sqlite3.connect(uri, uri=True, isolation_level=None, timeout=_WAIT_SECONDS)) as db,
            ):
                yield db
        except sqlite3.Error as error:
            raise LogUnavailableError(
                f"the head record cannot be used: {error}",
                where=str(self._path),
                do="Restore head.sqlite: without it a rollback of the log could not be seen.",
            ) from error
