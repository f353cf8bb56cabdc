"""Signatures that a web page asked for: read as strictly as OpenSSH reads them, and nobody's word."""

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from itmp.signing import SignatureError, Signed, verify_signed, verify_sshsig
from itmp.signing.sshsig import signed_bytes, to_armor
from itmp.signing.wire import mpint, string

KEY = ec.derive_private_key(0x1234567, ec.SECP256R1())
POINT = KEY.public_key().public_numbers()
PLAIN = b"sk-ecdsa-sha2-nistp256@openssh.com"
METHOD = b"webauthn-" + PLAIN
TEXT, SPACE = b"the text\n", "itmp-approve@example.com"
TOUCHED, EXTENDED, ATTACHED = 0x01, 0x80, 0x40
STATEMENT = """itmp-statement/v1
act close
log example.com/ops/2026
signer alice@example.com
role change-manager
policy sha256:{}
change CHG-7f3a90c21b
reason Done
valid 2026-11-22T05:00:00Z 2026-11-23T02:00:00Z
seen 0 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=
nonce AAECAwQFBgcICQoLDA0ODw==
""".format("0f" * 32)


def page_armor(
    text: bytes = TEXT,
    space: str = SPACE,
    *,
    application: bytes = b"example.com",
    origin: str = "https://example.com",
    words: str | None = None,
    flags: int = TOUCHED,
    extensions: bytes = b"",
) -> str:
    """Sign truthfully whatever the parts say, so that only the rule in question can refuse."""
    asked = base64.urlsafe_b64encode(signed_bytes(text, space)).rstrip(b"=").decode()
    opening = f'{{"type":"webauthn.get","challenge":"{asked}","origin":"{origin}"'
    client = (words or opening + ',"crossOrigin":false}').encode()
    tail = string(origin.encode()) + string(client) + string(extensions)
    return armor(METHOD, extensions + digest(client), space, application=application, flags=flags, tail=tail)


def armor(
    method: bytes, signed: bytes, space: str, *, application: bytes, flags: int = TOUCHED, tail: bytes = b""
) -> str:
    counted = bytes([flags]) + (7).to_bytes(4)
    r, s = decode_dss_signature(KEY.sign(digest(application) + counted + signed, ec.ECDSA(SHA256())))
    point = b"\x04" + POINT.x.to_bytes(32) + POINT.y.to_bytes(32)
    blob = string(PLAIN) + string(b"nistp256") + string(point) + string(application)
    return to_armor(blob, string(method) + string(mpint(r) + mpint(s)) + counted + tail, space)


def digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def test_a_page_s_signature_names_its_page() -> None:
    by = verify_sshsig(page_armor(), TEXT, SPACE)
    assert (by.origin, by.touched, by.pin) == ("https://example.com", True, False)
    assert verify_sshsig(page_armor(flags=TOUCHED | EXTENDED, extensions=b"\xa0"), TEXT, SPACE).origin


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (page_armor(b"another text\n"), "other words"),
        (page_armor(words='{"type":"webauthn.create","challenge":"x"}'), "other words"),
        (page_armor(origin='https://evil.example","origin":"https://example.com'), "other words"),
        (page_armor(flags=0), "without touch"),
        (page_armor(flags=TOUCHED | ATTACHED), "flags"),
        (page_armor(flags=TOUCHED | EXTENDED), "flags"),
        (page_armor(extensions=b"\xa0"), "flags"),
    ],
)
def test_a_page_s_signature_over_anything_else_is_refused(made: str, reason: str) -> None:
    with pytest.raises(SignatureError, match=reason):
        verify_sshsig(made, TEXT, SPACE)


def test_no_page_and_no_page_s_key_signs_a_statement() -> None:
    """Neither a page that uses a key made for SSH, nor a key made for a page that signs as ssh-keygen would."""
    space = "itmp-close@example.com"
    text = STATEMENT.encode()
    data = digest(signed_bytes(text, space))
    by_page = page_armor(text, space, application=b"ssh:")
    by_its_key = armor(PLAIN, data, space, application=b"example.com")
    by_person = armor(PLAIN, data, space, application=b"ssh:")
    for made in (by_page, by_its_key):
        assert verify_sshsig(made, text, space)
        with pytest.raises(SignatureError, match="web page"):
            verify_signed(Signed(text=STATEMENT, signature=made), domain="example.com")
    assert verify_signed(Signed(text=STATEMENT, signature=by_person), domain="example.com")
