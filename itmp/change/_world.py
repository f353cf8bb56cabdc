"""Checks 6 and 9 of the gate: the world that the plan rests on, and the external record.

Pure: both are gathered by the caller, and only when every other check has passed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from itmp.change._checks import Check, Question
from itmp.change.external import ExternalState
from itmp.plan import Host, Inventory, Manifest, Operation, Present, PulumiStep


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The world now, as gathered.

    `hosts` are those that the plan's patterns select now (`None` for a plan without inventory), `present`
    maps (knob, id, field) to the value now, `operations` maps a stack step's id to the operations of a
    fresh preview (a step that is absent was not previewed). `problems` name what could not be read;
    `external` is the outside record, or `None` with `external_problem`.
    """

    hosts: tuple[Host, ...] | None = None
    present: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    operations: Mapping[str, tuple[Operation, ...]] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    external: ExternalState | None = None
    external_problem: str = ""


def judge_world(question: Question, world: World) -> Check:
    """Check 6."""
    name = "starting state unmoved"
    moved = moved_since(question.plan.manifest, world, again=question.mode == "resume")
    if moved:
        do = "Compile a new plan and compare: itmp plan FILE; itmp diff OLD NEW"
        return Check(n=6, name=name, outcome="refused", why="; ".join(moved), do=do, code=12)
    return Check(n=6, name=name, outcome="ok")


def moved_since(manifest: Manifest, world: World, *, again: bool = False) -> tuple[str, ...]:
    """Say what of the world is not as the plan found it; `again`: parts of it may be done already (a resume)."""
    return (*world.problems, *_hosts(manifest, world), *_stacks(manifest, world, again=again))


def unskipped(hosts: tuple[str, ...], frozen: Inventory | None, world: World | None) -> tuple[str, ...]:
    """Return `hosts` without those that are gone; check 6 has made sure that the plan allows that.

    A host that no inventory holds (`localhost`) cannot be gone from one.
    """
    if frozen is None or world is None or world.hosts is None:
        return hosts
    gone = {host.name for host in frozen.hosts} - {host.name for host in world.hosts}
    return tuple(host for host in hosts if host not in gone)


def _hosts(manifest: Manifest, world: World) -> Iterator[str]:
    if manifest.inventory is None:
        return
    if world.hosts is None:
        yield "the inventory was not read"
        return
    frozen, now = (
        {host.name: host for host in manifest.inventory.hosts},
        {host.name: host for host in world.hosts},
    )
    gone, new = [name for name in frozen if name not in now], [name for name in now if name not in frozen]
    if gone and (manifest.moved.gone == "refuse" or len(gone) > manifest.moved.skip):
        yield f"gone: {_some(gone)}"
    if new and manifest.moved.new == "refuse":
        yield f"new: {_some(new)}"
    other = [name for name, host in frozen.items() if name in now and now[name] != host]
    if other:
        yield f"address, groups or variables changed: {_some(other)}"


def _stacks(manifest: Manifest, world: World, *, again: bool) -> Iterator[str]:
    for step in (*manifest.steps, *manifest.undo):
        if not isinstance(step, PulumiStep):
            continue
        for value in step.present:
            yield from _present(value, step, world, again=again)
        if step.id in world.operations and not _same(step.operations, world.operations[step.id], again=again):
            yield f"step {step.id}: a fresh preview shows other operations"


def _present(value: Present, step: PulumiStep, world: World, *, again: bool) -> Iterator[str]:
    now = world.present.get((value.knob, value.id, value.field))
    reached = {
        operation.inputs[value.field].new for operation in step.operations if value.field in operation.inputs
    }
    if now is None:
        yield f"{value.knob} {value.id}: {value.field} could not be read"
    elif not value.low <= now <= value.high and not (again and now in reached):
        yield f"{value.knob} {value.id}: {value.field} is {now}, the plan rests on {_range(value)}"


def _same(planned: tuple[Operation, ...], now: tuple[Operation, ...], *, again: bool) -> bool:
    """Whether the preview is the approved one; after a partial update, whether nothing else is left."""
    if not again:
        return planned == now
    approved = {operation.urn: operation for operation in planned}
    return all(
        operation.op == "same" or approved.get(operation.urn) == replace(operation) for operation in now
    )


def _range(value: Present) -> str:
    return str(value.low) if value.low == value.high else f"{value.low} to {value.high}"


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")  # noqa: PLR2004 - a line's worth


def judge_external(question: Question, world: World) -> Check:
    """Check 9."""
    name, request = "external record", question.record.request
    reference = request.external if request else ""
    if not reference:
        return Check(n=9, name=name, outcome="ok", why="none is named")
    state, do = world.external, f"Bring {reference} to implement with a matching window, then try again."
    if state is None or state.reference != reference:
        why = f"{reference} could not be read: {world.external_problem or 'no answer'}"
    elif not state.implement:
        why = f"{reference} is in state {state.state}"
    elif state.window is None or not state.window.contains(question.now):
        why = f"{reference} has {'no window' if state.window is None else f'window {state.window.text}'}"
    else:
        return Check(n=9, name=name, outcome="ok", why=f"{reference}: {state.state}")
    return Check(n=9, name=name, outcome="refused", why=why, do=do, code=15)
