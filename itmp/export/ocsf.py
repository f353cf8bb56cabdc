"""OCSF 1.8.0 (https://github.com/ocsf/ocsf-schema), class API Activity (6003): one leaf is one event.

The activity is `Other` where it is none of create, read, update and delete, and only then `activity_name` is our own
type: it is the schema's caption else, and `metadata.event_code` always says the type.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from itmp.audit import Leaf
from itmp.export.quoting import quote

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
_CAPTIONS: Final[Mapping[int, str]] = {1: "Create", 2: "Read", 3: "Update", 4: "Delete"}
_SUCCESS: Final = frozenset({"ok", "changed", "skipped"})
_FAILURE: Final = frozenset({"failed", "unreachable", "denied", "not_reached"})
_SEVERE: Final = frozenset({"log.recovered", "log.full", "key.revoked", "change.refused"})
_INFORMATIONAL, _MEDIUM, _HIGH = 1, 3, 4
_SYSTEM, _USER, _SERVICE = 3, 1, 4


def ocsf(origin: str, leaf: Leaf, event: Mapping[str, Any], text: str) -> str:
    """Return the record of a leaf."""
    kind, outcome, log = str(event["type"]), str(event.get("outcome", "")), quote(origin)
    activity = _ACTIVITIES.get(kind, _OTHER)
    message = " ".join(filter(None, (kind, str(event.get("change", "")), _target(event), outcome)))
    detail = f',"status_detail":{quote(outcome)}' if outcome else ""
    return (
        f'{{"activity_id":{activity},"activity_name":{quote(_CAPTIONS.get(activity, kind))}'
        f',"actor":{{"app_name":"itmp","user":{_user(event)}}},"api":{_api(event, kind)}'
        f',"category_uid":{_CATEGORY},"class_uid":{_CLASS},"message":{quote(message)}'
        f',"metadata":{_metadata(log, leaf, event)}{_resources(event)},"severity_id":{_severity(kind, outcome)}'
        f',"src_endpoint":{{"name":{log}}}{detail},"status_id":{_status(outcome)}'
        f',"time":{_milliseconds(event)},"type_uid":{_CLASS * 100 + activity},"unmapped":{{"itmp":{text}}}}}'
    )


def _api(event: Mapping[str, Any], kind: str) -> str:
    response = f',"response":{{"code":{quote(event["rc"])}}}' if "rc" in event else ""
    return (
        f'{{"operation":{quote(str(event.get("action") or kind))},"request":{{"uid":{quote(str(event["id"]))}}}'
        f'{response},"service":{{"name":"itmp"}}}}'
    )


def _metadata(log: str, leaf: Leaf, event: Mapping[str, Any]) -> str:
    change = f'"correlation_uid":{quote(event["change"])},' if "change" in event else ""
    return (
        f'{{{change}"event_code":{quote(str(event["type"]))},"log_name":{log}'
        f',"original_event_uid":{quote(str(event["id"]))},"product":{{"name":"itmp","vendor_name":"itmp"}}'
        f',"sequence":{leaf.index},"uid":"{leaf.hash}","version":"{VERSION}"}}'
    )


def _status(outcome: str) -> int:
    return 1 if outcome in _SUCCESS else 2 if outcome in _FAILURE else 0


def _severity(kind: str, outcome: str) -> int:
    if kind in _SEVERE or outcome == "unknown":
        return _HIGH
    return _MEDIUM if outcome in _FAILURE else _INFORMATIONAL


def _milliseconds(event: Mapping[str, Any]) -> int:
    try:
        return int(datetime.fromisoformat(str(event["t"])).timestamp() * 1000)
    except (KeyError, ValueError, OverflowError):
        return 0


def _user(event: Mapping[str, Any]) -> str:
    actor = event["actor"]
    kind = {"human": _USER, "machine": _SERVICE}.get(actor.get("kind", ""), _SYSTEM)
    name, uid = str(event.get("for") or actor.get("id", "")), str(actor.get("id", ""))
    key = f'"credential_uid":{quote(actor["key"])},' if "key" in actor else ""
    return f'{{{key}"name":{quote(name)},"type_id":{kind},"uid":{quote(uid)}}}'


def _target(event: Mapping[str, Any]) -> str:
    return str((event.get("target") or {}).get("id", ""))


def _resources(event: Mapping[str, Any]) -> str:
    target = event.get("target")
    if not target:
        return ""
    name, kind = str(target.get("id", "")), str(target.get("kind", ""))
    return f',"resources":[{{"name":{quote(name)},"type":{quote(kind)}}}]'
