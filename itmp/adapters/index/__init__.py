"""The search index `index.sqlite`: derived from the journal, for looking things up, never for judging.

Rules kept here: nothing that the gate, the verifier or evidence says rests on it; it is brought up to date from the
last leaf it knows; missing, damaged, of another log, of another layout, or older than the journal's newest segment, it
is made anew without a word; where it cannot be written, one in memory serves. Opened `behind`, it may lack what the
journal has beyond its rows, and is brought up to date in small bits by `follow`, or at once by whoever needs rows;
leaves are found beyond them all the same. Every leaf that it leads to is read from the journal and held against the
signed tree (those below the newest checkpoint), so a row that was bent towards another leaf shows itself.

Who is trusted: whoever can write this file can hide leaves from people who look, and can change nothing else.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Final

from itmp.adapters.index._beyond import LOST, Beyond
from itmp.adapters.index._changes import ChangeQuery, During
from itmp.adapters.index._facts import facts, micros, what
from itmp.adapters.index._frames import CHUNK, Frames, Spot
from itmp.adapters.index._rows import Query, Rows
from itmp.adapters.posix_log.frames import HEADER
from itmp.audit import Leaf, leaf_digest
from itmp.audit.merkle import leaf_hash
from itmp.audit.tiled import ProvenHashes
from itmp.errors import EvidenceInvalidError, ForkError, LogUnavailableError

__all__ = ["NAME", "ChangeQuery", "During", "Query", "SearchIndex", "micros", "what"]

NAME: Final = "index.sqlite"
_WAIT_SECONDS: Final = 10.0
BEARABLE: Final = 512 * 1024
"""Bytes of the journal, some 800 leaves, whose rows nobody who looks minds waiting for."""
_BIT: Final = 64 * 1024
"""Bytes of the journal that one bit gives rows to: some 100 leaves, a few milliseconds, and never less than a leaf."""
_MANY: Final = 16 * CHUNK
"""Bytes beyond the rows that are sooner given rows anew, where there are few rows."""

Tell = Callable[[int, int], None]
"""Is told how many bytes of the journal were given rows, and how many there were to give."""


class _StaleError(Exception):
    """The file is no index of this log."""


_BEGIN: Final = Spot(index=0, segment=0, at=0)
_NONE: Final = (sqlite3.Error, OSError, ValueError, OverflowError, KeyError, _StaleError)
"""What a file raises that is no index."""


class SearchIndex:
    """The index of the log in `folder`, kept in `file`, or in memory alone where that is None.

    It is opened up to date, or `behind` where that would take long. `proven` is the signed tree that leaves are held
    against; `tell` is told how far it is while it is brought up to date. Raises `LogUnavailableError` when the journal
    cannot be read and `ForkError` when it is shorter than the signed tree.
    """

    def __init__(
        self,
        file: Path | None,
        folder: Path,
        proven: ProvenHashes,
        *,
        behind: bool = False,
        tell: Tell = lambda done, whole: None,  # noqa: ARG005 - a `Tell` takes both
    ) -> None:
        self._file, self._proven, self._tell = file, proven, tell
        self._frames = Frames(folder)
        self._behind = behind
        self._beyond: Beyond | None = None
        self._inode: int | None = None
        self._rows, self._db = self._opened()
        self._size = int(self._rows.reached()["size"])
        self._check_size()

    @property
    def size(self) -> int:
        """How many leaves have rows."""
        return self._size

    @property
    def kept(self) -> bool:
        """Whether the file that is open is still the one of its name: it is neither in memory nor made anew since."""
        return self._file is not None and self._inode is not None and self._inode == _inode(self._file)

    def close(self) -> None:
        """Close all files."""
        self._db.close()
        self._frames.close()

    def leaves(self, query: Query) -> Iterator[Leaf]:
        """Yield the leaves that fit; `EvidenceInvalidError` for one that is not what was signed."""
        beyond = self._beyond
        if beyond is None:
            yield from self._rowed(query)
            return
        rowed = (leaf for leaf in self._rowed(replace(query, limit=0)) if leaf.index < beyond.start)
        rest = map(self._checked, beyond.find(query))
        yield from islice(chain(rest, rowed) if query.newest else chain(rowed, rest), query.limit or None)

    def distinct(self, name: str, query: Query) -> tuple[str, ...]:
        """Return the different values of `type`, `change`, `run`, `step`, `host` or `outcome` among what fits."""
        with _usable(self._file):
            found = self._rows.distinct(name, query)
        return tuple(dict.fromkeys((*found, *(self._beyond.distinct(name, query) if self._beyond else ()))))

    def leaf(self, index: int) -> Leaf | None:
        """Return leaf `index`; None when the rows do not have it."""
        with _usable(self._file):
            spot = self._rows.spot(index)
        return None if spot is None else self._read(spot)

    def changes(self, query: ChangeQuery, *, limit: int, skip: int = 0) -> tuple[str, ...]:
        """Return the ids of the changes that fit, by what their events claim; the newest first."""
        with _usable(self._file):
            self._catch_up()
            return self._rows.changes.find(query, limit=limit, skip=skip)

    def count(self, query: ChangeQuery) -> int:
        """Return how many changes fit, by what their events claim."""
        with _usable(self._file):
            self._catch_up()
            return self._rows.changes.count(query)

    def follow(self) -> bool:
        """Give the next few leaves of the journal their rows; return whether there were any.

        Raises `LogUnavailableError` where the file serves no more: whoever opens it next makes it anew.
        """
        with _usable(self._file):
            found = next(self._frames.onward(_reached(self._marks()), _BIT), None)
            if found is not None:
                self._add(self._rows, *found)
                self._size = found[1][-1].index + 1
        return found is not None

    def _catch_up(self) -> None:
        """Give every leaf its row."""
        if self._beyond is not None:
            self._follow(self._rows, self._marks())
            self._beyond, self._size = None, int(self._rows.reached()["size"])
            self._check_size()

    def _marks(self) -> Mapping[str, str]:
        """Return how far the rows reach; raise where the journal was healed since they were made."""
        marks = self._rows.reached()
        if marks["newest"] != str(self._frames.newest()):
            raise LogUnavailableError("the journal was healed", where=str(self._file), do="Open it anew.")
        return marks

    def _check_size(self) -> None:
        if self._beyond is None and self._size < self._proven.size:
            raise ForkError(
                f"the log has {self._size} leaves, its checkpoint knows {self._proven.size}", do=LOST
            )

    def _rowed(self, query: Query) -> Iterator[Leaf]:
        with _usable(self._file):
            for spot in self._rows.find(query):
                yield self._read(spot)

    def _read(self, spot: Spot) -> Leaf:
        return self._checked(Leaf(index=spot.index, data=self._frames.leaf(spot)))

    def _checked(self, leaf: Leaf) -> Leaf:
        if leaf.index < self._proven.size and leaf_hash(leaf.data) != self._proven.leaf(leaf.index):
            raise EvidenceInvalidError(
                "a leaf is not what was signed",
                where=f"leaf {leaf.index}",
                do="itmp audit verify says whether the log or only the index was changed; itmp audit reindex.",
            )
        return leaf

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
        """Open a file and bring it up to date, or leave it behind; `_inode` and `_beyond` tell."""
        db = _connect(file, anew=anew)
        try:
            self._inode = _inode(file) if file else None
            rows = Rows(db)
            if anew:
                rows.create(self._frames.newest())
            marks = dict(rows.marks())
            self._check(marks)
            reached = _reached(marks)
            lacks = self._frames.beyond(reached)
            self._beyond = None
            if self._behind and lacks > BEARABLE:
                rows.arrange()
                self._beyond = Beyond(self._frames, reached, self._proven.size)
            else:
                self._check_many(0 if anew else lacks)
                self._follow(rows, marks)
        except BaseException:
            db.close()
            raise
        return rows, db

    def _follow(self, rows: Rows, marks: Mapping[str, str]) -> None:
        """Add what the journal has beyond the rows."""
        reached = _reached(marks)
        done, whole = 0, self._frames.beyond(reached)
        for leaves, spots in self._frames.onward(reached):
            self._tell(done, whole)
            self._add(rows, leaves, spots)
            done += sum(map(len, leaves)) + HEADER.size * len(leaves)
        rows.arrange()

    def _add(self, rows: Rows, leaves: list[bytes], spots: list[Spot]) -> None:
        first = {"first": leaf_digest(leaves[0])} if spots[0].index == 0 else {}
        last = {
            "size": str(spots[-1].index + 1),
            "segment": str(spots[-1].segment),
            "at": str(spots[-1].at + HEADER.size + len(leaves[-1])),
            "last": leaf_digest(leaves[-1]),
            "last_at": str(spots[-1].at),
        }
        rows.add([*zip(spots, map(facts, leaves), strict=True)], first | last)

    def _check_many(self, lacks: int) -> None:
        """Raise where rows are added sooner anew, because a file with few has its ways to search already."""
        if lacks > _MANY and lacks > self._frames.beyond(_BEGIN) // 2:
            raise _StaleError

    def _check(self, marks: Mapping[str, str]) -> None:
        """Raise unless the rows were read from this very journal."""
        if not marks:
            raise _StaleError
        if marks["newest"] != str(self._frames.newest()):
            raise _StaleError  # a failed sync: what stood in the segment before may be lost there
        size = int(marks["size"])
        if not size:
            return
        last = Spot(index=size - 1, segment=int(marks["segment"]), at=int(marks["last_at"]))
        try:
            found = [leaf_digest(self._frames.leaf(spot)) for spot in (_BEGIN, last)]
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


def _reached(marks: Mapping[str, str]) -> Spot:
    """Return where the first leaf without a row stands."""
    return Spot(index=int(marks["size"]), segment=int(marks["segment"]), at=int(marks["at"]))


def _inode(file: Path) -> int | None:
    try:
        return file.stat().st_ino
    except OSError:
        return None


def _connect(file: Path | None, *, anew: bool) -> sqlite3.Connection:
    if file is None:
        where, uri = ":memory:", False
    else:
        where, uri = f"{file.absolute().as_uri()}?mode={'rwc' if anew else 'rw'}", True
    db = sqlite3.connect(where, uri=uri, isolation_level=None, timeout=_WAIT_SECONDS)
    db.execute("PRAGMA synchronous = OFF")  # what a power cut harms is made anew
    return db
