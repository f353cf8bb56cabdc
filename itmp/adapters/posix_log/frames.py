"""Frames of the journal: uint32be length ‖ uint32be CRC-32 ‖ leaf. Frame n is leaf n.

Rules kept here: the checksum covers length and leaf, so that neither can rot alone; it finds accidents, the
Merkle tree finds liars. A tail is called torn only when it can be what an interrupted write of ours leaves: a
prefix of one frame, that frame with a bad checksum as the very last bytes, or zeros; or one that lost a whole
sector, which reads as zeros, while later sectors arrived: a disk keeps no order between two syncs. Anything
else is damage and is never cut: leaves are JSON without control characters, so any other NUL inside a torn
leaf betrays a later frame.

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
_SECTOR: Final = 512
_LEAST: Final = 4  # NULs at a sector's end that no whole frame begins with

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
    size = len(leaf)
    return HEADER.pack(size, zlib.crc32(leaf, zlib.crc32(_LENGTH.pack(size)))) + leaf


def scan(data: bytes, offset: int = 0) -> Scan:
    """Read whole frames from the start of `data`; `tail` judges the rest as if it ended the file.

    `offset` is where `data` starts in the file.
    """
    leaves, ends, at, size = list[bytes](), list[int](), 0, len(data)
    unpack, crc, header = HEADER.unpack_from, zlib.crc32, HEADER.size
    begun = dict[int, int]()  # the checksum over a length, which many frames share
    while at + header <= size:
        length, checksum = unpack(data, at)
        start, end = at + header, at + header + length
        if not 0 < length <= MAX_LEAF or end > size:
            break
        seed = begun.get(length)
        if seed is None:
            seed = begun[length] = crc(_LENGTH.pack(length))
        leaf = data[start:end]
        if crc(leaf, seed) != checksum:
            break
        at = end
        leaves.append(leaf)
        ends.append(at)
    return Scan(leaves=leaves, ends=ends, tail=judge_tail(data[at:], offset + at))


def judge_tail(rest: bytes, offset: int = 0) -> Tail:
    """Say what the bytes after the last whole frame of a file are; they start at `offset`."""
    if not rest:
        return "clean"
    return "torn" if _is_torn(rest) or _lost_sector(rest, offset) else "damaged"


def _lost_sector(rest: bytes, offset: int) -> bool:
    """Whether a sector of the frame that begins here is zeros, as one that never reached the disk."""
    extent = HEADER.size
    if len(rest) >= extent:
        extent += min(HEADER.unpack_from(rest)[0], MAX_LEAF)
    start = 0
    while start < min(extent, len(rest)):
        end = min(len(rest), start + _SECTOR - (offset + start) % _SECTOR)
        if end - start >= _LEAST and not rest[start:end].strip(_NUL):
            return True
        start = end
    return False


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
