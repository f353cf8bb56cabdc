"""Reads what `ansible-vault encrypt` wrote, without Ansible: format 1.1 and 1.2, AES256.

Rules kept here: nothing is returned that the password does not authenticate; errors name neither password nor content.
The format: docs.ansible.com, "Vault format" (PBKDF2-HMAC-SHA256, 10,000 rounds; AES-CTR; HMAC-SHA256 over the
ciphertext).
"""

import hashlib
import hmac
from binascii import Error as HexError
from binascii import unhexlify
from typing import Final

from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from itmp.errors import InvalidInputError

_HEADER: Final = b"$ANSIBLE_VAULT;"
_ROUNDS: Final = 10_000
_PARTS: Final = 3
_BLOCK: Final = 128  # bits


class WrongPasswordError(InvalidInputError):
    """The vault password does not fit."""


def label(data: bytes) -> str:
    """Return the vault id that a vaulted file names; `default` where it names none."""
    fields = data.partition(b"\n")[0].decode(errors="replace").strip().split(";")
    return fields[3] if len(fields) > _PARTS else "default"


def decrypt(data: bytes, password: str) -> bytes:
    """Return the content of a vaulted file; raise `WrongPasswordError`, or `InvalidInputError` for any other file."""
    head, _, body = data.partition(b"\n")
    if not head.startswith(_HEADER) or head.split(b";")[2:3] != [b"AES256"]:
        raise InvalidInputError("not a file that ansible-vault wrote", do="ansible-vault encrypt FILE")
    try:
        salt, tag, sealed = (unhexlify(part) for part in unhexlify(b"".join(body.split())).split(b"\n"))
    except (HexError, ValueError):
        raise InvalidInputError("a damaged file of ansible-vault") from None
    derived = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _ROUNDS, 80)
    if not hmac.compare_digest(hmac.digest(derived[32:64], sealed, "sha256"), tag):
        raise WrongPasswordError("the vault password does not fit", do="Correct `vault` in itmp.yml.")
    opened = Cipher(algorithms.AES(derived[:32]), modes.CTR(derived[64:80])).decryptor()
    plain = opened.update(sealed) + opened.finalize()
    unpad = padding.PKCS7(_BLOCK).unpadder()
    return unpad.update(plain) + unpad.finalize()


__all__ = ["WrongPasswordError", "decrypt", "label"]
