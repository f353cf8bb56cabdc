import base64

import pytest

from itmp.audit import Checkpoint, CheckpointError, SignedCheckpoint, check_origin
from itmp.errors import InvalidInputError
from itmp.signing import NoteKey

ORIGIN = "example.com/ops/2026"
ROOT = base64.b64encode(b"r" * 32).decode()
KEY = NoteKey.generate(ORIGIN, b"k" * 32)
HEAD = Checkpoint(origin=ORIGIN, size=7, root=b"r" * 32)


def test_the_text_is_three_lines() -> None:
    assert HEAD.to_text() == f"{ORIGIN}\n7\n{ROOT}\n"
    assert Checkpoint.parse(HEAD.to_text()) == HEAD


@pytest.mark.parametrize(
    "text",
    [
        f"{ORIGIN}\n7\n{ROOT}", f"{ORIGIN}\n7\n{ROOT}\n\n", f"{ORIGIN}\n7\n{ROOT}\nextension\n", f"{ORIGIN}\n07\n{ROOT}\n",
        f"{ORIGIN}\n+7\n{ROOT}\n", f"{ORIGIN}\n-7\n{ROOT}\n", f"{ORIGIN}\n\u0667\n{ROOT}\n", f"{ORIGIN}\n 7\n{ROOT}\n",
        f"{ORIGIN}\n7\r\n{ROOT}\n", f"{ORIGIN}\n7\n{ROOT[:-1]}\n", f"{ORIGIN}\n7\n{ROOT[:-2]}X=\n",
        f"{ORIGIN}\n7\n{base64.b64encode(b'r' * 31).decode()}\n", f"\n7\n{ROOT}\n", f"a b\n7\n{ROOT}\n",
        f"{ORIGIN}\n9223372036854775808\n{ROOT}\n", f"{ORIGIN}\n{'9' * 400}\n{ROOT}\n", f"{ORIGIN}\n7\n{ROOT} \n",
    ],
)  # fmt: skip
def test_every_other_encoding_is_refused(text: str) -> None:
    with pytest.raises(CheckpointError):
        Checkpoint.parse(text)


def test_a_signed_checkpoint_opens_under_its_key() -> None:
    signed = SignedCheckpoint.sign(HEAD, KEY)
    assert SignedCheckpoint.open(signed.note, [KEY.verifier]) == signed


def test_what_a_note_says_is_read_without_a_key() -> None:
    note = SignedCheckpoint.sign(HEAD, KEY).note
    assert Checkpoint.said(note) == Checkpoint.said(note.replace(b"\xe2\x80\x94", b"?")) == HEAD
    for other in (
        b"",
        HEAD.to_text().encode(),
        b"\n" + note,
        note.replace(b"example", b"ex\xffmple"),
        b"x\n\n" + note,
    ):
        with pytest.raises(CheckpointError):
            Checkpoint.said(other)


def test_a_note_of_another_key_or_name_is_refused() -> None:
    other = NoteKey.generate(ORIGIN, b"o" * 32)
    named = NoteKey.generate("example.com/other", b"k" * 32)
    witness = NoteKey.generate(ORIGIN, b"w" * 32, algorithm=4)
    note = SignedCheckpoint.sign(HEAD, KEY).note
    with pytest.raises(CheckpointError):
        SignedCheckpoint.open(note, [other.verifier])
    with pytest.raises(CheckpointError, match="origin"):
        SignedCheckpoint.open(named.sign(HEAD.to_text()), [named.verifier])
    with pytest.raises(CheckpointError, match="origin"):
        SignedCheckpoint.open(witness.cosign(note, time=1), [witness.verifier])
    with pytest.raises(CheckpointError):
        SignedCheckpoint.open(HEAD.to_text().encode(), [KEY.verifier])
    with pytest.raises(CheckpointError):
        SignedCheckpoint.open(note + b"\n" * 70_000, [KEY.verifier])


def test_witnesses_may_add_lines() -> None:
    witness = NoteKey.generate("witness.example", b"w" * 32, algorithm=4)
    note = witness.cosign(SignedCheckpoint.sign(HEAD, KEY).note, time=1)
    assert SignedCheckpoint.open(note, [KEY.verifier, witness.verifier]).checkpoint == HEAD
    assert SignedCheckpoint.open(note, [KEY.verifier]).note == note


@pytest.mark.parametrize("origin", ["", "a b", "a+b", "a\n", "ä", "x" * 256])
def test_what_cannot_name_a_key_is_no_origin(origin: str) -> None:
    with pytest.raises(InvalidInputError):
        check_origin(origin)


def test_an_origin_is_returned_as_it_is() -> None:
    assert check_origin(ORIGIN) == ORIGIN
