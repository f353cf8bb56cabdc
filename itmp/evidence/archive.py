"""The evidence file: a tar in its one form.

Rules kept here: the same members give the same bytes (USTAR, sorted names, mode 0644, owner 0, time 0, two
zero blocks at the end); the reader takes only what the writer would have written, so that links, devices,
traversal, duplicates, sparse files, extensions, padding and trailing bytes have no way in. Nothing is ever
unpacked to a disk. Stock `tar` can take the file apart.
"""

import os
import re
from collections.abc import Iterable, Mapping
from typing import BinaryIO, Final

from itmp.errors import EvidenceInvalidError

MAX_BUNDLE: Final = 1024 * 1024 * 1024
"""Bytes. It holds a plan's artifacts, at most as many again in leaves and proofs."""

_BLOCK: Final = 512
_END: Final = bytes(2 * _BLOCK)
_MOST_TAIL: Final = 1024 * 1024  # no header, padding or end is longer
_SIZE: Final = slice(124, 135)
_NAME: Final = re.compile(rb"[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,98}[A-Za-z0-9])?")
_OWNED: Final = b"0000644\0" + b"0000000\0" * 2
"""Mode, owner and group, between name and size."""
_DATED: Final = b"0" * 11 + b"\0"
"""The time, between size and checksum."""
_KIND: Final = b"0".ljust(101, b"\0") + b"ustar\x0000" + bytes(64) + b"0000000\0" * 2 + bytes(167)
"""All that follows the checksum."""
_SAME: Final = sum(_OWNED) + sum(_DATED) + sum(b" " * 8) + sum(_KIND)
"""What every header's checksum begins with: an archive has thousands of them."""


class ArchiveError(EvidenceInvalidError):
    """A file that is no evidence archive, or one that somebody has tampered with."""


def pack(members: Mapping[str, bytes]) -> bytes:
    """Return the archive of `members` (name to content)."""
    if odd := [name for name in members if not _NAME.fullmatch(name.encode())]:
        raise ArchiveError("not a member's name", where=f"{odd[0]!r:.120}")
    parts = [
        _header(name.encode("ascii"), len(data)) + _padded(data) for name, data in sorted(members.items())
    ]
    archive = b"".join([*parts, _END])
    if len(archive) > MAX_BUNDLE:
        raise ArchiveError(
            f"evidence of {len(archive)} bytes; the limit is {MAX_BUNDLE}", where=f"byte {MAX_BUNDLE}"
        )
    return archive


def write(file: BinaryIO, members: Iterable[tuple[str, bytes]]) -> None:
    """Write the archive of `members`, which come sorted by name, one after the other."""
    previous = ""
    for name, data in members:
        if not _NAME.fullmatch(name.encode()) or name <= previous:
            raise ArchiveError("not a member's name, or not in order", where=f"{name!r:.120}")
        file.write(_header(name.encode("ascii"), len(data)) + _padded(data))
        previous = name
    file.write(_END)


def places(file: BinaryIO) -> dict[str, tuple[int, int]]:
    """Return where each member's content begins and its size, in a file that only `write` would have written.

    Contents are not read; the caller checks them by what the members are.
    """
    found: dict[str, tuple[int, int]] = {}
    at, previous, length = 0, b"", file.seek(0, os.SEEK_END)
    while True:
        head = _read(file, at, _BLOCK)
        if head == _END[:_BLOCK]:
            break
        name, size = _head(head, at)
        end = at + _BLOCK + size + -size % _BLOCK
        if name <= previous or end > length or _read(file, at + _BLOCK + size, -size % _BLOCK).strip(b"\0"):
            raise ArchiveError("members out of order, cut short or badly padded", where=name.decode())
        found[name.decode()] = (at + _BLOCK, size)
        at, previous = end, name
    if _read(file, at, length - at) != _END:
        raise ArchiveError("bytes after the end of the archive, or its end is cut", where=f"byte {at}")
    return found


def _read(file: BinaryIO, at: int, size: int) -> bytes:
    if size > _MOST_TAIL:
        raise ArchiveError("bytes after the end of the archive", where=f"byte {at}")
    file.seek(at)
    return file.read(size)


def unpack(data: bytes) -> dict[str, bytes]:
    """Return the members of an archive; raise `ArchiveError` for what `pack` would not have written."""
    if len(data) > MAX_BUNDLE:
        raise ArchiveError(
            f"evidence of {len(data)} bytes; the limit is {MAX_BUNDLE}", where=f"byte {MAX_BUNDLE}"
        )
    members: dict[str, bytes] = {}
    at, previous = 0, b""
    while data[at : at + _BLOCK] != _END[:_BLOCK]:
        name, content = _member(data, at)
        if name <= previous:
            raise ArchiveError("members out of order, or one name twice", where=name.decode())
        members[name.decode()] = content
        at, previous = at + _BLOCK + len(content) + -len(content) % _BLOCK, name
    if data[at:] != _END:
        raise ArchiveError("bytes after the end of the archive, or its end is cut", where=f"byte {at}")
    return members


def _member(data: bytes, at: int) -> tuple[bytes, bytes]:
    name, size = _head(data[at : at + _BLOCK], at)
    content = data[at + _BLOCK : at + _BLOCK + size]
    padding = data[at + _BLOCK + size : at + _BLOCK + size + -size % _BLOCK]
    if len(content) != size or padding != bytes(-size % _BLOCK):
        raise ArchiveError("a member that is cut short or badly padded", where=name.decode())
    return name, content


def _head(head: bytes, at: int) -> tuple[bytes, int]:
    """Return name and size of the member whose header stands at byte `at`."""
    name, size = head[:100].rstrip(b"\0"), _size(head)
    if (
        size is None
        or not _NAME.fullmatch(name)
        or b"//" in name
        or b".." in name
        or head != _header(name, size)
    ):
        raise ArchiveError(
            "not an evidence archive: a header that its writer would not have written", where=f"byte {at}"
        )
    return name, size


def _size(head: bytes) -> int | None:
    text = head[_SIZE]
    return int(text, 8) if len(text) == _SIZE.stop - _SIZE.start and not text.strip(b"01234567") else None


def _header(name: bytes, size: int) -> bytes:
    length = b"%011o\0" % size
    checksum = b"%06o\0 " % (_SAME + sum(name) + sum(length))
    return name.ljust(100, b"\0") + _OWNED + length + _DATED + checksum + _KIND


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % _BLOCK)
