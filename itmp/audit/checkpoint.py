"""The signed head of the log: a C2SP tlog-checkpoint as a signed note.

Rules kept here: the text is origin, size and root, nothing else (no extension lines); one encoding per value;
the origin is the name of the key that signs; a note counts only when the log's own key signed it.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from itmp.audit.merkle import HASH
from itmp.errors import EvidenceInvalidError, InvalidInputError
from itmp.signing import LogKey, NoteVerifier, open_note

MAX_NOTE: Final = 64 * 1024
_MAX_SIZE: Final = 2**63 - 1
_CHANGED: Final = (
    "It was changed after it was signed, or is of another log: see what `itmp audit verify` says."
)
_ORIGIN: Final = re.compile(r"[!-*,-~]{1,255}\Z")  # printable ASCII without space and plus: a note key's name
_SIZE: Final = re.compile(r"(?:0|[1-9][0-9]{0,18})\Z", re.ASCII)


class CheckpointError(EvidenceInvalidError):
    """A checkpoint is malformed, of another log, or not signed by the log's key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A tree head: `root` is the 32-byte root of the first `size` leaves of the log named `origin`."""

    origin: str
    size: int
    root: bytes

    def to_text(self) -> str:
        """Return the three lines that are signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    @classmethod
    def parse(cls, text: str) -> "Checkpoint":
        """Read the three lines; raise `CheckpointError` for any other encoding of them."""
        lines = text.split("\n")
        if [bool(line) for line in lines] != [True, True, True, False]:
            raise CheckpointError("not a checkpoint of exactly three lines")
        if not _ORIGIN.match(lines[0]) or not _SIZE.match(lines[1]):
            raise CheckpointError("not a checkpoint of exactly origin, size and root")
        try:
            root = base64.b64decode(lines[2], validate=True)
        except (binascii.Error, ValueError) as error:
            raise CheckpointError("a checkpoint whose root is not base64") from error
        checkpoint = cls(origin=lines[0], size=int(lines[1]), root=root)
        if len(root) != HASH or checkpoint.size > _MAX_SIZE or checkpoint.to_text() != text:
            raise CheckpointError("a checkpoint with another encoding of its size or root")
        return checkpoint

    @classmethod
    def said(cls, note: bytes) -> "Checkpoint":
        """Read what a note says, and nothing of it is verified; raise `CheckpointError` where it says no head."""
        return cls.parse(note.partition(b"\n\n")[0].decode(errors="replace") + "\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedCheckpoint:
    """A checkpoint and the exact note that signs it."""

    checkpoint: Checkpoint
    note: bytes

    @classmethod
    def sign(cls, checkpoint: Checkpoint, key: LogKey) -> "SignedCheckpoint":
        """Sign; the key's name must be the origin."""
        return cls(checkpoint=checkpoint, note=key.sign(checkpoint.to_text()))

    @classmethod
    def open(cls, note: bytes, verifiers: Sequence[NoteVerifier], *, where: str = "") -> "SignedCheckpoint":
        """Read a note; raise `CheckpointError` unless a verifier named as the origin accepts a signature."""
        if len(note) > MAX_NOTE:
            raise CheckpointError(f"a note of {len(note)} bytes", where=where)
        try:
            opened = open_note(note, verifiers)
            checkpoint = Checkpoint.parse(opened.text)
        except (InvalidInputError, EvidenceInvalidError) as error:
            raise CheckpointError(
                f"not a valid signed checkpoint: {error.what}", where=where, do=_CHANGED
            ) from error
        if not any(signer.name == checkpoint.origin and signer.time is None for signer in opened.signers):
            raise CheckpointError(
                f"not signed by the key of its origin {checkpoint.origin}", where=where, do=_CHANGED
            )
        return cls(checkpoint=checkpoint, note=note)


def check_origin(origin: str) -> str:
    """Return `origin`; raise `InvalidInputError` unless it can name a log and its key."""
    if not _ORIGIN.match(origin):
        raise InvalidInputError(
            f"not a log's origin: {origin!r:.80}", do="Expected DOMAIN/NAME/PERIOD, without spaces or +."
        )
    return origin
