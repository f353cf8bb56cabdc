"""Elastic Common Schema 8.17 (https://www.elastic.co/docs/reference/ecs): one leaf is one document.

Our own fields stand whole under `itmp`, a field set of its own as the schema advises for what it has no field for.
"""

from collections.abc import Mapping
from typing import Any, Final

from itmp.audit import Leaf

VERSION: Final = "8.17.0"
_SUCCESS: Final = frozenset({"ok", "changed", "skipped"})
_UNKNOWN: Final = frozenset({"", "unknown"})
_TYPES: Final[Mapping[str, str]] = {
    "log.created": "creation",
    "plan.compiled": "creation",
    "change.opened": "creation",
    "change.approved": "allowed",
    "permit.issued": "allowed",
    "change.rejected": "denied",
    "change.revoked": "denied",
    "change.refused": "denied",
    "run.started": "start",
    "run.resumed": "start",
    "run.finished": "end",
    "log.read": "access",
    "log.exported": "access",
    "redaction.done": "deletion",
}


def ecs(origin: str, leaf: Leaf, event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record of a leaf."""
    kind, target = str(event["type"]), event.get("target") or {}
    return {
        **({"@timestamp": event["t"]} if "t" in event else {}),
        "ecs": {"version": VERSION},
        "event": {
            "kind": "event",
            "category": ["configuration"],
            "type": [_TYPES.get(kind, "change" if kind.startswith("action.") else "info")],
            "action": str(event.get("action") or kind),
            "code": kind,
            "dataset": "itmp.audit",
            "provider": "itmp",
            "id": leaf.hash,
            "sequence": leaf.index,
            "outcome": _outcome(str(event.get("outcome", ""))),
        },
        "user": {"name": str(event.get("for") or event["actor"].get("id", ""))},
        "observer": {"name": origin, "product": "itmp", "type": "audit-log"},
        **({"host": {"name": str(target["id"])}} if target.get("kind") == "host" else {}),
        **({"trace": {"id": event["run"]}} if "run" in event else {}),
        "itmp": event,
    }


def _outcome(outcome: str) -> str:
    if outcome in _UNKNOWN:
        return "unknown"
    return "success" if outcome in _SUCCESS else "failure"
