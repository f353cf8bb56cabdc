"""People's public keys in OpenSSH's form, and only those strong enough to bind a person.

Rules kept here: text enters through `PublicKey.parse` or `PublicKey.from_blob`, which return a key whose
bytes are its one encoding, or raise `WeakKeyError` with the reason. Refused: DSA, RSA below 3072 bits, points
that are off the curve, not canonical or of small order, unknown types, trailing bytes. That a key lives in
hardware (`sk-…`) is part of the value; a line (`parse`) names only one that was made for SSH.
"""

import base64
import hashlib
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    SECP521R1,
    EllipticCurve,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers

from itmp.errors import InvalidInputError
from itmp.signing import points
from itmp.signing.wire import Reader, WireError, rebase64, unbase64

Native: TypeAlias = Ed25519PublicKey | EllipticCurvePublicKey | RSAPublicKey

MIN_RSA_BITS: Final = 3072
MAX_RSA_BITS: Final = 16384  # OpenSSL verifies nothing longer
_RSA_EXPONENT_BITS: Final = range(17, 65)  # FIPS 186-5: above 2^16; OpenSSL: at most 64 bits for long moduli
_MAX_LINE: Final = 16 * 1024
_UNCOMPRESSED: Final = b"\x04"

ED25519: Final = "ssh-ed25519"
RSA: Final = "ssh-rsa"
SK_ED25519: Final = "sk-ssh-ed25519@openssh.com"
SK_ECDSA: Final = "sk-ecdsa-sha2-nistp256@openssh.com"
CURVES: Final[dict[str, tuple[str, EllipticCurve]]] = {
    "ecdsa-sha2-nistp256": ("nistp256", SECP256R1()),
    "ecdsa-sha2-nistp384": ("nistp384", SECP384R1()),
    "ecdsa-sha2-nistp521": ("nistp521", SECP521R1()),
    SK_ECDSA: ("nistp256", SECP256R1()),
}
TYPES: Final = (ED25519, *CURVES, RSA, SK_ED25519)


class WeakKeyError(InvalidInputError):
    """A public key that is malformed, too weak or of a kind that is not accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """A person's or machine account's public key; equal when the key itself (`blob`) is equal.

    `type` is OpenSSH's name, `blob` the wire bytes, `application` the FIDO application of a hardware key.
    """

    type: str
    blob: bytes
    application: str = ""
    native: Native = field(compare=False, repr=False)

    @classmethod
    def parse(cls, line: str) -> "PublicKey":
        """Read `type base64 [comment]`, what a `.pub` file holds; raise `WeakKeyError` with the reason."""
        if len(line) > _MAX_LINE:
            raise WeakKeyError(f"a public key line of {len(line)} characters; the limit is {_MAX_LINE}")
        parts = line.removesuffix("\n").split(" ", 2)
        if len(parts) < 2 or not line.removesuffix("\n").isprintable():  # noqa: PLR2004 - a type and its base64
            raise WeakKeyError(
                f"not a public key line: {line!r:.60}",
                do="Expected the one line of a .pub file: type, base64, comment.",
            )
        try:
            key = cls.from_blob(unbase64(parts[1], "public key"))
        except WireError as error:
            raise WeakKeyError(error.what, where=parts[0]) from error
        if key.type != parts[0]:
            raise WeakKeyError(f"the line says {parts[0]!r:.60} but its bytes are a {key.type} key")
        if not key.for_ssh:
            raise WeakKeyError(f"a hardware key made for {key.application!r:.60}, not for SSH")
        return key

    @classmethod
    def from_blob(cls, blob: bytes) -> "PublicKey":
        """Read the wire bytes of a plain (not certified) key; raise `WeakKeyError` or `WireError`."""
        reader = Reader(blob, "public key")
        kind = reader.text()
        native, application = read_fields(kind, reader)
        reader.end()
        return cls(type=kind, blob=blob, application=application, native=native)

    @property
    def for_ssh(self) -> bool:
        """Whether the key may sign a person's word: one that was made for a web page may not."""
        return not self.hardware or self.application.startswith("ssh:")

    @property
    def hardware(self) -> bool:
        """Whether the key lives in a FIDO authenticator."""
        return self.type in {SK_ED25519, SK_ECDSA}

    @property
    def line(self) -> str:
        """`type base64`, without a comment."""
        return f"{self.type} {rebase64(self.blob)}"

    @property
    def fingerprint(self) -> str:
        """`SHA256:…`, as ssh-keygen -l prints it."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")


def read_fields(kind: str, reader: Reader) -> tuple[Native, str]:
    """Read what follows the type in a key's blob: its numbers and, for hardware keys, the application."""
    if kind in {ED25519, SK_ED25519}:
        return _ed25519(reader.string()), _application(kind, reader)
    if kind in CURVES:
        return _ecdsa(kind, reader), _application(kind, reader)
    if kind == RSA:
        return _rsa(reader.mpint(), reader.mpint()), ""
    raise WeakKeyError(
        f"a key of type {kind!r:.60} is not accepted",
        do=f"Use one of: {', '.join(TYPES)} (RSA from {MIN_RSA_BITS} bits).",
    )


def _ed25519(point: bytes) -> Ed25519PublicKey:
    if reason := points.fault(point):
        raise WeakKeyError(f"an Ed25519 key that is {reason}", do="Make a new key: ssh-keygen -t ed25519")
    return Ed25519PublicKey.from_public_bytes(point)


def _ecdsa(kind: str, reader: Reader) -> EllipticCurvePublicKey:
    name, curve = CURVES[kind]
    if (found := reader.text()) != name:
        raise WeakKeyError(f"a {kind} key on curve {found!r:.40}")
    point = reader.string()
    if point[:1] != _UNCOMPRESSED:
        raise WeakKeyError("an ECDSA key whose point is not in the uncompressed form")
    try:
        return EllipticCurvePublicKey.from_encoded_point(curve, point)
    except ValueError as error:
        raise WeakKeyError("an ECDSA key whose point is not on its curve") from error


def _rsa(exponent: int, modulus: int) -> RSAPublicKey:
    bits = modulus.bit_length()
    if not MIN_RSA_BITS <= bits <= MAX_RSA_BITS:
        raise WeakKeyError(
            f"an RSA key of {bits} bits; accepted are {MIN_RSA_BITS} to {MAX_RSA_BITS}",
            do="Make a new key: ssh-keygen -t ed25519",
        )
    if exponent % 2 == 0 or modulus % 2 == 0 or exponent.bit_length() not in _RSA_EXPONENT_BITS:
        raise WeakKeyError("an RSA key with an even number in it or an exponent outside 2^16..2^64")
    return RSAPublicNumbers(exponent, modulus).public_key()


def _application(kind: str, reader: Reader) -> str:
    if kind not in {SK_ED25519, SK_ECDSA}:
        return ""
    return reader.text()
