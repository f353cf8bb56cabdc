"""One HTTP POST, bounded: no redirect, no proxy, a small answer, and one deadline over the whole exchange.

Rules kept here: whoever answers byte by byte is waited for no longer than whoever is silent. A name that resolves
slowly counts too. What was begun is left to a thread that ends as soon as its connection is cut.
"""

import socket
import threading
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

from itmp.anchors import AnchorError
from itmp.errors import InvalidInputError

SECONDS: Final = 5.0
"""What connecting, asking and reading the answer may take together."""
_MAX_ANSWER: Final = 64 * 1024


def check_url(url: str, where: str) -> str:
    """Return `url`; raise `InvalidInputError` unless it is one of http or https with a host."""
    try:
        parts = urlsplit(url)
        fine = parts.scheme in {"http", "https"} and parts.hostname and not parts.query and not parts.fragment
        _ = parts.port
    except ValueError:
        fine = False
    if not fine or not url.isascii() or not url.isprintable():
        raise InvalidInputError(f"not an http or https address: {url!r:.120}", where=where)
    return url


def post(url: str, body: bytes, *, type: str, seconds: float = SECONDS) -> tuple[int, bytes]:  # noqa: A002 - HTTP's own word
    """Post `body`; return status and answer. `AnchorError` when nobody answers in time or too much comes back."""
    exchange = _Exchange(url, body, type, seconds)
    exchange.start()
    exchange.join(seconds)
    if exchange.is_alive():
        exchange.cut()
        raise AnchorError(f"no whole answer within {seconds:g} s", where=url, do=_AGAIN)
    if exchange.error is not None:
        raise AnchorError(f"no answer: {exchange.error}", where=url, do=_AGAIN) from exchange.error
    if len(exchange.data) > _MAX_ANSWER:
        raise AnchorError(f"an answer of more than {_MAX_ANSWER} bytes", where=url)
    return exchange.status, exchange.data


_AGAIN: Final = "It is asked again next time."


class _Exchange(threading.Thread):
    """The exchange itself; `seconds` bound each of its waits, whoever joins it bounds their sum."""

    def __init__(self, url: str, body: bytes, type: str, seconds: float) -> None:  # noqa: A002 - as above
        super().__init__(daemon=True)
        self.status, self.data = 0, b""
        self.error: Exception | None = None
        self._url, self._body, self._type, self._seconds = url, body, type, seconds
        self._socket: socket.socket | None = None
        self._late = False

    def run(self) -> None:
        import http.client  # noqa: PLC0415 - it brings TLS along, and few logs post: a check of a log starts without

        parts = urlsplit(self._url)
        opened = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = opened(parts.hostname or "", parts.port, timeout=self._seconds)
        try:
            connection.connect()
            self._socket = (
                connection.sock
            )  # the connection forgets it while an answer without a length is read
            if not self._late:
                headers = {"Content-Type": self._type}
                connection.request("POST", parts.path or "/", body=self._body, headers=headers)
                answer = connection.getresponse()
                self.status, self.data = answer.status, answer.read(_MAX_ANSWER + 1)
        except (OSError, ValueError, http.client.HTTPException) as error:  # a host's name may be none
            self.error = error
        finally:
            connection.close()

    def cut(self) -> None:
        """Have the exchange end by itself, at once where it is connected."""
        self._late = True
        if self._socket is not None:
            with suppress(OSError):  # it ended meanwhile
                # Below TLS, whose own shutdown is no call for a thread while another is inside it.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
