"""Where engines lie: `$XDG_CACHE_HOME/itmp/engine/v<version>/pulumi`, and PATH.

Rules kept here: an engine appears by one rename, and only after it has said its own version; whoever installs
holds the lock. Nothing here is deleted that is in use.
"""

import fcntl
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from itmp.errors import InvalidInputError, ToolMissingError

NAME: Final = "pulumi"
_VERSION: Final = re.compile(r"[0-9]{1,4}\.[0-9]{1,5}\.[0-9]{1,5}")
_SECONDS: Final = 20


def check_version(version: str) -> None:
    """Raise `InvalidInputError` for anything but three numbers: the text becomes a path and a URL."""
    if not _VERSION.fullmatch(version):
        raise InvalidInputError(f"not an engine version: {version!r:.40}", do="Write it as 3.259.0.")


def folder() -> Path:
    """Return the folder of all engines."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(named) if named.startswith("/") else Path.home() / ".cache"
    return base / "itmp" / "engine"


def executable(version: str) -> Path:
    """Return where that version lies, or would lie."""
    return folder() / f"v{version}" / NAME


def origin(version: str) -> str:
    """Return how that version came here, as far as it is known."""
    try:
        return str(json.loads((folder() / f"v{version}" / "origin.json").read_text())["origin"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def on_path(version: str) -> Path | None:
    """Return a fitting engine on PATH."""
    found = shutil.which(NAME)
    return Path(found) if found and says(Path(found)) == f"v{version}" else None


def says(path: Path) -> str:
    """Return the version that an executable reports, or an empty text."""
    environment = {"PATH": os.defpath, "HOME": "/nonexistent", "PULUMI_SKIP_UPDATE_CHECK": "true"}
    try:
        done = subprocess.run(
            [path, "version"], env=environment, capture_output=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else ""


@contextmanager
def lock(version: str, tell: Callable[[str], None]) -> Iterator[None]:
    """Hold the right to install that version; wait for another process that holds it."""
    try:
        folder().mkdir(mode=0o700, parents=True, exist_ok=True)
        file = (folder() / f".v{version}.lock").open("w")
    except OSError as error:
        raise ToolMissingError(
            f"the cache cannot be written: {error.strerror}",
            where=str(folder()),
            do="Set XDG_CACHE_HOME to a folder of yours.",
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell("another process is installing the engine; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def staging(version: str) -> Iterator[Path]:
    """Give a folder on the same file system; it is removed afterwards."""
    made = Path(tempfile.mkdtemp(prefix=f".v{version}.", dir=folder()))
    try:
        yield made
    finally:
        with suppress(OSError):
            shutil.rmtree(made)


def place(candidate: Path, version: str, origin_text: str) -> None:
    """Put a staged executable where it belongs; raise `InvalidInputError` when it is not that version."""
    candidate.chmod(0o755)
    reported = says(candidate)
    if reported != f"v{version}":
        raise InvalidInputError(f"the executable reports {reported!r:.60} instead of v{version}")
    target = executable(version)
    target.parent.mkdir(mode=0o755, exist_ok=True)
    with candidate.open("rb") as file:
        os.fsync(file.fileno())
    (target.parent / "origin.json").write_text(json.dumps({"origin": origin_text}))
    candidate.replace(target)


__all__ = [
    "NAME",
    "check_version",
    "executable",
    "folder",
    "lock",
    "on_path",
    "origin",
    "place",
    "says",
    "staging",
]
