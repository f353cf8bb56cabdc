"""The formats of an export, and the way back to the leaf.

Rules kept here: each record holds the whole event, so nothing is lost in a mapping; the event's canonical JSON is the
leaf, byte for byte, and its hash stands beside it, so that whoever holds a record can prove it against a checkpoint;
the same leaf always gives the same record; keys are sorted at every depth, and a record is ASCII on one line.

A leaf is canonical JSON already, so where it is printable ASCII its own bytes stand in the record, and no event is
written twice. Each format is a text with its keys in order; what is put into it is quoted (`quoting`).

| format | index | leaf hash | event |
|---|---|---|---|
| `jsonl` | `index` | `leaf_hash` | `event` |
| `cloudevents` | `leafindex` | `leafhash` | `data` |
| `ocsf` | `metadata.sequence` | `metadata.uid` | `unmapped.itmp` |
| `ecs` | `event.sequence` | `event.id` | `itmp` |
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from itmp import canonical
from itmp.audit import Leaf
from itmp.errors import EvidenceInvalidError
from itmp.export.cloudevents import cloudevent
from itmp.export.ecs import ecs
from itmp.export.ocsf import ocsf
from itmp.export.quoting import quote


def _plain(origin: str, leaf: Leaf, _: Mapping[str, Any], text: str) -> str:
    return f'{{"event":{text},"index":{leaf.index},"leaf_hash":"{leaf.hash}","origin":{quote(origin)}}}'


FORMATS: Final[Mapping[str, Callable[[str, Leaf, Mapping[str, Any], str], str]]] = {
    "jsonl": _plain,
    "cloudevents": cloudevent,
    "ocsf": ocsf,
    "ecs": ecs,
}
"""Each makes a record of the log's origin, a leaf, its event and that event's JSON in ASCII."""
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
_DECODE: Final = json.JSONDecoder().decode
_PRINTABLE: Final = re.compile(r"[ -~]*\Z")
"""JSON of these alone is what `quote` makes of it: nothing in it needs an escape, and it breaks no line."""


def record(name: str, origin: str, leaf: Leaf) -> bytes:
    """Return one line of ASCII JSON, without its end, for a leaf of the log `origin` in format `name`."""
    text = leaf.data.decode()
    event = _DECODE(text)
    if not _PRINTABLE.match(text):
        text = quote(event)
    return FORMATS[name](origin, leaf, event, text).encode("ascii")


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
