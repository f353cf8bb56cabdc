"""`itmp witness serve`: a witness as one small HTTP server, its key and its memory in one folder.

Rules kept here: key and memory are made together, once, and a missing memory is an error, never an empty one (it would
sign a second history); each move of the memory is one immediate transaction with a full sync; a request is bounded in
bytes before it is judged, and has a connection of its own, which is cut after `SECONDS` whatever has come by then; at
most `CONNECTIONS` are open at once, and the next one waits for an end; nothing is answered but the one call. Who is
trusted: the account that owns the folder; it must not be the log owner's.
"""

import os
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from itmp.adapters.posix_log import durable
from itmp.anchors import MAX_REQUEST, Head, Reply, Witness
from itmp.audit.merkle import EMPTY_ROOT
from itmp.errors import InvalidInputError, LogUnavailableError, NotFoundError
from itmp.signing import NoteKey, NoteVerifier

KEY: Final = "witness.key"
MEMORY: Final = "witness.sqlite"
SECONDS: Final = 10.0
"""What a request and its answer may take together."""
CONNECTIONS: Final = 64
_COSIGNATURE: Final = 4
_SEED: Final = 32
_MAX_KEY: Final = 4096
_WAIT_SECONDS: Final = 10.0
_SCHEMA: Final = (
    "CREATE TABLE seen (origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL) STRICT"
)


class SqliteSeen:
    """A witness's memory in one file. Keeps the contract of `itmp.anchors.Seen`; opened anew for each use."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def create(self) -> None:
        """Make an empty memory."""
        with self._open("rwc") as db:
            db.execute(_SCHEMA)

    def newest(self, origin: str) -> Head:
        """Return the newest head cosigned for `origin`."""
        with self._open("rw") as db:
            row = db.execute("SELECT size, root FROM seen WHERE origin = ?", (origin,)).fetchone()
        return Head(size=row[0], root=row[1]) if row else Head(size=0, root=EMPTY_ROOT)

    def swap(self, origin: str, old: Head, new: Head) -> bool:
        """Replace `old` by `new` if it is still the newest."""
        with self._open("rw") as db:
            db.execute("BEGIN IMMEDIATE")
            if old.size == 0:
                db.execute("INSERT OR IGNORE INTO seen VALUES (?, 0, ?)", (origin, EMPTY_ROOT))
            changed = db.execute(
                "UPDATE seen SET size = ?, root = ? WHERE origin = ? AND size = ? AND root = ?",
                (new.size, new.root, origin, old.size, old.root),
            ).rowcount
            db.execute("COMMIT")
        return changed == 1

    @contextmanager
    def _open(self, mode: str) -> Iterator[sqlite3.Connection]:
        try:
            uri = f"{self._path.absolute().as_uri()}?mode={mode}"
            with closing(sqlite3.connect(uri, uri=True, isolation_level=None, timeout=_WAIT_SECONDS)) as db:
                db.execute("PRAGMA synchronous = EXTRA")
                yield db
        except sqlite3.Error as error:
            raise LogUnavailableError(
                f"the witness's memory cannot be used: {error}",
                where=str(self._path),
                do="Restore it. Never begin an empty one with the same key: it would sign a second history.",
            ) from error


def make(folder: Path, name: str) -> str:
    """Make a witness's key (0600) and empty memory in `folder`; return the key's public text."""
    if (folder / KEY).exists() or (folder / MEMORY).exists():
        raise InvalidInputError("a witness exists here, or a part of one", where=str(folder))
    key = NoteKey.generate(name, os.urandom(_SEED), algorithm=_COSIGNATURE)
    with durable.unavailable("made", folder):
        durable.make_folder(folder, mode=0o700)
        SqliteSeen(folder / MEMORY).create()
        text = key.to_text().encode() + b"\n"
        durable.place(folder / KEY, text, temporary=folder / f".{KEY}", mode=0o600)
    return key.vkey


def read_key(folder: Path) -> NoteKey:
    """Read the key of the witness in `folder`."""
    with durable.unavailable("read", folder):
        data = durable.read_private(folder / KEY, _MAX_KEY)
    if data is None:
        raise NotFoundError(
            "no witness here", where=str(folder), do="Make one: itmp witness key NAME --state DIR"
        )
    return NoteKey.from_text(data.decode(errors="replace").removesuffix("\n"))


def server(
    folder: Path,
    logs: Sequence[str],
    address: tuple[str, int],
    *,
    seconds: float = SECONDS,
    connections: int = CONNECTIONS,
) -> ThreadingHTTPServer:
    """Return the server of the witness in `folder` for the logs with these keys, bound and not yet serving."""
    verifiers = [NoteVerifier.parse(vkey) for vkey in logs]
    if not verifiers:
        raise InvalidInputError("a witness needs to know a log", do="Name each by --log VKEY.")
    seen = SqliteSeen(folder / MEMORY)
    key = read_key(folder)
    seen.newest(verifiers[0].name)  # a missing memory is found before anything is served
    witness = Witness(key, verifiers, seen, lambda: int(time.time()))

    class Bound(_Handler):
        judge = witness

    try:
        return _Server(address, Bound, seconds, connections)
    except OSError as error:
        raise InvalidInputError(
            f"cannot listen: {error.strerror}", where=f"{address[0]}:{address[1]}"
        ) from error


class _Server(ThreadingHTTPServer):
    """A thread for each connection, of which there are few and each has an end."""

    request_queue_size = CONNECTIONS

    def __init__(
        self, address: tuple[str, int], handler: type["_Handler"], seconds: float, connections: int
    ) -> None:
        super().__init__(address, handler)
        self._seconds, self._free = seconds, threading.Semaphore(connections)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._free.acquire()  # who comes next waits in the kernel's queue, `seconds` at most for each end
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._free.release()  # no thread began, so none will
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        end = threading.Timer(self._seconds, _cut, [request])
        end.daemon = True
        try:
            end.start()
            super().process_request_thread(request, client_address)
        finally:
            end.cancel()
            self._free.release()


def _cut(connection: socket.socket) -> None:
    with suppress(OSError):  # it ended meanwhile
        connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    judge: Witness
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "itmp-witness", ""

    def handle(self) -> None:
        with suppress(OSError):  # who asked is gone, or was cut off
            self.handle_one_request()

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if self.path != "/add-checkpoint":
            self._answer(Reply(status=HTTPStatus.NOT_FOUND, body=b"only /add-checkpoint is served\n"))
        elif not (length.isascii() and length.isdigit() and int(length[:9]) <= MAX_REQUEST):
            self._answer(Reply(status=HTTPStatus.BAD_REQUEST, body=b"no length, or one beyond the limit\n"))
        else:
            self._judge(self.rfile.read(int(length[:9])))

    def _judge(self, body: bytes) -> None:
        try:
            self._answer(self.judge.add_checkpoint(body))
        except LogUnavailableError as error:
            self.log_error("%s", str(error))
            self._answer(Reply(status=HTTPStatus.INTERNAL_SERVER_ERROR, body=b"the memory failed\n"))

    def _answer(self, reply: Reply) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.type)
        self.send_header("Content-Length", str(len(reply.body)))
        self.send_header("Connection", "close")  # a deadline is one request's
        self.end_headers()
        self.wfile.write(reply.body)
