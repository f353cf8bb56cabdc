"""The formats of an export, and the way back to the leaf.

Rules kept here: each record holds the whole event, so nothing is lost in a mapping; the event's canonical JSON is the
leaf, byte for byte, and its hash stands beside it, so that whoever holds a record can prove it against a checkpoint;
the same leaf always gives the same record.

| format | index | leaf hash | event |
|---|---|---|---|
| `jsonl` | `index` | `leaf_hash` | `event` |
| `cloudevents` | `leafindex` | `leafhash` | `data` |
| `ocsf` | `metadata.sequence` | `metadata.uid` | `unmapped.itmp` |
| `ecs` | `event.sequence` | `event.id` | `itmp` |
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from itmp import canonical
from itmp.audit import Leaf
from itmp.errors import EvidenceInvalidError
from itmp.export.cloudevents import cloudevent
from itmp.export.ecs import ecs
from itmp.export.ocsf import ocsf


def _plain(origin: str, leaf: Leaf, event: Mapping[str, Any]) -> dict[str, Any]:
    return {"origin": origin, "index": leaf.index, "leaf_hash": leaf.hash, "event": event}


FORMATS: Final[Mapping[str, Callable[[str, Leaf, Mapping[str, Any]], dict[str, Any]]]] = {
    "jsonl": _plain,
    "cloudevents": cloudevent,
    "ocsf": ocsf,
    "ecs": ecs,
}
INDEX: Final[Mapping[str, tuple[str, ...]]] = {
    "jsonl": ("index",),
    "cloudevents": ("leafindex",),
    "ocsf": ("metadata", "sequence"),
    "ecs": ("event", "sequence"),
}
"""Where a record of each format says its leaf's index."""
_PLACES: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "jsonl": (("leaf_hash",), ("event",)),
    "cloudevents": (("leafhash",), ("data",)),
    "ocsf": (("metadata", "uid"), ("unmapped", "itmp")),
    "ecs": (("event", "id"), ("itmp",)),
}
_ENCODE: Final = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), sort_keys=True).encode


def record(name: str, origin: str, leaf: Leaf) -> bytes:
    """Return one line of ASCII JSON, without its end, for a leaf of the log `origin` in format `name`."""
    return _ENCODE(FORMATS[name](origin, leaf, json.loads(leaf.data))).encode()


def leaf_of(name: str, line: bytes) -> bytes:
    """Return the leaf that a record stands for; raise `EvidenceInvalidError` when its hash says otherwise."""
    said, event = (_at(_read(line), place) for place in _PLACES[name])
    data = canonical.dumps(event)
    found = canonical.digest(b"\x00" + data)
    if found != said:
        raise EvidenceInvalidError(f"the record says leaf {said!r:.80}, its event is {found}")
    return data


def _read(line: bytes) -> Any:
    """Read a record's JSON; raise `EvidenceInvalidError` when it is none."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise EvidenceInvalidError(f"a record that is no JSON: {error!s:.80}") from error


def _at(value: Any, place: tuple[str, ...]) -> Any:
    for name in place:
        if not isinstance(value, dict) or name not in value:
            raise EvidenceInvalidError(f"a record without {'.'.join(place)}")
        value = value[name]
    return value
