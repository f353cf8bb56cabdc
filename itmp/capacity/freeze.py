"""Document and facts become a plan: one stack update, and the one that takes it back.

Rules kept here: pure and deterministic. The limits hold for every value from which the run may start, not
only for the one that was read. The undo is frozen with the plan: it sets the values that were read, and
accepts a knob that was never turned.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from itmp.capacity.model import Adjust, CapacityAdjustment
from itmp.capacity.needs import STEP, knob_need
from itmp.documents import DocumentError, Problem, bind
from itmp.plan import model as plan
from itmp.plan.bundle import Plan
from itmp.plan.freezing import freeze_moved, freeze_review
from itmp.plan.sources import Facts, StackFacts


def freeze(
    document: CapacityAdjustment, inputs: Mapping[str, Any], facts: Facts, *, source: plan.Source
) -> Plan:
    """Return the plan; raise `DocumentError` naming every knob that the facts do not allow.

    `facts` as gathered for `needs(document, inputs)`, `source` the document's path and digest.
    """
    bound = bind(document, inputs)
    stack = facts.stacks.get(STEP)
    if stack is None:
        raise DocumentError([bound.problem(("adjust",), "no facts were gathered for this stack")])
    freezer = _Freezer(bound, stack)
    present = freezer.present()
    if freezer.problems:
        raise DocumentError(freezer.problems)
    do = freezer.step(present)
    manifest = plan.Manifest(
        kind="capacity-adjustment",
        name=bound.name,
        title=bound.title,
        owner=bound.owner,
        environment=bound.environment,
        risk=bound.risk,
        document=source,
        inputs=dict(sorted(inputs.items())),
        steps=(do,),
        undo=(freezer.undo(do),) if bound.undo == "previous" else (),
        artifacts={},
        versions=dict(facts.versions),
        sources=facts.sources,
        reviewed=freeze_review(bound),
        moved=freeze_moved(bound),
        notes=(*facts.notes, *freezer.notes()),
    )
    return Plan.build(manifest, facts.artifacts)


@dataclass(slots=True)
class _Freezer:
    """Freezes knob by knob and keeps every problem met on the way."""

    document: CapacityAdjustment
    stack: StackFacts
    problems: list[Problem] = field(default_factory=list)

    def present(self) -> tuple[plan.Present, ...]:
        """Return what the plan rests on."""
        read = {(one.knob, one.id, one.field): one for one in self.stack.present}
        found = []
        for index, one in enumerate(self.document.adjust):
            need = knob_need(one)
            value = read.get((need.knob, need.id, need.field))
            if value is None:
                self._problem(index, "name", f"the present value of {one.name!r:.120} was not read")
                continue
            low, high = (one.from_.min, one.from_.max) if one.from_ else (value.value, value.value)
            self._check(index, one, value.value, low, high)
            found.append(replace(value, low=low, high=high))
        return tuple(found)

    def _check(self, index: int, one: Adjust, now: int, low: int, high: int) -> None:
        to, step = _to(one), one.limits.max_step
        if not low <= now <= high:
            self._problem(index, "from", f"{one.name} is at {now}, outside {low} to {high}")
        far = max(abs(to - low), abs(to - high))
        if step is not None and far > step:
            start = str(now) if low == high else f"{low}..{high}"
            message = f"a change of {far}, from {start} to {to}; the limit is {step}"
            self._problem(index, "to", message, "go in several plans, or raise max_step")

    def step(self, present: tuple[plan.Present, ...]) -> plan.PulumiStep:
        """Return the stack update."""
        names = ", ".join(f"{one.name} to {one.to}" for one in self.document.adjust)
        return plan.PulumiStep(
            id=STEP,
            title=f"Set {names}"[:200],
            program=self.stack.program,
            stack=self.document.name,
            config=self.stack.config,
            operations=self.stack.operations,
            present=present,
            timeout=self.document.timeout,
            on_failure=self.document.on_failure,
        )

    def undo(self, do: plan.PulumiStep) -> plan.PulumiStep:
        """Return the update that sets the values back that were read."""
        back = {one.id: value for one, value in zip(self.document.adjust, do.present, strict=True)}
        to = {one.id: _to(one) for one in self.document.adjust}
        entries = [{**entry, **_turned(back[entry["id"]], to[entry["id"]])} for entry in do.config["knobs"]]
        return replace(
            do,
            id=f"undo-{STEP}",
            title=f"Set back: {do.title}"[:200],
            config={**do.config, "knobs": entries},
            operations=tuple(
                _back(operation, back[operation.name], to[operation.name])
                for operation in do.operations
                if operation.name in back and operation.op != "delete"
            ),
            present=tuple(_either(back[name], to[name]) for name in back),
            on_failure="stop",
        )

    def notes(self) -> tuple[str, ...]:
        """Return what the approver should know besides."""
        return tuple(
            f"{operation.name} leaves the stack; the resource itself stays as it is"
            for operation in self.stack.operations
            if operation.op == "delete"
        )

    def _problem(self, index: int, key: str, message: str, suggestion: str = "") -> None:
        self.problems.append(self.document.problem(("adjust", index, key), message, suggestion))


def _to(one: Adjust) -> int:
    if not isinstance(one.to, int):
        raise TypeError("the document is not bound")
    return one.to


def _turned(value: plan.Present, to: int) -> dict[str, Any]:
    """Return the changed entries of a knob. A group that scales by itself may have moved since."""
    ranged = value.low != value.high
    return {
        "to": value.value,
        "low": min(value.low, to) if ranged else to,
        "high": max(value.high, to) if ranged else to,
        "allow_zero": value.value == 0,
    }


def _either(value: plan.Present, to: int) -> plan.Present:
    """Return what the undo rests on: the knob was turned, or it was not."""
    return replace(value, low=min(value.low, to), high=max(value.high, to))


def _back(operation: plan.Operation, value: plan.Present, to: int) -> plan.Operation:
    kept = {name: plan.Change(old=change.new, new=change.new) for name, change in operation.inputs.items()}
    kept[value.field] = plan.Change(old=to, new=value.value)
    return replace(operation, op="same" if to == value.value else "update", inputs=kept)


__all__ = ["freeze"]
