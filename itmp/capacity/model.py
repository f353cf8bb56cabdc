"""The capacity document, `itmp: capacity-adjustment/v1`.

Rules kept here: a document names resources that exist and one value for each; it creates and deletes nothing.
Limits are the author's own promise, checked when the plan is made; the provider's guards hold besides them.
Zero is never an accident: it needs `allow_zero`. Every finding is reported at once, at its place.
"""

from collections.abc import Iterator
from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints

from itmp.documents import Block, Document, Problem
from itmp.documents.model import Loc
from itmp.documents.scalars import Duration, Name, Templated

KNOBS: Final = {
    "autoscaling-group": ("aws:autoscaling:Group", "desired"),
    "ecs-service": ("aws:ecs:Service", "desired_count"),
}
"""What a document calls a knob → the knob and its field."""

MAX_VALUE: Final = 100_000
"""Far above any quota for one group or service: a larger number is a typing error."""

STACK_TIMEOUT: Final = 1800

Program = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=100)]
Resource = Annotated[
    str,
    StringConstraints(
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)?$", max_length=255
    ),
]
Count = Annotated[int, Field(ge=0, le=MAX_VALUE)]


class Span(Block):
    """Where the present value must lie before the change, for groups that scale by themselves."""

    min: Count
    max: Count


class Limits(Block):
    """What this document may do at most: `max_step` is the largest change, up or down."""

    min: Count = 0
    max: Count = MAX_VALUE
    max_step: Annotated[int, Field(ge=1, le=MAX_VALUE)] | None = None


class Adjust(Block):
    """One knob: `name` is a group's name, or cluster/service. Without `from` the value read must hold."""

    id: Name
    knob: Literal["autoscaling-group", "ecs-service"]
    name: Templated[Resource]
    to: Templated[Count]
    from_: Annotated[Span | None, Field(alias="from")] = None
    limits: Limits = Limits()
    allow_zero: bool = False


class CapacityAdjustment(Document):
    """Values for knobs. `undo: previous` turns every knob back to the value that was read for the plan."""

    itmp: Literal["capacity-adjustment/v1"]
    stack: Program = "aws-capacity"
    adjust: Annotated[tuple[Adjust, ...], Field(min_length=1, max_length=100)]
    undo: Literal["previous", "none"] = "previous"
    on_failure: Literal["stop", "undo"] = "stop"
    timeout: Duration = STACK_TIMEOUT

    def findings(self) -> Iterator[Problem]:
        """Yield what is wrong beyond the types."""
        yield from super().findings()
        yield from self._repeated()
        if self.on_failure == "undo" and self.undo == "none":
            yield self.problem(("on_failure",), "there is nothing to undo", "write undo: previous")
        for index, one in enumerate(self.adjust):
            yield from self._adjust(("adjust", index), one)

    def _repeated(self) -> Iterator[Problem]:
        ids: set[str] = set()
        names: set[tuple[str, str]] = set()
        for index, one in enumerate(self.adjust):
            if one.id in ids:
                yield self.problem(("adjust", index, "id"), f"the id {one.id!r} occurs twice")
            if (one.knob, one.name) in names:
                message = f"{one.name!r} is adjusted twice"
                yield self.problem(("adjust", index, "name"), message, "keep one of them")
            ids.add(one.id)
            names.add((one.knob, one.name))

    def _adjust(self, loc: Loc, one: Adjust) -> Iterator[Problem]:
        if one.limits.min > one.limits.max:
            yield self.problem((*loc, "limits"), "min is above max")
        if one.from_ and one.from_.min > one.from_.max:
            yield self.problem((*loc, "from"), "min is above max")
        if "${" not in one.name and ("/" in one.name) != (one.knob == "ecs-service"):
            wanted = "cluster/service" if one.knob == "ecs-service" else "the group's name, without a slash"
            yield self.problem(
                (*loc, "name"), f"not a name of this knob: {one.name!r:.120}", f"write {wanted}"
            )
        if isinstance(one.to, int):
            yield from self._target(loc, one, one.to)

    def _target(self, loc: Loc, one: Adjust, to: int) -> Iterator[Problem]:
        place = (*loc, "to")
        if to == 0 and not one.allow_zero:
            yield self.problem(place, "0 switches it off", "write allow_zero: true if that is meant")
        if not one.limits.min <= to <= one.limits.max:
            yield self.problem(place, f"{to} is outside the limits {one.limits.min} to {one.limits.max}")
