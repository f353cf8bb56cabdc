"""Custody: which folders and sockets are closed to child processes, and by what means this machine can close them.

Rules kept here: once something is closed, every child that this process starts is started with it closed, or not at
all; a child is shown those parts of it that its own work lies in, and no other child's; the means are the strongest
that a trial child could be given here, found once; where there are none, children run, and whoever asks `means()` is
told `none`. Permits carry that word, and evidence repeats it.

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
    """What this process has closed and the means found for it."""

    def __init__(self) -> None:
        self.closed: set[str] = set()
        self.further: set[str] = set()
        self.found: dict[tuple[str, ...], Means] = {}


_CUSTODY: Final = _Custody()


def close(path: Path) -> None:
    """Close `path`, a folder or a socket, to every child that this process starts from now on."""
    _CUSTODY.closed.add(str(path.resolve()))


def close_too(path: Path) -> None:
    """Close `path` as well, wherever anything is closed at all: without a closed state there is no custody."""
    _CUSTODY.further.add(str(path.resolve()))


def shelter() -> Path:
    """Return where scratch and connections of all runs of this account lie, in memory where there is such."""
    shared = Path("/dev/shm")  # noqa: S108 -- a private folder in it
    return (shared if shared.is_dir() else Path("/tmp")) / f"itmp-{os.getuid()}"  # noqa: S108 -- as above; TMPDIR may be too long


def means() -> Means:
    """Return how what is closed is closed to children: `none` where nothing here can close it."""
    closed = _present()
    if not closed:
        return "none"
    if closed not in _CUSTODY.found:
        able = (level for level in _STRONGEST_FIRST if _holds(level, closed))
        _CUSTODY.found[closed] = next(able, "none")
    return _CUSTODY.found[closed]


def closed(path: Path) -> bool:
    """Tell whether `path` is closed, or lies in a closed folder."""
    place = path.resolve()
    return any(place.is_relative_to(one) for one in _CUSTODY.closed | _CUSTODY.further)


def supervision(
    life: int, grace: float, argv: Sequence[str], shown: Sequence[Path] = (), *, uncovered: bool = False
) -> list[str]:
    """Return the command line of a supervisor for `argv` that keeps closed what is, but for the parts `shown`.

    `uncovered`: it closes nothing.
    """
    return [
        *_started(life, grace),
        *("none" if uncovered else means(), *_list(_present())),
        *_list([str(path) for path in shown]),
        *argv,
    ]


def _present() -> tuple[str, ...]:
    closed = {path for path in _CUSTODY.closed if Path(path).exists()}
    further = {path for path in _CUSTODY.further if closed and Path(path).exists()}
    return tuple(sorted(closed | further))


def _started(life: int, grace: float) -> list[str]:
    return [sys.executable, "-I", "-S", MAIN, str(life), str(grace)]


def _list(texts: Sequence[str]) -> list[str]:
    return [str(len(texts)), *texts]


def _holds(level: Means, closed: tuple[str, ...]) -> bool:
    """Whether a child can be started with `closed` closed by `level`: one is."""
    life, lifeline = os.pipe()
    try:
        done = subprocess.run(
            [*_started(life, 1.0), level, *_list(closed), *_list(()), "true"],
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


__all__ = ["Means", "close", "close_too", "closed", "means", "shelter", "supervision"]
