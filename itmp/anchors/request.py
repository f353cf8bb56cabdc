"""The body of C2SP tlog-witness `add-checkpoint`: the old size, a consistency proof, an empty line, the checkpoint.

Rules kept here: limits before parsing; one encoding per value (no leading zeros, no other base64), so that what is
accepted is exactly what `to_bytes` writes.
"""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final

from itmp.errors import InvalidInputError

MAX_REQUEST: Final = 128 * 1024
_MAX_PROOF: Final = 63  # C2SP tlog-witness
_OLD: Final = re.compile(rb"old (0|[1-9][0-9]{0,18})\n")
_HASH: Final = 32


class RequestError(InvalidInputError):
    """Not a request of the witness protocol."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Ask a witness that knows `old` leaves to cosign `note`; `proof` shows that it continues them."""

    old: int
    proof: tuple[bytes, ...]
    note: bytes

    def to_bytes(self) -> bytes:
        """Return the body."""
        lines = [b"old %d\n" % self.old, *(base64.b64encode(item) + b"\n" for item in self.proof)]
        return b"".join(lines) + b"\n" + self.note

    @classmethod
    def parse(cls, body: bytes) -> "Request":
        """Read a body; raise `RequestError` for anything but its one encoding."""
        if len(body) > MAX_REQUEST:
            raise RequestError(f"a request of more than {MAX_REQUEST} bytes")
        found = _OLD.match(body)
        head, blank, note = body.partition(b"\n\n")
        if not found or not blank:
            raise RequestError("no old size, or no empty line before the checkpoint")
        lines = head.split(b"\n")[1:]
        if len(lines) > _MAX_PROOF:
            raise RequestError(f"a proof of {len(lines)} lines; the limit is {_MAX_PROOF}")
        request = cls(old=int(found[1]), proof=tuple(map(_hash, lines)), note=note)
        if request.to_bytes() != body:
            raise RequestError("another encoding than the protocol's one")
        return request


def _hash(line: bytes) -> bytes:
    try:
        value = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestError("a proof line that is not base64") from error
    if len(value) != _HASH:
        raise RequestError("a proof line that is no sha256")
    return value
