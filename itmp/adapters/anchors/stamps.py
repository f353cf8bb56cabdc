"""RFC 3161 time stamps over a checkpoint's text, asked for and verified with stock `openssl ts`.

Rules kept here: what is stamped is the three lines of the checkpoint, so that anyone can rebuild it from the
evidence; a reply is kept only when it answers our own query and holds under the configured roots; children ask nobody,
see no configuration of the user and are bounded in time. An authority remembers nothing for us: what it stamped is kept
beside the log and, so that a log which was put back as a whole still meets it, in a second folder. Who is trusted: the
authority, for time; whoever owns the second folder, not to forget.
"""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from heapq import nlargest
from pathlib import Path
from typing import Final

from itmp.adapters.anchors.folder import FolderAnchor
from itmp.adapters.anchors.posting import check_url, post
from itmp.anchors import AnchorError, Prove
from itmp.audit import SignedCheckpoint
from itmp.errors import EvidenceInvalidError, InvalidInputError, ToolMissingError

_OK: Final = 200
_KEPT: Final = 4
_SECONDS: Final = 10
_MAX_PEM: Final = 256 * 1024
_TIME: Final = re.compile(r"^Time stamp: (\w{3} [ \d]\d \d\d:\d\d:\d\d)(?:\.\d+)? (\d{4}) GMT$", re.MULTILINE)


class StampAnchor:
    """The authority at `url`, whose replies must hold under the certificates in `roots`. Keeps `Anchor`'s contract.

    `copies` is the second folder: heads lie there as in any folder, each with its stamp.
    """

    kind = "rfc3161"

    def __init__(self, name: str, *, url: str, roots: Path, copies: FolderAnchor) -> None:
        self.name, self._url, self._copies = name, check_url(url, f"anchor {name}"), copies
        try:
            self._roots = roots.read_bytes()[:_MAX_PEM]
        except OSError as error:
            raise InvalidInputError(f"cannot be read: {error.strerror}", where=str(roots)) from error

    @property
    def remark(self) -> str:
        """The authority shows nothing: what shows a rollback is the second folder."""
        return (
            f"it bounds time; a rollback shows against the copies in a second folder ({self._copies.remark})"
        )

    def put(self, head: SignedCheckpoint, prove: Prove) -> Mapping[str, bytes]:
        """Have the head's text stamped, copy both to the second folder; return `NAME.tsr` and the note it is of."""
        self._copies.put(head, prove)
        text = head.checkpoint.to_text().encode()
        query = _query(text)
        status, reply = post(self._url, query, type="application/timestamp-query")
        if status != _OK:
            raise AnchorError(f"status {status}", where=self._url)
        try:
            verify_stamp(reply, text, self._roots, query=query)
        except EvidenceInvalidError as error:
            raise AnchorError(f"its reply does not hold: {error.what}", where=self._url) from error
        self._copies.attach(head.checkpoint.size, ".tsr", reply)
        return {f"{self.name}.tsr": reply, f"{self.name}.note": head.note}

    def held(self, kept: Mapping[str, bytes]) -> Iterator[bytes]:
        """Yield the newest heads whose stamp beside the log holds, and the copies; an authority keeps no list."""
        end = f"/{self.name}.note"
        sizes = [path.removesuffix(end) for path in kept if path.endswith(end)]
        for size in nlargest(_KEPT, (size for size in sizes if size.isdecimal()), key=int):
            note = kept.get(f"{size}{end}", b"")
            if self._holds(note, kept.get(f"{size}/{self.name}.tsr")):
                yield note
        yield from self._copies.held({})

    def _holds(self, note: bytes, reply: bytes | None) -> bool:
        try:
            verify_stamp(reply or b"", note.partition(b"\n\n")[0] + b"\n", self._roots)
        except (EvidenceInvalidError, AnchorError):
            return False
        return True


def verify_stamp(reply: bytes, text: bytes, roots: bytes, *, query: bytes = b"") -> datetime:
    """Return the time at which an authority under `roots` (PEM) stamped `text`; raise `EvidenceInvalidError` if not.

    With `query` the reply must also be the answer to exactly that one (its nonce). `ToolMissingError` without openssl.
    """
    with tempfile.TemporaryDirectory(prefix="itmp-stamp-") as folder:
        files = {"reply": reply, "text": text, "roots": roots, "query": query}
        paths = {name: str(Path(folder, name)) for name in files}
        for name, data in files.items():
            Path(paths[name]).write_bytes(data)
        over = ["-queryfile", paths["query"]] if query else ["-data", paths["text"]]
        done = _openssl("-verify", *over, "-in", paths["reply"], "-CAfile", paths["roots"], home=folder)
        if done.returncode:
            raise EvidenceInvalidError(f"openssl refuses the time stamp: {_reason(done.stderr)}")
        told = _openssl("-reply", "-in", paths["reply"], "-text", home=folder).stdout.decode(errors="replace")
    found = _TIME.search(told)
    if not found:
        raise EvidenceInvalidError("a time stamp without a time")
    return datetime.strptime(f"{found[1]} {found[2]}", "%b %d %H:%M:%S %Y").replace(tzinfo=UTC)


def _query(text: bytes) -> bytes:
    with tempfile.TemporaryDirectory(prefix="itmp-stamp-") as folder:
        path = Path(folder, "text")
        path.write_bytes(text)
        done = _openssl("-query", "-data", str(path), "-sha256", "-cert", home=folder)
    if done.returncode:
        raise AnchorError(f"openssl makes no query: {_reason(done.stderr)}")
    return done.stdout


def _openssl(*arguments: str, home: str) -> "subprocess.CompletedProcess[bytes]":
    empty = Path(home, "openssl.cnf")  # the user's own configuration could name engines or other digests
    empty.touch()
    env = {
        "PATH": os.environ.get("PATH", os.defpath),
        "LC_ALL": "C",
        "OPENSSL_CONF": str(empty),
        "HOME": home,
    }
    try:
        return subprocess.run(
            ["openssl", "ts", *arguments],
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise ToolMissingError(
            "openssl is not installed", do="Install OpenSSL's program (1.1.1 or newer)."
        ) from error
    except subprocess.TimeoutExpired as error:
        raise AnchorError(f"openssl gave no answer within {_SECONDS} s") from error


def _reason(stderr: bytes) -> str:
    lines = [line for line in stderr.decode(errors="replace").splitlines() if line.strip()]
    known = [line.rpartition("reason:")[2] or line for line in lines if ":error:" in line or "error:" in line]
    return "".join(c if c.isprintable() else "?" for c in (known or lines or ["no message"])[-1])[:160]
