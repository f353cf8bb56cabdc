"""Which changes there are, quickly: what each request claims, for lists and search.

Rules kept here: a row is what the first event of a change says, unverified; it serves to find a change, and whatever a
page says about one is read from its raw leaves; rows only grow, as the log does.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from itmp.audit import Leaf
from itmp.workspace import Workspace

PAGE: Final = 50
"""Changes on one page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What a request claims."""

    change: str
    opened: str
    requester: str
    reason: str
    external: str
    type: str

    @property
    def text(self) -> str:
        """What a search looks through."""
        return f"{self.change} {self.requester} {self.reason} {self.external} {self.type}".casefold()


class Shelf:
    """The rows of one log, newest first. Safe for threads."""

    def __init__(self, place: Workspace) -> None:
        self._place = place
        self._lock = threading.Lock()
        self._rows: list[tuple[Row, str]] = []

    def find(self, words: str = "", *, start: str = "", end: str = "") -> Sequence[Row]:
        """Return the rows that hold every one of `words` and were opened in [start, end), as texts of UTC times."""
        wanted = words.casefold().split()
        return [
            row
            for row, text in self._all()
            if all(word in text for word in wanted)
            and (not start or row.opened >= start)
            and (not end or row.opened < end)
        ]

    def _all(self) -> list[tuple[Row, str]]:
        with self._lock:
            changes = self._place.log.changes()
            for change in changes[len(self._rows) :]:
                row = _row(change, self._place.log.of_change(change)[0])
                self._rows.append((row, row.text))
            return self._rows[::-1]


def _row(change: str, leaf: Leaf) -> Row:
    lines = dict(
        part.partition(" ")[::2] for part in str((leaf.event.data or {}).get("text", "")).splitlines()
    )
    return Row(
        change=change,
        opened=leaf.event.t,
        requester=lines.get("signer", ""),
        reason=lines.get("reason", ""),
        external=lines.get("external", "").removeprefix("-"),
        type=lines.get("type", ""),
    )
