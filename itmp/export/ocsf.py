"""OCSF 1.8.0 (https://github.com/ocsf/ocsf-schema), class API Activity (6003): one leaf is one event.

The activity is `Other` where it is none of create, read, update and delete; `activity_name` is our own type, as the
schema asks.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from itmp.audit import Leaf

VERSION: Final = "1.8.0"
_CATEGORY, _CLASS = 6, 6003
_OTHER: Final = 99
_ACTIVITIES: Final[Mapping[str, int]] = {
    "log.created": 1,
    "plan.compiled": 1,
    "change.opened": 1,
    "log.read": 2,
    "log.exported": 2,
    "policy.changed": 3,
    "key.rotated": 3,
    "action.finished": 3,
    "redaction.done": 4,
}
_SUCCESS: Final = frozenset({"ok", "changed", "skipped"})
_FAILURE: Final = frozenset({"failed", "unreachable", "denied", "not_reached"})
_SEVERE: Final = frozenset({"log.recovered", "log.full", "key.revoked", "change.refused"})
_INFORMATIONAL, _MEDIUM, _HIGH = 1, 3, 4
_SYSTEM, _USER, _SERVICE = 3, 1, 4


def ocsf(origin: str, leaf: Leaf, event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record of a leaf."""
    kind, outcome = str(event["type"]), str(event.get("outcome", ""))
    activity = _ACTIVITIES.get(kind, _OTHER)
    return {
        "category_uid": _CATEGORY,
        "class_uid": _CLASS,
        "activity_id": activity,
        "activity_name": kind,
        "type_uid": _CLASS * 100 + activity,
        "severity_id": _severity(kind, outcome),
        "time": _milliseconds(event),
        "status_id": 1 if outcome in _SUCCESS else 2 if outcome in _FAILURE else 0,
        **({"status_detail": outcome} if outcome else {}),
        "message": " ".join(filter(None, (kind, str(event.get("change", "")), _target(event), outcome))),
        "actor": {"user": _user(event), "app_name": "itmp"},
        "api": {
            "operation": str(event.get("action") or kind),
            "service": {"name": "itmp"},
            "request": {"uid": str(event["id"])},
            **({"response": {"code": event["rc"]}} if "rc" in event else {}),
        },
        "src_endpoint": {"name": origin},
        **({"resources": _resources(event)} if event.get("target") else {}),
        "metadata": {
            "version": VERSION,
            "product": {"name": "itmp", "vendor_name": "itmp"},
            "log_name": origin,
            "event_code": kind,
            "uid": leaf.hash,
            "sequence": leaf.index,
            "original_event_uid": str(event["id"]),
            **({"correlation_uid": event["change"]} if "change" in event else {}),
        },
        "unmapped": {"itmp": event},
    }


def _severity(kind: str, outcome: str) -> int:
    if kind in _SEVERE or outcome == "unknown":
        return _HIGH
    return _MEDIUM if outcome in _FAILURE else _INFORMATIONAL


def _milliseconds(event: Mapping[str, Any]) -> int:
    try:
        return int(datetime.fromisoformat(str(event["t"])).timestamp() * 1000)
    except (KeyError, ValueError, OverflowError):
        return 0


def _user(event: Mapping[str, Any]) -> dict[str, Any]:
    actor = event["actor"]
    kind = {"human": _USER, "machine": _SERVICE}.get(actor.get("kind", ""), _SYSTEM)
    return {
        "name": str(event.get("for") or actor.get("id", "")),
        "uid": str(actor.get("id", "")),
        "type_id": kind,
        **({"credential_uid": actor["key"]} if "key" in actor else {}),
    }


def _target(event: Mapping[str, Any]) -> str:
    return str((event.get("target") or {}).get("id", ""))


def _resources(event: Mapping[str, Any]) -> list[dict[str, Any]]:
    target = event["target"]
    return [{"name": str(target.get("id", "")), "type": str(target.get("kind", ""))}]
