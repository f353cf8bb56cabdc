"""SSHSIG (OpenSSH PROTOCOL.sshsig): what `ssh-keygen -Y sign` writes, verified more strictly.

Rules kept here, in order: 1 the armor is the one that ssh-keygen writes, character by character · 2 magic,
version 1, no trailing bytes · 3 the namespace is exactly the expected one · 4 `reserved` is empty · 5 the
hash is sha256 or sha512 · 6 the key is strong and canonical, a certificate is signed by its CA · 7 the
signature holds, with touch for hardware keys. Whose key it is, is the caller's question.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, Protocol

from itmp.signing.certificates import Certificate, is_certificate
from itmp.signing.ed25519 import SignatureError
from itmp.signing.keys import PublicKey, WeakKeyError
from itmp.signing.signatures import check_signature
from itmp.signing.wire import Reader, WireError, rebase64, string, unbase64

MAX_ARMOR: Final = 32 * 1024
_BEGIN: Final = "-----BEGIN SSH SIGNATURE-----\n"
_END: Final = "-----END SSH SIGNATURE-----\n"
_COLUMNS: Final = 70
_MAGIC: Final = b"SSHSIG"
_VERSION: Final = 1
_key_of: Final = lru_cache(256)(PublicKey.from_blob)
"""A key's own checks take longer than one verification, and few people sign very often."""
_HASHES: Final[dict[str, Callable[[bytes], bytes]]] = {
    "sha256": lambda data: hashlib.sha256(data).digest(),
    "sha512": lambda data: hashlib.sha512(data).digest(),
}

HashName = Literal["sha256", "sha512"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedBy:
    """Who signed and how: `touched` and `pin` are `None` for keys outside hardware.

    `origin` is the web page that asked for the signature, else `None`: a person's word must not come from a page.
    With a `certificate`, `key` is the key it certifies; nothing follows from the certificate until
    `certificate.admit` has accepted it.
    """

    key: PublicKey
    touched: bool | None
    pin: bool | None
    hash: str
    certificate: Certificate | None = None
    origin: str | None = None


class PersonalKey(Protocol):
    """The door to a person's signing key, wherever it lives (memory, file, agent, hardware).

    `sign` returns the SSHSIG armor over `message` in `namespace`, or raises an `Error` that names the key and
    says what to do; it may wait for a touch, it never asks on a terminal that is not there.
    """

    @property
    def public(self) -> PublicKey:
        """The public half."""

    def sign(self, message: bytes, namespace: str) -> str:
        """Return the armor over `message` in `namespace`."""


def verify_sshsig(armor: str, message: bytes, namespace: str) -> SignedBy:
    """Verify `armor` over `message` in `namespace`; raise `SignatureError` with the reason."""
    try:
        return _verify(unarmor(armor), message, namespace)
    except (WireError, WeakKeyError) as error:
        raise SignatureError(error.what, where="SSH signature", do=error.do) from error


def _verify(blob: bytes, message: bytes, namespace: str) -> SignedBy:
    reader = Reader(blob, "SSH signature")
    if reader.take(len(_MAGIC)) != _MAGIC or reader.uint(4) != _VERSION:  # 2
        raise SignatureError("not an SSH signature of version 1")
    key_blob, found, reserved = reader.string(), reader.string(), reader.string()
    hash_name, signature = reader.string(), reader.string()
    reader.end()
    if not namespace or found != namespace.encode():  # 3
        raise SignatureError(f"signed for namespace {found!r:.80} instead of {namespace!r}")
    if reserved:  # 4
        raise SignatureError("the reserved part of the signature is not empty")
    name = hash_name.decode("ascii", "replace")
    if name not in _HASHES:  # 5
        raise SignatureError(f"hash {name!r:.40} is not accepted; accepted: {', '.join(_HASHES)}")
    certificate = Certificate.from_blob(key_blob) if is_certificate(key_blob) else None  # 6
    key = certificate.key if certificate else _key_of(key_blob)
    presence = check_signature(key, signature, signed_bytes(message, namespace, name))  # 7
    return SignedBy(
        key=key,
        touched=presence.touched,
        pin=presence.pin,
        hash=name,
        certificate=certificate,
        origin=presence.origin,
    )


def signed_bytes(message: bytes, namespace: str, hash_name: str = "sha512") -> bytes:
    """Return the bytes that the key itself signs."""
    parts = (namespace.encode(), b"", hash_name.encode(), _HASHES[hash_name](message))
    return _MAGIC + b"".join(string(part) for part in parts)


def to_armor(key_blob: bytes, signature: bytes, namespace: str, hash_name: str = "sha512") -> str:
    """Wrap a finished signature blob as ssh-keygen would."""
    parts = (key_blob, namespace.encode(), b"", hash_name.encode(), signature)
    return armor_of(_MAGIC + _VERSION.to_bytes(4) + b"".join(string(part) for part in parts))


def armor_of(blob: bytes) -> str:
    """Return the armor of an SSHSIG blob: base64 in lines of 70, LF, between the two marker lines."""
    text = rebase64(blob)
    lines = [text[at : at + _COLUMNS] + "\n" for at in range(0, len(text), _COLUMNS)]
    return _BEGIN + "".join(lines) + _END


def unarmor(armor: str) -> bytes:
    """Return the blob inside; raise `SignatureError` unless `armor_of` gives `armor` back (rule 1)."""
    if len(armor) > MAX_ARMOR:
        raise SignatureError(f"an armor of {len(armor)} characters; the limit is {MAX_ARMOR}")
    if not (armor.startswith(_BEGIN) and armor.endswith("\n" + _END)):
        raise SignatureError(
            "no SSH signature armor", do="Expected the .sig file that ssh-keygen -Y sign wrote, unchanged."
        )
    blob = unbase64(armor[len(_BEGIN) : -len(_END)].replace("\n", ""), "SSH signature armor")
    if armor_of(blob) != armor:
        raise SignatureError(
            "an armor in another form than ssh-keygen writes", do="Store the .sig file unchanged."
        )
    return blob
