"""Proofs as text: inclusion in the C2SP tlog-proof format, consistency as one base64 hash a line.

Rules kept here: one encoding per proof; what is read must be exactly what would be written.
"""

import binascii
from collections.abc import Sequence
from typing import Final

from itmp.audit.merkle import HASH
from itmp.errors import EvidenceInvalidError

_FIRST: Final = b"c2sp.org/tlog-proof@v1\n"
_ENCODING: Final = "a proof in another encoding than its one"
_MOST: Final = 4096
"""Lines that stay in memory: less than a megabyte, whatever a hostile file holds."""


def write_inclusion(index: int, hashes: Sequence[bytes], note: bytes) -> bytes:
    """Return the proof that leaf `index` is in the tree of the signed checkpoint `note`."""
    return _FIRST + b"index %d\n" % index + write_hashes(hashes) + b"\n" + note


def write_hashes(hashes: Sequence[bytes]) -> bytes:
    """Return hashes as base64, one a line."""
    return b"".join(map(binascii.b2a_base64, hashes))  # which ends the line


class Hashes:
    """Reads proofs; a line that stands in many of them, as those of a tree's upper nodes do, is decoded once."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[bytes, bytes] = {}

    def inclusion(self, data: bytes, *, index: int, note: bytes, where: str) -> tuple[bytes, ...]:
        """Return the hashes of a proof for leaf `index` in the tree of `note`, from the leaf upwards."""
        start, end = _FIRST + b"index %d\n" % index, b"\n" + note
        if not data.startswith(start) or not data.endswith(end) or len(data) < len(start) + len(end):
            raise EvidenceInvalidError("a proof of another leaf, or for another checkpoint", where=where)
        return self.read(data[len(start) : len(data) - len(end)], where=where)

    def read(self, data: bytes, *, where: str) -> tuple[bytes, ...]:
        """Read what `write_hashes` wrote."""
        *lines, rest = data.split(b"\n")
        if rest:
            raise EvidenceInvalidError(_ENCODING, where=where)
        return tuple([self._known.get(line) or self._decoded(line, where) for line in lines])

    def _decoded(self, line: bytes, where: str) -> bytes:
        try:
            found = binascii.a2b_base64(line, strict_mode=True)
        except binascii.Error as error:
            raise EvidenceInvalidError("a hash that is not base64", where=where) from error
        if len(found) != HASH or binascii.b2a_base64(found, newline=False) != line:
            raise EvidenceInvalidError(_ENCODING, where=where)
        if len(self._known) >= _MOST:
            self._known = {}
        self._known[line] = found
        return found


def read_hashes(data: bytes, *, where: str) -> tuple[bytes, ...]:
    """Read what `write_hashes` wrote."""
    return Hashes().read(data, where=where)
