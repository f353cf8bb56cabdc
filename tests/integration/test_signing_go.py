"""Our notes and keys against Go's own reader and writer (golang.org/x/mod/sumdb/note)."""

import subprocess
from pathlib import Path

import golang
import pytest

from itmp.signing import NoteKey, NoteVerifier, open_note
from itmp.signing.notes import COSIGNATURE

SOURCE = Path(__file__).parent / "go_note"
TEXT = "example.com/ops/2026\n70000\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
KEY = NoteKey.generate("example.com/ops/2026", bytes(range(32)))
WITNESS = NoteKey.generate("witness.example.net", b"w" * 32, algorithm=COSIGNATURE)

pytestmark = [pytest.mark.go, pytest.mark.xdist_group("go")]


@pytest.fixture(scope="module")
def checker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return golang.build(SOURCE, tmp_path_factory.mktemp("go") / "notecheck")


def call(checker: Path, verb: str, argument: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [checker, verb, argument], input=given, capture_output=True, timeout=30, check=False
    )


def test_go_opens_our_notes_with_our_keys(checker: Path) -> None:
    note = WITNESS.cosign(KEY.sign(TEXT), time=1)
    opened = call(checker, "open", KEY.vkey, note)
    assert (opened.returncode, opened.stdout, opened.stderr) == (0, TEXT.encode(), b"")
    forged = call(checker, "open", KEY.vkey, note.replace(b"70000", b"70001"))
    assert forged.returncode == 1


def test_go_signs_the_same_bytes_with_our_private_key(checker: Path) -> None:
    signed = call(checker, "sign", KEY.to_text(), TEXT.encode())
    assert (signed.returncode, signed.stdout) == (0, KEY.sign(TEXT))


def test_we_open_what_a_key_made_by_go_signs(checker: Path) -> None:
    private, public = call(checker, "generate", "example.com/go").stdout.decode().split()
    assert NoteVerifier.parse(public).vkey == public
    assert NoteKey.from_text(private).to_text() == private
    assert NoteKey.from_text(private).vkey == public
    signed = call(checker, "sign", private, TEXT.encode())
    assert open_note(signed.stdout, [NoteVerifier.parse(public)]).text == TEXT
