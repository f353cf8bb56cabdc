"""What a runbook needs from the world before it can become a plan.

Rules kept here: pure and deterministic; needs stand in the order of the document; every need knows its place.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from itmp.documents import bind
from itmp.documents.model import Loc
from itmp.documents.secrecy import is_reference, parse_reference
from itmp.plan.model import Added
from itmp.plan.probing import command_task
from itmp.plan.rendering import render_play
from itmp.plan.sources import Needs, PlayNeed
from itmp.plan.stacks import Turn, stack_need
from itmp.runbook.model import (
    CheckStep,
    FlatStep,
    HostStep,
    NewHost,
    PlaybookStep,
    RollingStep,
    Runbook,
    StackStep,
    TasksStep,
)
from itmp.runbook.stacks import Stack, taken_back


def needs(document: Runbook, inputs: Mapping[str, Any]) -> Needs:
    """Return the plays to parse, the stacks to preview and the host patterns to resolve.

    `inputs` as `resolve_inputs` gives them.
    """
    bound = bind(document, inputs)
    steps = [(loc, step, block) for loc, step, block in bound.placed() if isinstance(step, HostStep)]
    plays = [one for loc, step, block in steps if (one := play_need(bound, loc, step, block))]
    patterns = [block.rolling.hosts for block in bound.steps if isinstance(block, RollingStep)]
    patterns += [step.hosts for _, step, _ in steps if step.hosts is not None]
    # What takes a stack back is frozen from what it takes back: the world of today says nothing about it.
    fresh = {one.loc for one in bound.stacks() if taken_back(bound.stacks(), one) is None}
    turns = [stack_turn(bound, loc, step) for loc, step, _ in bound.placed() if loc in fresh]
    return Needs(
        plays=tuple(plays),
        stacks=tuple(stack_need(turn) for turn in turns if turn),
        patterns=tuple(dict.fromkeys(patterns)),
        image=bound.execution_environment.image if bound.execution_environment else "",
    )


def stack_turn(document: Runbook, loc: Loc, step: FlatStep) -> Turn | None:
    """Return what a step asks of a stack by itself; `None` for one that names a previous step, or hosts."""
    if not isinstance(step, StackStep) or not isinstance(step.stack, Stack):
        return None
    return Turn(
        document=document,
        loc=(*loc, "stack", "adjust"),
        step=document.step_id(loc),
        program=step.stack.program,
        stack=step.stack.name,
        adjust=step.stack.adjust,
        title=step.title or "",
        timeout=step.timeout,
        on_failure=step.on_failure,
    )


def pattern_of(step: HostStep, block: RollingStep | None) -> str:
    """Return the host pattern of a step: its own, else that of the block around it, else none."""
    return step.hosts or (block.rolling.hosts if block else "")


def play_need(document: Runbook, loc: Loc, step: HostStep, block: RollingStep | None) -> PlayNeed | None:
    """Return the play that a step needs, or `None` for a check from the controller."""
    name, pattern = document.step_id(loc), pattern_of(step, block)
    rendered = _rendered(name, pattern, step)
    if isinstance(step, CheckStep) and rendered is None:
        return None
    need = PlayNeed(
        id=name,
        playbook=step.playbook if isinstance(step, PlaybookStep) else rendered_name(name),
        mark=document.mark(*loc),
        pattern=pattern,
        rendered=rendered,
        public_vars=document.public_vars,
        sliced=block is not None and "undo" not in loc,
    )
    return need if isinstance(step, CheckStep) else _with_vars(need, step)


def _rendered(name: str, pattern: str, step: HostStep) -> bytes | None:
    title = step.title or name
    if isinstance(step, TasksStep):
        return render_play(title, pattern, step.tasks, gather_facts=step.gather_facts)
    if isinstance(step, CheckStep) and step.check.command:
        return render_play(title, pattern, [command_task(f"Check {name}", step.check.command, step.within)])
    return None


def _with_vars(need: PlayNeed, step: PlaybookStep | TasksStep) -> PlayNeed:
    return replace(
        need,
        vars=plain_vars(step),
        secrets=secret_vars(step),
        delegates=step.delegates,
        per_slice=step.per_slice,
        tags=step.tags if isinstance(step, PlaybookStep) else (),
        skip_tags=step.skip_tags if isinstance(step, PlaybookStep) else (),
        adds=tuple(one for one in step.adds if isinstance(one, str)),
        new=new_hosts(step),
    )


def new_hosts(step: PlaybookStep | TasksStep) -> tuple[Added, ...]:
    """Return the hosts of `adds` that no inventory holds."""
    return tuple(
        Added(name=one.name, address=one.address, port=one.port)
        for one in step.adds
        if isinstance(one, NewHost)
    )


def rendered_name(step: str) -> str:
    """Return the catalog name under which a rendered play stands."""
    return f"_itmp_{step}"


def plain_vars(step: PlaybookStep | TasksStep) -> Mapping[str, Any]:
    """Return the variables of a step that are no secrets, by name."""
    return {name: value for name, value in sorted(step.vars.items()) if not is_reference(value)}


def secret_vars(step: PlaybookStep | TasksStep) -> Mapping[str, str]:
    """Return the secret references of a step, by variable."""
    return {
        name: parse_reference(value["secret"])
        for name, value in sorted(step.vars.items())
        if is_reference(value)
    }
