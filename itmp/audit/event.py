"""The event: one leaf of the log, as canonical JSON of at most 60 KiB (formats: docs/formats/events.md).

Rules kept here: text enters through `Event.from_bytes`, which returns a valid event or raises; unknown keys
and types are refused; control characters are data inside JSON strings and never reach a terminal from here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any, Final

from itmp import canonical
from itmp.canonical import Digest
from itmp.errors import InvalidInputError

VERSION: Final = 1
MAX_LEAF: Final = 60 * 1024

TYPES: Final = frozenset(
    {
        "log.created",
        "plan.compiled",
        "plan.previewed",
        "change.opened",
        "change.approved",
        "change.rejected",
        "change.revoked",
        "change.refused",
        "change.canceled",
        "permit.issued",
        "statement.recorded",
        "run.started",
        "run.resumed",
        "slice.intended",
        "slice.finished",
        "action.intended",
        "action.finished",
        "check.finished",
        "ask.answered",
        "run.stopped",
        "run.finished",
        "action.reconciled",
        "change.reviewed",
        "change.closed",
        "policy.changed",
        "key.rotated",
        "key.revoked",
        "redaction.done",
        "log.recovered",
        "log.full",
        "log.read",
        "log.exported",
    }
)
"""Every event type, dotted and past tense. Anything else is refused on the way in and on the way out."""

OUTCOMES: Final = frozenset(
    {"ok", "changed", "failed", "skipped", "unreachable", "unknown", "not_reached", "denied"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event. Empty strings and `None` fields are left out of the leaf.

    `id` is 128 bits as 32 hex digits whose first 12 are the UTC milliseconds (sortable). `actor` is
    `{kind: human|machine|executor, id, key?}`, `target` is `{kind: host|resource|ask, id, env?}`. `intent`
    names the leaf hash that this result answers. The log fills `t` (UTC microseconds, RFC 3339 with Z),
    `mono` (ns), `boot`, `cseq` and `cprev`.
    """

    id: str
    type: str
    actor: Mapping[str, str]
    on_behalf_of: str = field(default="", metadata={"key": "for"})
    observer: str = ""
    change: str = ""
    plan: str = ""
    run: str = ""
    step: str = ""
    action: str = ""
    target: Mapping[str, str] | None = None
    intent: str = ""
    outcome: str = ""
    rc: int | None = None
    before: str = ""
    after: str = ""
    diff: str = ""
    itmp: str = ""
    phase: str = ""
    data: Mapping[str, Any] | None = None
    t: str = ""
    mono: int | None = None
    boot: str = ""
    cseq: int | None = None
    cprev: str = ""
    v: int = VERSION

    def to_bytes(self, stamp: Mapping[str, Any] | None = None) -> bytes:
        """Return the leaf; raise `InvalidInputError` when it is no valid event.

        `stamp` takes the place of the fields that the log fills; a change's event has one more than others.
        """
        _validate(self)
        items = dict(zip(_NAMES, _VALUES(self), strict=True))
        items.update(stamp or {})
        leaf = canonical.dumps({key: item for key, item in items.items() if item is not None and item != ""})
        if len(leaf) > MAX_LEAF:
            reason = f"an event of {len(leaf)} bytes; the limit is {MAX_LEAF}"
            raise InvalidInputError(reason, where=self.type, do="Put large content into a blob.")
        return leaf

    @classmethod
    def from_bytes(cls, leaf: bytes) -> "Event":
        """Read a leaf; raise `InvalidInputError` for anything that `to_bytes` would not have written."""
        if not 0 < len(leaf) <= MAX_LEAF:
            raise InvalidInputError(f"a leaf of {len(leaf)} bytes; the limit is {MAX_LEAF}")
        value = canonical.loads(leaf)
        if not isinstance(value, dict):
            raise InvalidInputError("a leaf that is not an object")
        keys = value.keys()
        if not _REQUIRED <= keys <= _NAMES.keys():
            unknown, missing = keys - _NAMES.keys(), _REQUIRED - keys
            raise InvalidInputError(f"event keys unknown: {sorted(unknown)}, missing: {sorted(missing)}")
        if None in value.values() or "" in value.values():
            raise InvalidInputError("an event with an empty field")
        if "for" in value:  # the one key that is no name in Python
            value["on_behalf_of"] = value.pop("for")
        event = cls(**value)
        _validate(event)
        return event


_NAMES: Final = dict(sorted((f.metadata.get("key", f.name), f.name) for f in fields(Event)))
"""Keys and fields, in the keys' order, which is the leaf's."""

_REQUIRED: Final = frozenset({"v", "id", "type", "actor"})
_INTEGERS: Final = ("rc", "mono", "cseq")
_OBJECTS: Final = ("actor", "target")
_TEXTS: Final = tuple(name for name in _NAMES.values() if name not in {*_INTEGERS, *_OBJECTS, "data", "v"})
_VALUES: Final = attrgetter(*_NAMES.values())
_TEXT_VALUES: Final = attrgetter(*_TEXTS)
_TEXT: Final = {str}


def _validate(event: Event) -> None:
    if {*map(type, _TEXT_VALUES(event))} != _TEXT:  # a subclass is found here too, and passes
        for name, value in zip(_TEXTS, _TEXT_VALUES(event), strict=True):
            if not isinstance(value, str):
                raise InvalidInputError(f"{name} is not text", where="event")
    if type(event.v) is not int or event.v != VERSION or event.type not in TYPES:
        raise InvalidInputError(f"no event of this version knows type {event.type!r:.60}, v {event.v!r:.20}")
    if not event.id:
        raise InvalidInputError("an event without an id", where=event.type)
    if event.outcome and event.outcome not in OUTCOMES:
        raise InvalidInputError(f"unknown outcome {event.outcome!r:.40}", where=event.type)
    _validate_parts(event)


def _validate_parts(event: Event) -> None:
    for value in (event.rc, event.mono, event.cseq):
        if value is not None and type(value) is not int:
            raise InvalidInputError("rc, mono or cseq is not an integer", where=event.type)
    if not _is_texts(event.actor) or (event.target is not None and not _is_texts(event.target)):
        raise InvalidInputError("actor or target is not an object of texts", where=event.type)
    if event.data is not None and not isinstance(event.data, dict):
        raise InvalidInputError("data is not an object", where=event.type)


def _is_texts(value: Any) -> bool:
    return isinstance(value, dict) and (
        {*map(type, value.values())} <= _TEXT or all(isinstance(item, str) for item in value.values())
    )


def leaf_digest(leaf: bytes) -> Digest:
    """Return the RFC 6962 leaf hash, sha256(00 ‖ leaf), in digest form."""
    return canonical.digest(b"\x00" + leaf)
