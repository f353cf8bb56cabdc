"""What a browser adds to the signature of a FIDO key (OpenSSH PROTOCOL.u2f, WebAuthn level 2, 5.8.1).

Rules kept here: a page's signature holds only over the very words that it was asked for, in the one form that
browsers give them; its origin holds no quote, so that it cannot end its own string; the flag for extensions says
whether some are there, and nothing of a registration is attached. Such a signature binds the page's origin and not a
text that a person read: whoever asks for a person's word must refuse it.
"""

import base64
from dataclasses import dataclass
from typing import Final

from itmp.signing.ed25519 import SignatureError
from itmp.signing.wire import Reader

METHOD: Final = "webauthn-sk-ecdsa-sha2-nistp256@openssh.com"
_ATTACHED: Final = 0x40
_EXTENDED: Final = 0x80


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What the page's browser wrote: its `origin`, the words `client` that were signed, raw `extensions`."""

    origin: str
    client: bytes
    extensions: bytes

    @classmethod
    def read(cls, reader: Reader) -> "Page":
        """Read what follows flags and counter in a signature; raise `WireError`."""
        return cls(origin=reader.text(), client=reader.string(), extensions=reader.string())

    def check(self, asked: bytes, flags: int) -> None:
        """Raise `SignatureError` unless the words are this origin's answer to `asked`."""
        challenge = base64.urlsafe_b64encode(asked).rstrip(b"=").decode()
        words = f'{{"type":"webauthn.get","challenge":"{challenge}","origin":"{self.origin}"'
        if '"' in self.origin or not self.client.startswith(words.encode()):
            raise SignatureError("a web page's signature over other words than this text")
        if flags & _ATTACHED or bool(flags & _EXTENDED) != bool(self.extensions):
            raise SignatureError("a web page's signature whose flags are not those of its parts")
