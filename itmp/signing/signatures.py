"""Verification of one SSH signature blob (RFC 8332, RFC 5656, RFC 8709, OpenSSH PROTOCOL.u2f) by one key.

Rules kept here: the algorithm must be the key's own; RSA only with SHA-2 and at full length; ECDSA numbers
lie in 1..n-1; Ed25519 is verified without cofactor, with canonical S and an R that is canonical and not of
small order; a hardware signature counts only with the touch flag; trailing bytes are refused.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm

from itmp.signing.ed25519 import SignatureError, verify_ed25519
from itmp.signing.keys import RSA, SK_ECDSA, PublicKey
from itmp.signing.web import METHOD, Page
from itmp.signing.wire import Reader

_RSA_HASHES: Final[dict[str, HashAlgorithm]] = {"rsa-sha2-256": SHA256(), "rsa-sha2-512": SHA512()}
_EC_HASHES: Final[dict[int, HashAlgorithm]] = {256: SHA256(), 384: SHA384(), 521: SHA512()}
_EC_ORDERS: Final = {  # SP 800-186, 3.2.1
    256: 2**256 - 2**224 + 2**192 - 0x4319055258E8617B0C46353D039CDAAF,
    384: 2**384 - 0x389CB27E0BC8D220A7E5F24DB74F58851313E695333AD68D,
    521: 2**521 - 0x5AE79787C40D069948033FEB708F65A2FC44A36477663B851449048E16EC79BF7,
}
_TOUCHED: Final = 0x01
_VERIFIED: Final = 0x04


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """Whether the person touched the hardware, and gave a PIN or finger (`None`: no hardware key).

    `origin` is the web page that asked for the signature, where one did.
    """

    touched: bool | None
    pin: bool | None
    origin: str | None = None


def check_signature(key: PublicKey, blob: bytes, data: bytes) -> Presence:
    """Verify that `blob` is `key`'s signature over `data`; raise `SignatureError` or `WireError`."""
    reader = Reader(blob, "signature")
    algorithm, raw = reader.text(), reader.string()
    presence = Presence(touched=None, pin=None)
    if key.hardware:
        flags, counter = reader.take(1), reader.take(4)
        page = Page.read(reader) if algorithm == METHOD else None
        presence = _presence(flags[0], page)
        data = _digest(key.application.encode()) + flags + counter + _signed(data, flags[0], page)
    reader.end()
    _check_algorithm(key, algorithm)
    try:
        _verify(key, algorithm, raw, data)
    except InvalidSignature as error:
        raise SignatureError(f"the signature is not {key.fingerprint}'s over this text") from error
    return presence


def _signed(data: bytes, flags: int, page: Page | None) -> bytes:
    """What a hardware key signs of `data`: its digest, or that of the words around it which a browser wrote."""
    if page is None:
        return _digest(data)
    page.check(data, flags)
    return page.extensions + _digest(page.client)


def _presence(flags: int, page: Page | None) -> Presence:
    if not flags & _TOUCHED:
        raise SignatureError("a hardware signature made without touch", do="Sign again and touch the key.")
    return Presence(touched=True, pin=bool(flags & _VERIFIED), origin=page.origin if page else None)


def _check_algorithm(key: PublicKey, algorithm: str) -> None:
    accepted = {RSA: tuple(_RSA_HASHES), SK_ECDSA: (SK_ECDSA, METHOD)}.get(key.type, (key.type,))
    if algorithm not in accepted:
        raise SignatureError(
            f"a {key.type} key with a signature of method {algorithm!r:.60}; accepted: {', '.join(accepted)}"
        )


def _verify(key: PublicKey, algorithm: str, raw: bytes, data: bytes) -> None:
    match key.native:
        case Ed25519PublicKey() as native:
            verify_ed25519(native, raw, data)
        case EllipticCurvePublicKey() as native:
            native.verify(
                _ecdsa_der(native.curve.key_size, raw), data, ECDSA(_EC_HASHES[native.curve.key_size])
            )
        case RSAPublicKey() as native:
            if len(raw) != (native.key_size + 7) // 8:
                raise SignatureError(
                    f"an RSA signature of {len(raw)} bytes by a key of {native.key_size} bits"
                )
            native.verify(raw, data, PKCS1v15(), _RSA_HASHES[algorithm])


def _ecdsa_der(bits: int, raw: bytes) -> bytes:
    reader = Reader(raw, "ECDSA signature")
    r, s = reader.mpint(), reader.mpint()
    reader.end()
    if not (0 < r < _EC_ORDERS[bits] and 0 < s < _EC_ORDERS[bits]):
        raise SignatureError("an ECDSA signature with a number outside 1..n-1")
    return encode_dss_signature(r, s)


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
