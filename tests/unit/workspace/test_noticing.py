"""Waiting for a change over its log: events end it, looking causes none, the clock only opens windows and ends waits."""

import gc
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from keep import make_key

from itmp import workspace
from itmp.adapters import file_events
from itmp.change import team_policy
from itmp.errors import BusyError, InvalidInputError
from itmp.testing.story import small_plan
from itmp.workspace.holding import held
from itmp.workspace.noticing import Notice, is_held

CHANGE = "CHG-0000000000"


@pytest.fixture
def place(tmp_path: Path) -> workspace.Workspace:
    folder = tmp_path / "w"
    folder.mkdir()
    roles = {"alice": ("sre", "owner"), "bob": ("approver",)}
    for name in roles:
        make_key(folder / name)
    people = {
        f"{name}@example.com": ((folder / f"{name}.pub").read_text(), held) for name, held in roles.items()
    }
    (folder / "first.yml").write_bytes(team_policy(people, amend=1))
    workspace.init(
        folder, key=str(folder / "alice"), organization="example.com", signer="alice@example.com",
        policy=folder / "first.yml",
    )  # fmt: skip
    return workspace.Workspace.here(folder)


def opened(place: workspace.Workspace, window: workspace.Window | None = None) -> str:
    key = str(place.root / "alice")
    return workspace.open_change(place, small_plan(), reason="leak", window=window, key=key).change.id


def approve(place: workspace.Workspace, change: str) -> None:
    workspace.approve(workspace.Workspace.here(place.root), change, key=str(place.root / "bob"))


def test_no_look_wakes_the_one_who_looks(place: workspace.Workspace) -> None:
    change = opened(place)
    with Notice(place) as notice:
        assert notice.subscribed
        for look in (
            lambda: workspace.status(place, change),
            lambda: workspace.change_story(place, change),
            lambda: list(workspace.logs(place, change)),
            lambda: workspace.wait(place, change, what="runnable", timeout="0s"),
            lambda: is_held(place, change),
        ):
            look()
            gc.collect()  # what earlier work left open is closed now, and not during the second look
            notice._events.wait(0.0)  # the first of each kind may make files
            look()
            assert not notice._events.wait(0.0)
        approve(place, change)
        assert notice._events.wait(0.0), "and an append does"


def test_an_approval_ends_the_wait_for_it(place: workspace.Workspace) -> None:
    change = opened(place)
    assert workspace.wait(place, change, what="runnable", timeout="0s").exit_code == 10
    with ThreadPoolExecutor(1) as pool:
        began = time.monotonic()
        waiting = pool.submit(
            workspace.wait, workspace.Workspace.here(place.root), change, what="runnable", timeout="10m"
        )
        threading.Timer(0.5, approve, (place, change)).start()
        assert waiting.result().exit_code == 0
        assert time.monotonic() - began < file_events.SAFE, "the event ended it, and not the clock"


def test_a_window_that_opens_ends_the_wait(place: workspace.Workspace) -> None:
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=3)
    change = opened(place, workspace.Window(start=start, end=start + timedelta(hours=1)))
    approve(place, change)
    closed = workspace.wait(place, change, what="runnable", timeout="0s")
    assert closed.exit_code == 11
    began = time.monotonic()
    assert workspace.wait(place, change, what="runnable", timeout="10m").exit_code == 0
    assert datetime.now(UTC) >= start
    assert time.monotonic() - began < file_events.SAFE


def test_a_wait_is_as_long_as_it_was_asked_for(place: workspace.Workspace) -> None:
    change = opened(place)
    began = time.monotonic()
    with pytest.raises(BusyError, match="not finished within 1s"):
        workspace.wait(place, change, what="finished", timeout="1s")
    assert time.monotonic() - began >= 1.0
    assert workspace.wait(place, change, what="runnable", timeout="1s").exit_code == 10
    assert time.monotonic() - began >= 2.0
    with pytest.raises(InvalidInputError):
        workspace.wait(place, change, what="over", timeout="1s")


def test_who_holds_a_change_is_asked_without_waking_anybody(place: workspace.Workspace) -> None:
    assert not is_held(place, CHANGE)
    with held(place, CHANGE):
        assert is_held(place, CHANGE)
        with Notice(place) as notice:
            is_held(place, CHANGE)
            assert not notice._events.wait(0.0)
    assert not is_held(place, CHANGE)


def test_a_file_system_whose_number_stat_tells_otherwise_hides_no_holder(
    place: workspace.Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def elsewhere(status: os.stat_result) -> os.stat_result:
        return os.stat_result((*status[:2], status.st_dev + 1, *status[3:]))

    stat, fstat = Path.stat, os.fstat
    with held(place, CHANGE):
        monkeypatch.setattr(Path, "stat", lambda path, **more: elsewhere(stat(path, **more)))
        monkeypatch.setattr(os, "fstat", lambda descriptor: elsewhere(fstat(descriptor)))
        found = is_held(place, CHANGE)
        monkeypatch.undo()
    assert found
