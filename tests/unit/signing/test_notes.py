"""The note by PeterNeumann is golang.org/x/mod's own test vector (sumdb/note, BSD-3-Clause)."""

import base64

import pytest

from itmp.signing import NoteError, NoteKey, NoteKeyError, NoteVerifier, open_note
from itmp.signing.notes import COSIGNATURE

GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = (
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
)
GO_LINE = "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
TEXT = "example.com/ops/2026\n70000\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
LOG = NoteKey.generate("example.com/ops/2026", b"l" * 32)
WITNESS = NoteKey.generate("witness.example.net", b"w" * 32, algorithm=COSIGNATURE)
NOTE = LOG.sign(TEXT)


def test_go_vector_opens() -> None:
    verifier = NoteVerifier.parse(GO_KEY)
    assert verifier.vkey == GO_KEY
    opened = open_note(f"{GO_TEXT}\n{GO_LINE}".encode(), [verifier])
    assert (opened.text, [signer.name for signer in opened.signers]) == (GO_TEXT, ["PeterNeumann"])


def test_sign_and_open() -> None:
    assert NOTE.startswith(TEXT.encode() + "\n\u2014 example.com/ops/2026 ".encode())
    assert open_note(NOTE, [LOG.verifier]).text == TEXT


def test_keys_round_trip_and_hide_their_seed() -> None:
    assert NoteKey.from_text(LOG.to_text()) == LOG
    assert NoteKey.from_text(WITNESS.to_text() + "\n") == WITNESS
    assert NoteVerifier.parse(WITNESS.vkey) == WITNESS.verifier
    secret = base64.b64encode(b"\x01" + b"l" * 32).decode()
    assert secret in LOG.to_text()
    assert secret not in repr(LOG)
    assert repr(b"l" * 32) not in repr(LOG)


def test_a_witness_adds_its_line_with_a_time() -> None:
    note = WITNESS.cosign(NOTE, time=1679315147)
    opened = open_note(note, [LOG.verifier, WITNESS.verifier])
    assert [(signer.name, signer.time) for signer in opened.signers] == [
        ("example.com/ops/2026", None),
        ("witness.example.net", 1679315147),
    ]
    raw = base64.b64decode(note.splitlines()[-1].split(b" ")[2])
    assert raw[4:12] == (1679315147).to_bytes(8)
    LOG_only = open_note(note, [LOG.verifier])  # noqa: N806 - named after the key
    assert len(LOG_only.signers) == 1


def test_the_time_of_a_cosignature_is_signed() -> None:
    line = WITNESS.cosign(NOTE, time=5).splitlines()[-1].decode()
    raw = bytearray(base64.b64decode(line.split(" ")[2]))
    raw[11] = 6
    forged = NOTE + f"\u2014 witness.example.net {base64.b64encode(raw).decode()}\n".encode()
    with pytest.raises(NoteError, match="does not hold"):
        open_note(forged, [LOG.verifier, WITNESS.verifier])


def test_unknown_keys_are_ignored_but_do_not_count() -> None:
    other = NoteKey.generate("example.com/ops/2026", b"o" * 32)
    both = NOTE + other.sign(TEXT).splitlines(keepends=True)[-1]
    assert [signer.vkey for signer in open_note(both, [other.verifier]).signers] == [other.vkey]
    with pytest.raises(NoteError, match="no known key"):
        open_note(NOTE, [other.verifier])
    with pytest.raises(NoteError, match="known: none"):
        open_note(NOTE, [])


def flipped(at: int) -> bytes:
    return NOTE[:at] + bytes([NOTE[at] ^ 1]) + NOTE[at + 1 :]


@pytest.mark.parametrize("at", range(len(NOTE)))
def test_any_flipped_byte_is_refused(at: int) -> None:
    with pytest.raises(NoteError):
        open_note(flipped(at), [LOG.verifier])


LINE = NOTE.decode().split("\n\n")[1]


@pytest.mark.parametrize(
    ("note", "reason"),
    [
        (b"", "blank line"),
        (TEXT.encode(), "blank line"),
        (TEXT.encode() + b"\n", "blank line"),
        (NOTE[:-1], "blank line"),
        (NOTE + b"\n", "not a signature line|blank line"),
        (NOTE + b"trailing", "blank line"),
        (NOTE + b"trailing\n", "not a signature line"),
        (NOTE.replace(b"\n", b"\r\n"), "blank line"),
        (NOTE.replace(b"70000", b"70\x00000"), "control"),
        (NOTE.replace(b"70000", b"70\t000"), "control"),
        (NOTE.replace(b"70000", b"70\xff000"), "UTF-8"),
        (NOTE.replace(b"\xe2\x80\x94 ", b"- "), "not a signature line"),
        (NOTE + LINE.encode(), "two lines by the same key"),
        (NOTE + "\u2014 x AAAAAA==\n".encode(), "without a signature"),
        (NOTE + "\u2014 x+y AAAAAAA=\n".encode(), "not a signature line"),
        (NOTE + "\u2014 x AAAAAAB=\n".encode(), "another form"),
        (NOTE + "\u2014 x AAAAAAA\n".encode(), "not base64"),
        (NOTE + "\u2014 x AAAA AAA=\n".encode(), "not base64"),
        (NOTE + "\u2014 x\n".encode(), "without a signature"),
        (NOTE + b"x" * 300_000, "limit"),
        (NOTE + "\u2014 x AAAAAAA=\n".encode() * 100, "limit"),
        (b"\n\n" + LINE.encode(), "text must have lines"),
    ],
)
def test_malformed_notes_are_refused(note: bytes, reason: str) -> None:
    with pytest.raises(NoteError, match=reason):
        open_note(note, [LOG.verifier])


def test_sixteen_foreign_lines_are_no_obstacle() -> None:
    assert open_note(NOTE + "\u2014 x AAAAAAA=\n".encode() * 16, [LOG.verifier]).signers


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        GO_KEY + "\n",
        GO_KEY.replace("c74f20a3", "c74f20a4"),
        GO_KEY.replace("c74f20a3", "C74F20A3"),
        GO_KEY.replace("Peter", "Peter "),
        GO_KEY.replace("Peter", "Pet\u0435r"),
        GO_KEY[:-4],
        GO_KEY + "AAAA",
        GO_KEY.replace("+AR", "+Ah"),
    ],
)
def test_other_texts_are_no_verifier_keys(vkey: str) -> None:
    with pytest.raises(NoteKeyError):
        NoteVerifier.parse(vkey)


def test_a_small_order_log_key_is_refused() -> None:
    with pytest.raises(NoteKeyError, match="small order"):
        NoteVerifier(name="example.com/ops/2026", algorithm=1, public=b"\x01" + bytes(31))


def test_a_bad_private_text_is_never_quoted() -> None:
    text = LOG.to_text()
    for bad in (text[:-1], text.replace("PRIVATE", "PUBLIC"), text[:-2] + "AA", text + "x"):
        with pytest.raises(NoteKeyError) as caught:
            NoteKey.from_text(bad)
        assert bad[-20:] not in str(caught.value)


def test_each_kind_of_key_does_its_own_thing() -> None:
    with pytest.raises(NoteKeyError, match="cosign"):
        WITNESS.sign(TEXT)
    with pytest.raises(NoteKeyError, match="type 04"):
        LOG.cosign(NOTE, time=1)
    with pytest.raises(NoteKeyError, match="type 04"):
        WITNESS.cosign(NOTE, time=2**63)
    with pytest.raises(NoteKeyError, match="02"):
        NoteKey.generate("x", b"x" * 32, algorithm=2)
    with pytest.raises(NoteKeyError, match="seed"):
        NoteKey.generate("x", b"x" * 31)
    for text in ("", "\n", "no end", "bell\x07\n"):
        with pytest.raises(NoteError):
            LOG.sign(text)
