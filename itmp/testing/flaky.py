"""A loopback proxy before the cloud double that breaks chosen calls, in both ways.

Rules kept here: everything else passes unchanged; a broken call is either never forwarded (not done) or
forwarded and its answer withheld (done, reported failed), and stays broken until `mend`, because clients
try again.
"""

import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Final, Self

_SECONDS: Final = 20
_HOLD_SECONDS: Final = 300
_KEPT: Final = frozenset({"content-type", "authorization", "x-amz-date", "x-amz-target", "user-agent"})


class FlakyProxy:
    """A context manager; `endpoint` stands for the double's."""

    def __init__(self, endpoint: str) -> None:
        self._target = endpoint
        self._broken: dict[bytes, bool] = {}
        self.held = threading.Event()
        self._held: set[bytes] = set()
        self._release = threading.Event()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                proxy.serve(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002, ARG002 -- as above
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def break_call(self, operation: str, *, done: bool) -> None:
        """Break every call of `operation`, such as SetDesiredCapacity; `done` forwards it before."""
        self._broken[operation.encode()] = done

    def hold_call(self, operation: str) -> None:
        """Let every call of `operation` wait and never be forwarded; `held` tells that one has come."""
        self._held.add(operation.encode())

    def mend(self) -> None:
        """Let everything pass from now on."""
        self._broken.clear()
        self._held.clear()
        self._release.set()

    def serve(self, call: BaseHTTPRequestHandler) -> None:
        """Pass one call on, or break it."""
        body = call.rfile.read(int(call.headers.get("Content-Length") or 0))
        words = body + (call.headers.get("X-Amz-Target") or "").encode()
        broken = next((name for name in self._broken if name in words), b"")
        if any(name in words for name in self._held):
            self.held.set()
            self._release.wait(_HOLD_SECONDS)
            call.close_connection = True
            return
        if broken and not self._broken[broken]:
            call.close_connection = True
            return
        headers = {name: value for name, value in call.headers.items() if name.lower() in _KEPT}
        request = urllib.request.Request(self._target + call.path, data=body, headers=headers)  # noqa: S310 -- loopback
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310 -- loopback
            content, kind = answer.read(), answer.headers.get("Content-Type", "text/xml")
        if broken:
            call.close_connection = True
            return
        call.send_response(200)
        call.send_header("Content-Type", kind)
        call.send_header("Content-Length", str(len(content)))
        call.end_headers()
        call.wfile.write(content)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


__all__ = ["FlakyProxy"]
