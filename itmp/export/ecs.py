"""Elastic Common Schema 8.17 (https://www.elastic.co/docs/reference/ecs): one leaf is one document.

Our own fields stand whole under `itmp`, a field set of its own as the schema advises for what it has no field for.
"""

from collections.abc import Mapping
from typing import Any, Final

from itmp.audit import Leaf
from itmp.export.quoting import quote

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


def ecs(origin: str, leaf: Leaf, event: Mapping[str, Any], text: str) -> str:
    """Return the record of a leaf."""
    moment = f'"@timestamp":{quote(event["t"])},' if "t" in event else ""
    trace = f'"trace":{{"id":{quote(event["run"])}}},' if "run" in event else ""
    who = str(event.get("for") or event["actor"].get("id", ""))
    return (
        f'{{{moment}"ecs":{{"version":"{VERSION}"}},"event":{_event(leaf, event)},{_host(event)}"itmp":{text}'
        f',"observer":{{"name":{quote(origin)},"product":"itmp","type":"audit-log"}}'
        f',{trace}"user":{{"name":{quote(who)}}}}}'
    )


def _event(leaf: Leaf, event: Mapping[str, Any]) -> str:
    kind = str(event["type"])
    what = _TYPES.get(kind, "change" if kind.startswith("action.") else "info")
    return (
        f'{{"action":{quote(str(event.get("action") or kind))},"category":["configuration"],"code":{quote(kind)}'
        f',"dataset":"itmp.audit","id":"{leaf.hash}","kind":"event"'
        f',"outcome":"{_outcome(str(event.get("outcome", "")))}","provider":"itmp"'
        f',"sequence":{leaf.index},"type":["{what}"]}}'
    )


def _host(event: Mapping[str, Any]) -> str:
    target = event.get("target") or {}
    named = target.get("kind") == "host" and "id" in target
    return f'"host":{{"name":{quote(str(target["id"]))}}},' if named else ""


def _outcome(outcome: str) -> str:
    if outcome in _UNKNOWN:
        return "unknown"
    return "success" if outcome in _SUCCESS else "failure"
