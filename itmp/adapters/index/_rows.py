"""The index's tables: one row a leaf, words by number, and what the rows were read from (`_changes` has the changes').

Rules kept here: rows are added in the log's order, a portion and the mark of how far they go in one transaction; an
index of another layout, of another log, with rows missing or with another newest leaf than the journal's is no index.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from itmp.adapters.index import _changes
from itmp.adapters.index._facts import Facts
from itmp.adapters.index._frames import Spot

LAYOUT: Final = "5"
_TABLES: Final = """
CREATE TABLE word (n INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE mark (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE leaf (
  n INTEGER PRIMARY KEY, segment INTEGER NOT NULL, at INTEGER NOT NULL, t INTEGER NOT NULL, type INTEGER NOT NULL,
  change INTEGER NOT NULL, run INTEGER NOT NULL, step INTEGER NOT NULL, host INTEGER NOT NULL,
  outcome INTEGER NOT NULL, bulk INTEGER NOT NULL, what TEXT NOT NULL) STRICT;
"""
_INDEXES: Final = """
CREATE INDEX IF NOT EXISTS by_change ON leaf (change);
CREATE INDEX IF NOT EXISTS by_host ON leaf (change, host);
CREATE INDEX IF NOT EXISTS by_step ON leaf (change, step);
CREATE INDEX IF NOT EXISTS by_outcome ON leaf (change, outcome);
CREATE INDEX IF NOT EXISTS by_rare ON leaf (change, type) WHERE bulk = 0;
CREATE INDEX IF NOT EXISTS by_notified ON leaf (change, run, step, host) WHERE bulk = 2;
CREATE INDEX IF NOT EXISTS by_type ON leaf (type) WHERE bulk = 0;
"""
_INSERT: Final = "INSERT INTO leaf VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
BULK: Final = frozenset({"action.intended", "action.finished", "check.finished"})
"""Types of which a run writes one per target and action; all others are few. In `bulk`: 1, or 2 if it notified."""
_PORTION: Final = 500
_WORDS: Final = ("type", "change", "run", "step", "host", "outcome")


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which leaves: every field that is given must fit. `types`, `hosts` and `outcomes` fit when one of them does.

    `few` leaves out what a run writes per target and action, `notified` all but results that notified a handler.
    `since` is microseconds since 1970, `after` a leaf index that is left out with all before it; `text` stands anywhere
    in what a result is about. `newest` turns the order round; `limit` 0 is none.
    """

    change: str | None = None
    run: str = ""
    step: str = ""
    types: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()
    few: bool = False
    notified: bool = False
    text: str = ""
    since: int = 0
    after: int = -1
    newest: bool = False
    limit: int = 0


class Rows:
    """One database, open."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._words: dict[str, int] = {}
        self.changes: Final = _changes.Changes(db)

    def create(self, newest: int) -> None:
        """Make the tables for a journal whose newest segment begins with leaf `newest`."""
        self._db.executescript(_TABLES + _changes.TABLE)
        self._set({"layout": LAYOUT, "newest": str(newest), "size": "0", "segment": "0", "at": "0"})

    def marks(self) -> Mapping[str, str]:
        """Return what the rows were read from and how far; empty for no index of this layout."""
        marks = self.reached()
        count = self._db.execute("SELECT count(*) FROM leaf").fetchone()[
            0
        ]  # alone it reads pages' heads, not rows
        last = self._db.execute("SELECT coalesce(max(n), -1) FROM leaf").fetchone()[0]
        for table in ("word", "claim"):
            self._db.execute(f"SELECT * FROM {table} LIMIT 1").fetchone()  # noqa: S608 - fixed words
        size = int(marks.get("size", "-1"))
        return marks if marks.get("layout") == LAYOUT and (count, last) == (size, size - 1) else {}

    def reached(self) -> dict[str, str]:
        """Return what the rows were read from and how far, unchecked."""
        return dict(self._db.execute("SELECT key, value FROM mark"))

    def add(self, found: Sequence[tuple[Spot, Facts]], marks: Mapping[str, str]) -> None:
        """Add the next leaves, those that another reader has added meanwhile left out."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            size = int(self._db.execute("SELECT value FROM mark WHERE key = 'size'").fetchone()[0])
            if found and found[-1][0].index >= size:
                new = found[max(0, size - found[0][0].index) :]
                self._insert(new)
                self.changes.add(new, self._number)
                self._set(marks)
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            self._words = {}
            raise

    def _insert(self, found: Iterable[tuple[Spot, Facts]]) -> None:
        number = self._number
        rows = (
            (
                place.index,
                place.segment,
                place.at,
                fact.t,
                *map(number, fact[1:7]),
                (fact.type in BULK) * (2 if fact.notified else 1),
                fact.what,
            )
            for place, fact in found
        )
        self._db.executemany(_INSERT, list(rows))

    def arrange(self) -> None:
        """Make the ways to search, once the bulk is there."""
        self._db.executescript(_INDEXES + _changes.INDEXES)

    def find(self, query: Query) -> Iterator[Spot]:
        """Yield the places of the leaves that fit, in the log's order (or turned round).

        In portions: a reader who pauses in a pager holds no lock that another one's update would wait for.
        """
        if self._hopeless(query):
            return
        where, values = self._where(query)
        word, order, edge = ("<", "DESC", 1 << 62) if query.newest else (">", "ASC", -1)
        statement = (
            f"SELECT n, segment, at FROM leaf {_way(query)}"  # noqa: S608 - fixed words; values are bound
            f" WHERE {where} AND n {word} ? ORDER BY n {order} LIMIT ?"
        )
        left = query.limit or 1 << 62
        while left > 0:
            rows = self._db.execute(statement, (*values, edge, min(left, _PORTION))).fetchall()
            for row in rows:
                yield Spot(index=row[0], segment=row[1], at=row[2])
            if len(rows) < _PORTION:
                return
            left, edge = left - len(rows), rows[-1][0]

    def spot(self, index: int) -> Spot | None:
        """Return where leaf `index` stands; None when there is no such row."""
        row = self._db.execute("SELECT n, segment, at FROM leaf WHERE n = ?", (index,)).fetchone()
        return Spot(index=row[0], segment=row[1], at=row[2]) if row else None

    def distinct(self, name: str, query: Query) -> tuple[str, ...]:
        """Return the different words of column `name` among the leaves that fit, in the order of their first leaf."""
        if name not in _WORDS:
            raise KeyError(name)
        if self._hopeless(query):
            return ()
        where, values = self._where(query)
        statement = (
            f"SELECT word.text FROM (SELECT {name} AS w, min(n) AS first FROM leaf {_way(query)}"  # noqa: S608 - as above
            f" WHERE {where} GROUP BY w) JOIN word ON word.n = w WHERE word.text <> '' ORDER BY first"
        )
        return tuple(row[0] for row in self._db.execute(statement, values))

    def _where(self, query: Query) -> tuple[str, list[Any]]:
        parts, values = ["n > ?"], list[Any]([query.after])
        if query.few:
            parts.append("bulk = 0")
        if query.notified:
            parts.append("bulk = 2")
        for name, texts in _wanted(query):
            numbers = [number for text in texts if (number := self._known(text)) is not None]
            if len(numbers) == 1:
                parts.append(f"{name} = ?")
                values += numbers
            else:  # one value, because SQLite binds no more than some thousands
                parts.append(f"{name} IN (SELECT value FROM json_each(?))")  # noqa: S608 - as above
                values.append(json.dumps(numbers))
        if query.since:
            parts.append("t >= ?")
            values.append(query.since)
        if query.text:
            parts.append("what LIKE ? ESCAPE '!'")
            values.append(f"%{_literal(query.text)}%")
        return " AND ".join(parts), values

    def _hopeless(self, query: Query) -> bool:
        """Whether a text is asked for that no leaf has; SQLite finds no way to search for none of several."""
        return any(all(self._known(text) is None for text in texts) for _, texts in _wanted(query))

    def _known(self, text: str) -> int | None:
        row = self._db.execute("SELECT n FROM word WHERE text = ?", (text,)).fetchone()
        return row[0] if row else None

    def _number(self, text: str) -> int:
        number = self._words.get(text)
        if number is None:
            number = self._known(text)
            if number is None:
                number = self._db.execute("INSERT INTO word (text) VALUES (?)", (text,)).lastrowid
            assert number is not None  # noqa: S101 - SQLite gives a row its number
            self._words[text] = number
        return number

    def _set(self, marks: Mapping[str, str]) -> None:
        pairs: Sequence[tuple[str, str]] = tuple(marks.items())
        self._db.executemany("INSERT OR REPLACE INTO mark VALUES (?, ?)", pairs)


def _wanted(query: Query) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield (column, texts of which one must fit) for every field that is given."""
    if query.change is not None:
        yield "change", (query.change,)
    for name, text in (("run", query.run), ("step", query.step)):
        if text:
            yield name, (text,)
    for name, texts in (("type", query.types), ("host", query.hosts), ("outcome", query.outcomes)):
        if texts:
            yield name, texts


def _way(query: Query) -> str:
    """Say along which index to go: the planner, which knows no counts, would at times sort a million rows."""
    if query.change is None:
        return "INDEXED BY by_type" if query.few and query.types else "NOT INDEXED"
    if query.few or query.notified:
        return "INDEXED BY by_rare" if query.few else "INDEXED BY by_notified"
    given = (("host", query.hosts), ("outcome", query.outcomes), ("step", query.step))
    return "INDEXED BY by_" + next((name for name, value in given if value), "change")


def _literal(text: str) -> str:
    for char in "!%_":
        text = text.replace(char, f"!{char}")
    return text
