"""The provider as a process: one line on stdout, and no life without its engine."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROVIDER = [sys.executable, "-I", "-B", "-m", "itmp.provider.main"]
ENGINE = """
import subprocess, sys, time
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, text=True)
print(child.pid, child.stdout.readline().strip(), flush=True)
time.sleep(120)
"""
_SECONDS = 30


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return False


def test_an_orphan_ends_itself(tmp_path: Path) -> None:
    engine = subprocess.Popen(
        [sys.executable, "-I", "-c", ENGINE, *PROVIDER], stdout=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert engine.stdout
    pid, port = map(int, engine.stdout.readline().split())
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=_SECONDS):
            assert lives(pid)
        engine.kill()
        deadline = time.monotonic() + _SECONDS
        while lives(pid) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not lives(pid)
    finally:
        engine.kill()
        engine.communicate()
        if lives(pid):
            os.kill(pid, signal.SIGKILL)


def test_a_provider_whose_parent_is_another_ends_at_once() -> None:
    script = "from itmp.provider.engine_watch import die_with; die_with(1); print('lives')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=_SECONDS, check=False)
    assert (done.returncode, done.stdout) == (3, b"")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_told(number: signal.Signals) -> None:
    with subprocess.Popen(PROVIDER, stdout=subprocess.PIPE, text=True) as provider:
        assert provider.stdout
        assert int(provider.stdout.readline()) > 0
        provider.send_signal(number)
        assert (provider.stdout.read(), provider.wait(_SECONDS)) == ("", 0)
