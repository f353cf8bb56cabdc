"""SSH wire encoding (RFC 4251 §5): strict reader and writer.

Rules kept here: one encoding per value. Lengths are checked before anything is read, an mpint is never
negative and has no superfluous leading zero, base64 is accepted only in the form that encoding would give
back, and `end` refuses trailing bytes.
"""

import base64
import binascii
from typing import Final

from itmp.errors import InvalidInputError

MAX_STRING: Final = 64 * 1024
"""No key, certificate or signature holds a longer string (RSA-16384 certificates stay below 8 KiB)."""
_HIGH_BIT: Final = 0x80


class WireError(InvalidInputError):
    """Bytes that are not the one encoding of their value."""


class Reader:
    """Reads one blob from front to back; every method raises `WireError` where the bytes do not fit."""

    __slots__ = ("_at", "_data", "_what")

    def __init__(self, data: bytes, what: str) -> None:
        self._data, self._what, self._at = data, what, 0

    def take(self, count: int) -> bytes:
        """Return the next `count` bytes."""
        if count > len(self._data) - self._at:
            raise WireError(f"{self._what}: ends too early")
        self._at += count
        return self._data[self._at - count : self._at]

    def uint(self, size: int) -> int:
        """Return a big-endian unsigned integer of `size` bytes."""
        return int.from_bytes(self.take(size))

    def string(self) -> bytes:
        """Return a string: uint32 length, then that many bytes."""
        length = int.from_bytes(self.take(4))
        if length > MAX_STRING:
            raise WireError(f"{self._what}: a string of {length} bytes; the limit is {MAX_STRING}")
        return self.take(length)

    def text(self) -> str:
        """Return a string of printable ASCII."""
        try:
            value = self.string().decode("ascii")
        except UnicodeDecodeError as error:
            raise WireError(f"{self._what}: a name that is not ASCII") from error
        if not value.isprintable():
            raise WireError(f"{self._what}: a name with control characters")
        return value

    def mpint(self) -> int:
        """Return a non-negative integer in its shortest two's complement form."""
        data = self.string()
        if data and (data[0] >= _HIGH_BIT or (data[0] == 0 and data[1:2] < b"\x80")):
            raise WireError(f"{self._what}: an integer that is negative or has superfluous leading zeros")
        return int.from_bytes(data)

    @property
    def left(self) -> int:
        """The number of bytes not read yet."""
        return len(self._data) - self._at

    def end(self) -> None:
        """Refuse trailing bytes."""
        if self.left:
            raise WireError(f"{self._what}: {self.left} trailing bytes")


def string(data: bytes) -> bytes:
    """Return `data` as an SSH string."""
    return len(data).to_bytes(4) + data


def mpint(value: int) -> bytes:
    """Return a non-negative integer as an SSH mpint."""
    return string(value.to_bytes(value.bit_length() // 8 + 1) if value else b"")


def unbase64(text: str, what: str) -> bytes:
    """Decode standard padded base64; raise `WireError` unless encoding gives exactly `text` back."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise WireError(f"{what}: not base64") from error
    if base64.b64encode(data).decode() != text:
        raise WireError(f"{what}: base64 in another form than the standard one")
    return data


def rebase64(data: bytes) -> str:
    """Encode as standard padded base64 on one line."""
    return base64.b64encode(data).decode()
