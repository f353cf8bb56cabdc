"""The frame around the story: numbered members, the plan's bytes, the close, the clocks. Rules 9, 16 and 17.

Of rules 10 and 12 what the gate's check 8 says of the clock.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from itmp import canonical
from itmp.audit import BACKWARD, Finding, Health, Leaf
from itmp.audit.merkle import root_of
from itmp.canonical import Digest, raw
from itmp.change import time_of
from itmp.errors import EvidenceInvalidError
from itmp.plan import Plan

MANIFEST: Final = "plan/manifest"


def numbered(members: Mapping[str, bytes], start: str, end: str) -> list[tuple[int, bytes]]:
    """Return the members `<start><index><end>` by index; raise for a name whose middle is no index."""
    found = []
    for name, data in members.items():
        if name.startswith(start) and name.endswith(end):
            digits = name[len(start) : len(name) - len(end)]
            if not digits.isdecimal() or not digits.isascii() or str(int(digits)) != digits:
                raise EvidenceInvalidError("a name that is no index", where=name)
            found.append((int(digits), data))
    return sorted(found)


def read_plan(members: Mapping[str, bytes], digest: Digest) -> Plan | None:
    """Return the plan of this digest, every artifact checked; `None` when the file holds no part of a plan."""
    mine = {name: data for name, data in members.items() if name.startswith("plan/")}
    if not mine:
        return None
    if canonical.digest(mine.get(MANIFEST, b"")) != digest:
        raise EvidenceInvalidError(f"not the plan of the request, {digest}", where=MANIFEST)
    plan = Plan.from_bytes(mine[MANIFEST], lambda blob: mine[_artifact(blob)])
    names = {_artifact(blob): blob for blob in plan.manifest.artifacts.values()}
    if odd := names.keys() ^ (mine.keys() - {MANIFEST}):
        raise EvidenceInvalidError("an artifact that is missing, or not the plan's", where=min(odd))
    for name, blob in names.items():
        if canonical.digest(mine[name]) != blob:
            raise EvidenceInvalidError("its bytes are not those of its name", where=name)
    return plan


def check_close(events: Sequence[Leaf], *, counts: bool) -> bool:
    """Rule 16: whether the change is closed. `counts` says that the close's own statement does."""
    closes = [leaf for leaf in events if leaf.event.type == "change.closed"]
    if not closes:
        return False
    where = f"leaf {closes[0].index}"
    if len(closes) > 1 or closes[0] != events[-1]:
        raise EvidenceInvalidError("events after the close", where=where)
    hashes = [raw(leaf.hash) for leaf in events[:-1]]
    data = closes[0].event.data or {}
    if (data.get("count"), data.get("root")) != (len(hashes), canonical.of_raw(root_of(hashes))):
        raise EvidenceInvalidError("it does not commit the events before it", where=where)
    if not counts:
        raise EvidenceInvalidError("its statement does not count", where=where)
    return True


def check_clocks(leaves: Mapping[int, Leaf]) -> None:
    """Rule 17: within a boot, monotonic time never falls and wall time not by more than `BACKWARD`."""
    last: dict[str, tuple[int, datetime, int]] = {}
    for index in sorted(leaves):
        event, at = leaves[index].event, time_of(leaves[index])
        if event.mono is None or not event.boot:
            raise EvidenceInvalidError("no monotonic time", where=f"leaf {index}")
        before = last.get(event.boot)
        if before and (event.mono < before[0] or at < before[1] - BACKWARD):
            raise EvidenceInvalidError(
                f"a clock that runs backwards since leaf {before[2]}", where=f"leaf {index}"
            )
        last[event.boot] = (event.mono, at, index)


def healths(leaves: Mapping[int, Leaf]) -> Mapping[int, Health]:
    """Return what the gate's check 8 can have found right before each leaf: a clock behind the leaves before it.

    An honest gate let it pass a moment earlier, so a correction of `BACKWARD` in between accuses nobody.
    """
    found: dict[int, Health] = {}
    newest = datetime.min.replace(tzinfo=UTC)
    for index in sorted(leaves):
        at = time_of(leaves[index])
        found[index] = Health(findings=_behind(at, newest))
        newest = max(newest, at)
    return found


def _behind(at: datetime, newest: datetime) -> tuple[Finding, ...]:
    if newest - at <= BACKWARD:
        return ()
    why = f"it says {at.isoformat()}, and a leaf before it {newest.isoformat()}"
    return (Finding(rule=8, name="clock-behind", place="clock", message=why),)


def _artifact(digest: Digest) -> str:
    return f"plan/artifacts/{digest.removeprefix('sha256:')}"
