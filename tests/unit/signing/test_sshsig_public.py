"""The signatures of OpenSSH's own regression tests (see vectors/README.md)."""

from pathlib import Path

import pytest

from itmp.signing import PublicKey, SignatureError, WeakKeyError, verify_sshsig

FOLDER = Path(__file__).parent / "vectors/sshsig"
TEXT = (FOLDER / "signed-data").read_bytes()
SPACE = (FOLDER / "namespace").read_text()


@pytest.mark.parametrize("name", ["rsa", "ecdsa", "ed25519", "ecdsa_sk", "ed25519_sk"])
def test_openssh_signatures_are_accepted(name: str) -> None:
    by = verify_sshsig((FOLDER / f"{name}.sig").read_text(), TEXT, SPACE)
    assert by.key == PublicKey.parse((FOLDER / f"{name}.pub").read_text())
    assert by.key.hardware is name.endswith("_sk")
    for text, space in ((TEXT + b"\n", SPACE), (TEXT, SPACE + "s")):
        with pytest.raises(SignatureError):
            verify_sshsig((FOLDER / f"{name}.sig").read_text(), text, space)


WEB = (FOLDER / "ecdsa_sk_webauthn.sig").read_text()


def test_the_signature_of_a_web_page_is_accepted_as_one() -> None:
    by = verify_sshsig(WEB, TEXT, SPACE)
    assert (by.origin, by.touched) == ("https://www.mindrot.org", True)
    for text, space, reason in ((TEXT + b"\n", SPACE, "other words"), (TEXT, SPACE + "s", "namespace")):
        with pytest.raises(SignatureError, match=reason):
            verify_sshsig(WEB, text, space)


def test_a_web_page_s_key_signs_for_no_person() -> None:
    """WebAuthn binds the browser's origin, not the text that somebody read."""
    with pytest.raises(WeakKeyError, match="not for SSH"):
        PublicKey.parse((FOLDER / "ecdsa_sk_webauthn.pub").read_text())
