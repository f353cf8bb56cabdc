"""`itmp patch resolve`: ask the first ring which versions it would install, and write them into the lockfile.

Rules kept here: hosts are only read, with the caller's own rights and the pinned host keys; the lockfile is text for
people to review and commit; a plan freezes its bytes, so what is approved names exact versions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from itmp import patching
from itmp.adapters import apt
from itmp.canonical import Digest, digest
from itmp.documents import resolve_inputs
from itmp.errors import InvalidInputError
from itmp.patching import PatchSchedule, read_lock
from itmp.workspace import planning
from itmp.workspace.place import Workspace
from itmp.workspace.sources import gather


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedPackage:
    """One package of a lockfile: installed version (empty: not installed yet) and the one to install."""

    name: str
    old: str
    new: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A lockfile that was written."""

    file: Path
    digest: Digest
    packages: tuple[LockedPackage, ...]


def patch_resolve(
    place: Workspace, file: Path, *, inventories: Sequence[str] = (), given: Mapping[str, str] | None = None
) -> Resolved:
    """Read ring 0 by real `apt-get -s` and write the lockfile that the schedule names."""
    document = planning.validate(place, file)
    if not isinstance(document, PatchSchedule):
        raise InvalidInputError(
            "is not a patch schedule", where=str(file), do="Only patch schedules have versions to resolve."
        )
    resolve_inputs(document.inputs, given or {})
    facts = gather(place, apt.reading_needs(document), tuple(inventories) or place.config.inventories)
    data = patching.resolve(document, apt.read(document, facts))
    path = place.root / document.lock
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    lock = read_lock(data, document.lock)
    packages = tuple(
        LockedPackage(name=name, old=one.old, new=one.new) for name, one in lock.packages.items()
    )
    return Resolved(file=path, digest=digest(data), packages=packages)
