"""What the index keeps of a leaf: a handful of words to find it by.

Rules kept here: a leaf that is no event still gets its row, with nothing in it, so that rows and leaves stay one to
one; whoever finds a leaf by these words reads the leaf itself and looks again.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from itmp.adapters.index._claims import Claim, claim_of

MAX_WHAT: Final = 1000
"""Characters of a result's text that can be searched."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Facts(NamedTuple):
    """The words of one leaf; empty where it has none. `t` is microseconds since 1970, `claim` tells of its change."""

    t: int
    type: str
    change: str
    run: str
    step: str
    host: str
    outcome: str
    what: str
    notified: bool
    claim: Claim | None


_NOTHING: Final = Facts(0, "", "", "", "", "", "", "", False, None)


def facts(leaf: bytes) -> Facts:
    """Read a leaf's words; all empty when it is no event."""
    try:
        value = json.loads(leaf)
        known = value.get
        kind, data = _text(value["type"]), known("data")
        return Facts(
            micros(value["t"]),
            kind,
            _text(known("change")),
            _text(known("run")),
            _text(known("step")),
            _text((known("target") or {}).get("id")),
            _text(known("outcome")),
            what(known("action"), data),
            _notified(data),
            claim_of(kind, data),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return _NOTHING


def _notified(data: Mapping[str, Any] | None) -> bool:
    """Whether a result says that it notified a handler."""
    more = (data or {}).get("more")
    return isinstance(more, dict) and bool(more.get("notified"))


def what(action: Any, data: Mapping[str, Any] | None) -> str:
    """Return what a result is about: the task's name, else the action, and its message."""
    data = data or {}
    name, message = data.get("name") or action, data.get("message") or data.get("why")
    return _text(": ".join(part for part in (name, message) if isinstance(part, str) and part))[:MAX_WHAT]


def micros(text: str) -> int:
    """Return a time of the log as microseconds since 1970; `ValueError` for anything else."""
    return round((datetime.fromisoformat(text) - _EPOCH).total_seconds() * 1_000_000)


def _text(value: Any) -> str:
    """Return text that SQLite can keep: a lone surrogate, which no honest leaf has, becomes a question mark."""
    if not isinstance(value, str):
        return ""
    return value if value.isascii() else value.encode("utf-8", "replace").decode()
