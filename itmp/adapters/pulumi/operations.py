"""The engine's steps as normalised operations, and whether a fresh preview is still the approved one.

Rules kept here (pure):
1. bookkeeping of the engine (the stack itself, default providers) is no operation of ours;
2. one operation per resource; the steps of a replacement are one `replace`;
3. inputs are those that change, old and new. A knob of ours adopts what exists: its identity and its target
   are always shown, the old target is our own reading where the engine has none, guards are left to the
   configuration, which is approved by itself;
4. no floats, no times, no random ids, no machine paths: same world, same operations.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from itmp.adapters.pulumi.kinds import GUARDS, KINDS, Kind
from itmp.plan.model import Change, Operation

_PASSIVE: Final = frozenset({"refresh", "read"})
_PARTS: Final = frozenset(
    {"create-replacement", "delete-replaced", "discard-replaced", "remove-pending-replace"}
)
_SETTING: Final = frozenset({"create", "update", "same"})

Readings = Mapping[tuple[str, str], int]
"""(knob, resource id) → the present value, read by ourselves."""


def bookkeeping(resource_type: str) -> bool:
    """Whether a resource is the engine's own."""
    return resource_type == "pulumi:pulumi:Stack" or resource_type.startswith("pulumi:providers:")


def normalise(steps: Iterable[Mapping[str, Any]], present: Readings) -> tuple[Operation, ...]:
    """Return the operations of a preview, sorted by urn."""
    found: dict[str, Operation] = {}
    for step in steps:
        if step["stage"] != "pre" or step["op"] in _PASSIVE | _PARTS or bookkeeping(step["type"]):
            continue
        found[step["urn"]] = _operation(step, present)
    return tuple(found[urn] for urn in sorted(found))


def _operation(step: Mapping[str, Any], present: Readings) -> Operation:
    old, new = step["old"] or {}, step["new"] or {}
    kind = KINDS.get(step["type"])
    inputs = _knob(kind, old, new, present) if kind and step["op"] != "delete" else _changed(old, new)
    return Operation(
        urn=step["urn"], op=step["op"], type=step["type"], name=step["urn"].rpartition("::")[2], inputs=inputs
    )


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Change]:
    return {
        name: Change(old=_plain(old.get(name)), new=_plain(new.get(name)))
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    }


def _knob(kind: Kind, old: Mapping[str, Any], new: Mapping[str, Any], present: Readings) -> dict[str, Change]:
    adopted = {name: new.get(name) for name in (*kind.identity, "arn")}
    before = {**adopted, kind.target: present.get((kind.knob, kind.resource(new))), **old}
    changed = _changed(
        {name: value for name, value in before.items() if name not in GUARDS},
        {name: value for name, value in new.items() if name not in GUARDS},
    )
    shown = {name: Change(old=before.get(name), new=new.get(name)) for name in (*kind.identity, kind.target)}
    return dict(sorted({**shown, **changed}.items()))


def _plain(value: Any) -> Any:
    match value:
        case float():
            return int(value) if value.is_integer() else repr(value)
        case list():
            return [_plain(item) for item in value]
        case dict():
            return {key: _plain(item) for key, item in value.items()}
    return value


def targets(operations: Iterable[Operation]) -> dict[tuple[str, str], int]:
    """Return (knob, resource id) → the value that it shall have."""
    found: dict[tuple[str, str], int] = {}
    for operation in operations:
        kind = KINDS.get(operation.type)
        if kind and kind.target in operation.inputs:
            resource = kind.resource({name: operation.inputs[name].new for name in kind.identity})
            found[kind.knob, resource] = operation.inputs[kind.target].new
    return found


def differences(planned: Iterable[Operation], fresh: Iterable[Operation], *, again: bool) -> tuple[str, ...]:
    """Return in words how a fresh preview differs from the approved one; nothing: it may be applied.

    `again` says that a part may have been carried out before (a resume, or an undo): then an operation on a
    knob may have become another one that sets the same target, or none at all.
    """
    approved, now = {one.urn: one for one in planned}, {one.urn: one for one in fresh}
    return tuple(_compare(approved, now, again=again))


def _compare(
    approved: Mapping[str, Operation], now: Mapping[str, Operation], *, again: bool
) -> Iterator[str]:
    for urn in sorted({*approved, *now}):
        why = _difference(approved.get(urn), now.get(urn), again=again)
        if why:
            yield f"{urn.rpartition('::')[2]}: {why}"


def _difference(planned: Operation | None, fresh: Operation | None, *, again: bool) -> str:
    if planned is None:
        return f"{_words(fresh)} is not in the plan" if fresh else ""
    if fresh is None:
        return "" if again and planned.op == "delete" else f"{planned.op} is no longer needed"
    if _equal(planned, fresh) or (again and _settled(planned, fresh)):
        return ""
    return f"{_words(fresh)}, approved was {_words(planned)}"


def _equal(planned: Operation, fresh: Operation) -> bool:
    if (planned.op, planned.type, planned.name) != (fresh.op, fresh.type, fresh.name):
        return False
    if planned.inputs.keys() != fresh.inputs.keys():
        return False
    free = _target(planned)  # its old value may lie anywhere in the approved range: that is checked by itself
    return all(
        change.new == fresh.inputs[name].new and (name == free or change.old == fresh.inputs[name].old)
        for name, change in planned.inputs.items()
    )


def _settled(planned: Operation, fresh: Operation) -> bool:
    target = _target(planned)
    if not target or planned.type != fresh.type or not {planned.op, fresh.op} <= _SETTING:
        return False
    return all(
        planned.inputs[name].new == fresh.inputs[name].new
        for name in (*KINDS[planned.type].identity, target)
        if name in planned.inputs and name in fresh.inputs
    )


def _target(operation: Operation) -> str:
    kind = KINDS.get(operation.type)
    return kind.target if kind else ""


def _words(operation: Operation) -> str:
    changes = [
        f"{name} {change.old} → {change.new}"
        for name, change in operation.inputs.items()
        if change.old != change.new
    ]
    return f"{operation.op} {', '.join(changes)}".strip()


__all__ = ["Readings", "bookkeeping", "differences", "normalise", "targets"]
