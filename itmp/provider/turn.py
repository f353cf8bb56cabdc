"""Turning a knob: read, guard, ask, read again, call, confirm.

Rules kept here: the order. The executor is asked only for a call that the guards allow, and the present
value is compared again after its answer, right before the call. A call that was sent and not confirmed is a
`HalfDoneError`: it may have happened.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from itmp.adapters.aws import Capacity
from itmp.adapters.pulumi.kinds import Kind
from itmp.errors import NotFoundError, UnknownOutcomeError
from itmp.provider.knobs import Knob, guard

CONFIRM_PAUSES: Final = (0.0, 0.2, 0.5, 1.0, 2.0, 4.0)
"""Seconds between readings that confirm a call: describe calls may lag behind it."""


class Cloud(Protocol):
    """Reads and sets the field of a knob (`itmp.adapters.aws.Aws`)."""

    def read(self, knob: str, resource: str, /) -> Capacity:
        """Return the present capacity."""

    def write(self, knob: str, resource: str, value: int, /) -> None:
        """Set it."""


class HalfDoneError(UnknownOutcomeError):
    """The call was sent but not confirmed: the resource exists, its value must be read."""

    def __init__(self, what: str, *, resource: str, inputs: Mapping[str, Any]) -> None:
        self.resource, self.inputs = resource, inputs
        super().__init__(what, where=resource, do="Read the present value, then resume or reconcile.")


def look(cloud: Cloud, kind: Kind, resource: str) -> Capacity | None:
    """Return the present capacity, or `None` when the resource is gone."""
    try:
        return cloud.read(kind.knob, resource)
    except NotFoundError:
        return None


def turn(
    cloud: Cloud,
    knob: Knob,
    inputs: Mapping[str, Any],
    *,
    ask: Callable[[], None] | None,
    pauses: Sequence[float] = CONFIRM_PAUSES,
) -> None:
    """Set the knob to its target. Without `ask` only the guards are applied (a preview).

    `pauses` are the seconds before each reading that shall confirm the call.
    """
    guard(knob, cloud.read(knob.kind.knob, knob.resource))
    if ask is None:
        return
    ask()
    if not guard(knob, cloud.read(knob.kind.knob, knob.resource)):
        return
    try:
        cloud.write(knob.kind.knob, knob.resource, knob.target)
        seen = _confirm(cloud, knob, pauses)
    except Exception as error:  # the call may have happened, whatever this is
        raise HalfDoneError(str(error), resource=knob.resource, inputs=inputs) from error
    if seen != knob.target:
        what = f"{knob.kind.target} was set to {knob.target} and reads {seen}"
        raise HalfDoneError(what, resource=knob.resource, inputs={**inputs, knob.kind.target: seen})


def _confirm(cloud: Cloud, knob: Knob, pauses: Sequence[float]) -> int:
    seen = -1
    for pause in pauses:
        time.sleep(pause)
        seen = cloud.read(knob.kind.knob, knob.resource).value
        if seen == knob.target:
            break
    return seen


__all__ = ["CONFIRM_PAUSES", "Cloud", "HalfDoneError", "look", "turn"]
