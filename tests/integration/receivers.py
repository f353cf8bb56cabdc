"""Receivers of exports on loopback, HTTPS and syslog, that die when they are told; and certificates, good and bad."""

import datetime as dt
import http.server
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAY = dt.timedelta(days=1)


class Authority:
    """A certificate authority; `roots` is the file by which a client trusts it."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._folder, self._name = folder, _named(name)
        self._key = ec.generate_private_key(ec.SECP256R1())
        made = self._begun(self._name, self._key, days=2)
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.roots = folder / f"{name}.pem"
        self.roots.write_bytes(_pem(made.sign(self._key, hashes.SHA256())))

    def server(self, name: str = "127.0.0.1", *, days: int = 1) -> ssl.SSLContext:
        """Return what a server with a certificate for `name` needs; with `days` below zero it is out of date."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = self._begun(_named("server"), key, days=days)
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(name))])
        certificate = made.add_extension(names, critical=False).sign(self._key, hashes.SHA256())
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file = self._folder / "server.pem"
        file.write_bytes(private + _pem(certificate))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _begun(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, days: int
    ) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        made = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name)
        made = made.public_key(key.public_key()).serial_number(x509.random_serial_number())
        return made.not_valid_before(now - 10 * _DAY).not_valid_after(now + days * _DAY)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


class Receiver:
    """One receiver's life: it takes `lives` batches; of the next it reads what `last` says and dies at once.

    `taken` are the batches whose records it read, in order; `died` is set when it is gone. `last` is `whole` (it has
    the records and never says so), `half` (it read half of them) or `refused` (HTTPS: it answers 403 and lives).
    """

    def __init__(self, *, lives: int = 1_000_000, last: str = "whole") -> None:
        self.taken: list[list[bytes]] = []
        self.died = threading.Event()
        self.last, self._lives = last, lives

    @property
    def records(self) -> list[bytes]:
        """Return every record it has, in the order in which it got them."""
        return [record for batch in self.taken for record in batch]

    def dies(self) -> bool:
        """Whether the batch that begins now is its last."""
        self._lives -= 1
        return self._lives < 0


@contextmanager
def https(receiver: Receiver, context: ssl.SSLContext, port: int = 0) -> Iterator[int]:
    """Serve a receiver by HTTPS on `port` (0: a free one), which is yielded, until it dies."""

    class Taking(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length, dies = int(self.headers["Content-Length"]), receiver.dies()
            if dies and receiver.last == "refused":
                self.rfile.read(length)
                self.send_error(403)
                return
            body = self.rfile.read(length // 2 if dies and receiver.last == "half" else length)
            receiver.taken.append(body[: body.rfind(b"\n") + 1].splitlines())
            if dies:
                self.server.socket.close()  # nobody is let in any more
                receiver.died.set()
                return
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with http.server.HTTPServer(("127.0.0.1", port), Taking) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=_until, args=(server, receiver), daemon=True)
        thread.start()
        try:
            yield server.server_port
        finally:
            receiver.died.set()
            thread.join(10)


def _until(server: http.server.HTTPServer, receiver: Receiver) -> None:
    server.timeout = 0.05
    while not receiver.died.is_set():
        server.handle_request()


@contextmanager
def syslog(receiver: Receiver, context: ssl.SSLContext | None = None, port: int = 0) -> Iterator[int]:
    """Serve a receiver by syslog over TCP, or TLS with `context`, as `https` does."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        listener.settimeout(0.05)
        thread = threading.Thread(target=_hear, args=(listener, receiver, context), daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            receiver.died.set()
            thread.join(10)


def _hear(listener: socket.socket, receiver: Receiver, context: ssl.SSLContext | None) -> None:
    while not receiver.died.is_set():
        try:
            plain, _ = listener.accept()
        except TimeoutError:
            continue
        plain.settimeout(10)
        try:
            connection = context.wrap_socket(plain, server_side=True) if context else plain
        except OSError:  # a client that does not trust it
            continue
        with connection:
            dies = receiver.dies()
            data = connection.recv(1000) if dies else connection.makefile("rb").read()
            receiver.taken.append(messages(data))
            if dies:
                listener.close()
                receiver.died.set()


def messages(data: bytes) -> Sequence[bytes]:
    """Return the records of the whole messages in some octet-counted syslog."""
    found = []
    while data:
        length, _, rest = data.partition(b" ")
        if len(rest) >= int(length):
            found.append(rest[: int(length)].partition(b" audit - ")[2])
        data = rest[int(length) :]
    return found
