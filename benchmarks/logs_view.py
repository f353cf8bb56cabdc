"""How long `logs`, `status` and `change show` take on a long log, and how fast the search index is made.

`python benchmarks/logs_view.py [RESULTS]` (default 1,000,000) writes a log of one change whose run has that many
results and failed (such a run is told at greatest length), below a folder of its own that it removes, and prints one
JSON object. `first_look` is taken before there is any index: seconds from the command to its 50th line, by the clock
with nothing taken off, and of the processor. All other times of commands are medians above a bare start of the
interpreter. Fails when the first screen of `logs` takes over 300 ms, with an index or without one, or the index is made
slower than 30,000 events/s; all are judged by processor time above a bare start, which other work on the machine
changes least.
"""

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from itmp.adapters import posix_log
from itmp.adapters.clock import new_id
from itmp.adapters.index import NAME
from itmp.adapters.posix_log import frames
from itmp.audit import Receipt, leaf_digest
from itmp.canonical import dumps
from itmp.change import Permit
from itmp.testing.story import ORIGIN, Story, small_plan
from itmp.workspace import Workspace

RESULTS = 1_000_000
HOSTS = 500
FIRST_SCREEN = 0.300
REBUILD = 30_000
ROUNDS = 7


def results(first: Receipt, count: int) -> Iterator[bytes]:
    """Yield the leaves that follow a run's first result, chained as the log chains them; one in 1,000 failed."""
    value, previous = json.loads(first.leaf.data), first.hash
    begin = value["cseq"]
    for n in range(1, count):
        bad = n % 1000 == 999
        value |= {
            "id": f"{(1 << 100) + n:032x}",
            "cseq": begin + n,
            "cprev": previous,
            "target": {"kind": "host", "id": f"web{n % HOSTS}", "env": "production"},
            "outcome": "failed" if bad else "changed",
            "rc": int(bad),
            "data": {**value["data"], "name": f"Restart nginx {n // HOSTS}", "message": f"pid {n}"},
        }
        leaf = dumps(value)
        previous = leaf_digest(leaf)
        yield leaf


def write(root: Path, count: int) -> str:
    """Write the workspace; return the change's id."""
    state = root / ".itmp"
    state.mkdir(mode=0o700)
    (root / "itmp.yml").write_text("organization: example.com\nlog: ops\n")
    seed = Story(plan=small_plan(hosts=[f"web{n}" for n in range(HOSTS)]))
    genesis = seed.log.leaf(0).event
    log = posix_log.create(state, origin=ORIGIN, genesis=genesis, key=seed.key, clock=seed.clock)
    log.checkpoint()
    seed.log, seed.id = log, new_id
    return tell(seed, state, count)


def begin(story: Story, state: Path, count: int) -> tuple[Permit, Receipt]:
    """Tell open, approval, permit, and a run whose first slice has so many results; return permit and intent.

    The results go into the journal as frames: appending each through the log is what `audit.py` measures.
    """
    story.open()
    story.act("approve", "bob")
    permit = story.permit("alice")
    story.say(permit, "run.started", data={"permit": permit.leaf})
    step = story.steps()[0]
    intent = story.intend(permit, step, step.hosts)
    first = story.result(permit, step, intent.hash, "web0")
    with (state / "log/.state/journal.0").open("ab") as journal:
        for leaf in results(first, count):
            journal.write(frames.encode(leaf))
    story.log = posix_log.open_log(state, clock=story.clock)
    return permit, intent


def tell(story: Story, state: Path, count: int) -> str:
    """Tell a run of so many results that failed on one host."""
    permit, intent = begin(story, state, count)
    step = story.steps()[0]
    hosts = dict.fromkeys(step.hosts, "changed") | {"web1": "failed"}
    done = {"slice": "drain", "hosts": hosts}
    story.say(permit, "slice.finished", step="drain", phase="do", intent=intent.hash, data=done)
    story.say(permit, "run.finished", outcome="failed", data={"state": "failed", "hosts": hosts})
    story.log.checkpoint()
    return story.change


def took(argv: list[str], cwd: Path) -> tuple[float, float]:
    """Seconds until the first 50 lines are there, on the clock and of the processor; the rest is not waited for."""
    begin, used = time.perf_counter(), spent()
    process = subprocess.Popen(argv, cwd=cwd, stdout=subprocess.PIPE, env={**os.environ, "COLUMNS": "80"})
    assert process.stdout is not None
    with process.stdout as out:
        for _ in range(50):
            if not out.readline():
                break
        passed = time.perf_counter() - begin
    process.kill()
    process.wait()
    return passed, spent() - used


def spent() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


def median(argv: list[str], cwd: Path) -> tuple[float, float]:
    found = [took(argv, cwd) for _ in range(ROUNDS)]
    return statistics.median(one[0] for one in found), statistics.median(one[1] for one in found)


LOOKS = {
    "logs": [],
    "logs --host": ["--host", "web7"],
    "logs --step": ["--step", "drain"],
    "logs --failed": ["--failed"],
    "logs --limit 50": ["--limit", "50"],
}


def first_looks(root: Path, change: str, itmp: str) -> dict[str, tuple[float, float]]:
    """Time each first look at a log without an index: medians of seconds, of the clock and of the processor."""
    found = {}
    for name, words in LOOKS.items():
        times = []
        for _ in range(ROUNDS):
            (root / ".itmp" / NAME).unlink(missing_ok=True)
            times.append(took([itmp, "logs", change, *words], root))
        clock, used = (round(statistics.median(one[n] for one in times), 3) for n in (0, 1))
        found[name] = clock, used
    return found


def main(count: int) -> int:
    root = Path(tempfile.mkdtemp(prefix="itmp-view-"))
    try:
        begin = time.perf_counter()
        change = write(root, count)
        written = time.perf_counter() - begin
        itmp = str(Path(sys.executable).parent / "itmp")
        first = first_looks(root, change, itmp)
        begin = time.process_time()
        reading = Workspace.here(root).reading()
        made = time.process_time() - begin
        size = reading.index.size
        reading.close()
        start = median([sys.executable, "-c", "pass"], root)
        commands = {
            "logs": ["logs", change],
            "logs --host": ["logs", change, "--host", "web7"],
            "logs --failed": ["logs", change, "--failed"],
            "logs --limit 50": ["logs", change, "--limit", "50"],
            "logs --search": ["logs", change, "--search", "pid 77"],
            "status": ["status", change],
            "status --json": ["status", change, "--json"],
            "change show": ["change", "show", change],
            "change list": ["change", "list"],
            "audit list": ["audit", "list"],
        }
        both = {name: median([itmp, *words], root) for name, words in commands.items()}
        above = {
            name: {"clock": round(clock - start[0], 3), "processor": round(used - start[1], 3)}
            for name, (clock, used) in both.items()
        }
        rate = round(size / made)
        print(json.dumps({
            "events": size, "written_seconds": round(written), "index_seconds": round(made, 1),
            "index_per_second": rate, "index_bytes": (root / ".itmp" / NAME).stat().st_size,
            "bare_start": [round(one, 3) for one in start], "above_bare": above,
            "first_look": {name: dict(zip(("clock", "processor"), one, strict=True)) for name, one in first.items()},
        }, indent=1))  # fmt: skip
        screens = above["logs"]["processor"], first["logs"][1] - start[1]
        return int(max(screens) > FIRST_SCREEN or rate < REBUILD)
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else RESULTS))
