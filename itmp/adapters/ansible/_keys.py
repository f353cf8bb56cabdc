"""Knows a private key by what a file holds, whatever it is called: ssh's own form and PEM, alone or among certificates.

Rules kept here: a key that a passphrase or ansible-vault closes is none in clear. One in clear is a secret like any
other, and no plan holds a secret: it is refused by the file's name, unless the document lists its path in
`public_vars`. What a collection publishes is none; there it is noted. A plan's laid out keys are their owner's alone,
as ssh asks.
"""

import re
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Collection, Iterator
from typing import Final

from itmp.documents import Problem

CLEAR: Final = "holds a private key in clear"
_DO: Final = (
    "Encrypt it with ansible-vault: what copies it decrypts it. Keep a key that ssh itself reads in ~/.ssh or the SSH "
    "agent. If it is no secret, write `public_vars: [{path}]`."
)
_MARK: Final = b"PRIVATE KEY-----"
_KEY: Final = re.compile(
    rb"^-----BEGIN (?P<kind>(?:[A-Z0-9]+ )*)PRIVATE KEY-----[ \t]*\r?\n"
    rb"(?P<first>[A-Za-z0-9+/=]+|[A-Za-z-]+: [^\r\n]*)\r?$",
    re.MULTILINE,
)
_OPENSSH: Final = b"openssh-key-v1\0\0\0\0"
_NO_CIPHER: Final = b"\4none"
_LONGEST: Final = 64


def held(data: bytes) -> bool:
    """Tell whether a file holds a private key, in clear or not."""
    return _MARK in data and _KEY.search(data) is not None


def clear(data: bytes) -> bool:
    """Tell whether a file holds a private key that nothing closes."""
    return _MARK in data and any(not _closed(found) for found in _KEY.finditer(data))


def problems(place: str, data: bytes, public: Collection[str]) -> Iterator[Problem]:
    """Yield a problem for a key in clear; `place` is the file's path in the workspace."""
    if place not in public and "ansible_collections" not in place.split("/") and clear(data):
        yield Problem(path=place, line=0, column=0, message=CLEAR, suggestion=_DO.format(path=place))


def notes(place: str, data: bytes, public: Collection[str]) -> Iterator[str]:
    """Yield what an approver should know of a key in clear that a plan holds all the same."""
    if (place in public or "ansible_collections" in place.split("/")) and clear(data):
        yield f"{place} {CLEAR}"


def _closed(key: re.Match[bytes]) -> bool:
    if key["kind"] == b"ENCRYPTED " or key["first"].startswith(b"Proc-Type: 4,ENCRYPTED"):
        return True
    if key["kind"] != b"OPENSSH ":
        return False
    try:
        start = b64decode(key["first"][:_LONGEST])
    except NotBase64:
        return False
    return start.startswith(_OPENSSH) and not start.startswith(_OPENSSH + _NO_CIPHER)


__all__ = ["CLEAR", "clear", "held", "notes", "problems"]
