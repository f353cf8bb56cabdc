"""Attacks on which history is the one: rollback, fork, foreign heads, a stolen key, a new key."""

import base64
import shutil
from pathlib import Path

import naive
import pytest
from attacks import Case, altered, told

from itmp.adapters.posix_log import open_reader
from itmp.audit import Checkpoint, Event, verify
from itmp.audit.merkle import Tree, leaf_hashes
from itmp.canonical import Digest
from itmp.errors import NotFoundError
from itmp.evidence import Trust, build
from itmp.signing import NoteKey, NoteVerifier
from itmp.testing.forgery import ForgedLog, repacked
from itmp.testing.on_disk import story_on_disk
from itmp.testing.story import EXECUTOR, ORIGIN
from itmp.workspace import Workspace, audit_restore, audit_verify


@pytest.fixture
def case() -> Case:
    return told()


def head_of(case: Case, size: int | None = None) -> Checkpoint:
    tree = Tree()
    tree.extend(leaf_hashes(case.leaves))
    size = len(case.leaves) if size is None else size
    return Checkpoint(origin=ORIGIN, size=size, root=tree.root(size))


def without_blobs(digest: Digest) -> bytes:
    raise NotFoundError("a thief has the key, not the blobs", where=digest)


def change_of(case: Case) -> str:
    return Event.from_bytes(case.leaves[1]).change


def keep(case: Case, head: Checkpoint) -> None:
    """Give the auditor a checkpoint that they kept."""
    case.trust["checkpoint"] = case.key.sign(head.to_text())


def test_old_backup_restored(case: Case) -> None:
    kept = head_of(case)
    case.sign(case.leaves[:200])
    assert naive.entries(case.reader)
    assert case.found() == set()  # an old copy is sound in itself
    assert case.found(kept) == {"rolled-back"}
    keep(case, kept)
    assert case.verdict() == (42, 6, "rolled-back")


def test_two_roots_for_one_size(case: Case) -> None:
    case.files["history/100.note"] = case.key.sign(
        Checkpoint(origin=ORIGIN, size=100, root=b"r" * 32).to_text()
    )
    assert naive.entries(case.reader)
    assert case.found() == {"forked"}
    assert case.verdict(whole=True) == (42, 19, "forked")


def test_older_checkpoint_replayed(case: Case) -> None:
    sizes = [f"history/{size}.note" for size in (5, 14)]
    for size, path in zip((5, 14), sizes, strict=True):
        case.files[path] = case.key.sign(head_of(case, size).to_text())
    case.files["checkpoint"] = case.files[sizes[0]]
    assert naive.entries(case.reader)
    assert "checkpoint-behind" in case.found()
    assert case.verdict(whole=True) == (40, 19, "log-contradicts")


def behind(root: Path) -> Workspace:
    """A workspace whose checkpoint is put back by one publication: nothing but the history, and the record, tell."""
    story = story_on_disk(root)
    before = story.log.checkpoint().note
    story.log.append(Event(id=story.id(), type="log.read", actor=EXECUTOR))
    story.log.checkpoint()
    (root / ".itmp/log/checkpoint").write_bytes(before)
    return Workspace.here(root)


def test_checkpoint_replayed_by_one_step(tmp_path: Path) -> None:
    place = behind(tmp_path / "w")
    copy = shutil.copytree(place.state / "log", tmp_path / "copy")
    key = NoteVerifier.parse(place.log.vkey)
    assert naive.entries(open_reader(copy))
    found = verify(open_reader(copy), [key])
    assert [(one.name, one.grave) for one in found] == [("checkpoint-behind", True)]
    there = audit_verify(place)  # its own record tells what was decided, and the next publisher puts it right
    assert [(one.name, one.grave) for one in there.findings] == [("checkpoint-behind", False)]
    assert audit_verify(Workspace.here(place.root)).findings == there.findings, "verifying is reading"
    place.log.checkpoint()
    assert (there.exit_code, audit_verify(Workspace.here(place.root)).findings) == (0, ())


def test_history_taken_away_with_its_checkpoint(tmp_path: Path) -> None:
    """The head record lies apart from them."""
    place = behind(tmp_path / "w")
    size = place.log.size()
    (place.state / f"log/history/{size}.note").unlink()
    assert naive.entries(open_reader(place.state / "log"))
    there = audit_verify(place)
    assert not (place.state / f"log/history/{size}.note").exists(), "verifying is reading"
    place.log.checkpoint()
    assert ("checkpoint-behind", False) in [(one.name, one.grave) for one in there.findings]
    assert (place.state / f"log/history/{size}.note").exists()


def test_checkpoint_of_another_log(case: Case) -> None:
    other = NoteKey.generate("example.com/other/2026", b"o" * 32)
    head = head_of(case)
    case.files["checkpoint"] = other.sign(
        Checkpoint(origin=other.name, size=head.size, root=head.root).to_text()
    )
    assert naive.entries(case.reader)
    assert "note-invalid" in case.found()
    bundle = repacked(case.bundle, {"checkpoint": case.files["checkpoint"]})
    assert naive.manifest(bundle)
    assert case.verdict(bundle) == (40, 2, "checkpoint-unsigned")


def test_another_key_with_the_same_key_id(case: Case) -> None:
    """The id is four bytes and proves nothing: here it stands before another key's signature."""
    name, key_id = ORIGIN, case.key.verifier.key_id
    note = NoteKey.generate(ORIGIN, b"o" * 32).sign(head_of(case).to_text())
    text, _, line = note.rpartition(b" ")
    forged = base64.b64encode(key_id + base64.b64decode(line)[4:])
    case.files["checkpoint"] = text + b" " + forged + b"\n"
    assert naive.key_id_stands_there(case.files["checkpoint"], name, key_id)
    assert "note-invalid" in case.found()
    bundle = repacked(case.bundle, {"checkpoint": case.files["checkpoint"]})
    assert case.verdict(bundle) == (40, 2, "checkpoint-unsigned")


def test_unsigned_log_offered_as_valid(case: Case) -> None:
    for note in (head_of(case).to_text().encode(), head_of(case).to_text().encode() + b"\n"):
        case.files["checkpoint"] = note
        assert naive.entries(case.reader)
        assert "note-invalid" in case.found()
        assert case.verdict(repacked(case.bundle, {"checkpoint": note})) == (40, 2, "checkpoint-unsigned")


def test_stolen_log_key_rewrites_history(case: Case) -> None:
    kept = head_of(case, 200)
    case.sign([*case.leaves[:150], altered(case.leaves[150]), *case.leaves[151:]])
    assert naive.entries(case.reader)
    assert case.found() == set()
    assert case.found(kept) == {"forked"}
    keep(case, kept)
    forged = build(
        ForgedLog(case.leaves, case.key, without_blobs), change_of(case), since=case.trust["checkpoint"]
    )
    assert naive.manifest(forged)
    assert case.verdict(forged) == (42, 6, "forked")


def test_stolen_log_key_signs_a_smaller_tree(case: Case) -> None:
    kept = head_of(case)
    case.sign(case.leaves[:20])
    assert naive.entries(case.reader)
    assert case.found(kept) == {"rolled-back"}


def test_rotation_signed_by_one_side(case: Case) -> None:
    """A leaf may say that the key has changed; only the auditor's TRUST decides whose signature counts."""
    new = NoteKey.generate(ORIGIN, b"n" * 32)
    rotated = Event(
        id="f" * 32, type="key.rotated", actor=EXECUTOR, data={"log_key": new.vkey},
        t="2026-11-22T23:00:00.000000Z", mono=10**15, boot="boot-1",
    )  # fmt: skip
    case.sign([*case.leaves, rotated.to_bytes()])
    head = head_of(case)
    case.files["checkpoint"] = case.files[f"history/{head.size}.note"] = new.sign(head.to_text())
    assert naive.entries(case.reader)
    assert "note-invalid" in case.found()
    assert case.verdict(whole=True)[0] == 40
    assert Trust.from_files(case.trust).policy.log.vkey == case.key.vkey


def test_log_replaced_by_a_new_one(tmp_path: Path) -> None:
    """A wholly new log of the same name, with a key of its own: it is sound in itself, and not the one that was trusted."""
    old = story_on_disk(tmp_path / "old")
    new = story_on_disk(tmp_path / "new", key=NoteKey.generate(ORIGIN, b"n" * 32))
    place, kept = Workspace.here(tmp_path / "new"), tmp_path / "kept.note"
    assert naive.its_own_key(open_reader(place.state / "log"))
    assert audit_verify(place).exit_code == 0, "nothing was brought"
    assert audit_verify(place).trusted == ()
    trust = place.root / "trust"
    trust.mkdir()
    for name, data in old.trust().items():
        (trust / name).write_bytes(data)
    report = audit_verify(Workspace.here(place.root))
    assert (report.exit_code, {one.name for one in report.findings}) == (
        40,
        {"genesis-untrusted", "key-untrusted"},
    )
    kept.write_bytes(old.log.checkpoint().note)
    report = audit_verify(Workspace.here(place.root), kept=kept)
    assert (report.exit_code, "forked" in {one.name for one in report.findings}) == (42, True)
    assert audit_restore(Workspace.here(place.root), place.state / "log").drill.exit_code == 42
    shutil.copytree(trust, tmp_path / "old/trust")
    assert audit_verify(Workspace.here(tmp_path / "old"), kept=kept).findings == ()
    assert new.log.origin == old.log.origin
