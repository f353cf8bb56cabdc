"""Append and verification rates of the audit trail against the bare tools, in one run on one folder.

`python benchmarks/audit_append.py [FOLDER]` prints one JSON object: rates per second and the ratios that matter.
The folder should lie on the disk that would hold the log; it is emptied of what was written.
"""

import json
import multiprocessing
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from multiprocessing.synchronize import Barrier
from pathlib import Path

from itmp.adapters import posix_log
from itmp.adapters.clock import new_id
from itmp.audit import Event, Log, verify
from itmp.signing import NoteKey
from itmp.testing.memory_log import genesis

ORIGIN = "example.com/bench/2026"
WRITERS = 8
EACH = 60
ROUNDS = 7
BATCH = 100
BULK = 50_000


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


def rate(count: int, work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return count / (time.perf_counter() - begin)


def raw(path: Path, count: int) -> None:
    payload = b"x" * 720
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for _ in range(count):
        os.write(descriptor, payload)
        os.fsync(descriptor)
    os.close(descriptor)


def sqlite_writer(path: str, ready: Barrier, count: int) -> None:
    db = sqlite3.connect(path, isolation_level=None, timeout=60)
    db.execute("PRAGMA synchronous = FULL")
    ready.wait()
    for _ in range(count):
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT INTO leaf (data) VALUES (?)", (b"x" * 720,))
        db.execute("COMMIT")
    db.close()


def log_writer(root: str, ready: Barrier, count: int) -> None:
    log = posix_log.open_log(Path(root))
    ready.wait()
    for _ in range(count):
        log.append(event())


def together(target: Callable[[str, Barrier, int], None], place: str, count: int) -> float:
    """Rate of 8 processes that start at once, each with its connection or log already open."""
    context = multiprocessing.get_context("fork")
    ready = context.Barrier(WRITERS + 1)
    children = [context.Process(target=target, args=(place, ready, count)) for _ in range(WRITERS)]
    for child in children:
        child.start()
    ready.wait()
    begin = time.perf_counter()
    for child in children:
        child.join()
        assert child.exitcode == 0
    return count * WRITERS / (time.perf_counter() - begin)


def create(root: Path) -> Log:
    key = NoteKey.generate(ORIGIN, os.urandom(32))
    root.mkdir()
    return posix_log.create(root, origin=ORIGIN, genesis=lambda vkey: genesis(ORIGIN, vkey), key=key)


def appends(folder: Path) -> dict[str, float]:
    """Medians of rounds that take turns, so that a busy disk slows all alike."""
    log, shared, naive = create(folder / "one"), folder / "eight", folder / "naive.sqlite"
    create(shared)
    with closing(sqlite3.connect(naive)) as db:
        db.execute("CREATE TABLE leaf (n INTEGER PRIMARY KEY, data BLOB)")
    works: dict[str, Callable[[], float]] = {
        "raw_fsync_1_writer": lambda: rate(EACH, lambda: raw(folder / "raw", EACH)),
        "log_1_writer": lambda: rate(EACH, lambda: [log.append(event()) for _ in range(EACH)]),
        "log_batch_100": lambda: rate(
            BATCH * 5, lambda: [log.extend([event() for _ in range(BATCH)]) for _ in range(5)]
        ),
        "sqlite_8_writers": lambda: together(sqlite_writer, str(naive), EACH),
        "log_8_writers": lambda: together(log_writer, str(shared), EACH),
    }
    rounds = [{name: work() for name, work in works.items()} for _ in range(ROUNDS)]
    return {name: statistics.median(one[name] for one in rounds) for name in works}


def reading(folder: Path) -> dict[str, float]:
    log = create(folder / "bulk")
    found = {
        "log_not_synced": rate(
            BULK,
            lambda: [
                log.extend([event() for _ in range(BATCH)], durable=False) for _ in range(BULK // BATCH)
            ],
        )
    }
    found["publish_bulk"] = rate(BULK, log.checkpoint)
    found["open"] = rate(BULK, lambda: posix_log.open_log(folder / "bulk"))
    key = posix_log.read_key(folder / "bulk/keys/log.key").verifier
    reader = posix_log.open_reader(folder / "bulk/log")

    def check(*, events: bool) -> None:
        assert verify(reader, [key], events=events) == ()

    found["verify_hashes"] = rate(BULK, lambda: check(events=False))
    found["verify_events"] = rate(BULK, lambda: check(events=True))
    return found


def main() -> None:
    place = sys.argv[1] if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory(dir=place) as name:
        rates = {**appends(Path(name)), **reading(Path(name))}
    ratios = {
        "log_to_raw_1_writer": rates["log_1_writer"] / rates["raw_fsync_1_writer"],
        "log_to_sqlite_8_writers": rates["log_8_writers"] / rates["sqlite_8_writers"],
        "batch_100_to_1": rates["log_batch_100"] / rates["log_1_writer"],
    }
    print(
        json.dumps(
            {
                "rates": {k: round(v) for k, v in rates.items()},
                "ratios": {k: round(v, 2) for k, v in ratios.items()},
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
