"""What a person asks of a lab, whichever its kind: up, run a command there, down.

Rules kept here: `auto` takes the most real kind that this machine can run, and says which kinds it cannot and
why; a fleet started here outlives the command that started it, until `down`.
"""

import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from itmp.errors import NotFoundError, ToolMissingError
from itmp.lab import loopback, namespaces
from itmp.lab._base import base
from itmp.lab._keeping import read_state
from itmp.lab.fleet import Fleet


def supported() -> tuple[tuple[str, str], ...]:
    """Return each kind, the most real first, with the reason why it cannot run here (empty: it can)."""
    try:
        loopback.find_sshd()
        missing = ""
    except ToolMissingError as error:
        missing = error.what
    return ((namespaces.KIND, namespaces.why_not()), (loopback.KIND, missing))


def up(
    folder: Path,
    count: int,
    *,
    kind: Literal["auto", "loopback", "namespaces"] = "auto",
    names: Sequence[str] | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    detached: bool = True,
    report: Callable[[str], None] = lambda _: None,
) -> Fleet:
    """Start `count` hosts and write `hosts.yml` and `known_hosts` into `folder`.

    Raises `ToolMissingError` when the kind (or, for `auto`, every kind) cannot run here, with the reason.
    """
    fleet: Fleet
    if _choose(kind) == namespaces.KIND:
        fleet = namespaces.up(folder, count, names=names, groups=groups, detached=detached, report=report)
    else:
        fleet = loopback.up(folder, count, names=names, groups=groups, detached=detached)
    fleet.write_inventory(fleet.folder / "hosts.yml")
    (fleet.folder / "known_hosts").write_text(fleet.known_hosts, encoding="utf-8")
    return fleet


def prepare(report: Callable[[str], None] = lambda _: None) -> tuple[str, ...]:
    """Build what must stand before the first `up` (about half a minute, once); return the kinds that can run here."""
    able = tuple(name for name, reason in supported() if not reason)
    if namespaces.KIND in able:
        base(report)
    return able


def _choose(kind: str) -> str:
    reasons = dict(supported())
    for name, reason in reasons.items():
        if kind in {"auto", name} and not reason:
            return name
    told = "; ".join(f"{name}: {reason}" for name, reason in reasons.items() if kind in {"auto", name})
    raise ToolMissingError(f"no such lab can run here ({told or f'no kind is called {kind!r}'})")


def attach(folder: Path) -> Fleet:
    """Return the fleet that was started in `folder`; raise `NotFoundError` when there is none."""
    kind = read_state(folder).get("kind")
    match kind:
        case loopback.KIND:
            return loopback.attach(folder)
        case namespaces.KIND:
            return namespaces.attach(folder)
    raise NotFoundError("no fleet came up here", where=str(folder), do="Run `itmp lab up N`.")


def down(folder: Path) -> None:
    """End the fleet in `folder`, whoever started it; nothing happens when it has ended already."""
    attach(folder).down()


def execute(folder: Path, name: str, argv: Sequence[str]) -> int:
    """Run `argv` on host `name` with this process' input and output; return its exit code."""
    return subprocess.run(attach(folder).inside(name, argv), check=False).returncode
