"""Whatever comes in: a valid value with one encoding, or our own error. Nothing else may escape."""

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

from itmp.errors import Error
from itmp.signing import (
    NoteKey,
    PublicKey,
    SignatureError,
    Statement,
    StatementError,
    open_note,
    verify_sshsig,
)
from itmp.signing.certificates import Certificate
from itmp.signing.sshsig import armor_of, unarmor
from itmp.signing.wire import string
from itmp.testing.people import Person

ALICE = Person("alice@example.com", 1)
DIGEST = "sha256:" + "0f" * 32
FIELDS = {
    "log": "example.com/ops/2026",
    "signer": "alice@example.com",
    "role": "sre",
    "policy": DIGEST,
    "change": "CHG-7f3a90c21b",
    "reason": "because",
    "valid": "2026-11-22T05:00:00Z 2026-11-23T02:00:00Z",
    "seen": "0 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
    "nonce": "AAECAwQFBgcICQoLDA0ODw==",
}
TEXT = Statement.compose("stop", FIELDS).text
ARMOR = ALICE.sign(TEXT.encode(), "itmp-stop@example.com")
LOG = NoteKey.generate("example.com/ops/2026", b"l" * 32)
NOTE = LOG.sign("example.com/ops/2026\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n")

UNTIMED = settings(deadline=None)  # a slow machine is no defect

edits = st.tuples(st.integers(0, 2000), st.integers(0, 3), st.text(max_size=4))
byte_edits = st.tuples(st.integers(0, 2000), st.integers(0, 3), st.binary(max_size=4))


@UNTIMED
@given(st.text())
def test_free_text_is_composed_as_it_is_or_refused(reason: str) -> None:
    try:
        statement = Statement.compose("stop", {**FIELDS, "reason": reason})
    except StatementError:
        assert not (
            reason.isascii()
            and reason.isprintable()
            and reason.strip(" ") == reason
            and 0 < len(reason) <= 1024
        )
    else:
        assert statement.fields["reason"] == reason
        assert Statement.parse(statement.text) == statement


@UNTIMED
@given(edits)
def test_an_edited_statement_is_refused_or_composes_to_itself(edit: tuple[int, int, str]) -> None:
    at, cut, new = edit
    text = TEXT[: at % len(TEXT)] + new + TEXT[at % len(TEXT) + cut :]
    with contextlib.suppress(StatementError):
        statement = Statement.parse(text)
        assert Statement.compose(statement.act, statement.fields).text == text


@UNTIMED
@given(edits)
def test_an_edited_armor_is_refused(edit: tuple[int, int, str]) -> None:
    at, cut, new = edit
    armor = ARMOR[: at % len(ARMOR)] + new + ARMOR[at % len(ARMOR) + cut :]
    with contextlib.suppress(SignatureError):
        verify_sshsig(armor, TEXT.encode(), "itmp-stop@example.com")
        assert armor == ARMOR


@UNTIMED
@given(byte_edits)
def test_an_edited_note_is_refused(edit: tuple[int, int, bytes]) -> None:
    at, cut, new = edit
    note = NOTE[: at % len(NOTE)] + new + NOTE[at % len(NOTE) + cut :]
    with contextlib.suppress(Error):
        assert open_note(note, [LOG.verifier]).text.encode() == NOTE.split(b"\n\n")[0] + b"\n"


@UNTIMED
@given(st.binary(max_size=300))
def test_armor_round_trips(blob: bytes) -> None:
    with contextlib.suppress(SignatureError):
        assert unarmor(armor_of(blob)) == blob


@UNTIMED
@given(st.sampled_from([b"ssh-ed25519", b"ssh-rsa", b"ecdsa-sha2-nistp256", b"x"]), st.binary(max_size=200))
def test_no_bytes_break_the_readers(kind: bytes, rest: bytes) -> None:
    for blob in (string(kind) + rest, string(kind + b"-cert-v01@openssh.com") + rest, rest):
        with contextlib.suppress(Error):
            PublicKey.from_blob(blob)
        with contextlib.suppress(Error):
            Certificate.from_blob(blob)
        with contextlib.suppress(SignatureError):
            verify_sshsig(armor_of(b"SSHSIG\0\0\0\1" + string(blob) + rest), b"", "n")


@UNTIMED
@given(st.text(max_size=200))
def test_no_text_breaks_the_readers(text: str) -> None:
    for read in (Statement.parse, PublicKey.parse, NoteKey.from_text, unarmor):
        with contextlib.suppress(Error):
            read(text)
