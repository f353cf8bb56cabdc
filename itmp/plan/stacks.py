"""Knobs in a document become a stack update, and the one that takes it back.

Rules kept here: pure and deterministic; what is read from the world stands as a placeholder until `gather`.
The limits hold for every value from which the run may start, not only for the one that was read. The way back
is frozen with the plan: it sets the values that were read (or the author's own), and accepts a knob that was
never turned.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from itmp.documents import Document, Problem
from itmp.documents.knobs import KNOBS, Adjust
from itmp.documents.model import Loc
from itmp.plan.model import Change, OnFailure, Operation, Present, PulumiStep
from itmp.plan.sources import KnobNeed, StackFacts, StackNeed


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One stack update that a bound `document` asks for: `adjust` are the knobs, written at `loc`.

    `step` is the step's id, `program` the catalog folder, `stack` the stack's name, `timeout` in seconds.
    """

    document: Document
    loc: Loc
    step: str
    program: str
    stack: str
    adjust: tuple[Adjust, ...]
    title: str = ""
    timeout: int
    on_failure: OnFailure = "stop"

    @property
    def name(self) -> str:
        """The step's title: the author's, or what it does."""
        return self.title or f"Set {', '.join(f'{one.name} to {one.to}' for one in self.adjust)}"[:200]

    def problem(self, index: int, key: str, message: str, suggestion: str = "") -> Problem:
        """Return a problem at `key` of the knob number `index`."""
        return self.document.problem((*self.loc, index, key), message, suggestion)


def stack_need(turn: Turn) -> StackNeed:
    """Return the stack to preview and the present values to read."""
    return StackNeed(
        id=turn.step,
        program=turn.program,
        stack=turn.stack,
        mark=turn.document.mark(*turn.loc),
        config={"knobs": [_entry(one) for one in turn.adjust]},
        knobs=tuple(_knob(one) for one in turn.adjust),
    )


def freeze_stack(turn: Turn, facts: StackFacts | None, problems: list[Problem]) -> PulumiStep | None:
    """Return the stack update; without one, `problems` has grown by every knob that the facts forbid."""
    if facts is None:
        problems.append(turn.document.problem(turn.loc, "no facts were gathered for this stack"))
        return None
    present, found = _presents(turn, facts)
    problems += found
    if found:
        return None
    return PulumiStep(
        id=turn.step,
        title=turn.name,
        program=facts.program,
        stack=turn.stack,
        config=facts.config,
        operations=facts.operations,
        present=present,
        timeout=turn.timeout,
        on_failure=turn.on_failure,
    )


def set_back(
    do: PulumiStep, *, step: str, title: str = "", to: Mapping[str, int] | None = None
) -> PulumiStep:
    """Return the update, called `step`, that takes `do` back to the values that were read, or to `to`.

    `to` maps each knob's id in the document to its value.
    """
    knobs = {entry["id"]: entry for entry in do.config["knobs"]}
    backs = {
        name: _Back(present=value, turned=entry["to"], to=value.value if to is None else to[name])
        for (name, entry), value in zip(knobs.items(), do.present, strict=True)
    }
    return replace(
        do,
        id=step,
        title=title or f"Set back: {do.title}"[:200],
        config={**do.config, "knobs": [{**entry, **backs[name].entry} for name, entry in knobs.items()]},
        operations=tuple(
            backs[one.name].operation(one)
            for one in do.operations
            if one.name in backs and one.op != "delete"
        ),
        present=tuple(back.either for back in backs.values()),
        on_failure="stop",
    )


def reach_problems(turn: Turn, present: Iterable[Present]) -> tuple[Problem, ...]:
    """Return a problem for each knob of `turn` whose change, from anywhere in `present`, is too wide."""
    known = {(value.knob, value.id): value for value in present}
    wanted = [(index, _knob(one)) for index, one in enumerate(turn.adjust)]
    return tuple(
        problem
        for index, need in wanted
        if (need.knob, need.id) in known
        for problem in _too_wide(turn, index, known[need.knob, need.id])
    )


def stack_notes(facts: StackFacts) -> tuple[str, ...]:
    """Return what the approver should know of a stack besides its operations."""
    return tuple(
        f"{operation.name} leaves the stack; the resource itself stays as it is"
        for operation in facts.operations
        if operation.op == "delete"
    )


def _knob(one: Adjust) -> KnobNeed:
    knob, field = KNOBS[one.knob]
    return KnobNeed(knob=knob, id=one.name, field=field)


def _entry(one: Adjust) -> dict[str, Any]:
    need = _knob(one)
    present = f"${{present:{need.knob}:{need.id}:{need.field}}}"
    return {
        "id": one.id,
        "knob": need.knob,
        "name": one.name,
        "arn": f"${{arn:{need.knob}:{need.id}}}",
        "to": one.to,
        "low": one.from_.min if one.from_ else present,
        "high": one.from_.max if one.from_ else present,
        "allow_zero": one.allow_zero,
    }


def _presents(turn: Turn, facts: StackFacts) -> tuple[tuple[Present, ...], list[Problem]]:
    """Return what the update rests on, in the order of its knobs, and what forbids it."""
    read = {(one.knob, one.id, one.field): one for one in facts.present}
    present, problems = [], []
    for index, one in enumerate(turn.adjust):
        need = _knob(one)
        value = read.get((need.knob, need.id, need.field))
        if value is None:
            message = f"the present value of {one.name!r:.120} was not read"
            problems.append(turn.problem(index, "name", message))
            continue
        if one.from_:
            value = replace(value, low=one.from_.min, high=one.from_.max)
        if not value.low <= value.value <= value.high:
            message = f"{one.name} is at {value.value}, outside {value.low} to {value.high}"
            problems.append(turn.problem(index, "from", message))
        present.append(value)
    return tuple(present), [*problems, *reach_problems(turn, present)]


def _too_wide(turn: Turn, index: int, value: Present) -> Iterator[Problem]:
    one = turn.adjust[index]
    step, far = one.limits.max_step, max(abs(one.to - value.low), abs(one.to - value.high))
    if step is not None and far > step:
        start = str(value.value) if value.low == value.high else f"{value.low}..{value.high}"
        message = f"a change of {far}, from {start} to {one.to}; the limit is {step}"
        yield turn.problem(index, "to", message, "go in several plans, or raise max_step")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Back:
    """The way of one knob from `turned` to `to`; `present` is what it was turned from."""

    present: Present
    turned: int
    to: int

    @property
    def either(self) -> Present:
        """What the way back rests on: the knob was turned, or it was not."""
        value = self.present
        return replace(value, low=min(value.low, self.turned), high=max(value.high, self.turned))

    @property
    def entry(self) -> dict[str, Any]:
        """The changed entries of the configuration."""
        # A knob that was never turned is at its target already and needs no range; but one that scales by
        # itself may have moved since, and one with a target of its own may be at either place.
        fixed = self.present.low == self.present.high and self.to == self.present.value
        low, high = (self.turned, self.turned) if fixed else (self.either.low, self.either.high)
        return {"to": self.to, "low": low, "high": high, "allow_zero": self.to == 0}

    def operation(self, do: Operation) -> Operation:
        """Return the operation that answers `do`."""
        inputs = {name: Change(old=change.new, new=change.new) for name, change in do.inputs.items()}
        inputs[self.present.field] = Change(old=self.turned, new=self.to)
        return replace(do, op="same" if self.to == self.turned else "update", inputs=inputs)


__all__ = ["Turn", "freeze_stack", "reach_problems", "set_back", "stack_need", "stack_notes"]
