"""A person with an Ed25519 key in memory, for tests, the demo and rehearsals.

Rules kept here: signatures are genuine SSHSIG armor, the same that `ssh-keygen -Y sign` would write for this
key, so nothing downstream knows the difference; the key follows from the seed alone, so tests are repeatable.
Never use it where a signature shall mean anything.
"""

import hashlib
from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from itmp.signing import PublicKey, Signed, Statement, sign_statement
from itmp.signing.sshsig import signed_bytes, to_armor
from itmp.signing.wire import string

_TYPE = b"ssh-ed25519"


class Person:
    """`name` is the principal's id, `seed` any text or bytes. Keeps the contract of `PersonalKey`."""

    def __init__(self, name: str, seed: str | bytes | int = b"") -> None:
        raw = seed if isinstance(seed, bytes) else str(seed).encode()
        self.name = name
        self._key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode() + b"\0" + raw).digest())
        point = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self._public = PublicKey.from_blob(string(_TYPE) + string(point))

    @property
    def public(self) -> PublicKey:
        """The public half."""
        return self._public

    def sign(self, message: bytes, namespace: str) -> str:
        """Return the SSHSIG armor over `message` in `namespace`."""
        raw = self._key.sign(signed_bytes(message, namespace))
        return to_armor(self._public.blob, string(_TYPE) + string(raw), namespace)

    def state(self, act: str, fields: Mapping[str, str]) -> Signed:
        """Compose the statement of `act` with this person as its signer, and sign it."""
        return sign_statement(Statement.compose(act, {"signer": self.name, **fields}), self)
