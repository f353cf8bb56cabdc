"""What is said of processes that a dead run left on hosts: which they are, whether they ended, and what to type."""

import json
import subprocess
from contextlib import nullcontext
from pathlib import Path

import pytest

from itmp.adapters.ansible import AnsibleRunner, _leftovers
from itmp.adapters.ansible._slicing import fresh_folder, left_folders
from itmp.adapters.secrets import Masker
from itmp.execution.doors import LeftOverError, Room, Slice
from itmp.testing.small_plans import ansible, plan

TASK = "- command: /usr/sbin/daemon --config /etc/daemon.conf --password {{ word }} twice"

STEP = ansible("one", ["web1", "web2"], tasks=1)
PART = Slice(key="one", step=STEP, hosts=("web1", "web2"))


def room_in(folder: Path) -> Room:
    return Room(folder=folder / "run", token="1234567890ab-1", run="1234567890ab", facts=folder / "facts")


def answer(folder: Path, host: str, *lines: str) -> None:
    (folder / "answers").mkdir(exist_ok=True)
    (folder / "answers" / host).write_text(json.dumps({"stdout": "\n".join(lines)}))


def read(folder: Path, *hosts: str) -> tuple[str, ...]:
    return _leftovers.read(hosts, folder, raw=False, written=TASK.split().__contains__)


def test_what_still_runs_is_named_by_its_command_line_with_what_to_type(tmp_path: Path) -> None:
    line = "7 daemon\t/usr/sbin/daemon --config /etc/daemon.conf --password hunter2 twice"
    answer(tmp_path, "web1", f"itmp-found {line}", f"itmp-still {line}")
    answer(tmp_path, "web2")
    with pytest.raises(LeftOverError) as caught:
        read(tmp_path, "web1", "web2")
    shown = "7 daemon: /usr/sbin/daemon --config /etc/daemon.conf --password …"
    assert caught.value.what == f"left over and still running: web1: {shown}"
    assert caught.value.hosts == ("web1",)
    assert "itmp reconcile ID web1 ok|failed --reason …" in caught.value.do
    assert "--skip HOST" in caught.value.do, "of a host whose connection was lost nothing can be said"
    assert "web2" not in caught.value.do
    assert "hunter2" not in str(caught.value)


def test_what_has_ended_is_named_and_stops_nobody(tmp_path: Path) -> None:
    answer(tmp_path, "web1", "itmp-found 7 sleep\tsleep 60", "itmp-found 8 old", "itmp-found 9 x\x1b[2J\t")
    assert read(tmp_path, "web1") == (r"web1: 7 sleep: …", "web1: 8 old", r"web1: 9 x\u{1b}[2J")


def test_the_question_finds_a_marked_process_and_its_words() -> None:
    """Asked here, of a process of our own that carries the mark."""
    script = _leftovers._SCRIPT.format(name=_leftovers.REMOTE_TOKEN, first="ab" * 8, second="cd" * 8, wait=0)
    mark = {_leftovers.REMOTE_TOKEN: "ab" * 8 + "cd" * 8, "PATH": "/usr/bin:/bin"}
    with subprocess.Popen(["sleep", "60"], env=mark) as daemon:
        try:
            done = subprocess.run(
                ["sh", "-c", script], capture_output=True, text=True, timeout=60, check=True
            )
        finally:
            daemon.kill()
    lines = done.stdout.splitlines()
    assert f"itmp-found {daemon.pid} sleep\tsleep 60" in [line.rstrip() for line in lines]
    assert f"itmp-still {daemon.pid} sleep\tsleep 60" in [line.rstrip() for line in lines]


def test_a_host_that_does_not_answer_is_asked_again_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part, room = PART, room_in(tmp_path)
    room.folder.mkdir()
    monkeypatch.setattr("itmp.adapters.ansible._slicing._name", lambda _: "one-")
    (room.folder / "one-left").mkdir()
    runner = AnsibleRunner()
    monkeypatch.setattr(runner, "_answers", lambda *_: nullcontext((part.hosts, tmp_path, Masker(()))))
    answer(tmp_path, "web1")
    assert runner.sweep(plan([STEP]), part, room=room) == ("web2: cannot be asked for left-overs: no answer",)
    assert left_folders(room, part), "nobody knows what goes on at web2"
    answer(tmp_path, "web2")
    assert runner.sweep(plan([STEP]), part, room=room) == ()
    assert not left_folders(room, part)


def test_the_sign_of_left_overs_takes_next_to_no_room(tmp_path: Path) -> None:
    room, elsewhere = room_in(tmp_path), tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").touch()
    with fresh_folder(room, PART) as fresh:
        (fresh.folder / "project" / "collections").mkdir(parents=True)
        (fresh.folder / "project" / "collections" / "large").write_bytes(b"x" * 100_000)
        (fresh.folder / "planted").symlink_to(elsewhere)
        (fresh.folder / "engine").write_text("podman")
        fresh.kept = True
    (left,) = left_folders(room, PART)
    assert [path.name for path in left.rglob("*")] == ["engine"]
    assert (elsewhere / "file").exists()
