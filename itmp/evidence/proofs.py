"""Proofs as text: inclusion in the C2SP tlog-proof format, consistency as one base64 hash a line.

Rules kept here: one encoding per proof; what is read must be exactly what would be written.
"""

import binascii
from collections.abc import Sequence
from typing import Final

from itmp.errors import EvidenceInvalidError

_FIRST: Final = b"c2sp.org/tlog-proof@v1\n"


def write_inclusion(index: int, hashes: Sequence[bytes], note: bytes) -> bytes:
    """Return the proof that leaf `index` is in the tree of the signed checkpoint `note`."""
    return _FIRST + b"index %d\n" % index + write_hashes(hashes) + b"\n" + note


def read_inclusion(data: bytes, *, index: int, note: bytes, where: str) -> tuple[bytes, ...]:
    """Return the hashes of a proof for leaf `index` in the tree of `note`, from the leaf upwards."""
    start, end = _FIRST + b"index %d\n" % index, b"\n" + note
    if not data.startswith(start) or not data.endswith(end) or len(data) < len(start) + len(end):
        raise EvidenceInvalidError("a proof of another leaf, or for another checkpoint", where=where)
    return read_hashes(data[len(start) : len(data) - len(end)], where=where)


def write_hashes(hashes: Sequence[bytes]) -> bytes:
    """Return hashes as base64, one a line."""
    return b"".join(map(binascii.b2a_base64, hashes))  # which ends the line


def read_hashes(data: bytes, *, where: str) -> tuple[bytes, ...]:
    """Read what `write_hashes` wrote."""
    try:
        hashes = tuple(binascii.a2b_base64(line, strict_mode=True) for line in data.split(b"\n")[:-1])
    except binascii.Error as error:
        raise EvidenceInvalidError("a hash that is not base64", where=where) from error
    if write_hashes(hashes) != data or any(len(item) != 32 for item in hashes):  # noqa: PLR2004 - sha256
        raise EvidenceInvalidError("a proof in another encoding than its one", where=where)
    return hashes
