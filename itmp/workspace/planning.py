"""Text becomes a plan: validate, plan, read a plan file, compare two.

Rules kept here: what goes into a plan is read once; the environment, risk and quorum that the gate will use come
from the policy, so nothing here decides them; compiling runs inventory scripts with the caller's own rights.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from itmp.audit import Event
from itmp.canonical import Digest, digest
from itmp.errors import EvidenceInvalidError, InvalidInputError, NotFoundError, StaleError
from itmp.plan import Plan, Source, scope
from itmp.workspace.place import EXECUTOR, Workspace

if TYPE_CHECKING:
    from itmp.documents import Document, Problem
    from itmp.documents.parsing import Registry
    from itmp.patching import PatchSchedule
    from itmp.plan import Facts, Needs

__all__ = [
    "SUFFIX",
    "Compiled",
    "approved_plan",
    "compile_plan",
    "keep_plan",
    "logged_plan",
    "read_plan_file",
    "record_compiled",
    "registry",
    "scope",
    "stale_sources",
    "validate",
    "write_file",
    "write_plan",
]

SUFFIX = ".plan.tar"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """A plan and where its file was written."""

    plan: Plan
    file: Path


def validate(place: Workspace, file: Path) -> "Document":
    """Parse one document; raise `DocumentError` with every problem, each at file:line:column."""
    from itmp import documents  # noqa: PLC0415 - pydantic models load late

    return documents.parse(place.relative(file), _read(file), registry())


def registry() -> "Registry":
    """Return the model of each document kind by its `itmp:` key."""
    from itmp import capacity, patching, runbook  # noqa: PLC0415 - as above

    return {"runbook/v1": runbook.Runbook, **patching.KINDS, **capacity.KINDS}


def compile_plan(
    place: Workspace,
    file: Path,
    *,
    inventories: Sequence[str] = (),
    given: Mapping[str, str] | None = None,
) -> Plan:
    """Parse, gather and freeze. Same document, inventory and world give the same digest anywhere."""
    from itmp import documents  # noqa: PLC0415 - as above

    document, notes, left = _answered(place, validate(place, file))
    try:
        inputs = documents.resolve_inputs(document.inputs, given or {})
    except documents.DocumentError as error:
        raise documents.DocumentError([*error.problems, *left]) from error
    source = Source(path=place.relative(file), digest=digest(_read(file)))
    chosen = tuple(inventories) or place.config.inventories
    plan = _freeze(place, document, inputs, source, chosen, notes=notes)
    _tell_unheard(place, plan)
    return plan


def _tell_unheard(place: Workspace, plan: Plan) -> None:
    """Name the shell's settings for Ansible: with them a plan would depend on who compiles it."""
    names = sorted(name for name, value in os.environ.items() if name.startswith("ANSIBLE_") and value)
    if names and place.say and plan.manifest.inventory:
        place.say(f"not heard: {', '.join(names)} of this shell; write such settings into ansible.cfg")


def _answered(place: Workspace, document: Any) -> tuple[Any, tuple[str, ...], "tuple[Problem, ...]"]:
    """Return a runbook with inputs for what its playbooks ask, notes on these, and what is left unanswered."""
    from itmp import runbook  # noqa: PLC0415 - as above
    from itmp.workspace.sources import prompts  # noqa: PLC0415 - as above

    if not isinstance(document, runbook.Runbook):
        return document, (), ()
    found = runbook.answer(document, {name: prompts(place, name) for name in runbook.playbooks(document)})
    return found.document, found.notes, found.left


def write_plan(plan: Plan, file: Path) -> Compiled:
    """Write the plan's transport file and return where it is."""
    from itmp.plan import to_tar  # noqa: PLC0415 - most verbs take the plan from the log

    write_file(file, to_tar(plan))
    return Compiled(plan=plan, file=file)


def write_file(file: Path, data: bytes) -> None:
    """Write a file whole or not at all; say why where it cannot be written."""
    temporary = file.with_name(file.name + ".tmp")
    try:
        temporary.write_bytes(data)
        temporary.replace(file)
    except OSError as error:
        raise InvalidInputError(f"cannot be written: {error.strerror}", where=str(file)) from error


def read_plan_file(path: Path) -> Plan:
    """Return the plan of a file; every byte is checked."""
    from itmp.plan import from_tar  # noqa: PLC0415 - as above

    return from_tar(_read(path))


def logged_plan(place: Workspace, plan: Digest) -> Plan:
    """Return the plan that the log keeps under this digest; every byte is checked against it."""
    return place.plan(plan)


def approved_plan(place: Workspace, digest: Digest) -> Plan:
    """Return the logged plan, whole and in memory: every byte is read anew and compared before anything else happens.

    Raise `StaleError` when the store no longer holds the approved bytes.
    """
    try:
        lazy = Plan.from_bytes(place.log.blob(digest), place.log.blob)
        blobs = {name: lazy.artifacts[name] for name in lazy.artifacts}
    except (EvidenceInvalidError, NotFoundError, InvalidInputError) as error:
        raise StaleError(
            f"the stored plan is not the approved one: {error.what}",
            where=error.where,
            do="Somebody changed or removed the plan's bytes in .itmp/log/blobs. Restore them, or plan again.",
        ) from error
    return replace(lazy, artifacts=blobs)


def keep_plan(place: Workspace, plan: Plan) -> None:
    """Store the manifest and every artifact in the log's blobs."""
    for data in (*plan.artifacts.values(), plan.manifest_bytes):
        place.log.put_blob(data)


def record_compiled(place: Workspace, plan: Plan) -> None:
    """Write `plan.compiled` for a plan that enters the log: its id is the digest's, so it enters once."""
    event = Event(
        id=plan.digest.removeprefix("sha256:")[:32],
        type="plan.compiled",
        actor=dict(EXECUTOR),
        plan=plan.digest,
        data={"name": plan.manifest.name, "kind": plan.manifest.kind},
    )
    place.log.append(event)


def stale_sources(place: Workspace, plan: Plan) -> tuple[str, ...]:
    """Return the workspace files that no longer are what the plan was made from (a warning, never a refusal)."""
    manifest = plan.manifest
    return tuple(
        source.path
        for source in (manifest.document, *manifest.sources)
        if not (place.root / source.path).is_file()
        or digest(_read(place.root / source.path)) != source.digest
    )


def _freeze(
    place: Workspace,
    document: Any,
    inputs: Mapping[str, Any],
    source: Source,
    inventories: tuple[str, ...],
    *,
    notes: tuple[str, ...] = (),
) -> Plan:
    from itmp import capacity, patching, runbook  # noqa: PLC0415 - as above
    from itmp.workspace.sources import gather  # noqa: PLC0415 - as above

    def facts(needs: "Needs") -> "Facts":
        found = gather(place, needs, inventories)
        return replace(found, notes=(*found.notes, *notes))

    match document:
        case runbook.Runbook():
            return runbook.freeze(document, inputs, facts(runbook.needs(document, inputs)), source=source)
        case capacity.CapacityAdjustment():
            return capacity.freeze(document, inputs, facts(capacity.needs(document, inputs)), source=source)
        case patching.PatchSchedule():
            lock = read_lock(place, document)
            found = facts(patching.needs(document, inputs, lock=lock))
            return patching.freeze(document, inputs, found, source=source, lock=lock)
    raise InvalidInputError(f"no way to freeze a {type(document).__name__}")


def read_lock(place: Workspace, document: "PatchSchedule") -> bytes:
    """Return the bytes of a schedule's lockfile; say how to make one where there is none."""
    path = place.root / document.lock
    if not path.is_file():
        raise NotFoundError(
            "the lockfile is missing", where=document.lock, do=f"Make it: itmp patch resolve {document.path}"
        )
    return _read(path)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise NotFoundError(
            f"cannot be read: {error.strerror}", where=str(path), do="Name a file that is there."
        ) from error
