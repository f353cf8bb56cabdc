"""Signed notes (C2SP signed-note) and their keys: Ed25519 (type 01) and cosignature/v1 (type 04).

Rules kept here: limits before parsing; UTF-8 without control characters; a note has one encoding (standard
base64, LF, no trailing bytes). Lines of unknown keys are ignored, a line of a known key must hold, each known
key signs once, and a note that no known key has signed is refused. Key texts are those of Go's
golang.org/x/mod/sumdb/note. A key's id is the first four bytes of sha256(name ‖ 0A ‖ type ‖ public key).
"""

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from itmp.errors import EvidenceInvalidError, InvalidInputError
from itmp.signing import points
from itmp.signing.ed25519 import SignatureError, verify_ed25519
from itmp.signing.wire import WireError, rebase64, unbase64

NOTE: Final = 1
COSIGNATURE: Final = 4
MAX_NOTE: Final = 256 * 1024
MAX_LINES: Final = 100  # Go's reader has the same limit
_MAX_TIME: Final = 2**63 - 1  # C2SP tlog-cosignature
_DASH: Final = "\u2014 "
PRIVATE: Final = "PRIVATE+KEY+"
"""How the text of a private key begins."""
_NAME: Final = re.compile(r"[!-*,-~]{1,255}\Z")
_KEY: Final = re.compile(r"([!-*,-~]{1,255})\+([0-9a-f]{8})\+([A-Za-z0-9+/]{44})\Z")
_ID_SIZE: Final = 4
_TIME_SIZE: Final = 8
_SEED_SIZE: Final = 32


class NoteError(EvidenceInvalidError):
    """A note that is malformed, or that no known key has signed validly."""


class NoteKeyError(InvalidInputError):
    """A text that is no key for notes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteVerifier:
    """The public half of a note key: `algorithm` is the signature type, `public` 32 bytes."""

    name: str
    algorithm: int
    public: bytes

    def __post_init__(self) -> None:
        _check_name(self.name, self.algorithm)
        if reason := points.fault(self.public):
            raise NoteKeyError(f"a note key that is {reason}", where=self.name)

    @classmethod
    def parse(cls, vkey: str) -> "NoteVerifier":
        """Read `name+hash+base64`; raise `NoteKeyError` unless it is the one text of a key."""
        name, key_hash, algorithm, public = _split(vkey, "verifier")
        verifier = cls(name=name, algorithm=algorithm, public=public)
        if verifier.key_id.hex() != key_hash:
            raise NoteKeyError("the hash in a verifier key is not that of its key", where=name)
        return verifier

    @property
    def key_id(self) -> bytes:
        """The four bytes that stand before each signature."""
        named = self.name.encode() + b"\n" + bytes([self.algorithm]) + self.public
        return hashlib.sha256(named).digest()[:_ID_SIZE]

    @property
    def vkey(self) -> str:
        """`name+hash+base64(type ‖ public key)`."""
        return f"{self.name}+{self.key_id.hex()}+{rebase64(bytes([self.algorithm]) + self.public)}"


class LogKey(Protocol):
    """What signs for a log: a seed that is here (`NoteKey`), or one that something else keeps."""

    @property
    def name(self) -> str:
        """The log's origin."""

    @property
    def verifier(self) -> NoteVerifier:
        """The public half."""

    @property
    def vkey(self) -> str:
        """The public half's text."""

    def sign(self, text: str) -> bytes:
        """Return the note over `text`; `LogUnavailableError` where the key cannot be reached now."""

    def to_text(self) -> str:
        """Return the one line that a key file holds; a secret unless the seed is kept elsewhere."""

    def fault(self) -> str:
        """Say what keeps the key from signing now; empty when nothing does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteKey:
    """A key that signs notes. It is a secret: `to_text` is the only way to its bytes, `repr` hides them."""

    name: str
    algorithm: int = NOTE
    seed: bytes = field(repr=False)

    def __post_init__(self) -> None:
        _check_name(self.name, self.algorithm)
        if len(self.seed) != _SEED_SIZE:
            raise NoteKeyError(f"a seed of {len(self.seed)} bytes instead of {_SEED_SIZE}", where=self.name)

    @classmethod
    def generate(cls, name: str, seed: bytes, *, algorithm: int = NOTE) -> "NoteKey":
        """Make the key that follows from 32 random bytes; `name` is a log's origin or a witness's name."""
        return cls(name=name, algorithm=algorithm, seed=seed)

    @classmethod
    def from_text(cls, text: str) -> "NoteKey":
        """Read `PRIVATE+KEY+name+hash+base64`; raise `NoteKeyError`, which never quotes the text."""
        if not text.startswith(PRIVATE):
            raise NoteKeyError("a note's private key must begin with PRIVATE+KEY+")
        name, key_hash, algorithm, seed = _split(text.removeprefix(PRIVATE).removesuffix("\n"), "private")
        key = cls(name=name, algorithm=algorithm, seed=seed)
        if key.verifier.key_id.hex() != key_hash:
            raise NoteKeyError("the hash in a private note key is not that of its key", where=name)
        return key

    def to_text(self) -> str:
        """Return `PRIVATE+KEY+name+hash+base64(type ‖ seed)`, one line without its end."""
        encoded = rebase64(bytes([self.algorithm]) + self.seed)
        return f"{PRIVATE}{self.name}+{self.verifier.key_id.hex()}+{encoded}"

    @property
    def verifier(self) -> NoteVerifier:
        """The public half."""
        public = self._private().public_key().public_bytes_raw()
        return NoteVerifier(name=self.name, algorithm=self.algorithm, public=public)

    @property
    def vkey(self) -> str:
        """The public half's text."""
        return self.verifier.vkey

    def sign(self, text: str) -> bytes:
        """Return the note: `text`, a blank line and this key's line. Only for type 01."""
        if self.algorithm != NOTE:
            raise NoteKeyError("a cosigning key adds its line to a note by `cosign`", where=self.name)
        return signed_note(text, self.verifier, self._private().sign(text.encode()))

    def fault(self) -> str:
        """Nothing keeps a seed that is here from signing."""
        return ""

    def cosign(self, note: bytes, *, time: int) -> bytes:
        """Return `note` with this witness's line added, made at `time` (POSIX seconds). Only for type 04.

        The caller has verified the note and its consistency with what this witness knew.
        """
        if self.algorithm != COSIGNATURE or not 0 <= time <= _MAX_TIME:
            raise NoteKeyError(
                f"only a key of type 04 cosigns, at a time from 0 to {_MAX_TIME}", where=self.name
            )
        text, _ = _split_note(note)
        signature = self._private().sign(_cosigned(text, time))
        return note + self._line(time.to_bytes(_TIME_SIZE) + signature)

    def _private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)

    def _line(self, signature: bytes) -> bytes:
        return _line(self.verifier, signature)


def signed_note(text: str, verifier: NoteVerifier, signature: bytes) -> bytes:
    """Return the note of `text` and `verifier`'s line; raise `NoteError` where `text` can be no note's."""
    _check_text(text)
    return text.encode() + b"\n" + _line(verifier, signature)


def _line(verifier: NoteVerifier, signature: bytes) -> bytes:
    return f"{_DASH}{verifier.name} {rebase64(verifier.key_id + signature)}\n".encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteSigner:
    """A known key whose line held; `time` (POSIX seconds) is what a witness claims, `None` for type 01."""

    name: str
    vkey: str
    time: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedNote:
    """A verified note: its text (with the last LF) and the known keys that signed it, in the note's order."""

    text: str
    signers: tuple[NoteSigner, ...]


def open_note(note: bytes, verifiers: Collection[NoteVerifier]) -> OpenedNote:
    """Verify `note` against the known keys; raise `NoteError` with the reason."""
    text, lines = _split_note(note)
    known = {(verifier.name, verifier.key_id): verifier for verifier in verifiers}
    if len(known) != len(verifiers):
        raise NoteKeyError("two of the known keys have the same name and id")
    signers = list[NoteSigner]()
    for name, key_id, signature in lines:
        if (verifier := known.get((name, key_id))) is None:
            continue
        if any(signer.vkey == verifier.vkey for signer in signers):
            raise NoteError("a note with two lines by the same key", where=name)
        signers.append(NoteSigner(name=name, vkey=verifier.vkey, time=_verify(verifier, text, signature)))
    if not signers:
        named = ", ".join(sorted(verifier.name for verifier in verifiers)) or "none"
        raise NoteError(f"a note that no known key has signed; known: {named}")
    return OpenedNote(text=text, signers=tuple(signers))


def key_ids(note: bytes, name: str) -> frozenset[bytes]:
    """Return the ids of the keys that signed as `name`, as the note itself says: nothing is verified.

    None where it is no note.
    """
    try:
        return frozenset(key_id for signer, key_id, _ in _split_note(note)[1] if signer == name)
    except NoteError:
        return frozenset()


def _verify(verifier: NoteVerifier, text: str, signature: bytes) -> int | None:
    time, message = None, text.encode()
    if verifier.algorithm == COSIGNATURE:
        time, signature = int.from_bytes(signature[:_TIME_SIZE]), signature[_TIME_SIZE:]
        if time > _MAX_TIME:
            raise NoteError("a cosignature with a time beyond 2^63 - 1", where=verifier.name)
        message = _cosigned(text, time)
    try:
        verify_ed25519(Ed25519PublicKey.from_public_bytes(verifier.public), signature, message)
    except (InvalidSignature, SignatureError) as error:
        reason = error.what if isinstance(error, SignatureError) else "a signature over another text"
        raise NoteError(
            f"the note's line of a known key does not hold: {reason}", where=verifier.name
        ) from error
    return time


def _cosigned(text: str, time: int) -> bytes:
    return f"cosignature/v1\ntime {time}\n{text}".encode()


def _split_note(note: bytes) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    """Return the text and, per line, name, key id and signature."""
    if len(note) > MAX_NOTE:
        raise NoteError(f"a note of {len(note)} bytes; the limit is {MAX_NOTE}")
    try:
        whole = note.decode()
    except UnicodeDecodeError as error:
        raise NoteError("a note that is not UTF-8") from error
    text, blank, rest = whole.rpartition("\n\n")
    if not blank or not rest.endswith("\n"):
        raise NoteError("a note without a blank line and signature lines")
    _check_text(text + "\n")
    lines = rest[:-1].split("\n")
    if len(lines) > MAX_LINES:
        raise NoteError(f"a note with {len(lines)} signature lines; the limit is {MAX_LINES}")
    return text + "\n", [_split_line(line) for line in lines]


def _split_line(line: str) -> tuple[str, bytes, bytes]:
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not name or "+" in name or not name.isprintable():
        raise NoteError(f"not a signature line: {line!r:.80}")
    try:
        raw = unbase64(encoded, "signature line")
    except WireError as error:
        raise NoteError(error.what, where=name) from error
    if len(raw) <= _ID_SIZE:
        raise NoteError("a signature line without a signature", where=name)
    return name, raw[:_ID_SIZE], raw[_ID_SIZE:]


def _check_text(text: str) -> None:
    if not text.endswith("\n") or text == "\n":
        raise NoteError("a note's text must have lines, and its last line must end")
    if any(character < " " and character != "\n" for character in text):
        raise NoteError("a note with control characters")


def _check_name(name: str, algorithm: int) -> None:
    if not _NAME.match(name):
        raise NoteKeyError(f"{name!r:.80} is no name of a note key (printable ASCII without spaces and +)")
    if algorithm not in {NOTE, COSIGNATURE}:
        raise NoteKeyError(
            f"note keys of type {algorithm:02x} are not known; known are 01 and 04", where=name
        )


def _split(text: str, what: str) -> tuple[str, str, int, bytes]:
    found = _KEY.match(text)
    if not found:
        raise NoteKeyError(
            f"not the text of a {what} note key", do="Expected NAME+8 hex digits+44 base64 characters."
        )
    raw = unbase64(found[3], f"{what} key")
    return found[1], found[2], raw[0], raw[1:]
