"""`NAME.plan.tar`: one file that carries a plan.

Rules kept here:
- One plan has one archive, byte for byte: members `digest`, `manifest.json`, then `blobs/sha256/<hex>` in
  order; USTAR headers with mode 0644, owner 0 and time 0; two zero blocks end it. Stock `tar` and
  `sha256sum` can take it apart.
- The reader knows which header each member must have and takes no other, so links, odd names, sparse files
  and extensions have no way in; nothing may follow the end; nothing is missing and nothing is unlisted.
"""

from typing import Final

from itmp import canonical
from itmp.canonical import Digest
from itmp.documents.text import visible
from itmp.errors import InvalidInputError, StaleError
from itmp.plan.bundle import Plan
from itmp.plan.codec import MAX_MANIFEST

MAX_ARCHIVE: Final = 1024 * 1024 * 1024
"""Bytes. An Ansible project with its collections' files takes a few tens of MB."""

_BLOCK: Final = 512
_END: Final = bytes(2 * _BLOCK)
_DIGEST: Final = "digest"
_MANIFEST: Final = "manifest.json"
_SIZE: Final = slice(124, 135)
_CHECKSUM: Final = slice(148, 156)


def to_tar(plan: Plan) -> bytes:
    """Return the archive of `plan`; reads and so checks every artifact."""
    parts = [_member(_DIGEST, f"{plan.digest}\n".encode()), _member(_MANIFEST, plan.manifest_bytes)]
    parts += [_member(_blob_name(key), plan.artifacts[key]) for key in sorted(plan.artifacts)]
    archive = b"".join([*parts, _END])
    if len(archive) > MAX_ARCHIVE:
        raise InvalidInputError(
            f"a plan of {len(archive)} bytes; the limit is {MAX_ARCHIVE}", do="Trim the project."
        )
    return archive


def from_tar(data: bytes) -> Plan:
    """Read an archive.

    Raises `StaleError` when a member's bytes are not those that the plan's digests name, and
    `InvalidInputError` when the file is no such archive. Both name the member.
    """
    if len(data) > MAX_ARCHIVE:
        raise InvalidInputError(f"a plan of {len(data)} bytes; the limit is {MAX_ARCHIVE}")
    reader = _Reader(data)
    said = reader.member(_DIGEST, 128).decode("ascii", "replace").removesuffix("\n")
    manifest = reader.member(_MANIFEST, MAX_MANIFEST)
    if f"{canonical.digest(manifest)}" != said:
        raise StaleError(
            "its bytes are not those of the plan's digest", where=_MANIFEST, do="Copy the plan again."
        )
    blobs: dict[Digest, bytes] = {}
    plan = Plan.from_bytes(manifest, blobs.__getitem__)
    for key in sorted(set(plan.manifest.artifacts.values())):
        blobs[key] = _checked(key, reader.member(_blob_name(key), MAX_ARCHIVE), plan)
    reader.end()
    return plan


def _checked(key: Digest, content: bytes, plan: Plan) -> bytes:
    if canonical.digest(content) == key:
        return content
    path = min(path for path, value in plan.manifest.artifacts.items() if value == key)
    raise StaleError(
        f"{path!r:.200}: its bytes are not the plan's", where=_blob_name(key), do="Copy the plan again."
    )


def _blob_name(key: Digest) -> str:
    return "blobs/" + key.replace(":", "/")


def _header(name: str, size: int) -> bytes:
    head = b"".join(
        [
            name.encode("ascii").ljust(100, b"\0"),
            b"0000644\0" + b"0000000\0" * 2,
            f"{size:011o}\0".encode() + b"00000000000\0",
            b" " * 8,
            b"0".ljust(101, b"\0") + b"ustar\x0000",
            bytes(64) + b"0000000\0" * 2 + bytes(167),
        ],
    )
    return head[: _CHECKSUM.start] + f"{sum(head):06o}\0 ".encode() + head[_CHECKSUM.stop :]


def _member(name: str, content: bytes) -> bytes:
    return _header(name, len(content)) + content + bytes(-len(content) % _BLOCK)


class _Reader:
    """Takes members off the front, each of which must be exactly as the writer would have written it."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def member(self, name: str, limit: int) -> bytes:
        head = self._data[self._at : self._at + _BLOCK]
        size = _size(head)
        if size is None or size > limit or head != _header(name, size):
            found = visible(head[:100].rstrip(b"\0").decode("ascii", "replace")) or "nothing"
            raise InvalidInputError(f"no plan archive: expected this member, found {found:.120}", where=name)
        start = self._at + _BLOCK
        padded = size + -size % _BLOCK
        content = self._data[start : start + padded]
        if len(content) != padded or content[size:].strip(b"\0"):
            raise InvalidInputError("no plan archive: this member is cut short or badly padded", where=name)
        self._at = start + padded
        return content[:size]

    def end(self) -> None:
        if self._data[self._at :] != _END:
            raise InvalidInputError(
                "no plan archive: something follows the last member, or the end is cut", where="end"
            )


def _size(head: bytes) -> int | None:
    text = head[_SIZE]
    return int(text, 8) if len(text) == _SIZE.stop - _SIZE.start and not text.strip(b"01234567") else None
