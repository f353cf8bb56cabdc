"""What a capacity adjustment needs from the world: one stack preview, and the present value of each knob."""

from collections.abc import Mapping
from typing import Any, Final

from itmp.capacity.model import CapacityAdjustment
from itmp.documents import bind
from itmp.plan.sources import Needs
from itmp.plan.stacks import Turn, stack_need

STEP: Final = "adjust"


def needs(document: CapacityAdjustment, inputs: Mapping[str, Any]) -> Needs:
    """Return the stack to preview; `inputs` as `resolve_inputs` gives them."""
    return Needs(stacks=(stack_need(turn(bind(document, inputs))),))


def turn(bound: CapacityAdjustment) -> Turn:
    """Return the one stack update of a bound document; its stack is called like the document."""
    return Turn(
        document=bound,
        loc=("adjust",),
        step=STEP,
        program=bound.stack,
        stack=bound.name,
        adjust=bound.adjust,
        timeout=bound.timeout,
        on_failure=bound.on_failure,
    )
