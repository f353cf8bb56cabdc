"""Waiting for files: an event ends the wait, nothing is missed in between, and without events one looks each second."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from itmp.adapters import file_events
from itmp.adapters.file_events import FileEvents, filesystem

LONG = 60.0


@pytest.fixture
def events(tmp_path: Path) -> FileEvents:
    made = FileEvents((tmp_path,))
    if not made.subscribed:
        pytest.fail(f"no events on {filesystem(tmp_path)!r}: these tests need a local filesystem")
    return made


def test_another_process_s_write_ends_the_wait(events: FileEvents, tmp_path: Path) -> None:
    writer = subprocess.Popen([sys.executable, "-c", f"open({str(tmp_path / 'x')!r}, 'a').write('leaf')"])
    began = time.monotonic()
    assert events.wait(LONG)
    assert time.monotonic() - began < file_events.SAFE, "an event ended it, and not the clock"
    assert writer.wait() == 0
    events.close()


def test_what_happens_while_nobody_waits_is_not_missed(events: FileEvents, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("leaf")
    assert events.wait(LONG)
    assert not events.wait(0.0), "one wait takes all that came"
    (tmp_path / "x").rename(tmp_path / "y")
    assert events.wait(LONG)
    (tmp_path / "y").read_text()
    assert not events.wait(0.0), "reading is no change"
    events.close()


def test_a_lock_that_is_let_go_of_by_dying_is_a_change(events: FileEvents, tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", f"held = open({str(tmp_path / 'held')!r}, 'a'); print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    events.wait(0.0)
    threading.Timer(0.1, holder.kill).start()
    began = time.monotonic()
    assert events.wait(LONG)
    assert time.monotonic() - began < file_events.SAFE
    holder.communicate()
    events.close()


def test_where_the_kernel_tells_nothing_a_look_comes_each_second(tmp_path: Path) -> None:
    for kind in ("nfs4", ""):
        events = FileEvents((tmp_path,), kind=lambda _, kind=kind: kind)  # type: ignore[misc] # mypy sees no default here
        assert not events.subscribed
        began = time.monotonic()
        assert events.wait(LONG), "worth a look"
        assert time.monotonic() - began < LONG
        assert not events.wait(0.01), "the time asked for has passed"
        events.close()
    gone = FileEvents((tmp_path / "gone",), kind=lambda _: "ext4")
    assert not gone.subscribed
    gone.close()
