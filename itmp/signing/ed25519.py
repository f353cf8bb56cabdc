"""Ed25519 alone, which is all that reading a log takes: verification without cofactor, with strict encodings."""

from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from itmp.errors import EvidenceInvalidError
from itmp.signing import points

_SIZE: Final = 64


class SignatureError(EvidenceInvalidError):
    """A signature that does not hold: malformed, another key's or text's, or by a refused method."""


def verify_ed25519(key: Ed25519PublicKey, raw: bytes, data: bytes) -> None:
    """Verify without cofactor and with strict encodings; raise `SignatureError` or `InvalidSignature`."""
    if len(raw) != _SIZE:
        raise SignatureError(f"an Ed25519 signature of {len(raw)} bytes instead of {_SIZE}")
    if reason := points.encoding_fault(raw[:32]) or points.scalar_fault(raw[32:]):
        raise SignatureError(f"an Ed25519 signature with {reason}")
    key.verify(raw, data)
