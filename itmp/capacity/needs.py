"""What a capacity adjustment needs from the world: one stack preview, and the present value of each knob.

Rules kept here: pure and deterministic; what is read from the world stands as a placeholder until `gather`.
"""

from collections.abc import Mapping
from typing import Any, Final

from itmp.capacity.model import KNOBS, Adjust, CapacityAdjustment
from itmp.documents import bind
from itmp.plan.sources import KnobNeed, Needs, StackNeed

STEP: Final = "adjust"


def needs(document: CapacityAdjustment, inputs: Mapping[str, Any]) -> Needs:
    """Return the stack to preview; `inputs` as `resolve_inputs` gives them."""
    bound = bind(document, inputs)
    return Needs(
        stacks=(
            StackNeed(
                id=STEP,
                program=bound.stack,
                stack=bound.name,
                mark=bound.mark("adjust"),
                config={"knobs": [_entry(one) for one in bound.adjust]},
                knobs=tuple(knob_need(one) for one in bound.adjust),
            ),
        )
    )


def knob_need(one: Adjust) -> KnobNeed:
    """Return the present value that one adjustment rests on."""
    knob, field = KNOBS[one.knob]
    return KnobNeed(knob=knob, id=one.name, field=field)


def _entry(one: Adjust) -> dict[str, Any]:
    need = knob_need(one)
    present = f"${{present:{need.knob}:{need.id}:{need.field}}}"
    return {
        "id": one.id,
        "knob": need.knob,
        "name": one.name,
        "arn": f"${{arn:{need.knob}:{need.id}}}",
        "to": one.to,
        "low": one.from_.min if one.from_ else present,
        "high": one.from_.max if one.from_ else present,
        "allow_zero": one.allow_zero,
    }
