"""How long each kind of the auditor's pages and of the reading commands takes on a long log.

    python benchmarks/viewer_pages.py [CHANGES] [--whole]

Writes a log of so many changes (100,000), about ten events each, below a folder of its own that it removes; starts
`itmp audit serve` over it and asks for every kind of page several times, each time of another change. Limit: 200 ms a
page. Pages and commands are judged by the median of their processor time, which other work on the machine changes
least; the worst one on the clock is shown beside it. Commands are measured above a bare start of the interpreter; they
have no limit of their own here. `--whole` also times the questions that read every leaf (minutes, for the whole size).
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import Final

from logs_view import median as of_command
from logs_view import spent
from long_log import LongLog, write

from itmp.adapters.index import NAME
from itmp.viewer.serving import PAGE
from itmp.workspace import Workspace

CHANGES: Final = 100_000
LIMIT_MS: Final = 200
REBUILD: Final = 30_000
ROUNDS: Final = 7
START_SECONDS: Final = 300


class Served:
    """`itmp audit serve` in a process of its own."""

    def __init__(self, root: Path, itmp: Path) -> None:
        self._process = subprocess.Popen(
            [itmp, "audit", "serve", "--listen", "127.0.0.1:0"], cwd=root, stderr=subprocess.PIPE, text=True
        )
        assert self._process.stderr is not None
        line = self._process.stderr.readline()
        self.port = int(line.split()[0].rstrip("/").rpartition(":")[2])
        self._wait()

    def _wait(self) -> None:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            try:
                self.get("/style.css")
            except OSError:
                assert self._process.poll() is None, "the server ended"
                time.sleep(0.1)
            else:
                return
        raise TimeoutError("the server does not answer")

    def get(self, path: str) -> int:
        """Ask for a page and read it whole; return the status."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status

    def spent(self) -> float:
        """Seconds of processor time that the server has used."""
        tasks = Path(f"/proc/{self._process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def memory(self) -> float:
        """Megabytes that it held at most."""
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()


def pages(log: LongLog) -> dict[str, Callable[[int], str]]:
    """Return each kind of page: from the number of the round to a path."""
    count, ids = len(log.changes), log.changes

    def one(n: int) -> int:
        return (n * 7919 + 17) % count

    def like(n: int, remainder: int) -> int:
        return min(one(n) // 100 * 100 + remainder, count - 1)

    return {
        "changes": lambda _: "/",
        "changes, in the middle": lambda n: f"/?at={one(n)}",
        "changes, the oldest": lambda _: f"/?at={count - PAGE}",
        "search, many": lambda _: "/?q=certificate+expires",
        "search, many, in the middle": lambda n: f"/?q=certificate&at={one(n) // 8}",
        "search, one": lambda n: f"/?q=CR-{one(n):06}",
        "search, none": lambda _: "/?q=nothing+like+this",
        "search, a month": lambda _: "/?start=2026-12-01&end=2027-01-01",
        "exceptions": lambda _: "/exceptions",
        "exceptions, in the middle": lambda n: f"/exceptions?at={one(n) // 50}",
        "exceptions, a month": lambda _: "/exceptions?start=2026-12-01&end=2027-01-01",
        "one change": lambda n: f"/changes/{ids[one(n)]}",
        "one change, failed": lambda n: f"/changes/{ids[like(n, 29)]}",
        "one change, emergency": lambda n: f"/changes/{ids[like(n, 7)]}",
        "one change, by reference": lambda n: f"/changes/CR-{one(n):06}",
        "one change, as a file": lambda n: f"/changes/{ids[one(n)]}/report",
        "500 hosts": lambda _: f"/changes/{log.long}",
        "500 hosts, timeline": lambda _: f"/changes/{log.long}?at=400",
        "no such change": lambda _: "/changes/CHG-0000000000",
        "one event": lambda n: f"/leaves/{one(n) * 9}",
        "access": lambda _: "/access",
        "the log": lambda _: "/log",
    }


def commands(log: LongLog) -> dict[str, list[str]]:
    middle, last = log.changes[len(log.changes) // 3], log.changes[-59]
    leaf = Workspace.here(log.root).log.leaf(log.events // 2)
    return {
        "status": ["status", middle],
        "logs": ["logs", middle],
        "show": ["show", middle],
        "show, by reference": ["show", "CR-000007"],
        "change show, closed": ["change", "show", middle],
        "change show, open": ["change", "show", last],
        "audit show, by number": ["audit", "show", str(leaf.index)],
        "audit show, by hash": ["audit", "show", leaf.hash],
        "audit list --limit 50": ["audit", "list", "--limit", "50"],
        "audit list --change": ["audit", "list", "--change", middle],
        "audit access": ["audit", "access"],
        "audit sample --n 25": ["audit", "sample", "--seed", "mine", "--n", "25"],
    }


def whole(log: LongLog, itmp: Path) -> Iterator[dict[str, object]]:
    """Time the questions that read every leaf; memory is the greatest of all so far."""
    for name in ("population", "exceptions"):
        begin = spent()
        done = subprocess.run(
            [itmp, "audit", name, "--json"], cwd=log.root, stdout=subprocess.PIPE, check=True
        )
        used = spent() - begin
        most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        yield {
            "audit": name, "seconds": round(used, 1), "events_per_second": round(log.events / used),
            "mb": round(most), "answer_mb": round(len(done.stdout) / 2**20, 1),
        }  # fmt: skip


@contextmanager
def served(log: LongLog, itmp: Path) -> Iterator[Served]:
    server = Served(log.root, itmp)
    try:
        yield server
    finally:
        server.close()


def measure_pages(server: Served, log: LongLog) -> bool:
    """Print a line for each kind of page; return whether each is within its limit."""
    within = True
    for name, path in pages(log).items():
        clock, used = list[float](), list[float]()
        for n in range(ROUNDS):
            begin, before = time.perf_counter(), server.spent()
            status = server.get(path(n))
            clock.append((time.perf_counter() - begin) * 1000)
            used.append((server.spent() - before) * 1000)
            assert status == (404 if name == "no such change" else 200), (path(n), status)
        good = median(used) <= LIMIT_MS
        within &= good
        print(
            f"page {name:28} {median(used):7.1f} ms, worst {max(used):7.1f}; on the clock {median(clock):7.1f}, worst"
            f" {max(clock):7.1f}: {'within' if good else 'OVER'} {LIMIT_MS}",
            flush=True,
        )
    return within


def main(count: int, *, every: bool) -> int:
    itmp = Path(sys.executable).parent / "itmp"
    with tempfile.TemporaryDirectory(prefix="itmp-pages-") as folder:
        begin = time.perf_counter()
        log = write(Path(folder), count)
        print(
            f"{log.events} events, {count} changes, written in {time.perf_counter() - begin:.0f} s",
            flush=True,
        )
        before = time.process_time()
        Workspace.here(log.root).reading().close()
        rate = round(log.events / (time.process_time() - before))
        size = (log.root / ".itmp" / NAME).stat().st_size
        good = rate >= REBUILD
        print(
            f"index {rate} events/s: {'within' if good else 'OVER'} {REBUILD}; {size / log.events:.0f} bytes an event"
        )
        with served(log, itmp) as server:
            good &= measure_pages(server, log)
            print(f"memory of the server at most {server.memory():.0f} MB")
        start = of_command([sys.executable, "-c", "pass"], log.root)
        for name, words in commands(log).items():
            clock, used = of_command([str(itmp), *words], log.root)
            print(
                f"itmp {name:24} {(used - start[1]) * 1000:7.0f} ms; on the clock {(clock - start[0]) * 1000:7.0f}",
                flush=True,
            )
        for line in whole(log, itmp) if every else ():
            print(json.dumps(line), flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sizes = [int(word) for word in sys.argv[1:] if word.isdecimal()]
    sys.exit(main(sizes[0] if sizes else CHANGES, every="--whole" in sys.argv))
