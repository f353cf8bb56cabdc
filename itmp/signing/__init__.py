"""Signatures: people's SSH keys and statements, the log's keys and notes. Pure; needs `cryptography` only.

Rules kept here: text enters through a named constructor that returns a valid value or raises; every value has
one encoding; verification is stricter than the stock tools'; nothing here decides who may do what. Names load when they
are first used: whoever reads the log needs its notes, and none of the rest.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

_HOME: Final = {
    "ACTS": "fields", "lines_of": "fields",
    "Certificate": "certificates",
    "PublicKey": "keys", "WeakKeyError": "keys",
    "LogKey": "notes", "NoteError": "notes", "NoteKey": "notes", "NoteKeyError": "notes", "NoteSigner": "notes",
    "NoteVerifier": "notes", "OpenedNote": "notes", "open_note": "notes",
    "SignatureError": "ed25519",
    "PersonalKey": "sshsig", "SignedBy": "sshsig", "verify_sshsig": "sshsig",
    "Scope": "statements", "Signed": "statements", "Statement": "statements", "StatementError": "statements",
    "allowed_signers_line": "statements", "change_id": "statements", "check_principal": "statements",
    "namespace": "statements", "sign_statement": "statements", "verify_signed": "statements",
}  # fmt: skip

__all__ = [
    "ACTS",
    "Certificate",
    "LogKey",
    "NoteError",
    "NoteKey",
    "NoteKeyError",
    "NoteSigner",
    "NoteVerifier",
    "OpenedNote",
    "PersonalKey",
    "PublicKey",
    "Scope",
    "SignatureError",
    "Signed",
    "SignedBy",
    "Statement",
    "StatementError",
    "WeakKeyError",
    "allowed_signers_line",
    "change_id",
    "check_principal",
    "lines_of",
    "namespace",
    "open_note",
    "sign_statement",
    "verify_signed",
    "verify_sshsig",
]

if TYPE_CHECKING:
    from itmp.signing.certificates import Certificate
    from itmp.signing.ed25519 import SignatureError
    from itmp.signing.fields import ACTS, lines_of
    from itmp.signing.keys import PublicKey, WeakKeyError
    from itmp.signing.notes import (
        LogKey,
        NoteError,
        NoteKey,
        NoteKeyError,
        NoteSigner,
        NoteVerifier,
        OpenedNote,
        open_note,
    )
    from itmp.signing.sshsig import PersonalKey, SignedBy, verify_sshsig
    from itmp.signing.statements import (
        Scope,
        Signed,
        Statement,
        StatementError,
        allowed_signers_line,
        change_id,
        check_principal,
        namespace,
        sign_statement,
        verify_signed,
    )


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(name)
    return getattr(import_module(f"itmp.signing.{_HOME[name]}"), name)
