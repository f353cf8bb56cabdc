"""Frames of the journal: uint32be length ‖ uint32be CRC-32 ‖ leaf. Frame n is leaf n.

Rules kept here: the checksum covers length and leaf, so that neither can rot alone; it finds accidents, the
Merkle tree finds liars. A tail is called torn only when it can be what an interrupted write of ours leaves: a
prefix of one frame, that frame with a bad checksum as the very last bytes, or zeros. Anything else is damage
and is never cut: leaves are JSON without control characters, so a NUL inside a torn leaf betrays a later
frame.

The checksum is the CRC-32 of zlib, computed at memory speed by the standard library; the Castagnoli
polynomial has no implementation there.
"""

import zlib
from dataclasses import dataclass
from struct import Struct
from typing import Final, Literal, TypeAlias

from itmp.audit.event import MAX_LEAF

HEADER: Final = Struct(">II")
MAX_FRAME: Final = HEADER.size + MAX_LEAF
_LENGTH: Final = Struct(">I")
_NUL: Final = b"\x00"

Tail: TypeAlias = Literal["clean", "torn", "damaged"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """The whole frames at the start of some bytes: their leaves, where each ends, and what follows them."""

    leaves: list[bytes]
    ends: list[int]
    tail: Tail

    @property
    def end(self) -> int:
        """Where the last whole frame ends."""
        return self.ends[-1] if self.ends else 0


def encode(leaf: bytes) -> bytes:
    """Return the frame of a leaf."""
    length = _LENGTH.pack(len(leaf))
    return length + _LENGTH.pack(zlib.crc32(leaf, zlib.crc32(length))) + leaf


def scan(data: bytes) -> Scan:
    """Read whole frames from the start of `data`; `tail` judges the rest as if it ended the file."""
    leaves, ends, at, size = list[bytes](), list[int](), 0, len(data)
    unpack, crc, header = HEADER.unpack_from, zlib.crc32, HEADER.size
    while at + header <= size:
        length, checksum = unpack(data, at)
        leaf = data[at + header : at + header + length]
        if not 0 < length <= MAX_LEAF or len(leaf) < length:
            break
        if crc(leaf, crc(data[at : at + 4])) != checksum:
            break
        at += header + length
        leaves.append(leaf)
        ends.append(at)
    return Scan(leaves=leaves, ends=ends, tail=judge_tail(data[at:]))


def judge_tail(rest: bytes) -> Tail:
    """Say what the bytes after the last whole frame of a file are."""
    if not rest:
        return "clean"
    return "torn" if _is_torn(rest) else "damaged"


def _is_torn(rest: bytes) -> bool:
    if not rest.strip(_NUL):
        return True
    if rest[:2].strip(_NUL):  # every length is below 2^16
        return False
    if len(rest) < HEADER.size:
        return True
    length, _ = HEADER.unpack_from(rest)
    body = rest[HEADER.size :]
    if len(body) < length <= MAX_LEAF:
        return _NUL not in body.rstrip(_NUL)
    return 0 < length <= MAX_LEAF and not body[length:].strip(_NUL)
