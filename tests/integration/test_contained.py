"""The first process of a container ends with the executor, whoever the container's parent is."""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import Recorder

from itmp.adapters.actions import ActionServer

pytestmark = [pytest.mark.hosts, pytest.mark.skipif(os.getuid() != 0, reason="needs root")]
LIMIT = 60.0


def started(folder: Path, server: ActionServer, mark: str) -> subprocess.Popen[bytes]:
    """Start it as the first process of a process namespace that nobody ends, as under an engine that is a daemon."""
    task = ["adhoc", "localhost", "-c", "local", "-m", "ansible.builtin.command", "-a", "sleep 600"]
    return subprocess.Popen(
        [
            "unshare",
            "--pid",
            "--fork",
            "--mount-proc",
            sys.executable,
            "-m",
            "itmp.adapters.ansible.contained",
            *task,
        ],
        env={**os.environ, **server.environment, "MARK": mark, "ANSIBLE_HOME": str(folder / "home")},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def marked(mark: str) -> list[str]:
    """Command lines of living processes that carry the mark."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and f"MARK={mark}".encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def until(server: ActionServer, true: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT
    while not true():
        assert time.monotonic() < end
        server.pump(0.02)


def test_when_the_executor_is_gone_every_process_of_the_container_ends(tmp_path: Path) -> None:
    mark = secrets.token_hex(8)
    with ActionServer(tmp_path, token="t", observer=Recorder()) as server:
        process = started(tmp_path, server, mark)
        until(server, lambda: any("sleep 600" in line and "python" not in line for line in marked(mark)))
        assert server.roles >= {"life"}
    try:
        assert process.wait(LIMIT) == 98
        assert marked(mark) == []
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def test_without_an_executor_nothing_is_started(tmp_path: Path) -> None:
    with ActionServer(tmp_path, token="t", observer=Recorder()) as server:
        environment = {**os.environ, **server.environment}
    program = [sys.executable, "-m", "itmp.adapters.ansible.contained", "adhoc", "localhost", "-m", "ping"]
    done = subprocess.run(
        program, env=environment, capture_output=True, text=True, timeout=LIMIT, check=False
    )
    assert done.returncode == 98
    assert "cannot be reached" in done.stderr
