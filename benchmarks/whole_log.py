"""Verify a log of many events as an auditor does: events a second for hashing alone and in full, and memory.

    python benchmarks/whole_log.py [EVENTS]

The log is written by our own encoder, without syncing; each measurement runs in a process of its own, and counts
the seconds of its one core.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from itmp.adapters import posix_log
from itmp.audit import Checkpoint, Event, verify
from itmp.audit.merkle import Frontier, Tree, leaf_hashes
from itmp.audit.tiles import ENTRIES, encode_bundle, tiles_of
from itmp.canonical import of_raw
from itmp.signing import NoteKey
from itmp.testing.memory_log import genesis

ORIGIN = "example.com/ops/2026"
KEY = NoteKey.generate(ORIGIN, bytes(32))
IN_A_CHANGE = 10
START = datetime(2026, 1, 1, tzinfo=UTC)
BOOT = "11111111-2222-3333-4444-555555555555"


class Writer:
    """Honest events, ten a change, the last of each its close."""

    def __init__(self) -> None:
        self.chain, self.previous = Frontier(), b""

    def leaf(self, index: int) -> bytes:
        stamp = (START + timedelta(milliseconds=index)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        clocks: dict[str, Any] = {"t": stamp, "mono": index * 1_000_000, "boot": BOOT}
        if index == 0:
            first = genesis(ORIGIN, KEY.vkey)
            return Event(
                id="0" * 32, type=first.type, actor=first.actor, data=first.data, **clocks
            ).to_bytes()
        number, at = divmod(index - 1, IN_A_CHANGE)
        if at == 0:
            self.chain, self.previous = Frontier(), b""
        last = at == IN_A_CHANGE - 1
        closing = {"count": self.chain.size, "root": of_raw(self.chain.root())}
        data = closing if last else {"path": "project/play.yml", "line": at}
        event = Event(
            id=f"{index:032x}", type="change.closed" if last else "action.finished",
            actor={"kind": "executor", "id": "i@example.com"}, change=f"CHG-{number:010x}", plan="sha256:" + "1" * 64,
            run="run-1", step="restart", action="ansible.builtin.service", target={"kind": "host", "id": f"web{at}"},
            outcome="changed", rc=0, data=data, cseq=at, cprev=of_raw(self.previous) if self.previous else "", **clocks,
        )  # fmt: skip
        leaf = event.to_bytes()
        [self.previous] = leaf_hashes([leaf])
        self.chain.append(self.previous)
        return leaf


def write(folder: Path, count: int) -> None:
    """Write `count` events as bundles, tiles and one signed head."""
    tree, writer = Tree(), Writer()
    for tile in tiles_of(count):
        path = folder / tile.path
        path.parent.mkdir(parents=True, exist_ok=True)
        if tile.level == ENTRIES:
            leaves = [writer.leaf(n) for n in range(tile.start, tile.start + tile.width)]
            tree.extend(leaf_hashes(leaves))
            path.write_bytes(encode_bundle(leaves))
        else:
            path.write_bytes(tile.content(tree))
    note = KEY.sign(Checkpoint(origin=ORIGIN, size=count, root=tree.root()).to_text())
    (folder / "history").mkdir()
    for path in (folder / "checkpoint", folder / "history" / f"{count}.note"):
        path.write_bytes(note)


def measure(folder: Path, *, events: bool) -> None:
    """Verify and print what it cost, as JSON."""
    start = time.process_time()
    findings = verify(posix_log.open_reader(folder), [KEY.verifier], events=events)
    spent = time.process_time() - start
    assert findings == (), findings[:3]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": spent, "mb": peak}))


def main() -> None:
    if sys.argv[1:2] == ["--measure"]:
        measure(Path(sys.argv[2]), events=sys.argv[3] == "full")
        return
    count = int(sys.argv[1]) if sys.argv[1:] else 100_000
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), count)
        for how in ("hashing", "full"):
            call = [sys.executable, __file__, "--measure", name, how]
            told = json.loads(subprocess.run(call, check=True, capture_output=True, text=True).stdout)
            rate = count / told["seconds"]
            print(
                f"{how:8} {count:>9,} events: {rate:>9,.0f} events/s on one core, {told['mb']:.0f} MB at most"
            )


if __name__ == "__main__":
    main()
