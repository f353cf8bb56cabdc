"""Many processes on one log: writers, comparers, publishers, and one that stops with the lock in its hand."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from log_actor import create
from log_crowd import SHARED
from log_faults import grave
from log_pool import EACH
from promises import promises

from itmp.adapters import posix_log
from itmp.audit import Log

CROWD = Path(__file__).with_name("log_crowd.py")
POOL = Path(__file__).with_name("log_pool.py")
PATIENCE = 120


def start(root: Path, act: str, writer: int, count: int = 1) -> "subprocess.Popen[str]":
    words = [sys.executable, CROWD, root, act, str(writer), str(count)]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def ended(process: "subprocess.Popen[str]") -> list[list[str]]:
    out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    return [line.split() for line in out.splitlines()]


def ready(process: "subprocess.Popen[str]") -> None:
    assert process.stdout
    assert process.stdout.readline() == "ready\n"


def go(process: "subprocess.Popen[str]") -> None:
    assert process.stdin
    process.stdin.write("\n")
    process.stdin.flush()


def crowd(root: Path, acts: list[tuple[str, int]]) -> list[list[list[str]]]:
    """Run one process per act at once; return what each said."""
    processes = [start(root, act, number, count) for number, (act, count) in enumerate(acts, 1)]
    for process in processes:
        ready(process)
    for process in processes:
        go(process)
    with ThreadPoolExecutor(len(processes)) as pool:
        return list(pool.map(ended, processes))


def whole(root: Path, said: list[list[list[str]]]) -> Log:
    log = posix_log.open_log(root)
    assert [wrong for words in said for wrong in promises(log, words)] == []
    log.checkpoint()
    assert grave(root) == []
    return log


@pytest.mark.parametrize(("writers", "each"), [(1, 20), (8, 6)])
def test_every_writer_of_a_crowd_gets_its_receipts(scratch: Path, writers: int, each: int) -> None:
    root = scratch / f"crowd{writers}"
    create(root)
    said = crowd(root, [("append", each)] * writers)
    log = whole(root, said)
    assert log.size() == 1 + writers * each
    assert [len(words) for words in said] == [each] * writers


def test_no_update_is_lost_among_those_that_compare(scratch: Path) -> None:
    root = scratch / "compare"
    create(root)
    said = crowd(root, [("compare", 8)] * 4)
    leaves = whole(root, []).of_change(SHARED)
    assert [leaf.event.data for leaf in leaves] == [{"seen": n} for n in range(32)]
    assert all(len(words) == 8 for words in said)  # nobody starved


def test_two_publishers_and_writers_leave_one_history(scratch: Path) -> None:
    root = scratch / "publishers"
    create(root)
    said = crowd(root, [("publish", 12), ("publish", 12), ("append", 25), ("append", 25)])
    assert whole(root, said).size() == 51


@pytest.mark.parametrize(
    ("lock", "act", "size"), [("append", "append", 5), ("sync", "append", 5), ("publish", "publish", 2)]
)
def test_a_lock_holder_that_stops_delays_and_harms_nothing(
    scratch: Path, lock: str, act: str, size: int
) -> None:
    root = scratch / f"holder-{lock}"
    create(root)
    waiting = start(root, act, 2, 3)
    ready(waiting)
    holder = start(root, f"hold {lock}", 1)
    assert holder.stdout
    assert holder.stdout.readline() == "held\n"
    go(waiting)
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(0.7)
    os.kill(holder.pid, signal.SIGCONT)
    assert ended(holder) == [["done"]]
    said = [ended(waiting)]
    assert len(said[0]) == 3
    assert whole(root, said).size() == size


def test_who_publishes_without_a_pause_lets_go_first_who_waits(scratch: Path) -> None:
    root = scratch / "queue"
    create(root)
    mine, other = (posix_log.PosixStore(root, boot="b") for _ in range(2))
    had: list[str] = []

    def wait() -> None:
        with other.publishing():
            had.append("other")

    with ThreadPoolExecutor(1) as pool:
        for _ in range(20):
            with mine.publishing():
                waiting = pool.submit(wait)
                until = time.monotonic() + PATIENCE
                while not queued(root / "log/.state"):
                    assert time.monotonic() < until
            with mine.publishing():
                had.append("mine")
            waiting.result(PATIENCE)
    assert had == ["other", "mine"] * 20


def queued(folder: Path) -> bool:
    """Whether somebody stands before the publisher's lock: who does holds the folder's."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def test_sixty_four_writers_some_killed_two_publishers_and_a_holder_that_stops(scratch: Path) -> None:
    live_through(scratch / "pool", "append")


def live_through(root: Path, lock: str) -> None:
    """Let a pool live with a stopped holder of this lock, and hold the log against what everybody was promised."""
    create(root)
    words = [sys.executable, POOL, root, "1", "64", lock]
    killed = int(subprocess.run(words, check=True, capture_output=True, text=True, timeout=PATIENCE).stdout)
    assert killed >= 16
    said = {
        path.name: [line.split() for line in path.read_text().splitlines()]
        for path in (root / "said").iterdir()
    }
    log = whole(root, list(said.values()))
    assert sorted(said, key=str) == sorted(["p0", "p1", *map(str, range(1, 65))])
    names = [leaf.event.id for leaf in log.leaves() if leaf.event.type == "check.finished"]
    assert len(names) == len(set(names)) == 64 * EACH
    assert all(len(words) == EACH for name, words in said.items() if not name.startswith("p"))
