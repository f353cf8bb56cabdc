"""The patch schedule document, `itmp: patch-schedule/v1`.

Rules kept here: rings stand in the order in which they are patched, the first is the one that versions are
resolved on; a host is in one ring; downgrades are never part of a schedule, removals only when it says so.
"""

from collections.abc import Iterator
from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints, WithJsonSchema

from itmp.documents import Block, Document, Problem
from itmp.documents.checks import check_findings
from itmp.documents.model import ExecutionEnvironment, Loc
from itmp.documents.scalars import BatchSize, Duration, HostPattern, Line, Name, Templated
from itmp.patching.checks import Check
from itmp.patching.lock import PackageName

_PART: Final = r"[A-Za-z0-9_-][A-Za-z0-9_.-]*"
LockPath = Annotated[str, StringConstraints(pattern=rf"^{_PART}(/{_PART})*\.json$", max_length=300)]
"""A path in the workspace; no part of it begins with a dot."""


Failures = Templated[Annotated[int, Field(ge=0)]]


class Ring(Block):
    """Hosts that are patched together, in batches; `max_failures` overrides the schedule's."""

    name: Name
    title: Line | None = None
    hosts: HostPattern
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
    execution_environment: ExecutionEnvironment | None = None

    def host_references(self, loc: Loc) -> bool:
        """Say whether `${host.…}` may stand at `loc`: inside http and tcp checks."""
        return loc[0] == "checks" and bool({"http", "tcp"} & set(loc))

    def findings(self) -> Iterator[Problem]:
        """Yield what is wrong beyond the types."""
        yield from super().findings()
        yield from self._names("rings", [ring.name for ring in self.rings], "name")
        yield from self._names("checks", [check.id for check in self.checks], "id")
        for index, check in enumerate(self.checks):
            yield from check_findings(self, ("checks", index), check)

    def _names(self, key: str, names: list[str], inner: str) -> Iterator[Problem]:
        for index, name in enumerate(names):
            if name in names[:index]:
                yield self.problem((key, index, inner), f"{name!r} occurs twice", "name each differently")
