"""What every kind of document does the same way when it becomes a plan.

Rules kept here: pure; what a document says of itself goes into the manifest in one place, `freeze_document`; only
hosts that the plan touches (or may delegate to) are frozen by name, in inventory order; none is acted on that the log
could not name, whose keys are ASCII.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from itmp.documents import Document
from itmp.errors import InvalidInputError
from itmp.plan.bundle import Plan
from itmp.plan.model import (
    AnsibleStep,
    AskStep,
    CheckStep,
    Inventory,
    Kind,
    LeafStep,
    Manifest,
    Moved,
    PulumiStep,
    Review,
    RollingStep,
    Source,
    Step,
    WaitStep,
)
from itmp.plan.sources import Facts

SNAPSHOT: Final = "inventory/snapshot.json"
"""The artifact path of the frozen inventory."""


def batch_hosts(hosts: tuple[str, ...], sizes: Sequence[int | str]) -> tuple[tuple[str, ...], ...]:
    """Return `hosts` cut into batches; each size is a number of hosts or a percentage such as `25%`.

    A percentage is of all hosts, rounded down, but at least one host. The last size repeats until no host is
    left.
    """
    batches: list[tuple[str, ...]] = []
    at = 0
    while at < len(hosts):
        size = sizes[min(len(batches), len(sizes) - 1)]
        count = size if isinstance(size, int) else len(hosts) * int(size.removesuffix("%")) // 100
        batches.append(hosts[at : at + max(count, 1)])
        at += max(count, 1)
    return tuple(batches)


def freeze_document(
    kind: Kind,
    bound: Document,
    inputs: Mapping[str, Any],
    facts: Facts,
    *,
    source: Source,
    steps: tuple[Step, ...],
    undo: tuple[LeafStep, ...],
    notes: tuple[str, ...] = (),
    guards: Mapping[str, str] | None = None,
    artifacts: Mapping[str, bytes] | None = None,
) -> Plan:
    """Return the plan of a bound document whose steps are frozen; `notes` and `artifacts` add to those of `facts`."""
    for step in (*steps, *undo):
        _refuse_unnamed(step, source.path)
    manifest = Manifest(
        kind=kind,
        name=bound.name,
        title=bound.title,
        owner=bound.owner,
        environment=bound.environment,
        risk=bound.risk,
        document=source,
        inputs=dict(sorted(inputs.items())),
        steps=steps,
        undo=undo,
        artifacts={},
        versions=dict(facts.versions),
        sources=facts.sources,
        inventory=_inventory(facts, (*steps, *undo)),
        reviewed=_review(bound),
        moved=_moved(bound),
        notes=(*facts.notes, *notes),
        guards=dict(sorted((guards or {}).items())),
    )
    return Plan.build(manifest, {**facts.artifacts, **(artifacts or {})})


def _inventory(facts: Facts, steps: Sequence[Step]) -> Inventory | None:
    """Return the frozen inventory for `steps` (undo included), or `None` when no inventory was gathered."""
    if facts.inventory is None:
        return None
    wanted = {host for step in steps for host in _touched(step)}
    hosts = tuple(host for host in facts.inventory.hosts if host.name in wanted)
    patterns = tuple(sorted(facts.inventory.patterns))
    names = {host.name for host in hosts}
    return Inventory(
        sources=facts.inventory.sources,
        snapshot=SNAPSHOT,
        hosts=hosts,
        patterns=patterns,
        ways={name: way for name, way in facts.inventory.ways.items() if name in names},
        unpinned=tuple(name for name in facts.inventory.unpinned if name in names),
    )


def _refuse_unnamed(step: Step, where: str) -> None:
    hosts = step.hosts if isinstance(step, AnsibleStep | CheckStep | RollingStep) else ()
    for host in hosts:
        if not host.isascii():
            raise InvalidInputError(
                f"step {step.id} acts on host {host!r:.80}, and the log names what is acted on in ASCII",
                where=where,
                do="Rename it in the inventory; ansible_host may hold its address.",
            )


def _review(document: Document) -> Review | None:
    """Return when the document was reviewed and the last day on which that counts."""
    reviewed = document.reviewed
    return Review(on=reviewed.on.isoformat(), due=reviewed.due.isoformat()) if reviewed else None


def _moved(document: Document) -> Moved:
    """Return what the gate does when hosts are gone or new."""
    rule = document.moved
    return Moved(gone="skip" if rule.gone else "refuse", skip=rule.gone, new=rule.new)


def _touched(step: Step) -> tuple[str, ...]:
    match step:
        case AnsibleStep():
            return (*step.hosts, *step.delegates)
        case CheckStep():
            return step.hosts
        case RollingStep():
            return (*step.hosts, *(host for inner in step.steps for host in _touched(inner)))
        case PulumiStep() | AskStep() | WaitStep():
            return ()
