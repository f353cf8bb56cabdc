"""Signatures: people's SSH keys and statements, the log's keys and notes. Pure; needs `cryptography` only.

Rules kept here: text enters through a named constructor that returns a valid value or raises; every value has
one encoding; verification is stricter than the stock tools'; nothing here decides who may do what.
"""

from itmp.signing.certificates import Certificate
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
from itmp.signing.signatures import SignatureError
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
