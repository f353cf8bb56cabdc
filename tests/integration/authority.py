"""A time stamp authority on loopback, made and run with stock openssl."""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

CONFIG = """
[ req ]
distinguished_name = name
[ name ]
[ tsa_cert ]
extendedKeyUsage = critical,timeStamping
[ tsa ]
default_tsa = one
[ one ]
serial = {folder}/serial
crypto_device = builtin
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
"""


class Authority:
    """`roots` is what an auditor trusts; `reply` stamps one query."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()
        (folder / "openssl.cnf").write_text(CONFIG.format(folder=folder))
        (folder / "serial").write_text("01\n")
        self.roots = folder / "ca.pem"
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        self._run(
            "req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca", "-days", "2"
        )
        self._run("req", "-new", *key, "-keyout", "tsa.key", "-out", "tsa.csr", "-subj", "/CN=tsa")
        self._run(
            "x509", "-req", "-in", "tsa.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-set_serial", "7", "-days", "2",
            "-extfile", "openssl.cnf", "-extensions", "tsa_cert", "-out", "tsa.pem",
        )  # fmt: skip

    def reply(self, query: bytes) -> bytes:
        (self._folder / "query").write_bytes(query)
        self._run(
            "ts", "-reply", "-config", "openssl.cnf", "-queryfile", "query", "-inkey", "tsa.key", "-signer", "tsa.pem",
            "-out", "reply",
        )  # fmt: skip
        return (self._folder / "reply").read_bytes()

    def _run(self, *arguments: str) -> None:
        environ = {"PATH": "/usr/bin:/bin", "OPENSSL_CONF": str(self._folder / "openssl.cnf")}
        subprocess.run(
            ["openssl", *arguments],
            cwd=self._folder,
            env=environ,
            check=True,
            capture_output=True,
            timeout=60,
        )


@contextmanager
def serving(authority: Authority) -> Iterator[str]:
    """Serve the authority on a free loopback port; yield its address."""

    class Stamping(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            reply = authority.reply(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Stamping)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/tsr"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
