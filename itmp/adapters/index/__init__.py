"""The search index `index.sqlite`: derived from the journal, for looking things up, never for judging.

Rules kept here: nothing that the gate, the verifier or evidence says rests on it; it is brought up to date from the
last leaf it knows; missing, damaged, of another log, of another layout, or older than the journal's newest segment, it
is made anew without a word; where it cannot be written, one in memory serves. Every leaf that it leads to is read from
the journal and held against the signed tree (those below the newest checkpoint), so a row that was bent towards another
leaf shows itself.

Who is trusted: whoever can write this file can hide leaves from people who look, and can change nothing else.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from itmp.adapters.index._changes import ChangeQuery, During
from itmp.adapters.index._facts import facts, micros, what
from itmp.adapters.index._frames import Frames, Spot
from itmp.adapters.index._rows import Query, Rows
from itmp.adapters.posix_log.frames import HEADER
from itmp.audit import Leaf, leaf_digest
from itmp.audit.merkle import leaf_hash
from itmp.audit.tiled import ProvenHashes
from itmp.errors import EvidenceInvalidError, ForkError, LogUnavailableError

__all__ = ["NAME", "ChangeQuery", "During", "Query", "SearchIndex", "micros", "what"]

NAME: Final = "index.sqlite"
_WAIT_SECONDS: Final = 10.0


class _StaleError(Exception):
    """The file is no index of this log."""


_NONE: Final = (sqlite3.Error, OSError, ValueError, OverflowError, KeyError, _StaleError)
"""What a file raises that is no index."""


class SearchIndex:
    """The index of the log in `folder`, kept in `file`, or in memory alone where that is None; opened up to date.

    `proven` is the signed tree that leaves are held against. Raises `LogUnavailableError` when the journal cannot be
    read and `ForkError` when it is shorter than the signed tree.
    """

    def __init__(self, file: Path | None, folder: Path, proven: ProvenHashes) -> None:
        self._file, self._proven = file, proven
        self._frames = Frames(folder)
        self._rows, self._db = self._opened()
        self._size = int(self._rows.marks().get("size", "0"))
        if self._size < proven.size:
            raise ForkError(
                f"the log has {self._size} leaves, its checkpoint knows {proven.size}",
                do="An older copy was put back, or leaves were lost. Restore the newest log; never sign on.",
            )

    @property
    def size(self) -> int:
        """How many leaves the journal had when the index was opened."""
        return self._size

    def close(self) -> None:
        """Close all files."""
        self._db.close()
        self._frames.close()

    def leaves(self, query: Query) -> Iterator[Leaf]:
        """Yield the leaves that fit; `EvidenceInvalidError` for one that is not what was signed."""
        with _usable(self._file):
            for spot in self._rows.find(query):
                yield self._read(spot)

    def distinct(self, name: str, query: Query) -> tuple[str, ...]:
        """Return the different values of `type`, `change`, `run`, `step`, `host` or `outcome` among what fits."""
        with _usable(self._file):
            return self._rows.distinct(name, query)

    def leaf(self, index: int) -> Leaf | None:
        """Return leaf `index`; None when the rows do not have it."""
        with _usable(self._file):
            spot = self._rows.spot(index)
        return None if spot is None else self._read(spot)

    def changes(self, query: ChangeQuery, *, limit: int, skip: int = 0) -> tuple[str, ...]:
        """Return the ids of the changes that fit, by what their events claim; the newest first."""
        with _usable(self._file):
            return self._rows.changes.find(query, limit=limit, skip=skip)

    def count(self, query: ChangeQuery) -> int:
        """Return how many changes fit, by what their events claim."""
        with _usable(self._file):
            return self._rows.changes.count(query)

    def _read(self, spot: Spot) -> Leaf:
        data = self._frames.leaf(spot)
        if spot.index < self._proven.size and leaf_hash(data) != self._proven.leaf(spot.index):
            raise EvidenceInvalidError(
                "a leaf is not what was signed",
                where=f"leaf {spot.index}",
                do="itmp audit verify says whether the log or only the index was changed; itmp audit reindex.",
            )
        return Leaf(index=spot.index, data=data)

    def _opened(self) -> tuple[Rows, sqlite3.Connection]:
        """Open the file; else make it anew beside and put it in place; else make one in memory."""
        if self._file is None:
            return self._caught_up(None, anew=True)
        with suppress(*_NONE):
            return self._caught_up(self._file)
        aside = Path(f"{self._file}.{os.getpid()}-{os.urandom(4).hex()}")
        try:
            self._caught_up(aside, anew=True)[1].close()
            Path(f"{self._file}-journal").unlink(missing_ok=True)
            aside.replace(self._file)
            return self._caught_up(self._file)
        except _NONE:
            return self._caught_up(None, anew=True)
        finally:
            aside.unlink(missing_ok=True)

    def _caught_up(self, file: Path | None, *, anew: bool = False) -> tuple[Rows, sqlite3.Connection]:
        db = _connect(file, anew=anew)
        try:
            rows = Rows(db)
            if anew:
                rows.create(self._frames.newest())
            marks = dict(rows.marks())
            self._check(marks)
            self._follow(rows, marks)
        except BaseException:
            db.close()
            raise
        return rows, db

    def _follow(self, rows: Rows, marks: dict[str, str]) -> None:
        """Add what the journal has beyond the rows."""
        size = int(marks["size"])
        for leaves, spots in self._frames.onward(
            Spot(index=size, segment=int(marks["segment"]), at=int(marks["at"]))
        ):
            first = {"first": leaf_digest(leaves[0])} if spots[0].index == 0 else {}
            last = {
                "size": str(spots[-1].index + 1),
                "segment": str(spots[-1].segment),
                "at": str(spots[-1].at + HEADER.size + len(leaves[-1])),
                "last": leaf_digest(leaves[-1]),
                "last_at": str(spots[-1].at),
            }
            rows.add([*zip(spots, map(facts, leaves), strict=True)], first | last)
        rows.arrange()

    def _check(self, marks: dict[str, str]) -> None:
        """Raise unless the rows were read from this very journal."""
        if not marks:
            raise _StaleError
        if marks["newest"] != str(self._frames.newest()):
            raise _StaleError  # a failed sync: what stood in the segment before may be lost there
        size = int(marks["size"])
        if not size:
            return
        first = Spot(index=0, segment=0, at=0)
        last = Spot(index=size - 1, segment=int(marks["segment"]), at=int(marks["last_at"]))
        try:
            found = [leaf_digest(self._frames.leaf(spot)) for spot in (first, last)]
        except LogUnavailableError as error:
            raise _StaleError from error
        if found != [marks["first"], marks["last"]]:
            raise _StaleError


@contextmanager
def _usable(file: Path | None) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise LogUnavailableError(
            f"the search index cannot be used: {error}",
            where=str(file or "memory"),
            do="Make it anew: itmp audit reindex",
        ) from error


def _connect(file: Path | None, *, anew: bool) -> sqlite3.Connection:
    if file is None:
        where, uri = ":memory:", False
    else:
        where, uri = f"{file.absolute().as_uri()}?mode={'rwc' if anew else 'rw'}", True
    db = sqlite3.connect(where, uri=uri, isolation_level=None, timeout=_WAIT_SECONDS)
    db.execute("PRAGMA synchronous = OFF")  # what a power cut harms is made anew
    return db
