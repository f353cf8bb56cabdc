"""OpenSSH user certificates (PROTOCOL.certkeys) as the key of a signature.

Rules kept here: a certificate is read strictly, must be a user certificate with at least one principal, with
no critical option (each would restrict its use in a way that a signature over a text cannot honour) and with
a CA signature that holds. Who the holder is follows only from `admit`: a CA that the policy lists, the exact
principal, and the whole given interval of time inside the certificate's validity.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from itmp.signing.ed25519 import SignatureError
from itmp.signing.keys import PublicKey, WeakKeyError, read_fields
from itmp.signing.signatures import check_signature
from itmp.signing.wire import Reader, WireError, string

_SUFFIX: Final = "-cert-v01@openssh.com"
_USER: Final = 1
_MAX_PRINCIPALS: Final = 256  # OpenSSH's own limit
_NO_TIME_LATER: Final = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp())


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What a CA says: `key` is `principals`' from `valid_after` (inclusive) to `valid_before` (exclusive)."""

    key: PublicKey
    ca: PublicKey
    key_id: str
    serial: int
    principals: tuple[str, ...]
    valid_after: datetime
    valid_before: datetime

    @classmethod
    def from_blob(cls, blob: bytes) -> "Certificate":
        """Read the wire bytes and verify the CA's signature; raise an `Error` with the reason."""
        reader = Reader(blob, "certificate")
        kind = _plain_type(reader.text())
        reader.string()  # the CA's nonce
        before = reader.left
        read_fields(kind, reader)
        plain = string(kind.encode()) + blob[len(blob) - before : len(blob) - reader.left]
        key = PublicKey.from_blob(plain)
        serial, role, key_id = reader.uint(8), reader.uint(4), reader.text()
        principals, after, until = _names(reader.string()), reader.uint(8), reader.uint(8)
        _check_limits(role, principals, reader.string())
        reader.string()  # extensions grant log-in rights, which say nothing about signatures
        if reader.string():
            raise WeakKeyError("a certificate whose reserved part is not empty")
        ca = PublicKey.from_blob(reader.string())
        signed = blob[: len(blob) - reader.left]
        signature = reader.string()
        reader.end()
        check_signature(ca, signature, signed)
        return cls(
            key=key, ca=ca, key_id=key_id, serial=serial, principals=principals,
            valid_after=_time(after), valid_before=_time(until),
        )  # fmt: skip

    def admit(
        self, *, authorities: Collection[PublicKey], principal: str, start: datetime, end: datetime
    ) -> None:
        """Accept it for `principal` during the whole of `start`..`end`, or raise `SignatureError`."""
        if self.ca not in authorities:
            raise SignatureError(
                f"the certificate is signed by {self.ca.fingerprint}, which is no accepted CA"
            )
        if principal not in self.principals:
            raise SignatureError(f"the certificate is not for {principal!r:.80}", where=self.key_id)
        if not (start <= end and self.valid_after <= start and end < self.valid_before):
            raise SignatureError(
                f"the certificate is valid from {self.valid_after:%Y-%m-%dT%H:%M:%SZ} until "
                f"{self.valid_before:%Y-%m-%dT%H:%M:%SZ}, the signature was made elsewhen",
                where=self.key_id,
                do="Ask your CA for a new certificate and sign again.",
            )


def is_certificate(blob: bytes) -> bool:
    """Tell whether a key blob claims to be a certificate."""
    return Reader(blob, "public key").text().endswith(_SUFFIX)


def _plain_type(kind: str) -> str:
    plain = kind.removesuffix(_SUFFIX)
    return plain + "@openssh.com" if plain.startswith("sk-") else plain


def _names(packed: bytes) -> tuple[str, ...]:
    reader, names = Reader(packed, "certificate principals"), list[str]()
    while reader.left:
        names.append(reader.text())
        if len(names) > _MAX_PRINCIPALS:
            raise WireError(f"a certificate with more than {_MAX_PRINCIPALS} principals")
    return tuple(names)


def _check_limits(role: int, principals: tuple[str, ...], critical: bytes) -> None:
    if role != _USER:
        raise WeakKeyError("a certificate for hosts, not for people")
    if not principals or "" in principals:
        raise WeakKeyError(
            "a certificate without principals would be anybody's", do="Ask your CA to name you: ssh-keygen -n"
        )
    if critical:
        name = Reader(critical, "critical options").text()
        raise WeakKeyError(f"a certificate with critical option {name!r:.60}, which is not known here")


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(min(seconds, _NO_TIME_LATER), tz=UTC)
