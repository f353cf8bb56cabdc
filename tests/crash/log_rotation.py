"""A log whose rotation is signed and not begun, killed at a call of its rotation: what must hold when it is opened next."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from log_faults import Actors, differing, points
from promises import named

from itmp.adapters import posix_log
from itmp.adapters.clock import new_id
from itmp.adapters.posix_log import periods
from itmp.audit import Event, SignedCheckpoint, verify
from itmp.change import continue_history, policy_history
from itmp.evidence import archive
from itmp.signing import NoteVerifier
from itmp.testing.on_disk import story_on_disk
from itmp.testing.periods import NEXT, next_key
from itmp.testing.story import EXECUTOR, ORIGIN
from itmp.workspace import handing

LASTING = "2026-01-01T00:00:00Z 2036-01-01T00:00:00Z"
MOVES = frozenset(
    {"rename", "unlink", "unlinkat", "rmdir", "mkdir", "write", "pwrite64", "fsync", "fdatasync", "ftruncate"}
)
"""Calls that change what a crash leaves behind."""


def template(root: Path, reason: str = "") -> Path:
    """Return the state of a log with a signed rotation; a `reason` revokes its key."""
    root.mkdir()
    story = story_on_disk(root)
    state, log, new = root / ".itmp", story.log, next_key()
    size = log.size()
    lines = {"role": "owner", "valid": LASTING, "size": str(size)}
    given = [
        story.sign("rotate", name, **lines, **{"from": log.vkey, "to": new.vkey}) for name in ("alice", "bob")
    ]
    if reason:
        given += [story.sign("recover", name, **lines, reason=reason) for name in ("alice", "bob")]
    folder = state / periods.ROTATION
    folder.mkdir()
    (folder / handing.NEW).write_text(new.to_text() + "\n")
    (folder / handing.NEW).chmod(0o600)
    proposal = {"old": log.vkey, "new": new.vkey, "size": size, "reason": reason}
    (folder / handing.PLAN).write_text(json.dumps(proposal))
    (folder / handing.GIVEN).write_text(json.dumps([one.to_data() for one in given]))
    return state


def rotate(state: Path) -> None:
    """Do what `itmp audit rotate` does once the quorum has signed."""
    log = posix_log.open_log(state)
    handing.end(log, handing.read(state), state, size=log.size())
    handing.finish(state, log)


def strike(actors: Actors, state: Path, *, share: tuple[int, int] = (1, 0)) -> Iterator[str]:
    """Kill the rotation at each call of `MOVES` (of every `share[0]`, the one at `share[1]`); yield what went wrong.

    Of calls at which the same lies there, at the first.
    """
    root = actors.place(state)
    clean = actors.trace("rotate", root)
    assert clean.status == 0, actors.complaint()
    yield from hold(root, "no fault", ended=True)
    found = [point for point in points(clean.trace) if point.name in MOVES]
    assert len(found) > 100
    for point in differing(actors, "rotate", state, found[share[1] :: share[0]]):
        shutil.rmtree(root)
        root = actors.place(state)
        assert actors.strike("rotate", root, point, "kill").struck, point
        yield from hold(root, f"killed at {point.line:.120}")


def hold(state: Path, where: str, *, ended: bool = False) -> Iterator[str]:
    """Open the log as the next command would; yield each promise that is broken."""
    return named(where, _hold(state, ended=ended))


def _hold(state: Path, *, ended: bool) -> Iterator[str]:
    handing.settle(state)
    log = posix_log.open_log(state)
    if log.origin == ORIGIN and not ended:
        log.append(Event(id=new_id(), type="plan.compiled", actor=EXECUTOR))  # the old log goes on
        log.checkpoint()
        rotate(state)
    yield from _joined(state)


def _joined(state: Path) -> Iterator[str]:
    new = posix_log.open_log(state)
    new.append(Event(id=new_id(), type="plan.compiled", actor=EXECUTOR))
    new.checkpoint()
    old = posix_log.open_log(state / periods.PERIODS / "2026")
    if (old.origin, new.origin) != (ORIGIN, NEXT) or periods.pending(state):
        yield f"{old.origin} before {new.origin}, or something is left to do"
    members = archive.unpack((state / periods.PERIODS / "2026.handover").read_bytes())
    head = SignedCheckpoint.open(members["checkpoint"], [NoteVerifier.parse(old.vkey)])
    continue_history(policy_history(old.leaves()), head, policy_history(new.leaves()))
    for log, folder in ((old, state / periods.PERIODS / "2026"), (new, state)):
        reader = posix_log.open_reader(folder / "log")
        found = verify(reader, [NoteVerifier.parse(log.vkey)], genesis=log.leaf(0).hash)
        yield from (f"{log.origin}: {one.name} {one.place}" for one in found if one.grave)
    if [leaf.event.type for leaf in old.leaves()].count("key.rotated") != 1:
        yield "the old log does not end once"
    files = [path for path in state.rglob("*") if path.is_file() and path.name != "trace"]
    keys = [path for path in files if b"PRIVATE+KEY" in path.read_bytes()]
    if keys != [state / "keys/log.key"]:
        yield f"private keys lie here: {keys}"
