"""The index's table of changes: one row each, made of what its events claim.

Rules kept here: rows are added with those of the leaves, in one transaction. A row is marked where its change *may* be
an exception; a change whose row is not marked may still be one in a single way: where approvals were written that count
for nothing, and a permit all the same. That takes verifying signatures, which an index does not (docs/adr/0024).
"""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass
from typing import Any, Final, NamedTuple

from itmp.adapters.index._claims import ALONE, UNAPPROVED, Claim
from itmp.adapters.index._facts import Facts
from itmp.adapters.index._frames import Spot

TABLE: Final = """
CREATE TABLE claim (
  first INTEGER PRIMARY KEY, change INTEGER NOT NULL UNIQUE, opened INTEGER NOT NULL, moved INTEGER NOT NULL,
  type TEXT NOT NULL, external TEXT NOT NULL, words TEXT NOT NULL, requester TEXT NOT NULL, voters TEXT NOT NULL,
  starters TEXT NOT NULL, started INTEGER NOT NULL, ran INTEGER NOT NULL, ended INTEGER NOT NULL,
  marks INTEGER NOT NULL) STRICT;
"""
INDEXES: Final = """
CREATE INDEX IF NOT EXISTS claim_external ON claim (external) WHERE external <> '';
CREATE INDEX IF NOT EXISTS claim_marks ON claim (first) WHERE marks <> 0;
CREATE INDEX IF NOT EXISTS claim_waiting ON claim (first) WHERE ended = 0 AND started = 0;
"""
_INSERT: Final = "INSERT OR REPLACE INTO claim VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


class During(NamedTuple):
    """A time, in microseconds since 1970, in which runs of changes of these types, or of any, may be exceptions."""

    types: tuple[str, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeQuery:
    """Which changes: every field that is given must fit. Times are microseconds since 1970, ends not included.

    `words` all stand in the change's id, requester, reason, external reference or type; `opened` is when it began,
    `touched` when any of its events may lie; `marked` leaves those that may be exceptions, or ran in `times`;
    `waiting` those that neither ended nor have a permit, `begun` those that have one and did not end.
    """

    words: tuple[str, ...] = ()
    external: str = ""
    opened: tuple[int | None, int | None] = (None, None)
    touched: tuple[int | None, int | None] = (None, None)
    marked: bool = False
    waiting: bool = False
    begun: bool = False
    times: tuple[During, ...] = ()


@dataclass(slots=True)
class _Row:
    """One change. `started` and `ran` are the times of its first permit and of its runs' newest event, 0 without one;
    `voters` and `starters` are names, with a space around each.
    """  # noqa: D205 - one sentence

    first: int
    change: int
    opened: int
    moved: int
    type: str
    external: str
    words: str
    requester: str = ""
    voters: str = " "
    starters: str = " "
    started: int = 0
    ran: int = 0
    ended: int = 0
    marks: int = 0

    def take(self, claim: Claim, at: int) -> None:
        """Add what one leaf of time `at` claims."""
        self.marks |= claim.marks
        self.ended |= claim.ends
        if claim.opens is not None and not self.type:
            self.type, reason, self.external = claim.opens
            self.requester = claim.signer
            self.words += f" {claim.signer} {reason} {self.external} {self.type}".casefold()
        if claim.approves:
            self.voters += f"{claim.signer} "
        if claim.starts:
            self.starters += f"{claim.signer} "
        if claim.permits:
            self.started = self.started or at
            self.marks |= UNAPPROVED if self.voters == " " else 0
        elif {self.requester, *self.starters.split()} & set(self.voters.split()):
            self.marks |= ALONE


class Changes:
    """The table in `db`."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def add(self, found: Iterable[tuple[Spot, Facts]], number: Callable[[str], int]) -> None:
        """Add what the next leaves say of their changes; `number` numbers words."""
        rows: dict[str, _Row] = {}
        for place, fact in found:
            if fact.change:
                row = rows.get(fact.change)
                if row is None:
                    row = rows[fact.change] = self._row(place.index, fact, number(fact.change))
                row.moved = fact.t
                row.ran = fact.t if fact.run else row.ran
                if fact.claim is not None:
                    row.take(fact.claim, fact.t)
        self._db.executemany(_INSERT, [astuple(row) for row in rows.values()])

    def find(self, query: ChangeQuery, *, limit: int, skip: int = 0) -> tuple[str, ...]:
        """Return the ids of the changes that fit, the newest first."""
        where, values = _where(query)
        statement = (
            "SELECT word.text FROM (SELECT first, change FROM claim"  # noqa: S608 - fixed words; values are bound
            f" WHERE {where} ORDER BY first DESC LIMIT ? OFFSET ?) JOIN word ON word.n = change ORDER BY first DESC"
        )
        return tuple(row[0] for row in self._db.execute(statement, (*values, limit, skip)))

    def count(self, query: ChangeQuery) -> int:
        """Return how many changes fit."""
        where, values = _where(query)
        found = self._db.execute(f"SELECT count(*) FROM claim WHERE {where}", values)  # noqa: S608 - as above
        return int(found.fetchone()[0])

    def _row(self, index: int, fact: Facts, number: int) -> _Row:
        known = self._db.execute("SELECT * FROM claim WHERE change = ?", (number,)).fetchone()
        if known:
            return _Row(*known)
        return _Row(index, number, fact.t, fact.t, "", "", fact.change.casefold())


def _where(query: ChangeQuery) -> tuple[str, list[Any]]:
    parts, values = ["first >= 0"], list[Any]()
    for word in query.words:
        parts.append("instr(words, ?) > 0")
        values.append(word)
    if query.external:
        parts.append("external <> '' AND external = ?")
        values.append(query.external)
    bounds: Sequence[tuple[str, int | None]] = (
        ("opened >= ?", query.opened[0]),
        ("opened < ?", query.opened[1]),
        ("moved >= ?", query.touched[0]),
        ("opened < ?", query.touched[1]),
    )
    for part, value in bounds:
        if value is not None:
            parts.append(part)
            values.append(value)
    if query.waiting:
        parts.append("ended = 0 AND started = 0")
    if query.begun:
        parts.append("ended = 0 AND started <> 0")
    if query.marked:
        ways = ["marks <> 0"]
        for types, start, end in query.times:
            kinds = f"type IN ({', '.join('?' * len(types))}) AND " if types else ""
            ways.append(f"({kinds}started <> 0 AND started < ? AND ran >= ?)")
            values += [*types, end, start]
        parts.append(f"({' OR '.join(ways)})")
    return " AND ".join(parts), values
