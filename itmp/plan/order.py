"""The order of work and what it touches, read off a manifest.

Rules kept here: every reader of a plan (run loop, gate, verifier, approver) takes order, targets and scope
from here, so that they cannot disagree.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from itmp.plan.model import (
    Added,
    AnsibleStep,
    AskStep,
    HostStep,
    LeafStep,
    Manifest,
    PulumiStep,
    RollingStep,
    WaitStep,
)

Phase: TypeAlias = Literal["do", "undo"]


class Part(NamedTuple):
    """One step on one batch. `batch` counts from 1 inside a rolling block and is 0 outside."""

    step: LeafStep
    batch: int
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """How far a plan reaches: its environment, and how many hosts and resources it may change."""

    environment: str
    hosts: int
    resources: int

    @property
    def text(self) -> str:
        """The scope as it stands in a signed statement."""
        return f"env={self.environment} hosts={self.hosts} resources={self.resources}"


def slices(manifest: Manifest, phase: Phase = "do") -> tuple[Part, ...]:
    """Return the parts of a phase in the order of work; a step without hosts in a batch has no part there."""
    if phase == "undo":
        return tuple(Part(step, 0, step_hosts(step)) for step in manifest.undo)
    return tuple(_parts(manifest))


def all_steps(manifest: Manifest) -> tuple[LeafStep, ...]:
    """Return every step that has effects or asks, in order: those inside rolling blocks, then undo."""
    flat: list[LeafStep] = []
    for step in manifest.steps:
        flat.extend(step.steps if isinstance(step, RollingStep) else (step,))
    return (*flat, *manifest.undo)


def step_hosts(step: LeafStep) -> tuple[str, ...]:
    """Return the hosts that a step acts on or asks; none for a stack update, a question or a wait."""
    return step.hosts if isinstance(step, HostStep) else ()


def word_target(step: AskStep | WaitStep) -> str:
    """Return what a question or a wait counts as its one target; no host can be called so."""
    return f"{step.kind}:{step.id}"


def targets(manifest: Manifest, phase: Phase | None = None) -> tuple[str, ...]:
    """Return the hosts that a phase (or, by default, either) acts on or asks, in inventory order."""
    undo = {id(step) for step in manifest.undo}
    wanted = {
        host
        for step in all_steps(manifest)
        if phase is None or (phase == "undo") == (id(step) in undo)
        for host in step_hosts(step)
    }
    known = [host.name for host in manifest.inventory.hosts] if manifest.inventory else []
    return (*(name for name in known if name in wanted), *sorted(wanted.difference(known)))


def delegates(manifest: Manifest) -> tuple[str, ...]:
    """Return the hosts that tasks may be delegated to, sorted."""
    return tuple(
        sorted(
            {host for step in all_steps(manifest) if isinstance(step, AnsibleStep) for host in step.delegates}
        )
    )


def added(manifest: Manifest) -> dict[str, Added]:
    """Return the hosts that plays add while they run, by name; the first declaration of a name counts."""
    found: dict[str, Added] = {}
    for step in all_steps(manifest):
        for one in step.adds if isinstance(step, AnsibleStep) else ():
            found.setdefault(one.name, one)
    return found


def resources(manifest: Manifest) -> tuple[str, ...]:
    """Return the urn of each resource that an operation changes, sorted."""
    steps = [step for step in all_steps(manifest) if isinstance(step, PulumiStep)]
    return tuple(sorted({one.urn for step in steps for one in step.operations if one.op != "same"}))


def scope(manifest: Manifest) -> Scope:
    """Return the plan's scope: hosts of both phases, and changed resources."""
    return Scope(
        environment=manifest.environment, hosts=len(targets(manifest)), resources=len(resources(manifest))
    )


def slice_key(part: Part, phase: Phase = "do") -> str:
    """Return the key of a slice, unique in a run: the step's id, `ID@N` in batch N, `undo:ID`."""
    name = part.step.id if phase == "do" else f"undo:{part.step.id}"
    return f"{name}@{part.batch}" if part.batch else name


def questions(manifest: Manifest) -> dict[str, AskStep]:
    """Return each question of a plan by the key of its slice."""
    return {slice_key(part): part.step for part in slices(manifest) if isinstance(part.step, AskStep)}


def _parts(manifest: Manifest) -> Iterator[Part]:
    for step in manifest.steps:
        if not isinstance(step, RollingStep):
            yield Part(step, 0, step_hosts(step))
            continue
        own = {inner.id: frozenset(step_hosts(inner)) for inner in step.steps}
        for number, batch in enumerate(step.batches, 1):
            for inner in step.steps:
                if isinstance(inner, HostStep):
                    yield from _cut(inner, number, batch, own[inner.id])
                elif isinstance(inner, WaitStep) or number in inner.after:
                    yield Part(inner, number, ())


def _cut(step: HostStep, number: int, batch: tuple[str, ...], own: frozenset[str]) -> Iterator[Part]:
    hosts = tuple(host for host in batch if host in own)
    if hosts:
        yield Part(step, number, hosts)
