"""Routes of alerts: a program, an HTTPS receiver, a syslog receiver.

Rules kept here: an alert is a few fixed words and never a text that came from a host, a document or an error; a program
is started without a shell, under the supervisor, with the state folder closed to it and an environment of its own, and
is ended when its time is over; HTTPS checks certificates and follows no redirect, plain HTTP goes to loopback alone;
whatever goes wrong is one `AlertError` that names the route and no secret.
"""

import http.client
import secrets
import socket
import threading
import urllib.parse
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from itmp.adapters.sinks import SyslogSink, is_loopback
from itmp.adapters.supervisor import Supervised
from itmp.errors import Error, InvalidInputError

GOOD: Final = range(200, 300)


class AlertError(Error):
    """An alert did not go out."""

    exit_code = 16
    retryable = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where an alert goes: `argv` of a program, or `url` of a receiver (`https://`, `tcp://`, `tls://`)."""

    name: str
    argv: tuple[str, ...] = ()
    url: str = ""
    token: str = field(default="", repr=False)
    folder: Path = Path()
    environment: Mapping[str, str] = field(default_factory=dict)

    def check(self) -> None:
        """Raise `InvalidInputError` unless there is one way and it is one that can be taken."""
        if bool(self.argv) == bool(self.url):
            raise InvalidInputError(
                f"alert {self.name} needs either command or url", where="itmp.yml: alerts"
            )
        if not self.url:
            return
        parts = _parts(self.url)
        secure = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
        syslog = parts.scheme in {"tcp", "tls"} and parts.port
        if not parts.hostname or "@" in parts.netloc or not (secure or syslog):
            raise InvalidInputError(
                f"not a receiver of alerts: {self.url!r:.80}",
                where="itmp.yml: alerts",
                do="Write https://HOST/PATH, tls://HOST:PORT or tcp://HOST:PORT; plain HTTP goes to loopback alone.",
            )


def send(route: Route, message: bytes, *, seconds: float) -> None:
    """Hand one message (a JSON object on one line) to a route, in about `seconds`; `AlertError` when it did not go."""
    route.check()
    try:
        if route.argv:
            _start(route, message, seconds)
        elif route.url.startswith("http"):
            _post(route, message, seconds)
        else:
            sink = SyslogSink(route.url, host=socket.gethostname(), severity=2, timeout=seconds)
            try:
                sink.send([message])
            finally:
                sink.close()
    except AlertError:
        raise
    except (Error, OSError, http.client.HTTPException, ValueError) as error:
        what = error.what if isinstance(error, Error) else f"{type(error).__name__}: {error}"
        raise AlertError(
            what[:300], where=f"alert {route.name}", do="itmp audit health --test-alert"
        ) from error


def _start(route: Route, message: bytes, seconds: float) -> None:
    with Supervised(
        route.argv,
        token=secrets.token_hex(16),
        environment=route.environment,
        folder=route.folder,
        grace=1.0,
        stdin=-1,
    ) as child:
        done = child.communicate(message + b"\n", seconds)
    if done.rc:
        raise AlertError(f"the program ended with {done.rc}", where=f"alert {route.name}")


def _post(route: Route, message: bytes, seconds: float) -> None:
    parts = _parts(route.url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=seconds)
    headers = {"Content-Type": "application/json", "User-Agent": "itmp"}
    if not (route.token.isascii() and route.token.isprintable()):
        raise AlertError("the token is no line of printable ASCII characters", where=f"alert {route.name}")
    headers |= {"Authorization": f"Bearer {route.token}"} if route.token else {}
    timer = threading.Timer(seconds, _cut, (connection,))  # a receiver that answers byte by byte
    timer.daemon = True
    timer.start()
    try:
        path = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
        connection.request("POST", path, message, headers)
        status = connection.getresponse().status
    finally:
        timer.cancel()
        connection.close()
    if status not in GOOD:
        raise AlertError(f"the receiver answered {status}", where=f"alert {route.name}")


def _cut(connection: http.client.HTTPConnection) -> None:
    sock: socket.socket | None = connection.sock
    if sock is not None:
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)


def _parts(url: str) -> urllib.parse.SplitResult:
    try:
        parts = urllib.parse.urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise InvalidInputError(f"not an address: {url!r:.80}", where="itmp.yml: alerts") from error
    return parts
