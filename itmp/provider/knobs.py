"""What the provider judges: inputs of a knob, its difference, and the guards around the one call.

Rules kept here (pure; every guard is ours, because clouds and their doubles accept nonsense):
1. the target is a whole number, never negative, and zero only with `allow_zero`;
2. the target lies within what the resource itself allows (a group's own minimum and maximum);
3. the resource is the one that was approved: same account, region and identity (`arn`);
4. right before the call the present value lies in `expected`, or is the target already.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from itmp.adapters.aws import Capacity
from itmp.adapters.pulumi.kinds import Kind
from itmp.errors import InvalidInputError, RefusedError, StaleError


@dataclass(frozen=True, slots=True, kw_only=True)
class Knob:
    """Valid inputs of one resource."""

    kind: Kind
    resource: str
    arn: str
    target: int
    low: int
    high: int

    @classmethod
    def parse(cls, kind: Kind, inputs: Mapping[str, Any]) -> "Knob":
        """Return the knob; raise `InvalidInputError` naming every bad input."""
        failures = check(kind, inputs)
        if failures:
            text = "; ".join(f"{name}: {reason}" for name, reason in failures)
            raise InvalidInputError(text, where=kind.knob)
        return cls(
            kind=kind,
            resource=kind.resource(inputs),
            arn=inputs["arn"],
            target=inputs[kind.target],
            low=inputs["expected"]["low"],
            high=inputs["expected"]["high"],
        )


def check(kind: Kind, inputs: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return (input, reason) of everything wrong with `inputs`; guard 1 among them."""
    names = {*kind.identity, "arn", kind.target, "expected", "allow_zero"}
    failures = [(name, "no such input") for name in sorted(set(inputs) - names)]
    for name in (*kind.identity, "arn"):
        value = inputs.get(name)
        if not isinstance(value, str) or not value or (name != "arn" and "/" in value):
            failures.append((name, "must be a name without a slash" if name != "arn" else "must be text"))
    if not isinstance(inputs.get("allow_zero", False), bool):
        failures.append(("allow_zero", "must be true or false"))
    failures += _check_target(kind.target, inputs)
    return (*failures, *_check_expected(inputs.get("expected")))


def _check_target(name: str, inputs: Mapping[str, Any]) -> list[tuple[str, str]]:
    value = inputs.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        return [(name, "must be a whole number")]
    if value < 0:
        return [(name, f"is negative: {value}")]
    if value == 0 and inputs.get("allow_zero") is not True:
        return [(name, "is zero; say allow_zero to scale down to nothing")]
    return []


def _check_expected(value: Any) -> list[tuple[str, str]]:
    if (
        not isinstance(value, Mapping)
        or set(value) != {"low", "high"}
        or not all(map(_whole, value.values()))
    ):
        return [("expected", "must be {low, high}, whole numbers")]
    if not 0 <= value["low"] <= value["high"]:
        return [("expected", "must satisfy 0 <= low <= high")]
    return []


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def difference(kind: Kind, old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, bool]:
    """Return the changed inputs that matter, each with whether it means another resource.

    `expected` and `allow_zero` guard one call and are no property of the resource: they never make a
    difference.
    """
    changed = {name: True for name in (*kind.identity, "arn") if old.get(name) != new.get(name)}
    if old.get(kind.target) != new.get(kind.target):
        changed[kind.target] = False
    return changed


def guard(knob: Knob, now: Capacity) -> bool:
    """Apply guards 2 to 4; return whether a call is still needed (False: the value is the target already)."""
    where = f"{knob.kind.knob} {knob.resource}"
    if now.arn != knob.arn:
        raise StaleError(
            f"it is {now.arn}, the plan says {knob.arn}", where=where, do="Plan again in this account."
        )
    if knob.target < now.floor or (now.ceiling is not None and knob.target > now.ceiling):
        raise RefusedError(
            f"{knob.kind.target} {knob.target} is outside its own limits {now.floor}..{now.ceiling}",
            where=where,
            do="Choose a target within them, or change the limits first.",
        )
    if now.value == knob.target:
        return False
    if not knob.low <= now.value <= knob.high:
        raise StaleError(
            f"{knob.kind.target} is {now.value}, expected {knob.low}..{knob.high}",
            where=where,
            do="Plan again.",
        )
    return True


__all__ = ["Knob", "check", "difference", "guard"]
