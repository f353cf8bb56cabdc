"""Writers killed at random moments: nothing acknowledged is lost, nothing stands twice, the log stays whole."""

import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from log_writer import name_of

from itmp.adapters import posix_log
from itmp.audit import verify
from itmp.signing import NoteKey
from itmp.testing.memory_log import genesis

ORIGIN = "example.com/ops/2026"
WRITER = Path(__file__).with_name("log_writer.py")
KILLS = 12
WRITERS = 3


class Writer:
    """One writer's life: started again after each kill, it repeats the event that was not acknowledged."""

    def __init__(self, root: Path, number: int) -> None:
        self.root, self.number = root, number
        self.acknowledged: dict[int, tuple[int, str]] = {}

    def live(self, lines: int, *, kill: bool) -> None:
        """Start, read `lines` acknowledgements, then kill in the middle of whatever it does."""
        start = len(self.acknowledged)
        command = [
            sys.executable,
            str(WRITER),
            str(self.root),
            str(self.number),
            str(start),
            str(10_000 if kill else lines),
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            for _ in range(lines):
                if not self.hear(process.stdout.readline()):
                    break
            if kill:
                process.kill()
            for rest in process.stdout:  # said before it died
                self.hear(rest)
        assert process.returncode == (-9 if kill else 0)

    def hear(self, line: str) -> bool:
        if not line.endswith("\n"):
            return False
        n, index, hashed = line.split()
        assert self.acknowledged.setdefault(int(n), (int(index), hashed)) == (int(index), hashed)
        return True


def test_killed_writers_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    key = NoteKey.generate(ORIGIN, bytes(32))
    posix_log.create(tmp_path, origin=ORIGIN, genesis=genesis(ORIGIN, key.vkey), key=key)
    dice = random.Random(20261122)  # noqa: S311 - a fixed seed; the kernel's scheduling is the random part
    writers = [Writer(tmp_path, number) for number in range(1, WRITERS + 1)]
    plans = [[dice.randrange(1, 12) for _ in range(KILLS // WRITERS)] for _ in writers]

    def live(writer: Writer, plan: list[int]) -> None:
        for lines in plan:
            writer.live(lines, kill=True)
        writer.live(3, kill=False)

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(live, writers, plans, timeout=120))
    check(tmp_path, key, writers)


def check(root: Path, key: NoteKey, writers: list[Writer]) -> None:
    log = posix_log.open_log(root)
    log.checkpoint()
    assert [f for f in verify(posix_log.open_reader(root / "log"), [key.verifier]) if f.grave] == []
    ids = [leaf.event.id for leaf in log.leaves()]
    assert len(set(ids)) == len(ids)
    for writer in writers:
        assert len(writer.acknowledged) > KILLS // WRITERS
        for n, (index, hashed) in writer.acknowledged.items():
            leaf = log.leaf(index)
            assert (leaf.event.id, leaf.event.rc, leaf.hash) == (name_of(writer.number, n), n, hashed)
        chain = [leaf.event.rc for leaf in log.of_change(f"CHG-{writer.number:010x}")]
        assert chain == list(range(len(chain)))
    assert log.health(datetime.now(UTC)).ok
