"""`PulumiSources`: the Pulumi part of `gather` (door: `itmp.plan.sources.Sources`).

Rules kept here: nothing is changed. Present values are read by ourselves; the preview runs from the very
bytes that are frozen, in a copy of the stack's state, under a fresh PULUMI_HOME, in a child process without
the action socket, so that the provider could not act if it were asked to. Problems name the place in the
document.
"""

import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from itmp.adapters.aws import Aws, Capacity
from itmp.adapters.pulumi.engine import VERSION
from itmp.adapters.pulumi.operations import normalise
from itmp.adapters.pulumi.place import CloudPlace, Place, StackName, stack_name
from itmp.adapters.pulumi.session import Session
from itmp.canonical import digest
from itmp.errors import Error, InvalidInputError, NotFoundError
from itmp.plan.model import Operation, Present, Source
from itmp.plan.sources import Facts, Needs, StackFacts, StackNeed

CATALOG: Final = "stacks"
CLASSES: Final = "pulumi_itmp"
"""The package of resource classes that stands beside every program."""

_SKIPPED: Final = frozenset({"__pycache__", ".git", ".pulumi"})
_MAX_FILE: Final = 4 * 1024 * 1024


class PulumiSources:
    """Gathers present values, operations and program bytes of the workspace at `root`.

    `state` is the folder of the stacks' state (`.itmp/pulumi`), `engine` the Pulumi executable.
    """

    def __init__(self, root: Path, *, state: Path, engine: Path, cloud: CloudPlace | None = None) -> None:
        self._root, self._place, self._engine = root, Place(state), engine
        self._cloud = cloud or CloudPlace()
        environment = self._cloud.environment
        self._aws = Aws(region=environment.get("AWS_REGION", ""), endpoint=self._cloud.endpoint)

    def gather(self, needs: Needs) -> Facts:
        """Return the Pulumi part of the facts; raise `InvalidInputError` naming every stack at fault."""
        if not needs.stacks:
            return Facts()
        artifacts: dict[str, bytes] = {}
        stacks: dict[str, StackFacts] = {}
        problems: list[str] = []
        for need in needs.stacks:
            try:
                artifacts |= self._bytes(need)
                stacks[need.id] = self._stack(need, artifacts)
            except Error as error:
                problems.append(f"{need.mark}: {error}")
        if problems:
            raise InvalidInputError("\n".join(problems), do="Correct this and plan again.")
        return Facts(
            stacks=stacks, artifacts=artifacts, versions={"pulumi": VERSION}, sources=_sources(artifacts)
        )

    def _bytes(self, need: StackNeed) -> dict[str, bytes]:
        stack_name(need.program, need.stack)
        if need.secrets:
            raise InvalidInputError("stacks take no secrets in this version", do="Remove `secrets`.")
        found: dict[str, bytes] = {}
        for folder in (need.program, CLASSES):
            base = self._root / CATALOG / folder
            if not base.is_dir() or (folder == need.program and not (base / "__main__.py").is_file()):
                known = ", ".join(sorted(path.parent.name for path in base.parent.glob("*/__main__.py")))
                raise NotFoundError(
                    f"no program {CATALOG}/{folder}", do=f"The catalog holds: {known or 'none'}."
                )
            found |= {f"program/{folder}/{name}": data for name, data in _files(base)}
        return found

    def _stack(self, need: StackNeed, artifacts: Mapping[str, bytes]) -> StackFacts:
        read = {(knob.knob, knob.id): self._aws.read(knob.knob, knob.id) for knob in need.knobs}
        config = _resolve(need, read)
        present = tuple(
            Present(knob=knob.knob, id=knob.id, field=knob.field, value=value, low=value, high=value)
            for knob in need.knobs
            for value in (read[knob.knob, knob.id].value,)
        )
        values = {key: capacity.value for key, capacity in read.items()}
        operations = self._preview(stack_name(need.program, need.stack), config, artifacts, values)
        return StackFacts(
            program=f"program/{need.program}", config=config, operations=operations, present=present
        )

    def _preview(
        self,
        name: StackName,
        config: Mapping[str, Any],
        artifacts: Mapping[str, bytes],
        values: Mapping[tuple[str, str], int],
    ) -> tuple[Operation, ...]:
        with tempfile.TemporaryDirectory(prefix="itmp-preview-") as scratch:
            folder = Path(scratch)
            place = self._place.copy(name, folder / "pulumi")
            place.configure(name, config)
            materialise(artifacts, folder)
            session = Session(
                place=place,
                name=name,
                program=folder / "program" / name.program,
                environment=place.environment(self._engine, self._cloud),
                token=secrets.token_hex(16),
                log=folder / "output",
            )
            with session:
                report = session.preview(folder / "plan.json")
        if not report.ok:
            raise InvalidInputError(f"the preview failed: {report.why()}")
        return normalise(report.steps, values)


def materialise(artifacts: Mapping[str, bytes], folder: Path) -> None:
    """Write the program artifacts below `folder`."""
    for path, data in artifacts.items():
        if path.startswith("program/"):
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)


def _files(base: Path) -> list[tuple[str, bytes]]:
    found = []
    for path in sorted(base.rglob("*")):
        parts = path.relative_to(base).parts
        if _SKIPPED & {*parts} or path.suffix == ".pyc" or path.is_dir():
            continue
        if path.is_symlink() or not path.is_file() or path.stat().st_size > _MAX_FILE:
            raise InvalidInputError("a link, special file or too large a file in a program", where=str(path))
        found.append(("/".join(parts), path.read_bytes()))
    return found


def _resolve(need: StackNeed, read: Mapping[tuple[str, str], Capacity]) -> dict[str, Any]:
    known: dict[str, Any] = {}
    for knob in need.knobs:
        capacity = read[knob.knob, knob.id]
        known[f"${{present:{knob.knob}:{knob.id}:{knob.field}}}"] = capacity.value
        known[f"${{arn:{knob.knob}:{knob.id}}}"] = capacity.arn

    def fill(value: Any) -> Any:
        match value:
            case str():
                return known.get(value, value)
            case list() | tuple():
                return [fill(item) for item in value]
            case Mapping():
                return {key: fill(item) for key, item in value.items()}
        return value

    return {key: fill(value) for key, value in sorted(need.config.items())}


def _sources(artifacts: Mapping[str, bytes]) -> tuple[Source, ...]:
    return tuple(
        Source(path=path.replace("program/", f"{CATALOG}/", 1), digest=digest(data))
        for path, data in sorted(artifacts.items())
    )


__all__ = ["PulumiSources", "materialise"]
