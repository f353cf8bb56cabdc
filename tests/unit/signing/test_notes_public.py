"""Notes and keys of golang/mod's own tests, and what they must not be mistaken for (see vectors/README.md)."""

import json
from pathlib import Path

import pytest

from itmp.errors import Error
from itmp.signing import NoteKey, NoteVerifier, open_note

GO = json.loads((Path(__file__).parent / "vectors/go_notes.json").read_text())
TEXT, LINE, OTHER = GO["text"], GO["line"], GO["other_line"]
PETER, ENOCH = NoteVerifier.parse(GO["vkey"]), NoteVerifier.parse(GO["other_vkey"])
SPOT = 60  # characters into a signature line where foreign ones are put


def names(note: str, *verifiers: NoteVerifier) -> list[str]:
    opened = open_note(note.encode(), verifiers)
    assert opened.text == TEXT
    return [signer.name for signer in opened.signers]


def test_our_signature_is_the_same_byte_for_byte() -> None:
    assert NoteKey.from_text(GO["skey"]).sign(TEXT) == f"{TEXT}\n{LINE}".encode()
    assert NoteKey.from_text(GO["skey"]).vkey == GO["vkey"]


def test_known_lines_count_and_unknown_ones_are_passed_over() -> None:
    both = f"{TEXT}\n{LINE}{OTHER}"
    assert names(both, PETER) == ["PeterNeumann"]
    assert names(both, ENOCH) == ["EnochRoot"]
    assert names(both, PETER, ENOCH) == ["PeterNeumann", "EnochRoot"]


@pytest.mark.parametrize("name", ["vkey", "skey"])
def test_no_part_or_neighbour_of_a_key_is_a_key(name: str) -> None:
    text, parse = GO[name], NoteVerifier.parse if name == "vkey" else NoteKey.from_text
    parts = {text[start:end] for start in range(len(text)) for end in range(start + 1, len(text) + 1)}
    near = {text[:at] + chr(ord(text[at]) + 1) + text[at + 1 :] for at in range(len(text))}
    for other in [*(parts | near) - {text}, *GO["bad_vkeys"]]:
        with pytest.raises(Error):
            parse(other)


@pytest.mark.parametrize(
    "note",
    [
        TEXT,
        TEXT + "\n",
        f"{TEXT}\n{LINE[:-1]}",
        f"\x01{TEXT}\n{LINE}",
        f"{TEXT}\n" + LINE.replace("PeterNeumann", "Bad Name"),
        f"{TEXT}\n{LINE}Unexpected line.\n",
        f"{TEXT}\n" + LINE * 101,
        f"{TEXT}\n{LINE[:SPOT]}ABCD{LINE[SPOT:]}",
        f"{TEXT}\n" + LINE.replace("PeterNeumann", "CarmenSandiego"),
        f"{TEXT}\n" + LINE.replace("x08g", "xxxx"),
    ],
)
def test_what_go_refuses_we_refuse(note: str) -> None:
    with pytest.raises(Error):
        open_note(note.encode(), [PETER])


def test_bytes_that_are_no_text_and_ambiguous_keys_are_refused() -> None:
    with pytest.raises(Error):
        open_note(b"\xff" + f"{TEXT}\n{LINE}".encode(), [PETER])
    with pytest.raises(Error):
        names(f"{TEXT}\n{OTHER}", ENOCH, PETER, ENOCH)
    with pytest.raises(Error):
        names(f"{TEXT}\n{LINE}")


def test_stricter_than_go_a_doubled_line_is_refused() -> None:
    with pytest.raises(Error, match="two lines"):
        names(f"{TEXT}\n{LINE}{LINE}", PETER)
