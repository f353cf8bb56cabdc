"""Receivers of exports, each a real file or a real server on loopback."""

import http.server
import json
import resource
import select
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from itmp.adapters.sinks import FileSink, HttpsSink, SyslogSink, last_index
from itmp.errors import InvalidInputError
from itmp.export import SinkError

RECORDS = [b'{"index":0}', b'{"index":1}']


class Receiver(http.server.BaseHTTPRequestHandler):
    """Answers with the codes that it is given, the last one for good, and keeps what it accepted."""

    codes: list[int]
    taken: list[tuple[dict[str, str], bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        code = self.codes.pop(0) if len(self.codes) > 1 else self.codes[0]
        if code == 200:
            self.taken.append((dict(self.headers), body))
        self.send_response(code)
        if code == 302:
            self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server() -> Iterator[tuple[str, type[Receiver]]]:
    kind = type("Fresh", (Receiver,), {"codes": [200], "taken": []})
    with http.server.HTTPServer(("127.0.0.1", 0), kind) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{made.server_port}/in?x=1", kind
        finally:
            made.shutdown()
            thread.join()


def test_a_file_is_continued_behind_its_last_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "out"
    sink = FileSink(path)
    assert sink.last == b""
    sink.send(RECORDS)
    sink.close()
    with path.open("ab") as file:
        file.write(b'{"index":2,"torn')
    again = FileSink(path)
    assert again.last == RECORDS[1]
    again.send([b'{"index":2}'])
    again.close()
    assert path.read_bytes().splitlines() == [*RECORDS, b'{"index":2}']


@pytest.mark.parametrize("path", ["/dev/full", "/"])
def test_what_is_no_plain_file_is_named(path: str) -> None:
    with pytest.raises(SinkError, match="not a plain file"):
        FileSink(Path(path))


def test_a_disk_that_takes_no_more_is_named_and_what_was_taken_stays(tmp_path: Path) -> None:
    sink = FileSink(tmp_path / "out")
    sink.send(RECORDS)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30, limits[1]))
    try:
        with pytest.raises(SinkError, match="cannot be written"):
            sink.send(RECORDS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    sink.close()
    again = FileSink(tmp_path / "out")
    assert again.last == RECORDS[1]
    again.close()


def test_https_sends_a_batch_with_its_token(server: tuple[str, type[Receiver]]) -> None:
    url, receiver = server
    HttpsSink(url, content="application/x-ndjson", token="t0k3n").send(RECORDS)
    HttpsSink(url, content="application/cloudevents-batch+json").send(RECORDS)
    (headers, body), (_, array) = receiver.taken
    assert headers["Authorization"] == "Bearer t0k3n"
    assert body == b'{"index":0}\n{"index":1}\n'
    assert json.loads(array) == [{"index": 0}, {"index": 1}]


def test_a_busy_receiver_is_asked_again_and_a_refusing_one_is_not(server: tuple[str, type[Receiver]]) -> None:
    url, receiver = server
    receiver.codes[:] = [503, 429, 200]
    HttpsSink(url, content="application/x-ndjson", pause=0.0).send(RECORDS)
    assert len(receiver.taken) == 1
    for code in (401, 302):
        receiver.codes[:] = [code, 200]
        with pytest.raises(SinkError, match=str(code)):
            HttpsSink(url, content="application/x-ndjson", pause=0.0).send(RECORDS)
    receiver.codes[:] = [500]
    with pytest.raises(SinkError, match="500"):
        HttpsSink(url, content="application/x-ndjson", pause=0.0).send(RECORDS)
    assert len(receiver.taken) == 1


@pytest.mark.parametrize(
    "url", ["http://example.com/", "ftp://127.0.0.1/", "https://", "https://user:secret@127.0.0.1/"]
)
def test_only_https_or_loopback_and_no_password(url: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        HttpsSink(url, content="x")
    assert "secret" not in str(caught.value) or "@" not in str(caught.value)


def test_neither_a_broken_token_nor_a_path_that_is_one_is_told(server: tuple[str, type[Receiver]]) -> None:
    url, receiver = server
    with pytest.raises(InvalidInputError) as caught:
        HttpsSink(url, content="x", token="hush\n\n")
    assert "hush" not in str(caught.value)
    receiver.codes[:] = [401]
    with pytest.raises(SinkError) as refused:
        HttpsSink(f"{url}/hook/hush?key=hush", content="x").send(RECORDS)
    assert "hush" not in f"{refused.value} {refused.value.where}"


def heard(listener: socket.socket) -> bytes:
    """Accept one connection and read it to its end."""
    connection, _ = listener.accept()
    with connection:
        return b"".join(iter(lambda: connection.recv(4096), b""))


def test_syslog_frames_each_message_by_its_length() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        sink = SyslogSink(f"tcp://127.0.0.1:{listener.getsockname()[1]}", host="example.com\n")
        hearing = pool.submit(heard, listener)
        sink.send(RECORDS)
        data = hearing.result()
    found = []
    while data:
        length, _, rest = data.partition(b" ")
        found.append(rest[: int(length)])
        data = rest[int(length) :]
    assert [message.rpartition(b" - ")[2] for message in found] == RECORDS
    assert all(message.startswith(b"<110>1 20") and b" example.com itmp " in message for message in found)


def left_alone(listener: socket.socket) -> None:
    """Accept and read nothing, for as long as the other end waits."""
    connection, _ = listener.accept()
    with connection:
        select.select([], [], [], 0.5)


def cut_off(listener: socket.socket) -> None:
    """Read a little and die with the rest unread."""
    connection, _ = listener.accept()
    with connection:
        connection.recv(1)


@pytest.mark.parametrize("dying", [left_alone, cut_off])
def test_messages_that_nobody_read_to_their_end_count_for_nothing(
    dying: Callable[[socket.socket], None],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        sink = SyslogSink(f"tcp://127.0.0.1:{listener.getsockname()[1]}", host="h", timeout=0.3)
        pool.submit(dying, listener)
        with pytest.raises(SinkError, match="broke before its end"):
            sink.send(RECORDS)


@pytest.mark.parametrize(
    "url", ["udp://127.0.0.1:514", "tcp://127.0.0.1", "tls:///x", "tcp://u:p@127.0.0.1:1"]
)
def test_other_syslog_is_refused(url: str) -> None:
    with pytest.raises(InvalidInputError, match="syslog receiver"):
        SyslogSink(url, host="h")


def test_nobody_listening_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(SinkError, match="cannot be reached"):
        SyslogSink(f"tcp://127.0.0.1:{port}", host="h").send(RECORDS)


@pytest.mark.parametrize("line", [b"", b"[]", b"{}", b'{"index":"1"}', b'{"index":true}', b"\xff"])
def test_a_line_without_a_number_has_no_index(line: bytes) -> None:
    assert last_index(line, ("index",)) is None
