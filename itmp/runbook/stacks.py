"""Stack updates in a runbook: which steps may turn which knobs, and what takes them back.

    steps:
      - {id: widen, stack: {program: aws-capacity, name: web, adjust: [{id: web, knob: …, name: …, to: 8}]}}
    undo:
      - {stack: {previous: widen}}

Rules kept here:
1. Among `steps` each stack and each resource stands once: a later step would rest on values that an earlier
   one changes after they were read.
2. A stack is updated as a whole, so it never stands inside `rolling`.
3. A step of `undo` takes back one stack update of `steps`: to the values that were read (`previous`), or to
   values of its own, and then it names the same stack and the same knobs. Where it starts follows from the
   step that it takes back, so it has no `from`.
4. Any other stack update in `undo` touches no stack and no resource that `steps` touch.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, NamedTuple

from pydantic import Discriminator, Tag

from itmp.documents import Block, Document, Problem
from itmp.documents.knobs import PROGRAM, Adjusts, Program, knob_findings
from itmp.documents.model import Loc
from itmp.documents.problems import did_you_mean
from itmp.documents.scalars import Name


class Stack(Block):
    """Knobs that one update turns together: `program` of the catalog `stacks/`, `name` of the stack."""

    program: Program = PROGRAM
    name: Name
    adjust: Adjusts


class Previous(Block):
    """The stack update of the step called `previous`, set back to the values that were read for the plan."""

    previous: Name


def _which(value: Any) -> str:
    back = isinstance(value, Previous) or (isinstance(value, dict) and "previous" in value)
    return "<previous>" if back else "<stack>"


StackBlock = Annotated[
    Annotated[Stack, Tag("<stack>")] | Annotated[Previous, Tag("<previous>")], Discriminator(_which)
]


class Placed(NamedTuple):
    """A stack update, its place in the document and the id of its step."""

    loc: Loc
    step: str
    stack: Stack | Previous

    @property
    def undoes(self) -> bool:
        """Whether it stands in `undo`."""
        return self.loc[0] == "undo"


def taken_back(placed: Sequence[Placed], one: Placed) -> Placed | None:
    """Return the stack update among `steps` that `one`, in `undo`, takes back (rule 3)."""
    return next((do for do in placed if one.undoes and not do.undoes and _answers(one.stack, do)), None)


def _answers(back: Stack | Previous, do: Placed) -> bool:
    if isinstance(back, Previous) or isinstance(do.stack, Previous):
        return isinstance(back, Previous) and back.previous == do.step
    return (back.program, back.name) == (do.stack.program, do.stack.name)


def stack_findings(document: Document, placed: Sequence[Placed]) -> Iterator[Problem]:
    """Yield what is wrong with the stack updates of a runbook, in the document's order, beyond the types."""
    for one in placed:
        if isinstance(one.stack, Stack):
            yield from knob_findings(document, (*one.loc, "stack", "adjust"), one.stack.adjust)
        yield from _origin_findings(document, placed, one)
    yield from _double_stacks(document, placed)
    yield from _double_resources(document, placed)


def _origin_findings(document: Document, placed: Sequence[Placed], one: Placed) -> Iterator[Problem]:
    do = taken_back(placed, one)
    match one.stack:
        case Previous() if not one.undoes:
            message = "previous stands in undo alone"
            yield document.problem((*one.loc, "stack", "previous"), message, "write program, name and adjust")
        case Previous(previous=name) if do is None:
            known = [other.step for other in placed if not other.undoes and isinstance(other.stack, Stack)]
            near = did_you_mean(name, known) or f"steps with a stack: {', '.join(known) or 'none'}"
            place = (*one.loc, "stack", "previous")
            yield document.problem(place, f"no step {name!r} updates a stack", near)
        case Stack() if do is not None and isinstance(do.stack, Stack):
            yield from _knobs_differ(document, one, one.stack, do.step, do.stack)


def _knobs_differ(document: Document, one: Placed, back: Stack, step: str, do: Stack) -> Iterator[Problem]:
    place = (*one.loc, "stack", "adjust")
    mine, theirs = ({(knob.id, *knob.resource) for knob in stack.adjust} for stack in (back, do))
    known = not any("${" in name for _, _, name in mine | theirs)  # else it is checked once they are
    if known and mine != theirs:
        message = f"the stack is the one of step {step!r}, and its knobs are not the same"
        yield document.problem(place, message, f"name the same knobs, or write previous: {step}")
    for index, knob in enumerate(back.adjust):
        if knob.from_:
            message = f"where it starts follows from step {step!r}"
            yield document.problem((*place, index, "from"), message, "remove the key")


def _double_stacks(document: Document, placed: Sequence[Placed]) -> Iterator[Problem]:
    seen: dict[tuple[Any, ...], str] = {}
    for one in placed:
        stack = (taken_back(placed, one) or one).stack
        if isinstance(stack, Previous):
            continue
        key = (one.undoes, stack.program, stack.name)
        if key in seen:
            message = f"the stack {stack.name!r} of {stack.program} is updated by step {seen[key]!r} already"
            wanted = "keep one of them" if one.undoes else "put all its knobs into one step"
            yield document.problem((*one.loc, "stack"), message, wanted)
        seen.setdefault(key, one.step)


def _double_resources(document: Document, placed: Sequence[Placed]) -> Iterator[Problem]:
    seen: dict[tuple[str, str], str] = {}
    for one in placed:
        if isinstance(one.stack, Previous) or taken_back(placed, one):
            continue
        for index, knob in enumerate(one.stack.adjust):
            other = seen.setdefault(knob.resource, one.step)
            if other != one.step:
                message = f"{knob.name!r} is adjusted by step {other!r} already"
                place = (*one.loc, "stack", "adjust", index, "name")
                yield document.problem(place, message, "adjust each resource in one step")


__all__ = ["Placed", "Previous", "Stack", "StackBlock", "stack_findings", "taken_back"]
