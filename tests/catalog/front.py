"""The smallest web server that can be restarted without losing a request; the balancer's test runs one for each host.

front.py DIR PORT serve | restart | stop | health

`restart` lets the old server finish the requests that it has accepted. Where DIR/broken lies, a started server answers its
health check with 503 and everything else as ever: only the check can tell.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FOLDER, PORT = Path(sys.argv[1]), int(sys.argv[2])
PID = FOLDER / "pid"


class Answer(BaseHTTPRequestHandler):
    """Say which start of which host this is."""

    sick = (FOLDER / "broken").exists()
    start = (FOLDER / "starts").read_text() if (FOLDER / "starts").exists() else "0"

    def do_GET(self) -> None:
        sick = self.sick and self.path == "/health"
        body = f"{FOLDER.parent.parent.name} {self.start}\n".encode()
        self.send_response(503 if sick else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: the balancer writes the log."""


class Server(ThreadingHTTPServer):
    """Waits for its open requests when it closes."""

    daemon_threads = False
    request_queue_size = 128


def serve() -> None:
    server = Server(("127.0.0.1", PORT), Answer)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    PID.write_text(str(os.getpid()))
    server.serve_forever(poll_interval=0.05)
    server.server_close()


def stop() -> None:
    if not PID.exists():
        return
    pid = int(PID.read_text())
    PID.unlink()
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
        for _ in range(600):
            os.kill(pid, 0)
            time.sleep(0.05)
        os.kill(pid, signal.SIGKILL)


def restart() -> None:
    stop()
    starts = FOLDER / "starts"
    starts.write_text(str(int(starts.read_text() if starts.exists() else 0) + 1))
    with (FOLDER / "log").open("ab") as log:
        argv = [sys.executable, __file__, str(FOLDER), str(PORT), "serve"]
        subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)


def health() -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/health", timeout=10):
        pass


if __name__ == "__main__":
    {"serve": serve, "restart": restart, "stop": stop, "health": health}[sys.argv[3]]()
