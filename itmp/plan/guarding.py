"""Questions, guards and jumps, read off a manifest: what an answer means, what a guard sees, where a failure leads.

Rules kept here: run, verifier and approver ask here, so that they cannot disagree. A guard speaks of inputs and of
steps that stand before it (inside `rolling`: before the block); a jump leads forward only, from one step of the
outermost list to another.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Final

from itmp.canonical import MAX_INT
from itmp.documents.guards import Guard, GuardError, Kind, Known, Names, Value
from itmp.plan.model import AskStep, Manifest, RollingStep, Step

REACTIONS: Final = frozenset({"stop", "continue", "undo"})
_INTEGER: Final = re.compile(r"-?(0|[1-9][0-9]{0,15})")
_KINDS: Final[Mapping[type, Kind]] = {
    bool: Kind(type="boolean"),
    int: Kind(type="integer"),
    str: Kind(type="string"),
}


def answer_value(step: AskStep, text: str) -> Value | None:
    """Return the value that `text` is as an answer to `step`; `None` when it is none."""
    match step.answer:
        case "boolean":
            return {"true": True, "false": False}.get(text)
        case "integer":
            value = int(text) if _INTEGER.fullmatch(text) else None
            return value if value is not None and abs(value) <= MAX_INT else None
        case "choice":
            return text if text in step.choices else None
        case "string":
            return text


def meant(step: AskStep) -> str:
    """Return what may be answered, for people."""
    words = {"boolean": "true or false", "integer": "a whole number", "string": "text"}
    return words.get(step.answer) or "one of: " + ", ".join(step.choices)


def outcome_of(states: Iterable[str]) -> str:
    """Return what `steps.ID.outcome` is when the step's targets are in `states` (see `documents.guards.OUTCOMES`)."""
    found = set(states) - {"not_reached"}
    if "unknown" in found:
        return "unknown"
    if found & {"failed", "unreachable"}:
        return "failed"
    if not found:
        return "pending"
    return "skipped" if found == {"skipped"} else "succeeded"


def known_from(
    manifest: Manifest, states: Mapping[str, Iterable[str]], answers: Mapping[str, Value]
) -> Known:
    """Return what a guard sees where `states` maps a step's id to its targets' states so far."""
    outcomes = {step: outcome_of(found) for step, found in states.items()}
    for block in manifest.steps:
        if isinstance(block, RollingStep):
            inner = [state for step in block.steps for state in states.get(step.id, ())]
            outcomes[block.id] = outcome_of(inner)
    return Known(inputs=manifest.inputs, outcomes=outcomes, answers=answers)


@cache
def guard_of(source: str) -> Guard:
    """Return the guard; it was checked when the plan was made."""
    return Guard(source)


def guards_on(manifest: Manifest, step: str) -> tuple[str, ...]:
    """Return the guards that bind a step: that of the block around it, and its own."""
    around = [
        block.id
        for block in manifest.steps
        if isinstance(block, RollingStep) and any(inner.id == step for inner in block.steps)
    ]
    return tuple(manifest.guards[name] for name in (*around, step) if name in manifest.guards)


def closed_by(guards: Iterable[str], known: Known) -> str:
    """Return why the first of `guards` that does not hold does not; empty when all hold."""
    return next((guard_of(one).why_not(known) for one in guards if not guard_of(one).holds(known)), "")


def jumped(manifest: Manifest, start: str, to: str) -> frozenset[str]:
    """Return the ids of the steps between two steps of the outermost list that a jump passes over.

    Steps that always run are not passed over.
    """
    names = [step.id for step in manifest.steps]
    between = manifest.steps[names.index(start) + 1 : names.index(to)]
    return frozenset(
        one.id
        for step in between
        for one in (step.steps if isinstance(step, RollingStep) else (step,))
        if not one.always
    )


def guard_problems(manifest: Manifest) -> Iterator[str]:
    """Yield what is wrong with the guards of a manifest."""
    seen: dict[str, Kind | None] = {}
    inputs = {name: _KINDS[type(value)] for name, value in manifest.inputs.items() if type(value) in _KINDS}
    used: set[str] = set()
    for step in manifest.steps:
        names = Names(inputs=inputs, steps=dict(seen))
        inner = step.steps if isinstance(step, RollingStep) else ()
        for name in (step.id, *(one.id for one in inner)):
            used.add(name)
            yield from _guard_problem(manifest.guards.get(name), name, names)
        seen |= {one.id: None for one in (*inner, step)}
        seen |= {step.id: answer_kind(step)} if isinstance(step, AskStep) else {}
    yield from (f"a guard on {name!r}, which is no step" for name in manifest.guards if name not in used)


def _guard_problem(source: str | None, step: str, names: Names) -> Iterator[str]:
    try:
        if source is not None:
            Guard(source).check(names)
    except GuardError as error:
        yield f"the guard of step {step!r}: {error.what}"


def answer_kind(step: AskStep) -> Kind:
    """Return the type of a step's answer as a guard sees it."""
    if step.answer == "choice":
        return Kind(type="string", choices=step.choices)
    return Kind(type=step.answer)


def jump_problems(manifest: Manifest) -> Iterator[str]:
    """Yield each `on_failure` that names no later step of the outermost list."""
    names = [step.id for step in manifest.steps]
    for at, step in enumerate(manifest.steps):
        if not _reacts(step, names[at + 1 :]):
            yield f"step {step.id!r}: on_failure {step.on_failure!r} is no later step"
        for inner in step.steps if isinstance(step, RollingStep) else ():
            if not _reacts(inner, ()):
                yield f"step {inner.id!r}: inside rolling on_failure is stop, continue or undo"
    for back in manifest.undo:
        if not _reacts(back, ()):
            yield f"step {back.id!r}: in undo on_failure is stop or continue"


def _reacts(step: Step, later: Iterable[str]) -> bool:
    return step.on_failure in REACTIONS or step.on_failure in set(later)
