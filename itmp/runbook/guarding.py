"""What is wrong with the guards and jumps of a runbook, beyond the types.

Rules kept here: a guard speaks of declared inputs and of steps that stand before it (inside `rolling`: before the
block), and compares like with like; `on_failure` may name a later step of the outermost list, so that a run only ever
goes forward; undo has neither.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from itmp.documents import Document, Problem
from itmp.documents.guards import Guard, GuardError, Kind, Names
from itmp.documents.model import Loc
from itmp.documents.problems import did_you_mean
from itmp.plan.guarding import REACTIONS

_TYPES: Final[dict[str, Any]] = {"integer": "integer", "boolean": "boolean"}


class Stage(NamedTuple):
    """A step: place, id, guard, reaction, kind of answer (`None`: it asks nothing), and the steps inside."""

    loc: Loc
    id: str
    when: str | None
    on_failure: str
    answer: Kind | None = None
    inner: "tuple[Stage, ...]" = ()


def guard_findings(document: Document, steps: Sequence[Stage], undo: Sequence[Stage]) -> Iterator[Problem]:
    """Yield every guard that speaks of what is not there, or compares what never fits."""
    inputs = {
        name: Kind(
            type=_TYPES.get(spec.type, "string"),
            choices=tuple(map(str, spec.choices or ())) if spec.type == "string" else (),
        )
        for name, spec in document.inputs.items()
    }
    seen: dict[str, Kind | None] = {}
    every = {one.id for step in steps for one in (step, *step.inner)}
    for step in steps:
        names = Names(inputs=inputs, steps=dict(seen), later=frozenset(every - seen.keys()))
        for one in (step, *step.inner):
            yield from _guard_problem(document, one, names)
        seen |= {one.id: one.answer for one in (*step.inner, step)}
    for back in undo:
        if back.when is not None:
            yield document.problem((*back.loc, "when"), "an undo step has no guard", "remove the key")


def jump_findings(document: Document, steps: Sequence[Stage], undo: Sequence[Stage]) -> Iterator[Problem]:
    """Yield every `on_failure` that leads nowhere, or backward."""
    ids = [step.id for step in steps]
    for at, step in enumerate(steps):
        yield from _jump_problem(document, step, ids[at + 1 :], ids)
        for inner in step.inner:
            if inner.on_failure not in REACTIONS:
                message = "inside rolling write stop, continue or undo"
                do = "only the block itself can lead to another step"
                yield document.problem((*inner.loc, "on_failure"), message, do)
    for back in undo:
        if back.on_failure not in REACTIONS:
            yield document.problem(
                (*back.loc, "on_failure"), "an undo step has stop or continue", "remove the key"
            )


def _guard_problem(document: Document, stage: Stage, names: Names) -> Iterator[Problem]:
    try:
        if stage.when is not None:
            Guard(stage.when).check(names)
    except GuardError as error:
        yield document.problem((*stage.loc, "when"), f"character {error.at}: {error.what}", error.do)


def _jump_problem(document: Document, stage: Stage, later: list[str], ids: list[str]) -> Iterator[Problem]:
    word = stage.on_failure
    if word in REACTIONS or word in later:
        return
    message = f"there is no later step {word!r:.60} to go on at"
    if word in ids:
        message = f"the step {word!r:.60} does not come later, and a run only goes forward"
    near = did_you_mean(word, [*sorted(REACTIONS), *later])
    do = near or "write stop, continue, undo or the id of a later step"
    yield document.problem((*stage.loc, "on_failure"), message, do)
