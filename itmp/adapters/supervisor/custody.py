"""Custody: which folders are closed to child processes, and by what means this machine can close them.

Rules kept here: once a folder is closed, every child that this process starts is started with it closed, or not at
all; the means are the strongest that a trial child could be given here, found once; where there are none, children
run, and whoever asks `means()` is told `none`. Permits carry that word, and evidence repeats it.

Who is trusted: this process, which keeps its own view. What a child may still do as our uid outside the closed folders,
and daemons that act for it, are beyond this: see docs/threat-model.md.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal, TypeAlias

Means: TypeAlias = Literal["namespaces", "user-namespace", "landlock", "none"]

MAIN: Final = str(Path(__file__).with_name("_main.py"))
_STRONGEST_FIRST: Final[tuple[Means, ...]] = ("namespaces", "user-namespace", "landlock")
_TRIAL: Final = 30.0


class _Custody:
    """This process's closed folders and the means found for them."""

    def __init__(self) -> None:
        self.folders: set[str] = set()
        self.found: dict[tuple[str, ...], Means] = {}


_CUSTODY: Final = _Custody()


def close(folder: Path) -> None:
    """Close `folder`, a workspace's state, to every child that this process starts from now on."""
    _CUSTODY.folders.add(str(folder.resolve()))


def means() -> Means:
    """Return how the closed folders are closed to children: `none` where nothing here can close them."""
    folders = _present()
    if not folders:
        return "none"
    if folders not in _CUSTODY.found:
        able = (level for level in _STRONGEST_FIRST if _holds(level, folders))
        _CUSTODY.found[folders] = next(able, "none")
    return _CUSTODY.found[folders]


def closed(path: Path) -> bool:
    """Tell whether `path` lies in a closed folder."""
    place = path.resolve()
    return any(place.is_relative_to(folder) for folder in _CUSTODY.folders)


def supervision(life: int, grace: float, argv: Sequence[str], *, uncovered: bool = False) -> list[str]:
    """Return the command line of a supervisor for `argv` that keeps the closed folders closed, unless `uncovered`."""
    return _command(life, grace, "none" if uncovered else means(), _present(), argv)


def _present() -> tuple[str, ...]:
    return tuple(folder for folder in sorted(_CUSTODY.folders) if Path(folder).is_dir())


def _command(
    life: int, grace: float, level: Means, folders: tuple[str, ...], argv: Sequence[str]
) -> list[str]:
    own = [sys.executable, "-I", "-S", MAIN, str(life), str(grace)]
    return [*own, level, str(len(folders)), *folders, *argv]


def _holds(level: Means, folders: tuple[str, ...]) -> bool:
    """Whether a child can be started with `folders` closed by `level`: one is."""
    life, lifeline = os.pipe()
    try:
        done = subprocess.run(
            _command(life, 1.0, level, folders, ["true"]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.environ.get("PATH", os.defpath)},  # a trial needs none of the executor's secrets
            pass_fds=(life,),
            timeout=_TRIAL,
            check=False,
        )
    finally:
        os.close(life)
        os.close(lifeline)
    return done.returncode == 0


__all__ = ["Means", "close", "closed", "means", "supervision"]
