"""What the rules about events ask of a leaf, read as strictly as `Event.from_bytes` reads it.

Rules kept here: a leaf is refused if and only if `Event.from_bytes` refuses it, and in its words. A log holds few forms
of leaves, so each is judged there once, and the next leaves are only held against it: a form is the leaf's own bytes in
which every text may be another one and every integer another one, each still in its one encoding. What matches has the
same keys in the same places, with values of the same types, and is therefore an event too, of the same type.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from itmp.audit.event import MAX_LEAF, OUTCOMES, Event

_MOST: Final = 8
"""Forms of one type that are held ready, those that were met last; leaves of others take the long way."""
_TRIES, _ALL_TRIES = 32, 512
"""How often a form is looked for, of one type and at all: no two leaves of a hostile log need have one form."""
_WIDEST: Final = 4096
"""Characters of a form: wider ones take longer to compile than they ever save."""

# `canonical` writes what is printable in ASCII, and U+007F, as it is, and the rest in one way each. Where a pattern
# gives back what it has taken, what must follow begins with another character: a mismatch costs one more pass at most.
_PLAIN: Final = r"[ !#-\[\]-\x7f]"
_TEXT: Final = rf'"(?:{_PLAIN}++|\\(?:["\\bfnrt]|u00(?:0[0-7bef]|1[0-9a-f])))*"'
_TEXTS: Final = rf"\[{_TEXT}(?:,{_TEXT})*\]"
_INTEGER: Final = (
    r"(?:0|-?(?:[1-8][0-9]{0,15}+|9[0-9]{0,14}+))"  # within 2^53 - 1; nanoseconds of 104 days are
)
_OUTCOME: Final = f'"(?:{"|".join(sorted(OUTCOMES))})"'
_ASKED: Final = ("id", "change", "cseq", "cprev", "t", "mono", "boot")
_CLOSED: Final = "change.closed"


class Said(NamedTuple):
    """What is asked of an event; empty or None where it has none. `data` is that of an event that closes a change."""

    id: str
    type: str
    change: str
    cseq: int | None
    cprev: str
    t: str
    mono: int | None
    boot: str
    data: Mapping[str, Any] | None


class Forms:
    """Reads leaves, and remembers their forms."""

    __slots__ = ("_known", "_tries")

    def __init__(self) -> None:
        self._known: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
        self._tries = Counter[str]()

    def read(self, leaf: bytes) -> Said:
        """Return what a leaf says; raise `InvalidInputError` as `Event.from_bytes` does."""
        if leaf.isascii() and len(leaf) <= MAX_LEAF:
            text = leaf.decode()
            forms = self._known.get(_end(text), [])
            for at, (kind, form) in enumerate(forms):
                found = form.fullmatch(text)
                if found:
                    if at:
                        forms.insert(0, forms.pop(at))
                    return _said(kind, found.groupdict())
        event = Event.from_bytes(leaf)
        self._learn(leaf, event.type)
        return Said(
            event.id,
            event.type,
            event.change,
            event.cseq,
            event.cprev,
            event.t,
            event.mono,
            event.boot,
            event.data if event.type == _CLOSED else None,
        )

    def _learn(self, leaf: bytes, kind: str) -> None:
        text = leaf.decode() if leaf.isascii() else ""
        end = _end(text)
        if not text or self._tries[end] >= _TRIES or self._tries.total() >= _ALL_TRIES:
            return
        self._tries[end] += 1
        form, forms = _form(json.loads(text)), self._known.setdefault(end, [])
        # Not every leaf is of its own form: what is learned of one may be there already.
        if len(form) <= _WIDEST and all(form != known.pattern for _, known in forms):
            forms.insert(0, (kind, re.compile(form)))
            del forms[_MOST:]


def _end(text: str) -> str:
    """Return what begins with the type; within a text its quotes would be escaped."""
    return text[text.rfind('"type":') :]


def _said(kind: str, found: dict[str, str | Any]) -> Said:
    known = found.get
    cseq, mono, data = known("cseq"), known("mono"), known("data")
    return Said(
        found["id"],
        kind,
        known("change", ""),
        None if cseq is None else int(cseq),
        known("cprev", ""),
        known("t", ""),
        None if mono is None else int(mono),
        known("boot", ""),
        json.loads(data) if data else None,
    )


def _form(event: dict[str, Any]) -> str:
    """Return the pattern of leaves that are events because this one is."""
    parts = (f"{_key(name)}:{_top(name, value, event['type'])}" for name, value in event.items())
    return rf"\{{{','.join(parts)}\}}"


def _top(name: str, value: Any, kind: str) -> str:
    """Return the pattern of one of an event's own values: no text is empty, and what is asked has nothing escaped."""
    if name in {"v", "type"}:
        return re.escape(json.dumps(value))
    if name == "outcome":
        return _OUTCOME
    if name in _ASKED:
        return f'"(?P<{name}>{_PLAIN}++)"' if isinstance(value, str) else f"(?P<{name}>{_INTEGER})"
    if isinstance(value, str):
        return f'(?!""){_TEXT}'
    return f"(?P<data>{_any(value)})" if name == "data" and kind == _CLOSED else _any(value)


def _any(value: Any) -> str:
    match value:
        case str():
            return _TEXT
        case bool() | None:
            return json.dumps(value)
        case int():
            return _INTEGER
        case list():
            texts = value and all(isinstance(item, str) for item in value)
            return _TEXTS if texts else rf"\[{','.join(map(_any, value))}\]"
        case _:
            return rf"\{{{','.join(f'{_key(name)}:{_any(item)}' for name, item in value.items())}\}}"


def _key(name: str) -> str:
    return re.escape(json.dumps(name, ensure_ascii=False))
