"""The signatures of OpenSSH's own regression tests (see vectors/README.md)."""

from pathlib import Path

import pytest

from itmp.signing import PublicKey, SignatureError, verify_sshsig

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


def test_a_web_page_does_not_sign_for_a_person() -> None:
    """WebAuthn binds the browser's origin, not the text that somebody read: its keys are refused."""
    with pytest.raises(SignatureError, match="not for SSH"):
        verify_sshsig((FOLDER / "ecdsa_sk_webauthn.sig").read_text(), TEXT, SPACE)
