"""A crowd of processes on one log: what each gets done, and how long it waits at worst.

    python benchmarks/crowd.py [FOLDER] [--processes 64] [--seconds 20]

`forked`: children of a process that has the log open, two of whose threads append and one publishes without a pause.
`started`: processes of their own. Each appends durably and publishes after every eighth event. The rows of a run are to
be compared with each other, and with those of a run before a change.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from itmp.adapters import posix_log
from itmp.adapters.clock import new_id
from itmp.audit import Event, Log
from itmp.errors import LogUnavailableError
from itmp.signing import NoteKey
from itmp.testing.memory_log import genesis

ORIGIN = "example.com/crowd/2026"
EACH = 8
"""Events between two checkpoints of one process."""


@dataclass(kw_only=True)
class Done:
    """What one process got done: seconds of each append and of each checkpoint."""

    appends: list[float] = field(default_factory=list)
    checkpoints: list[float] = field(default_factory=list)

    def told(self) -> dict[str, list[float]]:
        return {"appends": self.appends, "checkpoints": self.checkpoints}


def append(log: Log, spent: list[float]) -> None:
    begin = time.monotonic()
    actor = {"kind": "machine", "id": f"writer-{os.getpid()}"}
    log.append(Event(id=new_id(), type="check.finished", actor=actor, change=f"CHG-{os.getpid():010x}"))
    spent.append(time.monotonic() - begin)


def publish(log: Log, spent: list[float]) -> None:
    begin = time.monotonic()
    log.checkpoint()
    spent.append(time.monotonic() - begin)


def live(log: Log, until: float) -> Done:
    """Append and publish until the time is over; a checkpoint that was begun is waited for."""
    done = Done()
    while time.monotonic() < until:
        append(log, done.appends)
        if len(done.appends) % EACH == 0:
            publish(log, done.checkpoints)
    return done


def inherited(log: Log, root: Path, until: float) -> Done:
    """Live by the log that was inherited, or, where a thread was in it, by one that is opened anew."""
    try:
        log.size()
    except LogUnavailableError:
        log = posix_log.open_log(root)
    return live(log, until)


def forked(root: Path, count: int, seconds: float) -> tuple[list[Done], float]:
    log, over = posix_log.open_log(root), threading.Event()
    begin = time.monotonic()
    acts: list[Callable[[], object]] = [
        lambda: append(log, []),
        lambda: append(log, []),
        lambda: publish(log, []),
    ]

    def without_pause(act: Callable[[], object]) -> None:
        while not over.is_set():
            act()

    threads = [threading.Thread(target=without_pause, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    children = []
    for n in range(count):
        child = os.fork()
        if child == 0:
            try:
                (root / f"done{n}").write_text(json.dumps(inherited(log, root, begin + seconds).told()))
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    took = time.monotonic() - begin
    over.set()
    for thread in threads:
        thread.join()
    return [Done(**json.loads((root / f"done{n}").read_text())) for n in range(count)], took


def started(root: Path, count: int, seconds: float) -> tuple[list[Done], float]:
    words = [sys.executable, __file__, str(root), "--one", str(seconds)]
    children = [
        subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    for child in children:
        assert child.stdout
        child.stdout.readline()  # its log is open
    begin = time.monotonic()
    for child in children:
        assert child.stdin
        child.stdin.write("\n")
        child.stdin.flush()
    done = [Done(**json.loads(child.communicate()[0])) for child in children]
    return done, time.monotonic() - begin


def one(root: Path, seconds: float) -> None:
    log = posix_log.open_log(root)
    print(flush=True)
    sys.stdin.readline()
    print(json.dumps(live(log, time.monotonic() + seconds).told()))


def spread(values: list[float], form: str) -> str:
    return " / ".join(form.format(value) for value in (min(values), statistics.median(values), max(values)))


def row(kind: str, done: list[Done], root: Path, took: float) -> str:
    appends = [one for each in done for one in each.appends]
    checkpoints = [one for each in done for one in each.checkpoints]
    size, signed = posix_log.open_log(root).size(), len(list((root / "log/history").iterdir()))
    cells = [
        kind,
        spread([len(each.appends) for each in done], "{:.0f}"),
        f"{max(appends, default=0):.2f}",
        spread(checkpoints or [0.0], "{:.2f}"),
        f"{size / took:,.0f}",
        f"{len(checkpoints)}",
        f"{signed / took:.1f}",
        f"{took:.1f}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("folder", nargs="?", type=Path)
    options.add_argument("--processes", type=int, default=64)
    options.add_argument("--seconds", type=float, default=20.0)
    options.add_argument("--one", type=float, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.one:
        one(given.folder, given.one)
        return
    print(
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n", flush=True
    )
    print(
        "| processes | events of each, least / median / most | longest append, s | checkpoint, s "
        "| events/s | checkpoints asked | heads signed/s | took, s |"
    )
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        for crowd in (started, forked):
            root = Path(name) / crowd.__name__
            root.mkdir()
            key = NoteKey.generate(ORIGIN, os.urandom(32))
            posix_log.create(root, origin=ORIGIN, genesis=lambda vkey: genesis(ORIGIN, vkey), key=key)
            done, took = crowd(root, given.processes, given.seconds)
            print(row(f"{given.processes} {crowd.__name__}", done, root, took), flush=True)


if __name__ == "__main__":
    main()
