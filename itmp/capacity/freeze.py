"""Document and facts become a plan: one stack update, and the one that takes it back.

Rules kept here: pure and deterministic; how knobs become an update, and what limits mean, is `plan.stacks`'.
"""

from collections.abc import Mapping
from typing import Any

from itmp.capacity.model import CapacityAdjustment
from itmp.capacity.needs import STEP, turn
from itmp.documents import DocumentError, Problem, bind
from itmp.plan import model as plan
from itmp.plan.bundle import Plan
from itmp.plan.freezing import freeze_document
from itmp.plan.sources import Facts
from itmp.plan.stacks import freeze_stack, set_back, stack_notes


def freeze(
    document: CapacityAdjustment, inputs: Mapping[str, Any], facts: Facts, *, source: plan.Source
) -> Plan:
    """Return the plan; raise `DocumentError` naming every knob that the facts do not allow.

    `facts` as gathered for `needs(document, inputs)`, `source` the document's path and digest.
    """
    bound = bind(document, inputs)
    problems: list[Problem] = []
    do = freeze_stack(turn(bound), facts.stacks.get(STEP), problems)
    if do is None:
        raise DocumentError(problems)
    return freeze_document(
        "capacity-adjustment",
        bound,
        inputs,
        facts,
        source=source,
        steps=(do,),
        undo=(set_back(do, step=f"undo-{STEP}"),) if bound.undo == "previous" else (),
        notes=stack_notes(facts.stacks[STEP]),
    )


__all__ = ["freeze"]
