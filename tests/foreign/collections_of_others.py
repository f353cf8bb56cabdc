"""Collections that others keep, as a team would install them: members of the Python package `ansible`, kept in the cache.

Rules kept here: nothing of them is part of this project (some are under the GPL); the version is the one that belongs to
the ansible-core in use; they are fetched once, by the ordinary client of the package registry.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

_PACKAGE: Final = "ansible==12.3.0"
_WANTED: Final = (
    "ansible/netcommon",
    "ansible/posix",
    "ansible/utils",
    "community/docker",
    "community/library_inventory_filtering_v1",
    "containers/podman",
    "vyos/vyos",
)
_LIBRARIES: Final = ("pywinrm==0.5.0", "pypsrp==0.9.1", "ncclient==0.7.1")
_PATIENCE: Final = 600


def bring(tree: Path, *names: str) -> None:
    """Put collections (`namespace/name`) into the project at `tree`, as `ansible-galaxy collection install -p` does."""
    for name in names:
        shutil.copytree(_cache() / name, tree / "collections" / "ansible_collections" / name)


def libraries() -> Path:
    """Return a folder with the Python packages that connection plugins import when they connect."""
    key = hashlib.sha256(" ".join(_LIBRARIES).encode()).hexdigest()[:12]
    return made(f"libraries-{key}", lambda folder: _pip("install", "--target", str(folder), *_LIBRARIES))


def _cache() -> Path:
    key = hashlib.sha256(" ".join((_PACKAGE, *_WANTED)).encode()).hexdigest()[:12]
    return made(f"collections-{key}", _fetch) / "ansible_collections"


def made(name: str, make: Callable[[Path], None]) -> Path:
    """Return the folder of that name in the cache, made whole before it is there."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "itmp" / "lab"
    if not (home / name).is_dir():
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home) as scratch:
            whole = Path(scratch) / name
            whole.mkdir()
            make(whole)
            try:
                whole.rename(home / name)
            except OSError:  # another process was first
                assert (home / name).is_dir()
    return home / name


def _pip(*words: str) -> None:
    command = [sys.executable, "-m", "pip", *words, "--quiet", "--only-binary=:all:"]
    subprocess.run(command, check=True, timeout=_PATIENCE)


def _fetch(folder: Path) -> None:
    _pip("download", "--no-deps", "--dest", str(folder), _PACKAGE)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        wanted = tuple(f"ansible_collections/{name}/" for name in _WANTED)
        archive.extractall(folder, [name for name in archive.namelist() if name.startswith(wanted)])
    wheel.unlink()
