"""The Pulumi engine: which one is used, and how it gets here.

Rules kept here: one exact version, the one that the Python SDK is pinned to. It comes, in this order, from
PATH, from the official release archive (checked against the release's checksums file), or from a build of
its Go modules at the versions that `go.mod` and `go.sum` beside this file pin. What was installed lies in
the user's cache, per version, put there by one rename under a lock. A way that fails says why, and the next
one is tried.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from itmp.adapters.pulumi.engine import build, release, store
from itmp.errors import Error, InvalidInputError, ToolMissingError

VERSION: Final = "3.259.0"

WAYS: Final = ("path", "release", "build")
_DO: Final = (
    "Run `itmp engine install`, or put pulumi v{version} on PATH, or name a mirror of its release files in "
    "ITMP_ENGINE_RELEASES."
)

Progress: TypeAlias = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStatus:
    """The engine that would run: `source` is `cache` or `path`, `origin` how it came into the cache."""

    version: str
    path: Path
    source: str
    origin: str = ""

    def to_json(self) -> dict[str, str]:
        """Return it as JSON data."""
        return {"version": self.version, "path": str(self.path), "source": self.source, "origin": self.origin}


def status(version: str = VERSION) -> EngineStatus:
    """Return which engine would run; raise `ToolMissingError` when there is none."""
    cached = store.executable(version)
    if cached.is_file():
        return EngineStatus(version=version, path=cached, source="cache", origin=store.origin(version))
    found = store.on_path(version)
    if found:
        return EngineStatus(version=version, path=found, source="path")
    raise ToolMissingError(f"the Pulumi engine v{version} is not installed", do=_DO.format(version=version))


def find(version: str = VERSION) -> Path:
    """Return the engine's executable; raise `ToolMissingError` when there is none."""
    return status(version).path


def install(
    version: str = VERSION,
    progress: Progress | None = None,
    *,
    ways: Iterable[str] = WAYS,
    releases: str = "",
) -> EngineStatus:
    """Install the engine where it is missing; raise `ToolMissingError` naming why each way failed.

    `releases` is the folder of the release's files (by default ITMP_ENGINE_RELEASES, else the official one).
    Safe from several processes at once: the others wait, and find it installed.
    """
    tell = progress or _silent
    store.check_version(version)
    known: Mapping[str, Callable[[], None]] = {
        "release": lambda: release.install(version, tell, releases),
        "build": lambda: _build(version, tell),
    }
    failures: list[str] = []
    with store.lock(version, tell):
        for way in ways:
            if way == "path" or store.executable(version).is_file():
                found = _found(version)
                if found:
                    tell(f"Pulumi engine v{version}: {found.path}")
                    return found
                continue
            try:
                known[way]()
                return status(version)
            except Error as error:
                failures.append(f"{way}: {error}")
                tell(f"{way}: {error.what}")
    reasons = "\n  ".join(failures)
    raise ToolMissingError(
        f"the Pulumi engine v{version} could not be installed\n  {reasons}", do=_DO.format(version=version)
    )


def _build(version: str, tell: Progress) -> None:
    if version != VERSION:
        raise InvalidInputError(f"only v{VERSION} has pinned modules to build from")
    build.install(version, tell)


def _found(version: str) -> EngineStatus | None:
    try:
        return status(version)
    except ToolMissingError:
        return None


def _silent(_line: str) -> None:
    return


__all__ = ["VERSION", "WAYS", "EngineStatus", "find", "install", "status"]
