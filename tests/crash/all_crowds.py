"""Up to 64 processes on one log, forks and pools of writers killed at random: `make test-crash`."""

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from log_actor import KEY, create
from log_crowd import SHARED
from test_log_crowd import crowd, live_through, whole
from test_log_forks import said_by, settled
from test_log_kills import Writer, check


@pytest.mark.parametrize("writers", [32, 64])  # fewer stand in the default tests
def test_every_writer_of_a_crowd_gets_its_receipts(scratch: Path, writers: int) -> None:
    root = scratch / f"crowd{writers}"
    create(root)
    said = crowd(root, [("append", 8)] * writers)
    assert whole(root, said).size() == 1 + writers * 8
    assert [len(words) for words in said] == [8] * writers


def test_no_update_is_lost_among_thirty_two_that_compare(scratch: Path) -> None:
    root = scratch / "compare"
    create(root)
    said = crowd(root, [("compare", 3)] * 32)
    leaves = whole(root, []).of_change(SHARED)
    assert [leaf.event.data for leaf in leaves] == [{"seen": n} for n in range(96)]
    assert all(len(words) == 3 for words in said)


@pytest.mark.parametrize("count", [10, 64])
def test_children_forked_at_any_moment_lose_nothing(scratch: Path, count: int) -> None:
    root = scratch / f"storm{count}"
    settled(root, said_by(root, "storm", count))


@pytest.mark.parametrize("lock", ["sync", "publish"])  # the journal's stands in the default tests
def test_a_pool_outlives_a_holder_of_each_lock_that_stops(scratch: Path, lock: str) -> None:
    live_through(scratch / f"pool-{lock}", lock)


@pytest.mark.parametrize("seed", range(2))
def test_a_pool_of_killed_writers_loses_nothing(tmp_path: Path, seed: int) -> None:
    create(tmp_path)
    dice = random.Random(seed)  # noqa: S311 - a fixed seed; the kernel's scheduling is the random part
    writers = [Writer(tmp_path, number) for number in range(1, 7)]
    plans = [[dice.randrange(1, 9) for _ in range(6)] for _ in writers]

    def live(writer: Writer, plan: list[int]) -> None:
        for lines in plan:
            writer.live(lines, kill=True)
        writer.live(3, kill=False)

    with ThreadPoolExecutor(len(writers)) as pool:
        list(pool.map(live, writers, plans, timeout=240))
    check(tmp_path, KEY, writers)
