"""Canonical JSON (a subset of RFC 8785) and digests: the only encoder used for hashing.

Rules kept here: one value has exactly one encoding. Keys are ASCII and sorted, text is UTF-8 without lone
surrogates, there are no floats, every integer is within ±(2^53 - 1), and no key occurs twice. Within this
subset the bytes equal RFC 8785's, so any JCS implementation reproduces them.
"""

import hashlib
import json
import re
from contextlib import suppress
from json.encoder import c_make_encoder, encode_basestring  # type: ignore[attr-defined]
from typing import Any, Final, NewType

from itmp.errors import InvalidInputError

Digest = NewType("Digest", str)
"""`sha256:` and 64 lower-case hex digits. Used for blobs, manifests and leaf hashes alike."""

MAX_INT: Final = 2**53 - 1
_MAX_DEPTH: Final = 64
_ENCODE: Final = c_make_encoder(
    None,  # no look for circles: what passes here is at most _MAX_DEPTH deep
    json.JSONEncoder().default,
    encode_basestring,
    None,
    ":",
    ",",
    True,
    False,
    False,
)
"""What `json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"))` makes anew for every value."""
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}\Z")


def digest(data: bytes) -> Digest:
    """Return the sha256 of `data` in its one textual form."""
    return Digest("sha256:" + hashlib.sha256(data).hexdigest())


def parse_digest(text: str) -> Digest:
    """Return `text` as a `Digest`; raise `InvalidInputError` unless it is in its one textual form."""
    if not isinstance(text, str) or not _DIGEST.match(text):
        raise InvalidInputError(
            f"not a digest: {text!r:.80}", do="Expected sha256: and 64 lower-case hex digits."
        )
    return Digest(text)


def raw(value: Digest) -> bytes:
    """Return the 32 bytes behind a digest."""
    return bytes.fromhex(value.removeprefix("sha256:"))


def of_raw(value: bytes) -> Digest:
    """Return the textual form of 32 digest bytes."""
    return Digest("sha256:" + value.hex())


def dumps(value: Any) -> bytes:
    """Encode a JSON value; raise `InvalidInputError` for anything outside the subset."""
    if _is_plain(value, 0):
        try:
            return "".join(_ENCODE(value, 0)).encode()
        except UnicodeEncodeError:
            pass  # a lone surrogate: below it is found, and said where
    _check(value, "$", 0)
    return "".join(_ENCODE(value, 0)).encode()


def loads(data: bytes) -> Any:
    """Decode canonical bytes; raise `InvalidInputError` unless `dumps` would give exactly `data` back."""
    # Most leaves are ASCII with few brackets. Then no key or text is outside the subset, and nothing nests too deeply:
    # a value whose encoding is `data` needs no look at its parts. All else is left to the long way.
    if data.isascii() and data.count(b"{") + data.count(b"[") <= _MAX_DEPTH:
        text = data.decode()
        with suppress(ValueError, StopIteration):
            value, _ = _SCANNED(text, 0)
            if "".join(_ENCODE(value, 0)) == text:
                return value
    return _loads(data)


def _loads(data: bytes) -> Any:
    """Do the same by looking at every part of the value; say what is wrong."""
    try:
        value = _DECODER.decode(data.decode())
        canonical = dumps(value)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"not canonical JSON: {error}") from error
    if canonical != data:
        raise InvalidInputError("not canonical JSON: the bytes are another encoding of their value")
    return value


def _is_plain(value: Any, depth: int) -> bool:
    """Whether the value is surely in the subset, lone surrogates aside; every event passes here, so it is short."""
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return True
    if kind is int:
        return bool(-MAX_INT <= value <= MAX_INT)
    if depth < _MAX_DEPTH and kind is dict:
        for key, item in value.items():
            if type(key) is not str or not key.isascii():
                return False
            if type(item) is not str and not _is_plain(item, depth + 1):  # most are text: no call for those
                return False
        return True
    return depth < _MAX_DEPTH and kind is list and all(_is_plain(item, depth + 1) for item in value)


def _no_float(text: str) -> Any:
    raise ValueError(f"a number that is not an integer: {text:.40}")


def _small(text: str) -> int:
    value = int(text)
    if -MAX_INT <= value <= MAX_INT:
        return value
    raise ValueError("an integer beyond 2^53 - 1")


_DECODER: Final = json.JSONDecoder(parse_float=_no_float, parse_constant=_no_float)
_SCANNED: Final = json.JSONDecoder(  # type: ignore[attr-defined] # what `decode` calls once it has skipped white space
    parse_int=_small, parse_float=_no_float, parse_constant=_no_float
).scan_once


def _check(value: Any, path: str, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise InvalidInputError(f"nested deeper than {_MAX_DEPTH} levels", where=path)
    match value:
        case None | bool():
            return
        case int():
            if abs(value) > MAX_INT:
                raise InvalidInputError("an integer beyond 2^53 - 1", where=path)
        case str():
            _check_text(value, path)
        case list() | tuple():
            for index, item in enumerate(value):
                _check(item, f"{path}[{index}]", depth + 1)
        case dict():
            _check_object(value, path, depth)
        case _:
            raise InvalidInputError(f"a {type(value).__name__} has no canonical form", where=path)


def _check_object(value: dict[Any, Any], path: str, depth: int) -> None:
    for key, item in value.items():
        if not isinstance(key, str) or not key.isascii():
            raise InvalidInputError(f"a key that is not ASCII text: {key!r:.40}", where=path)
        _check(item, f"{path}.{key}", depth + 1)


def _check_text(value: str, path: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidInputError("text with a lone surrogate", where=path) from error
