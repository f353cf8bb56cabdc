"""Stands between children and the user's ssh-agent: with it they may log in, and nothing else.

Rules kept here: children know the address of this guard and not the agent's own, whose socket is closed to them
(`supervisor.custody`). The guard lets the agent sign a login (a `publickey` request of the SSH protocol, for the very
key that is asked) and nothing else, so that no play and no inventory script can have a statement, a commit or a
certificate signed by a key that a person keeps there. Where keys are named (`agent_keys` in itmp.yml), the others are
neither shown nor used. It adds, removes, locks and unlocks nothing. What it does not understand fails.

One thread for each connection, because an agent may wait for its person's touch while others go on. Protocol:
draft-ietf-sshm-ssh-agent; what is signed at a login: RFC 4252 section 7 and OpenSSH's PROTOCOL, hostbound.
"""

import atexit
import base64
import contextlib
import hashlib
import os
import shutil
import socket
import struct
import tempfile
import threading
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from itmp.adapters.supervisor import custody

__all__ = ["Guard", "allow", "environment", "fingerprint", "is_login"]
VARIABLE: Final = "SSH_AUTH_SOCK"
MOST: Final = 256 * 1024
"""Bytes of one message; OpenSSH's agent takes as many."""
_FAILURE: Final = b"\x05"
_LIST, _LISTED, _SIGN, _EXTENSION = 11, 12, 13, 27
_USERAUTH_REQUEST: Final = 50
_METHODS: Final = frozenset({b"publickey", b"publickey-hostbound-v00@openssh.com"})
_BIND: Final = b"session-bind@openssh.com"
_WORD: Final = 4  # bytes of a length or a number of flags
_PREFIX: Final = "itmp-agent-"


class Guard:
    """Serves children on a socket of its own in a private folder; `allowed` are key fingerprints, `None` all keys."""

    def __init__(self, agent: str, folder: Path, allowed: Collection[str] | None = None) -> None:
        self.path = folder / "s"
        self._agent, self._allowed = agent, allowed
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self.path))
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True, name="agent guard").start()

    def close(self) -> None:
        """Serve nobody any more."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._attend, args=(link,), daemon=True, name="agent guard").start()

    def _attend(self, link: socket.socket) -> None:
        agent = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with link, agent, contextlib.suppress(OSError, ValueError):
            agent.connect(self._agent)
            while message := _read(link):
                _write(link, self._answer(agent, message))

    def _answer(self, agent: socket.socket, message: bytes) -> bytes:
        if not self._harmless(message):
            return _FAILURE
        _write(agent, message)
        answer = _read(agent)
        if message[0] == _LIST and answer[:1] == bytes([_LISTED]):
            return self._shown(answer)
        return answer

    def _harmless(self, message: bytes) -> bool:
        kind, rest = message[0], message[1:]
        if kind == _LIST:
            return not rest
        try:
            if kind == _EXTENSION:
                return next(_texts(rest)) == _BIND
            key, data = _two(rest)
        except (ValueError, StopIteration):
            return False
        return kind == _SIGN and self._may(key) and is_login(data, key)

    def _may(self, key: bytes) -> bool:
        return self._allowed is None or fingerprint(key) in self._allowed

    def _shown(self, answer: bytes) -> bytes:
        texts = list(_texts(answer[1 + _WORD :]))
        pairs = [pair for pair in zip(texts[::2], texts[1::2], strict=True) if self._may(pair[0])]
        return (
            bytes([_LISTED])
            + struct.pack(">I", len(pairs))
            + b"".join(_text(one) for pair in pairs for one in pair)
        )


def fingerprint(key: bytes) -> str:
    """Return a public key's fingerprint as `ssh-add -l` prints it."""
    return f"SHA256:{base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip('=')}"


def is_login(data: bytes, key: bytes) -> bool:
    """Whether `data` is what a client signs to log in with `key`, and nothing more."""
    try:
        session, rest = _first(data)
        if not session or rest[0] != _USERAUTH_REQUEST:
            return False
        _user, rest = _first(rest[1:])
        service, rest = _first(rest)
        method, rest = _first(rest)
        if service != b"ssh-connection" or method not in _METHODS or rest[0] != 1:
            return False
        _algorithm, rest = _first(rest[1:])
        named, rest = _first(rest)
        if method != b"publickey":
            _host, rest = _first(rest)
    except (ValueError, IndexError):
        return False
    return named == key and not rest


class _Process:
    """This process's guard, once it is needed, and which keys it lets children use."""

    def __init__(self) -> None:
        self.allowed: frozenset[str] | None = None
        self.guards: dict[str, Guard] = {}


_PROCESS: Final = _Process()


def allow(keys: Collection[str]) -> None:
    """Let children of this process use the keys with these fingerprints alone, and of those allowed before."""
    before = _PROCESS.allowed
    _PROCESS.allowed = frozenset(keys) if before is None else before & frozenset(keys)


def environment() -> dict[str, str]:
    """Return what a child's environment says of the agent, nothing where there is none; the guard serves from now."""
    agent = os.environ.get(VARIABLE, "")
    if not agent or _PROCESS.allowed == frozenset():
        return {}
    if agent not in _PROCESS.guards:
        custody.close_too(Path(agent))
        _PROCESS.guards[agent] = Guard(agent, _folder(), _PROCESS.allowed)
    return {VARIABLE: str(_PROCESS.guards[agent].path)}


def _folder() -> Path:
    """Return a private folder with a short path, removed at our end; those of processes that were killed go now."""
    shared = Path("/dev/shm")  # noqa: S108 -- mkdtemp makes a private folder in it
    parent = shared if shared.is_dir() else Path("/tmp")  # noqa: S108 -- as above; TMPDIR may be too long
    for old in parent.glob(f"{_PREFIX}*"):
        pid = old.name.removeprefix(_PREFIX).partition("-")[0]
        with contextlib.suppress(OSError):
            if old.stat().st_uid == os.getuid() and not Path(f"/proc/{pid}").exists():
                shutil.rmtree(old, ignore_errors=True)
    made = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=parent))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def _read(link: socket.socket) -> bytes:
    """Return one message; empty at the end of the connection."""
    head = _exactly(link, _WORD)
    if not head:
        return b""
    (length,) = struct.unpack(">I", head)
    if not 0 < length <= MOST:
        raise ValueError(length)
    return _exactly(link, length)


def _exactly(link: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        chunk = link.recv(count - len(data))
        if not chunk:
            return b""
        data += chunk
    return data


def _write(link: socket.socket, message: bytes) -> None:
    link.sendall(_text(message))


def _text(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _first(data: bytes) -> tuple[bytes, bytes]:
    """Split off a length-prefixed text; raise `ValueError` where there is none."""
    if len(data) < _WORD or (end := _WORD + int.from_bytes(data[:_WORD])) > len(data):
        raise ValueError
    return data[_WORD:end], data[end:]


def _two(data: bytes) -> tuple[bytes, bytes]:
    """Return key and data of a request to sign, whose flags alone follow."""
    key, rest = _first(data)
    text, flags = _first(rest)
    if len(flags) != _WORD:
        raise ValueError
    return key, text


def _texts(data: bytes) -> Iterator[bytes]:
    while data:
        text, data = _first(data)
        yield text
