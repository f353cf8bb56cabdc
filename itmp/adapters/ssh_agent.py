"""A log's key in an ssh-agent: a note's Ed25519 signature is the plain one that an agent gives for an ssh-ed25519 key.

Rules kept here: the private half is never asked for; every signature is verified before it is handed on; an agent that
is gone, locked or without the key is `LogUnavailableError`, and nothing was signed; answers are bounded in size and
time. Who is trusted: the agent. Whoever can talk to it can sign for the log as long as it runs, and cannot take the key
away. Ansible reaches hosts with the agent of `SSH_AUTH_SOCK`, so plays on the controller can talk to that one; an
agent of the log's own, its socket below `.itmp/` where children find nothing, keeps them out (`ITMP_LOG_AGENT`).
"""

import base64
import hashlib
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from itmp.errors import InvalidInputError, LogUnavailableError, NotFoundError
from itmp.signing import NoteVerifier
from itmp.signing.ed25519 import SignatureError, verify_ed25519
from itmp.signing.notes import NOTE, signed_note
from itmp.signing.wire import string

AGENT: Final = "SSH-AGENT+KEY+"
"""What the key file of such a log begins with; its verifier key follows."""

SOCKET: Final = "ITMP_LOG_AGENT"
"""Names the socket of an agent that holds the log's key alone; children of a run get the other agent's."""

_TYPE: Final = b"ssh-ed25519"
_IDENTITIES: Final = (11, 12)  # request and answer: draft-ietf-sshm-ssh-agent
_SIGN: Final = (13, 14)
_FAILURE: Final = 5
_MOST: Final = 256 * 1024
_SECONDS: Final = 60.0  # a person may have to confirm (ssh-add -c)
_DO: Final = "Start the agent and load the key (ssh-add), and check ITMP_LOG_AGENT or SSH_AUTH_SOCK."


class AgentAwayError(LogUnavailableError):
    """The agent that holds the log's key cannot be reached, or does not sign."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentKey:
    """A log's key that the ssh-agent keeps. Keeps the contract of `LogKey`."""

    verifier: NoteVerifier

    @classmethod
    def choose(cls, fingerprint: str, name: str) -> "AgentKey":
        """Return the agent's Ed25519 key of this fingerprint (`SHA256:…`) as the key of log `name`."""
        found = {_fingerprint(blob): blob for blob in _keys()}
        if fingerprint not in found:
            raise NotFoundError(
                f"the agent holds no Ed25519 key {fingerprint!r:.60}",
                do="It holds: " + (", ".join(found) or "none") + ". Load it: ssh-add FILE.",
            )
        return cls(verifier=NoteVerifier(name=name, algorithm=NOTE, public=found[fingerprint][-32:]))

    @classmethod
    def from_text(cls, text: str) -> "AgentKey":
        """Read what `to_text` wrote."""
        verifier = NoteVerifier.parse(text.removeprefix(AGENT))
        if not text.startswith(AGENT) or verifier.algorithm != NOTE:
            raise InvalidInputError("not the text of a log's key in an agent", do="Restore keys/log.key.")
        return cls(verifier=verifier)

    @property
    def name(self) -> str:
        """The log's origin."""
        return self.verifier.name

    @property
    def vkey(self) -> str:
        """The public half's text."""
        return self.verifier.vkey

    @property
    def fingerprint(self) -> str:
        """How ssh-add -l calls the key."""
        return _fingerprint(self._blob)

    def sign(self, text: str) -> bytes:
        """Return the note over `text`."""
        answer = _ask(_SIGN, string(self._blob) + string(text.encode()) + bytes(4), self.fingerprint)
        kind, rest = _take(_take(answer)[0])
        signature, end = _take(rest)
        if kind != _TYPE or end:
            raise AgentAwayError("the agent signed in another form", where=self.fingerprint, do=_DO)
        try:
            public = Ed25519PublicKey.from_public_bytes(self.verifier.public)
            verify_ed25519(public, signature, text.encode())
        except (InvalidSignature, SignatureError) as error:
            raise AgentAwayError(
                "the agent's signature does not hold", where=self.fingerprint, do=_DO
            ) from error
        return signed_note(text, self.verifier, signature)

    def to_text(self) -> str:
        """Return the line for the key file: no secret."""
        return AGENT + self.vkey

    def fault(self) -> str:
        """Say why the agent could not sign now; it is only asked which keys it holds."""
        try:
            held = self._blob in _keys()
        except AgentAwayError as error:
            return error.what
        return "" if held else f"the agent does not hold the log's key {self.fingerprint}"

    @property
    def _blob(self) -> bytes:
        return string(_TYPE) + string(self.verifier.public)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetiredKey:
    """The public half of a log that has ended: it opens the log for reading, and signs nothing."""

    verifier: NoteVerifier

    @property
    def name(self) -> str:
        """The log's origin."""
        return self.verifier.name

    @property
    def vkey(self) -> str:
        """The public half's text."""
        return self.verifier.vkey

    def sign(self, text: str) -> bytes:
        """Refuse: nothing is signed for a log that has ended."""
        raise LogUnavailableError(
            f"{self.name} has ended, nothing is signed for it any more", where=text.partition("\n")[0]
        )

    def to_text(self) -> str:
        """Return the verifier key: no secret."""
        return self.vkey

    def fault(self) -> str:
        """Say that it never signs."""
        return "the log has ended"


def _fingerprint(blob: bytes) -> str:
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def _keys() -> list[bytes]:
    """Return the blobs of the agent's Ed25519 keys."""
    answer = _ask(_IDENTITIES, b"", "ssh-agent")
    count, rest = int.from_bytes(answer[:4]), answer[4:]
    found = []
    for _ in range(min(count, _MOST)):
        blob, rest = _take(rest)
        _, rest = _take(rest)
        if blob.startswith(string(_TYPE)) and len(blob) == len(string(_TYPE)) + 36:
            found.append(blob)
    return found


def _ask(kinds: tuple[int, int], body: bytes, where: str) -> bytes:
    """Send one request; return the body of the answer."""
    request, expected = kinds
    address = os.environ.get(SOCKET) or os.environ.get("SSH_AUTH_SOCK", "")
    if not address:
        raise AgentAwayError(
            f"no ssh-agent is running: neither {SOCKET} nor SSH_AUTH_SOCK is set", where=where, do=_DO
        )
    try:
        with socket.socket(socket.AF_UNIX) as agent:
            agent.settimeout(_SECONDS)
            agent.connect(address)
            agent.sendall(string(bytes([request]) + body))
            answer = _exactly(agent.recv, int.from_bytes(_exactly(agent.recv, 4)))
    except OSError as error:
        raise AgentAwayError(
            f"the ssh-agent does not answer: {error.strerror or error}", where=where, do=_DO
        ) from error
    if answer[:1] != bytes([expected]):
        said = "it refused" if answer[:1] == bytes([_FAILURE]) else "it answered something else"
        raise AgentAwayError(f"the ssh-agent did not do it: {said}", where=where, do=_DO)
    return answer[1:]


def _exactly(receive: Callable[[int], bytes], size: int) -> bytes:
    if size > _MOST:
        raise OSError(f"an answer of {size} bytes")
    data = b""
    while len(data) < size:
        part = receive(size - len(data))
        if not part:
            raise OSError("it hung up")
        data += part
    return data


def _take(data: bytes) -> tuple[bytes, bytes]:
    """Return the first string of `data` and the rest."""
    size = int.from_bytes(data[:4])
    if len(data) < 4 + size:
        raise AgentAwayError("the ssh-agent's answer is cut short", where="ssh-agent", do=_DO)
    return data[4 : 4 + size], data[4 + size :]
