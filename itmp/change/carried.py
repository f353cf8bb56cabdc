"""Which statements an event carries, by its type (formats: docs/formats/events.md).

Rules kept here: the type alone says whether a statement stands in an event, never the names of its data's keys, so that
nobody can put something else where one is looked for; where one must stand and none does, that is told.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from itmp.audit import STANDING, Event
from itmp.change.statements import TYPE_OF
from itmp.errors import EvidenceInvalidError
from itmp.signing import Signed

MAY: Final = frozenset({"plan.previewed", "action.reconciled", "log.read"})
"""Types in which a statement stands only where a person acted: else nobody's word, or a probe's."""
ONE: Final = frozenset({*TYPE_OF.values(), "statement.recorded"}) - STANDING - MAY


class NoStatementError(EvidenceInvalidError):
    """An event of a type that carries a statement, without one."""


def carried(event: Event) -> Iterator[Signed | NoStatementError]:
    """Yield each statement of an event as received, nothing of it verified; an error in place of one that is none."""
    data = event.data or {}
    if event.type in STANDING:
        items = data.get("statements")
        for item in items if isinstance(items, list) and items else [None]:
            yield _read(item, event.type)
    elif event.type in ONE or (event.type in MAY and data.keys() & {"text", "signature"}):
        yield _read(data, event.type)


def _read(item: Any, kind: str) -> Signed | NoStatementError:
    match item:
        case Mapping():
            text, signature = item.get("text"), item.get("signature")
            if isinstance(text, str) and isinstance(signature, str):
                return Signed(text=text, signature=signature)
    return NoStatementError(f"{kind} carries no statement with its signature where one must stand")
