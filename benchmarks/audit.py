"""The audit trail against the bare tools, side by side in one run: `make bench-audit`. Exits 1 when a target is missed.

    python benchmarks/audit.py [FOLDER] [--without-ara] [--only costs|appends|reading|changes|plays]

Each ratio is taken within one round, so that a busy machine slows both sides alike; the table shows the median and the
spread of the rounds. Rows in microseconds, and those that say so, are of processor time: on a machine that others use
they tell what the log costs, where a row of the clock tells how busy the machine is. FOLDER should lie on the disk that
would hold the log; it is emptied of what was written.

A disk that syncs faster than any medium answers from a cache, as those of many virtual machines do. The rows of appends
then say how fast two programs are, not how they use a disk: they are shown without a verdict, and taken once more with
every fsync and fdatasync of both sides made longer (`strace --inject`), which is what is judged.
"""

import argparse
import multiprocessing
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from multiprocessing.synchronize import Barrier
from pathlib import Path

from ara_play import Play
from own_play import OwnPlay
from shell_verifier import plan

from itmp.adapters import posix_log
from itmp.adapters.clock import new_id
from itmp.audit import Event, Log, verify
from itmp.evidence import Trust
from itmp.evidence import verify as verify_evidence
from itmp.signing import NoteKey
from itmp.testing.memory_log import genesis
from itmp.testing.story import Story

ORIGIN = "example.com/bench/2026"
WRITERS = 8
EACH = 40
ROUNDS = 5
BATCH = 100
BULK = 20_000
LEAST = 0.6
"""What a synced append must reach of raw append + fsync."""
CACHED = 250e-6
"""Seconds: a sync that is shorter reached no medium; the fastest that do take about this long."""
MEDIUM = 2000
"""Microseconds that such a disk's syncs are made longer: about what a network volume or a plain SSD takes."""
STATEMENTS = 4
"""What a whole story holds: open, approve, run, close."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table: what was measured in each round, and what it must be."""

    name: str
    values: list[float]
    target: float
    least: bool = True
    unit: str = "x"
    judged: bool = True

    @property
    def holds(self) -> bool:
        middle = statistics.median(self.values)
        return middle >= self.target if self.least else middle <= self.target

    def __str__(self) -> str:
        middle = f"{statistics.median(self.values):,.4g} {self.unit}"
        spread = f"{min(self.values):,.4g} to {max(self.values):,.4g}"
        sign = "at least" if self.least else "at most"
        verdict = ("within" if self.holds else "OVER") if self.judged else "not judged"
        return f"| {self.name} | {middle} | {spread} | {sign} {self.target:,g} {self.unit} | {verdict} |"


def event() -> Event:
    """A typical result: about 600 bytes as a leaf."""
    return Event(
        id=new_id(),
        type="action.finished",
        actor={"kind": "executor", "id": "itmp@example.com"},
        change="CHG-0123456789",
        plan="sha256:" + "a" * 64,
        run="run-1",
        step="restart",
        action="ansible.builtin.service",
        target={"kind": "host", "id": "web1", "env": "production"},
        intent="sha256:" + "b" * 64,
        outcome="changed",
        rc=0,
        data={
            "path": "project/roles/web/tasks/main.yml",
            "line": 12,
            "name": "Restart nginx",
            "message": "ok",
        },
    )


def seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def processor(work: Callable[[], object]) -> float:
    """Seconds of one core, whatever else the machine does."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def raw(path: Path) -> None:
    payload = b"x" * 720
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for _ in range(EACH):
        os.write(descriptor, payload)
        os.fsync(descriptor)
    os.close(descriptor)


def sqlite_writer(path: str, ready: Barrier) -> None:
    db = sqlite3.connect(path, isolation_level=None, timeout=120)
    db.execute("PRAGMA synchronous = FULL")
    ready.wait()
    for _ in range(EACH):
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT INTO leaf (data) VALUES (?)", (b"x" * 720,))
        db.execute("COMMIT")
    db.close()


def log_writer(root: str, ready: Barrier) -> None:
    log = posix_log.open_log(Path(root))
    ready.wait()
    for _ in range(EACH):
        log.append(event())


def together(target: Callable[[str, Barrier], None], place: str) -> float:
    """Seconds of 8 processes that start at once, each with its connection or log already open."""
    context = multiprocessing.get_context("fork")
    ready = context.Barrier(WRITERS + 1)
    children = [context.Process(target=target, args=(place, ready)) for _ in range(WRITERS)]
    for child in children:
        child.start()
    ready.wait()
    begin = time.perf_counter()
    for child in children:
        child.join()
        assert child.exitcode == 0
    return time.perf_counter() - begin


def create(root: Path) -> Log:
    key = NoteKey.generate(ORIGIN, os.urandom(32))
    root.mkdir()
    return posix_log.create(root, origin=ORIGIN, genesis=lambda vkey: genesis(ORIGIN, vkey), key=key)


def sync_time(folder: Path) -> float:
    """Seconds that one write and its fsync take, the median of as many as one round has."""
    descriptor = os.open(folder / "probe", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def once() -> None:
        os.write(descriptor, b"x" * 720)
        os.fsync(descriptor)

    try:
        return statistics.median(seconds(once) for _ in range(EACH))
    finally:
        os.close(descriptor)


def delayed(delay: int, folder: Path) -> list[str]:
    """The command that takes the rows of appends again with every sync `delay` microseconds longer."""
    calls = "fsync,fdatasync"
    inject = f"inject={calls}:delay_exit={delay}"
    strace = ["strace", "-f", "-qq", "--seccomp-bpf", "-o", os.devnull, "-e", f"trace={calls}", "-e", inject]
    return [*strace, sys.executable, __file__, "--sync-delay", str(delay), str(folder)]


def appends(folder: Path) -> Iterator[Row]:
    log, shared, naive = create(folder / "one"), folder / "eight", folder / "naive.sqlite"
    create(shared)
    with closing(sqlite3.connect(naive)) as db:
        db.execute("CREATE TABLE leaf (n INTEGER PRIMARY KEY, data BLOB)")
    one, many, batch = list[float](), list[float](), list[float]()
    for _ in range(ROUNDS):
        bare = seconds(lambda: raw(folder / "raw"))
        single = seconds(lambda: [log.append(event()) for _ in range(EACH)])
        batched = seconds(lambda: [log.extend([event() for _ in range(BATCH)]) for _ in range(5)])
        one.append(bare / single)
        batch.append((single / EACH) / (batched / (5 * BATCH)))
        many.append(together(sqlite_writer, str(naive)) / together(log_writer, str(shared)))
    yield Row(name="synced append, 1 writer, to raw append + fsync", values=one, target=LEAST)
    yield Row(name="8 writers to naive SQLite (BEGIN IMMEDIATE, FULL)", values=many, target=5)
    yield Row(name="batch of 100 to batch of 1, per event", values=batch, target=20)


def costs(folder: Path) -> Iterator[Row]:
    """What an event costs a processor, and how fast a disk may sync before that decides."""
    log = create(folder / "cost")
    durable, riding, batched, least = list[float](), list[float](), list[float](), list[float]()
    for _ in range(2 * ROUNDS):
        bare = processor(lambda: raw(folder / "raw")) / EACH
        synced = processor(lambda: [log.append(event()) for _ in range(EACH)]) / EACH
        along = processor(lambda: [log.append(event(), durable=False) for _ in range(EACH)]) / EACH
        batch = processor(lambda: [log.extend([event() for _ in range(BATCH)]) for _ in range(5)]) / (
            5 * BATCH
        )
        durable.append(synced * 1e6)
        riding.append(along * 1e6)
        batched.append(batch * 1e6)
        least.append((LEAST * synced - bare) / (1 - LEAST) * 1e6)
    cost = partial(Row, least=False, unit="µs", judged=False)  # they tell the processor as much as the log
    yield cost(name="processor time of a synced append", values=durable, target=80)
    yield cost(name="processor time of one that rides along", values=riding, target=60)
    yield cost(name="processor time of an event in a batch of 100", values=batched, target=40)
    yield cost(name="shortest sync at which a synced append still is 0.6 x of raw", values=least, target=100)


def reading(folder: Path) -> Iterator[Row]:
    log = create(folder / "bulk")
    for _ in range(BULK // 1000):
        log.extend([event() for _ in range(1000)], durable=False)
    log.checkpoint()
    key = posix_log.read_key(folder / "bulk/keys/log.key").verifier
    reader = posix_log.open_reader(folder / "bulk/log")

    def check() -> None:
        assert verify(reader, [key], events=False) == ()

    rates = [BULK / processor(check) for _ in range(ROUNDS)]
    yield Row(
        name="whole-log verification, hashes and signatures without the events' rules",
        values=rates,
        target=150_000,
        unit="events/s",
    )
    opened = [processor(lambda: posix_log.open_log(folder / "bulk")) * 1000 for _ in range(ROUNDS)]
    yield Row(name=f"opening a log of {BULK:,} events", values=opened, target=500, least=False, unit="ms")


def changes() -> Iterator[Row]:
    for name, story in (("", Story()), (", of 500 results", Story(plan=plan(500)))):
        bundle, trust = story.tell().evidence(), Trust.from_files(story.trust())
        yield Row(
            name=f"one change verified in process{name}",
            values=[processor(partial(verify_evidence, bundle, trust)) * 1000 for _ in range(ROUNDS)],
            target=100 + STATEMENTS,
            least=False,
            unit="ms",
        )


def plays(folder: Path, *, ara: bool) -> Iterator[Row]:
    """What 200 results cost whoever records them, beside the play itself, and what ARA costs the same play.

    Ours twice: the log's appends alone, and all that `itmp run` does for the results in its own process (socket,
    conformance, accounting, log, view). ARA's is all that the play takes longer.
    """
    play, own = Play(folder / "play", ara=ara), OwnPlay(folder / "own")
    log = create(folder / "trail")

    def audit() -> None:
        """As a run writes them: a durable intent, results that ride along, a durable end."""
        log.append(event())
        for _ in range(play.results):
            log.append(event(), durable=False)
        log.append(event())

    shares, dearer = (list[float](), list[float]()), (list[float](), list[float]())
    starts = list[float]()
    for _ in range(play.rounds):
        bare = play.bare()
        recorded = play.recorded() if ara else bare
        results, start = own.spent()
        starts.append(start)
        for n, cost in enumerate((processor(audit), results)):
            shares[n].append(100 * cost / bare)
            dearer[n].append((recorded - bare) / cost)
    for n, what in enumerate(("the log's bare appends", "all that `itmp run` does")):
        yield Row(
            name=f"{what} for a play's 200 results, share of the play",
            values=shares[n],
            target=2,
            least=False,
            unit="%",
        )
        if ara:
            yield Row(name=f"ARA's cost to {what}, per result", values=dearer[n], target=100, judged=not n)
    yield Row(
        name="what `itmp run` itself takes besides: its start, its gate, its end",
        values=starts,
        target=2,
        least=False,
        unit="s",
        judged=False,
    )


def judged_appends(folder: Path) -> int:
    """Print the rows of appends, on a cached disk twice; return how many targets were missed."""
    own = sync_time(folder)
    over = show(replace(row, judged=own >= CACHED) for row in appends(folder))
    if own >= CACHED:
        return over
    print(
        f"| *a sync takes {own * 1e6:.0f} µs here; the next three with {MEDIUM} µs more for both sides* |||||"
    )
    return subprocess.run(delayed(MEDIUM, folder), check=False).returncode


def show(rows: Iterable[Row]) -> int:
    """Print each row as it comes; return how many missed their target."""
    over = 0
    for row in rows:
        print(row, flush=True)
        over += row.judged and not row.holds
    return over


def measure(folder: Path, given: argparse.Namespace) -> int:
    """Print the rows that were asked for; return how many missed their target."""
    if given.sync_delay:
        return show(appends(folder))
    parts: dict[str, Callable[[], int]] = {
        "costs": lambda: show(costs(folder)),
        "appends": lambda: judged_appends(folder),
        "reading": lambda: show(reading(folder)),
        "changes": lambda: show(changes()),
        "plays": lambda: show(plays(folder, ara=not given.without_ara)),
    }
    return sum(part() for name, part in parts.items() if given.only in {None, name})


def main() -> int:
    options = argparse.ArgumentParser()
    options.add_argument("folder", nargs="?")
    options.add_argument("--without-ara", action="store_true")
    options.add_argument("--only", choices=["costs", "appends", "reading", "changes", "plays"])
    options.add_argument("--sync-delay", type=int, default=0, help=argparse.SUPPRESS)
    given = options.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        if not given.sync_delay:
            print(f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
            print("| measure | median | spread | target | verdict |\n|---|---|---|---|---|", flush=True)
        over = measure(Path(name), given)
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
