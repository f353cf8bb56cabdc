"""A process that forks while its threads use a log: the child waits for no thread that it has not, and nothing is lost."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from log_actor import create
from test_log_crowd import PATIENCE, whole

FORKS = Path(__file__).with_name("log_forks.py")


def said_by(root: Path, act: str, count: int) -> list[list[str]]:
    create(root)
    words = [sys.executable, FORKS, root, act, str(count)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    said = [line.split() for line in done.stdout.splitlines()]
    assert [words for words in said if words[0] == "ended"] == [["ended", "0"]] * count, done.stderr
    return said


def settled(root: Path, said: list[list[str]]) -> None:
    """Require each promise, and that every event stands once."""
    log = whole(root, [said])
    acknowledged = [words[1] for words in said if words[0] == "ack"]
    names = Counter(leaf.event.id for leaf in log.leaves() if leaf.event.type == "check.finished")
    assert names == Counter(acknowledged)
    assert len({words[2] for words in said if words[0] == "ack"}) == len(acknowledged)


def test_a_child_forked_within_an_append_is_refused_and_opens_anew(scratch: Path) -> None:
    said = said_by(scratch / "inside", "inside", 3)
    refused = [" ".join(words) for words in said if words[0] == "refused"]
    assert len(refused) == 3
    assert all("another thread was using this log" in line for line in refused)
    settled(scratch / "inside", said)


@pytest.mark.parametrize("count", [10])
def test_children_forked_at_any_moment_lose_nothing(scratch: Path, count: int) -> None:
    said = said_by(scratch / "storm", "storm", count)
    settled(scratch / "storm", said)
