"""The resource types of our provider, and which knob each turns: shared by provider, sources and runner.

Rules kept here: pure and light, because the provider process imports it. `expected` and `allow_zero` guard
one call; they are no property of the resource and never make a difference between two states of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from itmp.adapters.aws import GROUP, SERVICE
from itmp.errors import InvalidInputError

GUARDS: Final = frozenset({"expected", "allow_zero"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One resource type: which knob it turns, the input that is the target, and what names the resource."""

    knob: str
    target: str
    identity: tuple[str, ...]

    def resource(self, inputs: Mapping[str, Any]) -> str:
        """Return the knob's resource id: a group's name, or cluster/service."""
        return "/".join(str(inputs[key]) for key in self.identity)


KINDS: Final[Mapping[str, Kind]] = {
    "itmp:aws:AutoScalingGroupCapacity": Kind(knob=GROUP, target="desired", identity=("group",)),
    "itmp:aws:EcsServiceCount": Kind(knob=SERVICE, target="desired_count", identity=("cluster", "service")),
}


def kind_of(resource_type: str) -> Kind:
    """Return the kind; raise `InvalidInputError` for a type that the provider does not have."""
    try:
        return KINDS[resource_type]
    except KeyError:
        known = ", ".join(KINDS)
        raise InvalidInputError(
            f"no resource type {resource_type!r:.80}", do=f"This provider has {known}."
        ) from None


__all__ = ["GUARDS", "KINDS", "Kind", "kind_of"]
