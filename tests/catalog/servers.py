"""Real servers of a test: found, started on a free loopback port, and ended with it, by their own process."""

import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

PLACES = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"


def program(name: str) -> str:
    """Return the path of a server's program; fail with what to do where it is not installed."""
    found = shutil.which(name, path=PLACES)
    if found is None:
        pytest.fail(
            f"{name} is not installed: run `make test-catalog`, or install scripts/catalog-packages.sh's list"
        )
    return found


def free_port() -> int:
    """Return a loopback port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listens(port: int) -> bool:
    """Say whether somebody accepts on a loopback port."""
    with socket.socket() as probe:
        probe.settimeout(5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def serving(argv: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server in the foreground while the context lasts; its output goes to `log`."""
    with log.open("wb") as out:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(20)
