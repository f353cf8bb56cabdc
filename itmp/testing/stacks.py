"""Stack facts without an engine: what `PulumiSources` would gather for knobs whose values are given.

Rules kept here: same values, same facts; a knob that is not given is left out, as if it had not been read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from itmp.plan.model import Change, Operation, Present
from itmp.plan.sources import Facts, Needs, Sources, StackFacts, StackNeed

_TYPES = {
    "aws:autoscaling:Group": ("itmp:aws:AutoScalingGroupCapacity", ("group",)),
    "aws:ecs:Service": ("itmp:aws:EcsServiceCount", ("cluster", "service")),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeStackSources:
    """`values` maps a resource id (a group's name, or cluster/service) to its present value."""

    values: Mapping[str, int]
    engine: str = "3.259.0"

    def gather(self, needs: Needs) -> Facts:
        """Return the facts for the stacks of `needs`."""
        stacks = {need.id: self._stack(need) for need in needs.stacks}
        artifacts = {f"program/{need.program}/__main__.py": b"# knobs\n" for need in needs.stacks}
        return Facts(stacks=stacks, artifacts=artifacts, versions={"pulumi": self.engine})

    def _stack(self, need: StackNeed) -> StackFacts:
        entries = [self._entry(entry, need) for entry in need.config["knobs"]]
        present = tuple(
            Present(knob=knob.knob, id=knob.id, field=knob.field, value=value, low=value, high=value)
            for knob in need.knobs
            if (value := self.values.get(knob.id, -1)) >= 0
        )
        fields = {knob.id: knob.field for knob in need.knobs}
        operations = [self._operation(entry, fields[entry["name"]], need) for entry in entries]
        return StackFacts(
            program=f"program/{need.program}",
            config={"knobs": entries},
            operations=tuple(sorted(operations, key=lambda one: one.urn)),
            present=present,
        )

    def _entry(self, entry: Mapping[str, Any], need: StackNeed) -> dict[str, Any]:
        known: dict[str, Any] = {}
        for knob in need.knobs:
            known[f"${{present:{knob.knob}:{knob.id}:{knob.field}}}"] = self.values.get(knob.id, 0)
            known[f"${{arn:{knob.knob}:{knob.id}}}"] = f"arn:aws:double:us-east-1:123456789012:{knob.id}"
        return {key: known.get(value, value) for key, value in entry.items()}

    def _operation(self, entry: Mapping[str, Any], field: str, need: StackNeed) -> Operation:
        kind, identity = _TYPES[entry["knob"]]
        parts = zip(identity, entry["name"].split("/"), strict=True)
        inputs = {name: Change(old=part, new=part) for name, part in parts}
        inputs[field] = Change(old=self.values.get(entry["name"]), new=entry["to"])
        urn = f"urn:pulumi:{need.stack}::{need.program}::{kind}::{entry['id']}"
        return Operation(
            urn=urn, op="create", type=kind, name=entry["id"], inputs=dict(sorted(inputs.items()))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BothSources:
    """Hosts and stacks together, as a workspace gathers them."""

    hosts: Sources
    stacks: Sources

    def gather(self, needs: Needs) -> Facts:
        """Return the facts of each part that `needs` asks for."""
        facts = Facts()
        if needs.plays or needs.patterns:
            facts = facts.joined(self.hosts.gather(needs))
        return facts.joined(self.stacks.gather(needs)) if needs.stacks else facts


__all__ = ["BothSources", "FakeStackSources"]
