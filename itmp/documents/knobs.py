"""What a document may say of capacity: knobs of living resources, the value that each shall have, and limits.

Rules kept here: a knob is one number of a resource that exists; nothing is created or deleted. Limits are the
author's own promise, checked when the plan is made; the provider's guards hold besides them. Zero is never an
accident: it needs `allow_zero`. Every finding is reported at once, at its place.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints

from itmp.documents.model import Block, Document, Loc
from itmp.documents.problems import Problem
from itmp.documents.scalars import Name, Templated

KNOBS: Final = {
    "autoscaling-group": ("aws:autoscaling:Group", "desired"),
    "ecs-service": ("aws:ecs:Service", "desired_count"),
}
"""What a document calls a knob → the knob and its field."""

MAX_VALUE: Final = 100_000
"""Far above any quota for one group or service: a larger number is a typing error."""

PROGRAM: Final = "aws-capacity"
STACK_TIMEOUT: Final = 1800

Program = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=100)]
"""A folder of the catalog `stacks/`."""

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

    @property
    def resource(self) -> tuple[str, str]:
        """What is adjusted, the same for every document that names it."""
        return self.knob, self.name


Adjusts = Annotated[tuple[Adjust, ...], Field(min_length=1, max_length=100)]
"""The knobs that one stack turns together."""


def knob_findings(document: Document, loc: Loc, adjust: Sequence[Adjust]) -> Iterator[Problem]:
    """Yield what is wrong with the knobs at `loc` of `document`, beyond the types."""
    ids: set[str] = set()
    resources: set[tuple[str, str]] = set()
    for index, one in enumerate(adjust):
        place = (*loc, index)
        if one.id in ids:
            yield document.problem((*place, "id"), f"the id {one.id!r} occurs twice")
        if one.resource in resources:
            yield document.problem((*place, "name"), f"{one.name!r} is adjusted twice", "keep one of them")
        ids.add(one.id)
        resources.add(one.resource)
        yield from _findings(document, place, one)


def _findings(document: Document, loc: Loc, one: Adjust) -> Iterator[Problem]:
    if one.limits.min > one.limits.max:
        yield document.problem((*loc, "limits"), "min is above max")
    if one.from_ and one.from_.min > one.from_.max:
        yield document.problem((*loc, "from"), "min is above max")
    if "${" not in one.name and ("/" in one.name) != (one.knob == "ecs-service"):
        wanted = "cluster/service" if one.knob == "ecs-service" else "the group's name, without a slash"
        message = f"not a name of this knob: {one.name!r:.120}"
        yield document.problem((*loc, "name"), message, f"write {wanted}")
    if isinstance(one.to, int):
        yield from _target_findings(document, (*loc, "to"), one, one.to)


def _target_findings(document: Document, loc: Loc, one: Adjust, to: int) -> Iterator[Problem]:
    if to == 0 and not one.allow_zero:
        yield document.problem(loc, "0 switches it off", "write allow_zero: true if that is meant")
    if not one.limits.min <= to <= one.limits.max:
        yield document.problem(loc, f"{to} is outside the limits {one.limits.min} to {one.limits.max}")


__all__ = [
    "KNOBS",
    "MAX_VALUE",
    "PROGRAM",
    "STACK_TIMEOUT",
    "Adjust",
    "Adjusts",
    "Limits",
    "Program",
    "Span",
    "knob_findings",
]
