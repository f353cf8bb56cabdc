#!/usr/bin/python3 -I
"""The keeper of another account: it remembers heads of logs whose owners cannot make it forget them.

Rules kept here: it stands alone (the standard library and `openssl`), so that nothing which a log's owner can write is
ever executed by this account; it takes no argument and no name of a file: the store is `anchors/` in this account's
home; what it is given is one request on standard input, bounded before it is parsed; a head is remembered only when
the key that its store began with signed it and it continues the newest one here, by proof; nothing is ever removed
but the oldest beyond `KEPT`, which later heads commit to.

A request is the line `log VKEY` and then a body of C2SP tlog-witness `add-checkpoint`. One line answers it: `kept SIZE`
(exit 0), `newest SIZE` (3: the proof was not from the newest head here), `fork …` (42), `refused …` (1).
"""

import base64
import binascii
import fcntl
import hashlib
import os
import pwd
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence

KEPT = 64
LOGS = 10000  # so that no owner fills the disk with logs that never were
_MAX = 128 * 1024
_LINES = 65  # C2SP tlog-witness: 63 hashes, after two lines
_HASH = 32
_LEAST = 5  # a note has three lines of text, an empty one, and a signature
_DER = bytes.fromhex("302a300506032b6570032100")  # RFC 8410: what stands before an Ed25519 public key
_SECONDS = 10


class RefusedError(Exception):
    """What is asked for is not done; `code` is the exit code."""

    def __init__(self, why: str, code: int = 1) -> None:
        super().__init__(why)
        self.code = code


def main() -> int:
    """Answer the one request on standard input."""
    os.umask(0o022)
    os.chdir("/")
    try:
        print(keep(sys.stdin.buffer.read(_MAX + 1), store()))
    except RefusedError as refusal:
        print(refusal)
        return refusal.code
    except OSError as error:
        print(f"refused: {error.strerror}")
        return 1
    return 0


def store() -> str:
    """Return where this account keeps heads, whatever its environment says."""
    return os.path.join(pwd.getpwuid(os.geteuid()).pw_dir, "anchors")


def keep(body: bytes, root: str) -> str:
    """Remember the head of one request below `root`; return the answer."""
    vkey, old, proof, note = parse(body)
    name, key_id, public = read_key(vkey)
    size, head = read_head(note, name)
    verify(note, name, key_id, public)
    folder = f"{root}/{slug(name)}-{key_id.hex()}"
    begin(folder, root, vkey)
    lock = os.open(f"{folder}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = sizes(folder)
        if known and known[-1] >= size:
            return repeated(folder, known, size, note)
        if old != (known[-1] if known else 0):
            raise RefusedError(f"newest {known[-1] if known else 0}", 3)
        if known:
            continues(old, size, read_root(folder, old), head, proof)
        place(folder, f"{size}.note", note)
        for gone in sizes(folder)[:-KEPT]:
            os.unlink(f"{folder}/{gone}.note")
    finally:
        os.close(lock)
    return f"kept {size}"


def parse(body: bytes) -> tuple[str, int, list[bytes], bytes]:
    """Return the log's key, the old size, the proof and the note."""
    head, blank, note = body.partition(b"\n\n")
    lines = head.split(b"\n")
    found = re.fullmatch(rb"old (0|[1-9][0-9]{0,18})", lines[1]) if len(lines) > 1 else None
    if len(body) > _MAX or not blank or not found or not lines[0].startswith(b"log ") or len(lines) > _LINES:
        raise RefusedError("refused: not a request")
    try:
        proof = [base64.b64decode(line, validate=True) for line in lines[2:]]
        vkey = lines[0][4:].decode("ascii")
    except (binascii.Error, ValueError) as error:
        raise RefusedError("refused: not a request") from error
    return vkey, int(found[1]), proof, note


def read_key(vkey: str) -> tuple[str, bytes, bytes]:
    """Return the name, the key id and the Ed25519 key of a C2SP verifier key."""
    try:
        name, key_id, key = vkey.split("+", 2)
        raw = base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RefusedError("refused: not a log's key") from error
    expected = hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4]
    if len(raw) != _HASH + 1 or raw[0] != 1 or expected.hex() != key_id:  # one byte of type, 32 of key
        raise RefusedError("refused: not a log's key")
    return name, expected, raw[1:]


def read_head(note: bytes, name: str) -> tuple[int, bytes]:
    """Return the size and root of a note that is of log `name`."""
    lines = note.split(b"\n")
    if len(lines) <= _LEAST or lines[3] or lines[0] != name.encode():
        raise RefusedError("refused: not a head of this log")
    if not re.fullmatch(rb"[1-9][0-9]{0,18}", lines[1]) or not re.fullmatch(rb"[A-Za-z0-9+/]{43}=", lines[2]):
        raise RefusedError("refused: not a head of this log")
    return int(lines[1]), base64.b64decode(lines[2])


def verify(note: bytes, name: str, key_id: bytes, public: bytes) -> None:
    """Raise unless the key signed the note's text."""
    text, _, lines = note.partition(b"\n\n")
    start = "\u2014 ".encode() + name.encode() + b" "
    for line in lines.split(b"\n"):
        try:
            raw = base64.b64decode(line.removeprefix(start), validate=True) if line.startswith(start) else b""
        except binascii.Error:
            continue
        if raw[:4] == key_id and _signed(text + b"\n", raw[4:], public):
            return
    raise RefusedError("refused: the log's key did not sign this head")


def _signed(text: bytes, signature: bytes, public: bytes) -> bool:
    with tempfile.TemporaryDirectory(prefix="itmp-keep-") as folder:
        for file, data in (("key", _DER + public), ("text", text), ("sig", signature)):
            with open(f"{folder}/{file}", "wb") as out:
                out.write(data)
        call = ["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", f"{folder}/key"]
        call += ["-rawin", "-in", f"{folder}/text", "-sigfile", f"{folder}/sig"]
        env = {"PATH": os.defpath + ":/usr/local/bin", "LC_ALL": "C", "OPENSSL_CONF": os.devnull}
        try:
            done = subprocess.run(call, env=env, capture_output=True, timeout=_SECONDS, check=False)
        except (FileNotFoundError, subprocess.TimeoutExpired) as error:
            raise RefusedError("refused: openssl gave no answer here") from error
    return done.returncode == 0


def begin(folder: str, root: str, vkey: str) -> None:
    """Make the log's folder, bound to its key; refuse another key with the same id."""
    if not os.path.isdir(folder):
        os.makedirs(root, exist_ok=True)
        if len(os.listdir(root)) >= LOGS:
            raise RefusedError(f"refused: {LOGS} logs are kept here already")
        os.makedirs(folder, exist_ok=True)
    if not os.path.exists(f"{folder}/key"):
        place(folder, "key", vkey.encode() + b"\n")
    with open(f"{folder}/key", "rb") as file:
        if file.read(_MAX) != vkey.encode() + b"\n":
            raise RefusedError("refused: another key began this log's store")


def repeated(folder: str, known: Sequence[int], size: int, note: bytes) -> str:
    """Answer a head that is not beyond the newest: known already, or a fork."""
    if size in known:
        root = read_root(folder, size)
        if root != read_head(note, note.split(b"\n")[0].decode())[1]:
            raise RefusedError(f"fork: another root is kept for size {size}", 42)
        return f"kept {size}"
    raise RefusedError(f"newest {known[-1]}", 3)


def read_root(folder: str, size: int) -> bytes:
    """Return the root of a head that is kept."""
    with open(f"{folder}/{size}.note", "rb") as file:
        return base64.b64decode(file.read(_MAX).split(b"\n")[2])


def sizes(folder: str) -> list[int]:
    """Return the sizes kept, in order."""
    found = [re.fullmatch(r"([1-9][0-9]{0,18})\.note", name) for name in os.listdir(folder)]
    return sorted(int(one[1]) for one in found if one)


def place(folder: str, name: str, data: bytes) -> None:
    """Write a file durably, whole or not at all."""
    temporary = f"{folder}/.{name}.{os.getpid()}"
    with open(temporary, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, f"{folder}/{name}")
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def continues(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Verify an RFC 9162 (2.1.4.2) consistency proof with 0 < old < new."""
    path = list(proof)
    if old & (old - 1) == 0:
        path.insert(0, old_root)
    if not path or any(len(one) != _HASH for one in path):
        raise RefusedError("fork: no proof that this head continues the newest one here", 42)
    first, last = old - 1, new - 1
    while first & 1:
        first, last = first >> 1, last >> 1
    left = right = path[0]
    for node in path[1:]:
        if last == 0:
            raise RefusedError("fork: a proof of another length", 42)
        if first & 1 or first == last:
            left, right = _node(node, left), _node(node, right)
            while first and not first & 1:
                first, last = first >> 1, last >> 1
        else:
            right = _node(right, node)
        first, last = first >> 1, last >> 1
    if last or left != old_root or right != new_root:
        raise RefusedError("fork: this head does not continue the newest one here", 42)


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def slug(name: str) -> str:
    """Return a log's name as a file name."""
    return "".join(c if c.isascii() and (c.isalnum() or c == "-") else "_" for c in name)


if __name__ == "__main__":
    sys.exit(main())
