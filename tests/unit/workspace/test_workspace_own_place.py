"""A log in its own place, read without being opened for writing: what is held against the key and record beside it."""

import json
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from keep import again, found, keep
from two_periods import pass_on

from itmp.adapters import posix_log
from itmp.errors import EvidenceInvalidError
from itmp.signing import NoteKey
from itmp.signing.notes import COSIGNATURE
from itmp.testing.on_disk import story_on_disk
from itmp.workspace import (
    Workspace,
    audit_anchor,
    audit_exceptions,
    audit_population,
    audit_verify,
    witness_key,
    witness_server,
)
from itmp.workspace.anchoring import Anchored


def told(root: Path) -> Workspace:
    story = story_on_disk(root)
    story.tell()
    story.log.checkpoint()
    return Workspace.here(root)


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    return told(tmp_path / "w")


def names(place: Workspace) -> set[str]:
    return {one.name for one in audit_verify(place).findings if one.grave}


@pytest.fixture
def exchanged(place: Workspace) -> Workspace:
    """Log and record are those of a second log of this name: the key in its place is another one's."""
    key = NoteKey.generate(place.for_reading().log.origin, b"7" * 32)
    (place.state / "keys/log.key").write_text(key.to_text() + "\n")
    return place


def test_a_log_that_was_exchanged_whole_is_not_the_one_of_the_key_beside_it(exchanged: Workspace) -> None:
    report = audit_verify(exchanged)
    assert report.exit_code == 40
    assert ("key-untrusted", "keys/log.key") in {(one.name, one.place) for one in report.findings}


@pytest.mark.parametrize(
    "ask",
    [
        audit_population,
        audit_exceptions,
        lambda place: place.for_reading().reading(),
    ],
)
def test_nothing_is_answered_by_a_log_of_another_key(
    exchanged: Workspace, ask: Callable[[Workspace], object]
) -> None:
    with pytest.raises(EvidenceInvalidError, match="another one than that of the key beside it"):
        ask(exchanged)


def test_of_an_ended_log_the_key_that_was_written_down_is_the_only_one(tmp_path: Path) -> None:
    story = story_on_disk(tmp_path)
    story.tell()
    pass_on(story, tmp_path)
    ended = tmp_path / ".itmp/periods/2026"
    (own,) = posix_log.verifiers_of(ended)
    other = NoteKey.generate(own.name, b"7" * 32).verifier
    (ended / "log.vkey").write_text(f"{other.vkey}\n")
    assert posix_log.verifiers_of(ended) == (other,), "who exchanged the leaves has signed their head, too"


def test_where_the_first_leaf_is_lost_the_rest_is_judged_by_the_key_beside_it(place: Workspace) -> None:
    log = place.state / "log"
    for path in (*log.glob(".state/journal.*"), *log.glob("tile/entries/000.p/*")):
        path.chmod(0o600)
        data = path.read_bytes()
        path.write_bytes(data.replace(b"log.created", b"log.crEated", 1))
    wrong = names(place)
    assert "note-invalid" not in wrong
    assert wrong >= {"genesis-invalid", "journal-damaged"}


def test_a_record_and_a_journal_that_are_gone_are_named_and_no_accident(place: Workspace) -> None:
    for path in place.state.rglob("*"):
        if path.name.startswith(("head.sqlite", "journal.")):
            path.unlink()
    assert "log-unavailable" in names(place)


def test_what_breaks_while_the_log_is_judged_hides_nothing_else(tmp_path: Path) -> None:
    story = story_on_disk(tmp_path)
    story.tell()
    pass_on(story, tmp_path)
    place = Workspace.here(tmp_path).for_reading()
    checkpoint = place.state / "log/checkpoint"
    assert place.log.published() is not None
    checkpoint.write_bytes(checkpoint.read_bytes() + b"no line of anybody\n")  # published again meanwhile
    for tile in (place.state / "periods/2026/log/tile/entries/000.p").iterdir():
        tile.write_bytes(b"")
    report = audit_verify(place)
    assert report.exit_code == 40
    assert {one.place.partition(":")[0] for one in report.findings if one.grave} >= {
        "period 2026",
        "checkpoint",
    }
    assert [one.message for one in report.findings if "cannot be read to its end" in one.message]


def test_a_record_that_a_proven_journal_stands_for_is_missed_by_no_reader(tmp_path: Path) -> None:
    place = found(tmp_path / "w")
    keep(place, "harmless")
    for path in place.state.rglob("head.sqlite"):
        path.unlink()
    assert audit_verify(again(place)).exit_code == 0
    reading = again(place).for_reading().reading()
    assert reading.signed == reading.index.size
    reading.close()


def test_a_fork_that_a_witness_showed_stands_while_it_is_away(tmp_path: Path) -> None:
    place = told(tmp_path)
    key = NoteKey.generate("w1", b"7" * 32, algorithm=COSIGNATURE).vkey
    anchor = {"kind": "witness", "name": "w1", "url": "http://127.0.0.1:1", "key": key}
    (tmp_path / "itmp.yml").write_text(json.dumps({"organization": "example.com", "anchors": [anchor]}))
    for state, code in (("fork", 42), ("failed", 0)):
        said = Anchored(name="w1", kind="witness", state=state, size=3, why="another history of 3 leaves")
        (place.state / "anchors.json").write_text(json.dumps([asdict(said)]))
        report = audit_verify(again(place))
        assert (report.exit_code, [one.place for one in report.findings][-1]) == (code, "anchor w1")


def test_what_a_witness_cosigns_while_it_is_asked_counts(tmp_path: Path) -> None:
    place, state = told(tmp_path / "w"), tmp_path / "witness"
    vkey = witness_key(state, "w1.example.net")
    log = place.for_reading().log
    trust = place.root / "trust"
    trust.mkdir()
    (trust / "genesis").write_text(f"{log.leaf(0).hash}\n")
    (trust / "log.policy").write_text(f"log {log.vkey}\nwitness w1 {vkey}\nquorum w1\n")
    with witness_server(state, [log.vkey], ("127.0.0.1", 0)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        anchor = {"kind": "witness", "name": "w1", "url": url, "key": vkey}
        setting = {"organization": "example.com", "anchors": [anchor]}
        (place.root / "itmp.yml").write_text(json.dumps(setting))
        report = audit_verify(again(place))
        server.shutdown()
    assert (report.exit_code, report.findings) == (0, ())
    assert not list(place.state.glob("log/anchors/*")), "and nothing is kept"
    assert audit_verify(again(place)).exit_code == 40, (
        "so that it does not count where nobody cosigns it again"
    )


def test_a_fork_that_an_anchor_showed_is_over_once_it_agrees(tmp_path: Path) -> None:
    place = told(tmp_path / "w")
    anchor = {"kind": "directory", "name": "a1", "path": "../a1"}
    (place.root / "itmp.yml").write_text(json.dumps({"organization": "example.com", "anchors": [anchor]}))
    audit_anchor(again(place))
    file = place.state / "anchors.json"
    file.write_text(file.read_text().replace('"ok"', '"fork"'))
    assert audit_verify(again(place)).exit_code == 0, "the log was restored: it holds what this one remembers"
    for path in (tmp_path / "a1").rglob("*"):
        if path.is_file():
            path.unlink()
    assert audit_verify(again(place)).exit_code == 42, "one that was emptied unsays nothing"
