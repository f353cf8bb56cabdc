"""Salted commitments: a leaf binds content that lies elsewhere and can be destroyed without breaking a proof.

Rules kept here: a commitment is sha256(`itmp/commit/v1` ‖ 00 ‖ salt ‖ pointer ‖ value) with a salt of 32 random
bytes, the JSON pointer of the commitment's own place in its leaf, and the value as canonical JSON; the pointer is
taken from the leaf and never from whoever opens it, so that no byte can be moved between pointer and value; without
the salt nobody can test a guess, so a destroyed content stays secret although its commitment is public for ever.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from typing import Any, Final

from itmp import canonical
from itmp.audit.event import Event
from itmp.canonical import Digest
from itmp.errors import EvidenceInvalidError, InvalidInputError

SALT: Final = 32
POINTERS: Final = ("/before", "/after", "/diff")
"""Where a leaf may hold a commitment."""
MAX_VALUE: Final = 1024 * 1024
_PREFIX: Final = b"itmp/commit/v1\0"
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}\Z")
_POINTER: Final = re.compile(r"(?:/[!-~]*)\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What opens a commitment: `salt` and `value` (canonical JSON). Neither ever enters the log."""

    salt: bytes = field(repr=False)
    value: bytes = field(repr=False)

    @classmethod
    def of(cls, value: Any, *, salt: bytes) -> "Opening":
        """Take a JSON value and a fresh salt."""
        return cls(salt=salt, value=canonical.dumps(value))

    @classmethod
    def from_bytes(cls, data: bytes) -> "Opening":
        """Read what `to_bytes` wrote; raise `EvidenceInvalidError` for anything else."""
        return cls(salt=data[:SALT], value=data[SALT:]).checked()

    def to_bytes(self) -> bytes:
        """Return salt ‖ value, as a content is kept."""
        return self.checked().salt + self.value

    def checked(self) -> "Opening":
        """Return itself; raise `EvidenceInvalidError` unless salt and value have their one form."""
        if len(self.salt) != SALT or not 0 < len(self.value) <= MAX_VALUE:
            raise EvidenceInvalidError("not a salt and a value of at most 1 MiB", where="committed content")
        try:
            canonical.loads(self.value)
        except InvalidInputError as error:
            raise EvidenceInvalidError(error.what, where="committed content") from error
        return self

    def commitment(self, pointer: str) -> Digest:
        """Return the commitment that stands at `pointer` in a leaf."""
        if not _POINTER.match(pointer):
            raise InvalidInputError(f"not a JSON pointer: {pointer!r:.80}")
        data = self.checked()
        hashed = hashlib.sha256(_PREFIX + data.salt + pointer.encode() + data.value)
        return canonical.of_raw(hashed.digest())


def open_commitment(commitment: Digest, pointer: str, opening: Opening) -> Any:
    """Return the JSON value; raise `EvidenceInvalidError` unless `opening` opens `commitment` at `pointer`."""
    if not hmac.compare_digest(opening.commitment(pointer), commitment):
        raise EvidenceInvalidError("the content is not the one that was committed", where=pointer)
    return canonical.loads(opening.value)


def commitments_of(event: Event) -> dict[str, Digest]:
    """Return the commitments that stand in an event, by pointer; a text that is no digest commits to nothing."""
    texts = {pointer: getattr(event, pointer[1:]) for pointer in POINTERS}
    return {pointer: Digest(text) for pointer, text in texts.items() if _DIGEST.match(text)}
