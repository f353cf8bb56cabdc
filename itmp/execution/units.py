"""The slices of a plan in the order of work, as a run goes through them.

Rules kept here:
- Order is the plan's. Inside `rolling` a batch passes all its steps before the next batch begins; undo comes last.
- A stack is carried out as a whole, and so is a question or a wait: on no hosts.
"""

from dataclasses import dataclass
from typing import Final

from itmp.execution.conformance import targets
from itmp.execution.doors import Phase, Slice
from itmp.plan import (
    AnsibleStep,
    AskStep,
    LeafStep,
    Manifest,
    PulumiStep,
    RollingStep,
    WaitStep,
    slice_key,
    slices,
)
from itmp.plan.guarding import guards_on

_PHASES: Final[tuple[Phase, Phase]] = ("do", "undo")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One slice as the plan knows it: `batch` counts from 1 within its rolling `block`, and is 0 outside."""

    key: str
    step: LeafStep
    hosts: tuple[str, ...]
    phase: Phase = "do"
    block: RollingStep | None = None
    batch: int = 0
    when: tuple[str, ...] = ()

    @property
    def word(self) -> bool:
        """Whether it is a question or a wait: nothing acts."""
        return isinstance(self.step, AskStep | WaitStep)

    @property
    def whole(self) -> bool:
        """Whether it is carried out as a whole, on no hosts."""
        return self.word or isinstance(self.step, PulumiStep)

    @property
    def targets(self) -> tuple[str, ...]:
        """Hosts, or the resources that its operations change."""
        return targets(self.part(self.hosts))

    @property
    def opens(self) -> bool:
        """Whether carrying it out opens its batch: not what closes it (`always`), nor what changes nothing."""
        return not self.step.always and isinstance(self.step, AnsibleStep | PulumiStep)

    def part(self, hosts: tuple[str, ...]) -> Slice:
        """Return the slice that carries this out on `hosts`."""
        return Slice(key=self.key, step=self.step, hosts=hosts, phase=self.phase)


def order(manifest: Manifest) -> tuple[Unit, ...]:
    """Return the plan's slices in the order of work, undo last."""
    blocks = {
        id(inner): step for step in manifest.steps if isinstance(step, RollingStep) for inner in step.steps
    }
    return tuple(
        Unit(
            key=slice_key(part, phase),
            step=part.step,
            hosts=part.hosts,
            phase=phase,
            block=blocks.get(id(part.step)),
            batch=part.batch,
            when=guards_on(manifest, part.step.id) if phase == "do" else (),
        )
        for phase in _PHASES
        for part in slices(manifest, phase)
    )


def undoes(unit: Unit) -> str:
    """Return the id of the one step that an undo step takes back; empty for all of them."""
    return unit.step.undoes if isinstance(unit.step, AnsibleStep) else ""
