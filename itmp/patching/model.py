"""The patch schedule document, `itmp: patch-schedule/v1`.

Rules kept here: rings stand in the order in which they are patched, the first is the one that versions are
resolved on; a host is in one ring; downgrades are never part of a schedule, removals only when it says so.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, StringConstraints, WithJsonSchema

from itmp.documents import Block, Document, Problem
from itmp.documents.model import Loc
from itmp.documents.scalars import REFERENCE, Duration, Line, Name, Templated, parse_percent
from itmp.patching.checks import Check
from itmp.patching.lock import PackageName

Pattern = Annotated[str, StringConstraints(pattern=r"^[^\s@-][^\n\t]*$", max_length=500)]
_PART: Final = r"[A-Za-z0-9_-][A-Za-z0-9_.-]*"
LockPath = Annotated[str, StringConstraints(pattern=rf"^{_PART}(/{_PART})*\.json$", max_length=300)]
"""A path in the workspace; no part of it begins with a dot."""


def _batch(value: Any) -> Any:
    whole = isinstance(value, int) and not isinstance(value, bool) and value > 0
    if whole or (isinstance(value, str) and REFERENCE.fullmatch(value)):
        return value
    return parse_percent(value)


BatchSize = Annotated[
    int | str,
    BeforeValidator(_batch),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": "%$"}]}),
]
Failures = Templated[Annotated[int, Field(ge=0)]]


class Ring(Block):
    """Hosts that are patched together, in batches; `max_failures` overrides the schedule's."""

    name: Name
    title: Line | None = None
    hosts: Pattern
    batches: Annotated[tuple[BatchSize, ...], Field(min_length=1)] = ("100%",)
    max_failures: Failures | None = None


class PatchSchedule(Document):
    """Rings of hosts and the packages to bring to locked versions."""

    itmp: Annotated[Literal["patch-schedule/v1"], WithJsonSchema({"const": "patch-schedule/v1"})]
    lock: LockPath
    rings: Annotated[tuple[Ring, ...], Field(min_length=1)]
    packages: Literal["all"] | Annotated[tuple[PackageName, ...], Field(min_length=1)] = "all"
    allow_removals: bool = False
    reboot: Literal["if-needed", "never", "always"] = "if-needed"
    reboot_timeout: Templated[Duration] = 600
    timeout: Templated[Duration] = 3600
    max_failures: Failures = 0
    become: bool = False
    checks: tuple[Check, ...] = ()

    def host_references(self, loc: Loc) -> bool:
        """Say whether `${host.…}` may stand at `loc`: inside the http check."""
        return loc[0] == "checks" and "http" in loc

    def findings(self) -> Iterator[Problem]:
        """Yield what is wrong beyond the types."""
        yield from super().findings()
        yield from self._names("rings", [ring.name for ring in self.rings], "name")
        yield from self._names("checks", [check.id for check in self.checks], "id")
        for index, check in enumerate(self.checks):
            if sum(one is not None for one in (check.http, check.tcp, check.command)) != 1:
                yield self.problem(("checks", index), "exactly one of http, tcp and command expected")

    def _names(self, key: str, names: list[str], inner: str) -> Iterator[Problem]:
        for index, name in enumerate(names):
            if name in names[:index]:
                yield self.problem((key, index, inner), f"{name!r} occurs twice", "name each differently")
