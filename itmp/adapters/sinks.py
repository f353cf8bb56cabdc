"""Receivers of exported records: a stream, a file, syslog, HTTPS (door: `itmp.export.Sink`).

Rules kept here: a file is appended to and synced, and a torn last line of a killed export is cut before anything
follows it; syslog is RFC 5424 over TCP or TLS with octet counting (RFC 6587), because UDP loses and cuts, and a batch
counts once the receiver closed in answer to its end; TLS checks certificates and names; HTTPS follows no redirect, and
plain HTTP goes to loopback alone; a receiver that says "later" is asked again a few times and then named.
"""

import http.client
import ipaddress
import json
import os
import select
import socket
import ssl
import time
import urllib.parse
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from itmp.errors import InvalidInputError
from itmp.export import SinkError

TIMEOUT: Final = 30.0
TRIES: Final = 4
_FACILITY: Final = 13 * 8  # "log audit"; severity 6 is informational, 2 critical
_TAIL: Final = 1024 * 1024  # longer than any record
_MOMENT: Final = 0.001
_GOOD: Final = range(200, 300)
_LATER: Final = frozenset({408, 429, 500, 502, 503, 504})


class StreamSink:
    """Writes lines to an open stream, such as standard output."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def send(self, records: Sequence[bytes]) -> None:
        """Write and flush."""
        self._stream.write(b"".join(record + b"\n" for record in records))
        self._stream.flush()

    def close(self) -> None:
        """Leave the stream open: it is not ours."""


class FileSink:
    """Appends lines to a file, durably. `last` is its last whole line, empty for a new file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        if path.exists() and not path.is_file():
            raise SinkError(
                "not a plain file", where=str(path), do="Name a file, or leave -o out and pipe it."
            )
        try:
            self._file = path.open("a+b", buffering=0)
            self.last = self._mend()
        except OSError as error:
            raise SinkError(f"cannot be opened: {error.strerror}", where=str(path)) from error

    def send(self, records: Sequence[bytes]) -> None:
        """Append and sync."""
        try:
            self._write(b"\n".join((*records, b"")))
            os.fdatasync(self._file.fileno())
        except OSError as error:
            raise SinkError(
                f"cannot be written: {error.strerror}", where=str(self._path), do="Make room, and resume."
            ) from error

    def close(self) -> None:
        """Close the file."""
        with suppress(OSError):
            self._file.close()

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:  # a disk that fills up takes a part first
            view = view[self._file.write(view) :]

    def _mend(self) -> bytes:
        size = self._file.seek(0, os.SEEK_END)
        start = max(0, size - _TAIL)
        self._file.seek(start)
        tail = self._file.read()
        whole = tail[: tail.rfind(b"\n") + 1]
        self._file.truncate(start + len(whole))
        return whole.rstrip(b"\n").rpartition(b"\n")[2]


class SyslogSink:
    """Sends records as RFC 5424 messages over TCP or TLS: `tcp://HOST:PORT` or `tls://HOST:PORT`.

    The protocol has no answer. So each `send` has a connection of its own and ends it: a receiver that read to that end
    closes in turn, one that died with messages unread breaks the connection.
    """

    def __init__(self, url: str, *, host: str, severity: int = 6, timeout: float = TIMEOUT) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in {"tcp", "tls"} or not parts.hostname or not parts.port or "@" in parts.netloc:
            raise InvalidInputError(
                f"not a syslog receiver: {url!r:.80}", do="Write tcp://HOST:PORT or tls://HOST:PORT."
            )
        self._url, self._priority, self._timeout = url, _FACILITY + severity, timeout
        self._name, self._port = parts.hostname, parts.port
        self._context = ssl.create_default_context() if parts.scheme == "tls" else None
        self._host = "".join(char for char in host if "!" <= char <= "~")[:255] or "-"

    def send(self, records: Sequence[bytes]) -> None:
        """Write the messages, and wait until the receiver has read them all."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        head = f"<{self._priority}>1 {moment} {self._host} itmp {os.getpid()} audit - ".encode()
        framed = [head + record for record in records]
        with self._connected() as connection:
            try:
                connection.sendall(b"".join(b"%d %b" % (len(message), message) for message in framed))
                _end(connection, self._timeout)
            except OSError as error:
                raise SinkError(
                    f"the connection broke before its end: {error}", where=self._url, do="Resume the export."
                ) from error

    def close(self) -> None:
        """Nothing is held between batches."""

    def _connected(self) -> socket.socket:
        try:
            plain = socket.create_connection((self._name, self._port), self._timeout)
            if self._context is None:
                return plain
            return self._context.wrap_socket(plain, server_hostname=self._name)
        except ssl.SSLCertVerificationError as error:
            raise _distrusted(error, self._url) from error
        except OSError as error:
            raise SinkError(f"cannot be reached: {error}", where=self._url) from error


class HttpsSink:
    """POSTs batches of records; `content` says how they are joined, `token` is a bearer token."""

    def __init__(self, url: str, *, content: str, token: str = "", pause: float = 1.0) -> None:
        parts = urllib.parse.urlsplit(url)
        secure = parts.scheme == "https"
        if "@" in parts.netloc:
            raise InvalidInputError(
                "a receiver's URL may hold no password", do="Give a token: --token env:NAME."
            )
        if not parts.hostname or not (secure or (parts.scheme == "http" and is_loopback(parts.hostname))):
            raise InvalidInputError(
                f"not an HTTPS receiver: {url!r:.80}",
                do="Write https://HOST/PATH; plain HTTP goes to loopback alone.",
            )
        if not token.isascii() or not token.isprintable():
            raise InvalidInputError(
                "a bearer token holds a character that no header takes",
                do="Look for a line break at its end.",
            )
        self._host, self._port, self._url = parts.hostname, parts.port, "://".join(parts[:2])
        self._path = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
        self._headers = {"Content-Type": content, **({"Authorization": f"Bearer {token}"} if token else {})}
        self._context = ssl.create_default_context() if secure else None
        self._array, self._pause = content.endswith("batch+json"), pause

    def send(self, records: Sequence[bytes]) -> None:
        """POST them as one body; ask again a few times when the receiver is busy or away."""
        body = b"[" + b",".join(records) + b"]" if self._array else b"".join(r + b"\n" for r in records)
        for attempt in range(1, TRIES + 1):
            status, why = self._post(body)
            if status in _GOOD:
                return
            if status and status not in _LATER:
                break
            if attempt < TRIES:
                time.sleep(self._pause * 2 ** (attempt - 1))
        raise SinkError(f"did not take the records: {why}", where=self._url, do="Resume the export later.")

    def close(self) -> None:
        """Nothing is held between batches."""

    def _post(self, body: bytes) -> tuple[int, str]:
        connection = self._connection()
        try:
            connection.request("POST", self._path, body, self._headers)
            answer = connection.getresponse()
            answer.read(_TAIL)
        except ssl.SSLCertVerificationError as error:
            raise _distrusted(error, self._url) from error
        except (OSError, http.client.HTTPException) as error:
            return 0, f"{type(error).__name__}: {error}"
        else:
            return answer.status, f"{answer.status} {answer.reason}"
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        if self._context is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT)
        return http.client.HTTPSConnection(self._host, self._port, timeout=TIMEOUT, context=self._context)


def _distrusted(error: ssl.SSLCertVerificationError, url: str) -> SinkError:
    """Nothing was sent, and asking again changes nothing."""
    return SinkError(
        f"its certificate is not accepted: {error.verify_message}",
        where=url,
        do="Have it renewed, or add its authority to this machine's: SSL_CERT_FILE=FILE.",
    )


def _end(connection: socket.socket, seconds: float) -> None:
    """Say that nothing follows, and wait until the receiver, which reads to there, closes too.

    Raise `OSError` when it closed before, died with bytes unread, or does not close within `seconds`.
    """
    until = time.monotonic() + seconds
    watch = select.poll()
    watch.register(connection, select.POLLRDHUP)
    if watch.poll(0):
        raise ConnectionAbortedError("the receiver closed it before it had everything")
    if isinstance(connection, ssl.SSLSocket):
        with suppress(ssl.SSLEOFError):  # many receivers close without a farewell of their own
            connection.unwrap()
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(_TAIL):
        connection.settimeout(max(until - time.monotonic(), _MOMENT))
        if time.monotonic() > until:
            raise TimeoutError("the receiver does not close it")
    broken = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if broken:
        raise OSError(broken, os.strerror(broken))


def is_loopback(host: str) -> bool:
    """Whether a host's name is this machine's own."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def last_index(record: bytes, place: Sequence[str]) -> int | None:
    """Return the number at `place` of a JSON record; None where it has none."""
    try:
        value = json.loads(record)
        for name in place:
            value = value[name]
    except (ValueError, KeyError, TypeError):
        return None
    return value if type(value) is int else None
