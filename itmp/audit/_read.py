"""A leaf's keys and values, read as strictly as `Event.from_bytes` reads it, without making an event.

Rules kept here: a leaf is refused if and only if `Event.from_bytes` refuses it, and in its words. Which keys a leaf has
and of which types their values are is judged there, once, and remembered; what hangs on the values is judged here each
time.
"""

from collections.abc import Mapping
from typing import Any, Final

from itmp import canonical
from itmp.audit.event import MAX_LEAF, OUTCOMES, TYPES, VERSION, Event

_MOST: Final = 1024
"""Combinations of keys and types that are remembered: an honest log has some dozens, who writes many gains nothing."""

_TEXT: Final = {str}
_known: Final = set[tuple[Any, ...]]()


def read_values(leaf: bytes) -> Mapping[str, Any]:
    """Return a leaf's keys and values as they stand there; raise `InvalidInputError` as `Event.from_bytes` does."""
    if 0 < len(leaf) <= MAX_LEAF:
        value = canonical.loads(leaf)
        if type(value) is dict and (*value, *map(type, value.values())) in _known and _fits(value):
            return value
    Event.from_bytes(leaf)
    value = canonical.loads(leaf)
    if len(_known) < _MOST:
        _known.add((*value, *map(type, value.values())))
    return dict(value)


def _fits(value: Mapping[str, Any]) -> bool:
    """Whether the values are an event's, where keys and types are those of one."""
    return (
        value["type"] in TYPES
        and value["v"] == VERSION
        and "" not in value.values()
        and ("outcome" not in value or value["outcome"] in OUTCOMES)
        and _are_texts(value["actor"])
        and ("target" not in value or _are_texts(value["target"]))
    )


def _are_texts(value: Mapping[str, Any]) -> bool:
    return {*map(type, value.values())} <= _TEXT
