"""Whoever sends byte by byte is waited for no longer than whoever is silent: a client's exchange and a server's request."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from itertools import repeat
from pathlib import Path

import pytest

from itmp.adapters.anchors import serving
from itmp.adapters.anchors.posting import post
from itmp.anchors import AnchorError
from itmp.signing import NoteKey

SECONDS = 0.6
LOG = NoteKey.generate("example.com/ops/2026", b"l" * 32)
ASKED = b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: 3\r\n\r\nold"


def trickle(connection: socket.socket, begin: bytes) -> None:
    """Send what `begin` says, then a byte each time before a silence would be noticed, until that is refused."""
    with suppress(OSError):
        connection.sendall(begin)
        for byte in repeat(b"x", 200):
            connection.sendall(byte)
            time.sleep(SECONDS / 6)


@contextmanager
def hostile(begin: bytes) -> Iterator[str]:
    """Answer one request so; yield the address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            with closing(listening.accept()[0]) as connection:
                trickle(connection, begin)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        thread.join(10)
        assert not thread.is_alive(), "the connection was left open"


@pytest.mark.parametrize(
    "begin",
    [
        b"H",
        b"HTTP/1.1 200 OK\r\nX: ",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"",
    ],
    ids=["status", "headers", "body", "body without an end", "nothing"],
)
def test_an_answer_byte_by_byte_ends_at_the_deadline(begin: bytes) -> None:
    with hostile(begin) as url:
        began = time.monotonic()
        with pytest.raises(AnchorError, match="no whole answer within"):
            post(url, b"asked", type="text/plain", seconds=SECONDS)
        assert time.monotonic() - began < 4 * SECONDS


def test_an_answer_in_time_is_returned() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            with closing(listening.accept()[0]) as connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 409 Conflict\r\nContent-Length: 2\r\n\r\n5\n")

        threading.Thread(target=answer, daemon=True).start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        assert post(url, b"asked", type="text/plain") == (409, b"5\n")


def test_nobody_there_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
    with pytest.raises(AnchorError, match="no answer"):
        post(url, b"asked", type="text/plain")


@contextmanager
def served(folder: Path, *, connections: int) -> Iterator[tuple[str, int]]:
    serving.make(folder, "witness.example/w1")
    server = serving.server(folder, [LOG.vkey], ("127.0.0.1", 0), seconds=SECONDS, connections=connections)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield ("127.0.0.1", server.server_address[1])
    server.shutdown()
    server.server_close()
    thread.join(10)


def answered(connection: socket.socket) -> bytes:
    """Return all that comes back until the server ends the connection."""
    connection.settimeout(20 * SECONDS)
    found = b""
    with suppress(ConnectionResetError):
        while data := connection.recv(4096):
            found += data
    return found


@pytest.mark.parametrize(
    "begin", [b"", b"POST /add-checkpoint HTTP/1.1\r\nX: ", ASKED.replace(b": 3", b": 9999")]
)
def test_a_request_byte_by_byte_ends_at_the_deadline(tmp_path: Path, begin: bytes) -> None:
    with served(tmp_path / "w1", connections=4) as address, socket.create_connection(address) as connection:
        began = time.monotonic()
        threading.Thread(target=trickle, args=(connection, begin), daemon=True).start()
        answered(connection)
        assert time.monotonic() - began < 4 * SECONDS


def test_whoever_comes_when_all_connections_are_taken_waits_for_an_end(tmp_path: Path) -> None:
    with served(tmp_path / "w1", connections=2) as address:
        silent = [socket.create_connection(address) for _ in range(6)]
        before = time.monotonic()
        with socket.create_connection(address) as connection:
            connection.sendall(ASKED)
            assert answered(connection).startswith(b"HTTP/1.1 400 ")
        assert 2 * SECONDS < time.monotonic() - before < 12 * SECONDS, "three times two had to end first"
        for one in silent:
            one.close()


def test_a_connection_serves_one_request(tmp_path: Path) -> None:
    with served(tmp_path / "w1", connections=2) as address, socket.create_connection(address) as connection:
        connection.sendall(ASKED + ASKED)
        assert answered(connection).count(b"HTTP/1.1 400 ") == 1
