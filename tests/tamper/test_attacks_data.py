"""Attacks on stored bytes: what a naive verifier is content with, and what ours finds."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import naive
import pytest
from attacks import Case, altered, told

from itmp.adapters.posix_log import open_reader
from itmp.audit import Checkpoint, verify
from itmp.audit.merkle import Tree, leaf_hashes
from itmp.audit.tiles import encode_bundle
from itmp.change import Refusal
from itmp.errors import EvidenceInvalidError, ForkError
from itmp.evidence import Trust, archive
from itmp.evidence import verify as verify_evidence
from itmp.signing import NoteKey
from itmp.testing.forgery import repacked
from itmp.testing.memory_log import MemoryReader, MemoryStore
from itmp.testing.on_disk import story_on_disk
from itmp.workspace import Workspace, audit_list, audit_verify, evidence

LAST = "tile/entries/001.p/58"


@pytest.fixture
def case() -> Case:
    case = told()
    assert case.found() == set()
    assert case.verdict(whole=True)[0] == 0
    assert naive.entries(case.reader)
    assert naive.tiles(case.reader)
    assert naive.tiles_agree(case.reader)
    return case


def flip(case: Case, path: str, at: int) -> None:
    data = bytearray(case.files[path])
    data[at] ^= 1
    case.files[path] = bytes(data)


def test_byte_flipped_in_a_bundle(case: Case) -> None:
    flip(case, "tile/entries/000", 200)
    assert naive.tiles(case.reader)
    assert "root-mismatch" in case.found()
    assert case.verdict(whole=True) == (40, 19, "log-contradicts")


def test_byte_flipped_in_a_tile(case: Case) -> None:
    flip(case, "tile/0/000", 40)
    assert naive.entries(case.reader)
    assert case.found() == {"tile-differs"}
    assert case.verdict(whole=True)[0] == 40


def test_byte_flipped_in_the_checkpoint(case: Case) -> None:
    text, _, line = case.files["checkpoint"].rpartition(b" ")
    case.files["checkpoint"] = text + b" " + line[:20] + bytes([line[20] ^ 1]) + line[21:]
    assert naive.entries(case.reader)
    assert case.found() & {"note-invalid"}
    assert case.verdict(whole=True)[0] == 40


def test_byte_flipped_in_the_journal(case: Case) -> None:
    case.store.journal.leaves[3] = altered(case.store.journal.leaves[3])
    assert naive.entries(case.reader)
    assert case.found() == {"journal-differs"}


@pytest.mark.parametrize("end", ["txt", "sig"])
def test_byte_flipped_in_a_statement_or_signature(case: Case, end: str) -> None:
    name = f"statements/2.{end}"
    data = bytearray(archive.unpack(case.bundle)[name])
    data[60] ^= 1
    bundle = repacked(case.bundle, {name: bytes(data)})
    assert naive.manifest(bundle)
    assert case.verdict(bundle) == (40, 8, "statement-invalid")


def test_entry_edited_with_its_leaf_tile_recomputed(case: Case) -> None:
    leaves = [*case.leaves[:300], altered(case.leaves[300]), *case.leaves[301:]]
    case.files[LAST] = encode_bundle(leaves[256:])
    case.files["tile/0/001.p/58"] = b"".join(leaf_hashes(leaves[256:]))
    assert naive.tiles_agree(case.reader)
    assert {"root-mismatch", "journal-differs"} <= case.found()


def test_entry_edited_with_all_tiles_recomputed(case: Case) -> None:
    case.rewrite([*case.leaves[:7], altered(case.leaves[7]), *case.leaves[8:]])
    assert naive.tiles_agree(case.reader)
    assert "root-mismatch" in case.found()
    assert case.verdict(whole=True)[0] == 40


MOVES: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "deleted": lambda all_: [*all_[:7], *all_[8:], altered(all_[-1])],
    "inserted": lambda all_: [*all_[:7], altered(all_[7]), *all_[7:-1]],
    "duplicated": lambda all_: [*all_[:8], all_[7], *all_[8:-1]],
    "swapped within a bundle": lambda all_: [*all_[:7], all_[8], all_[7], *all_[9:]],
    "swapped across bundles": lambda all_: [*all_[:7], all_[300], *all_[8:300], all_[7], *all_[301:]],
}


@pytest.mark.parametrize("move", MOVES)
def test_entries_deleted_inserted_duplicated_or_swapped(case: Case, move: str) -> None:
    case.rewrite(MOVES[move](case.leaves))
    assert naive.tiles_agree(case.reader)
    assert {"root-mismatch"} <= case.found()
    assert case.verdict(whole=True)[0] == 40


@pytest.mark.parametrize("move", MOVES)
def test_the_same_signed_anew_by_the_logs_owner(case: Case, move: str) -> None:
    case.sign(MOVES[move](case.leaves))
    assert naive.entries(case.reader)
    assert case.found() & {"cprev-broken"}
    assert case.verdict(whole=True) == (40, 19, "log-contradicts")


def test_tile_forged_where_frontier_nodes_share_it() -> None:
    """At 70,000 leaves the nodes of 64, 32 and 16 stand in one tile, those of 4096 and 256 in another."""
    key, size = NoteKey.generate("example.com/ops/2026", bytes(32)), 70_000
    leaves = [b"leaf %d" % n for n in range(size)]
    tree = Tree()
    tree.extend(leaf_hashes(leaves))
    frontier = [tree.hashes(bit, (size >> bit) - 1, 1) for bit in range(16, 0, -1) if size >> bit & 1]
    note = key.sign(Checkpoint(origin=key.name, size=size, root=tree.root()).to_text())
    case = Case(store=MemoryStore(key.name), key=key, bundle=b"", trust={}, leaves=leaves)
    case.rewrite(leaves)
    case.files["checkpoint"] = note

    def found() -> set[str]:
        return {
            one.name for one in verify(MemoryReader(case.store), [key.verifier], events=False) if one.grave
        }

    assert naive.one_node_a_tile(case.reader, frontier)
    assert found() == {"genesis-invalid"}  # raw leaves on purpose
    flip(case, "tile/0/273.p/112", 0)
    assert not naive.one_node_a_tile(case.reader, frontier)
    flip(case, "tile/0/273.p/112", 0)
    forged = [*leaves[:-1], b"leaf of another"]
    case.files["tile/0/273.p/112"] = b"".join(leaf_hashes(forged[273 * 256 :]))
    case.files["tile/entries/273.p/112"] = encode_bundle(forged[273 * 256 :])
    assert naive.one_node_a_tile(case.reader, frontier)
    assert found() >= {"root-mismatch", "journal-differs"}
    case.files["tile/entries/273.p/112"] = encode_bundle(leaves[273 * 256 :])
    assert found() == {"genesis-invalid", "tile-differs"}


def test_tail_cut_at_each_byte(case: Case) -> None:
    whole = case.files[LAST]
    last = 2 + len(case.leaves[-1])
    for cut in range(1, last + 1):
        case.files[LAST] = whole[:-cut]
        assert "entries-damaged" in case.found(events=False), cut
    assert naive.tiles(case.reader)


def test_journal_tail_cut(case: Case) -> None:
    del case.store.journal.leaves[-1]
    assert naive.entries(case.reader)
    assert case.found() == {"journal-short"}


@pytest.mark.parametrize("path", ["tile/0/000", "tile/0/001.p/58", "tile/1/000.p/1"])
def test_tile_missing(case: Case, path: str) -> None:
    del case.files[path]
    assert naive.entries(case.reader)
    assert case.found() == {"tile-missing"}
    assert case.verdict(whole=True)[0] == 40


@pytest.mark.parametrize("path", ["tile/entries/000", LAST])
def test_bundle_missing(case: Case, path: str) -> None:
    del case.files[path]
    assert naive.tiles(case.reader)
    assert "entries-damaged" in case.found()


def test_trailing_bytes_in_every_file(case: Case) -> None:
    for path, data in sorted(case.files.items()):
        for more in (b"\0", b"\n"):
            case.files[path] = data + more
            if path.startswith("tile/") and more == b"\0":
                assert naive.entries(case.reader) or naive.tiles(case.reader)
            assert case.found(events=False), (path, more)
        case.files[path] = data
    assert case.found() == set()


@pytest.mark.parametrize("leaf", [b"", b"x" * 61_441], ids=["of no length", "oversize"])
def test_leaf_without_a_lawful_length(case: Case, leaf: bytes) -> None:
    case.sign([*case.leaves[:7], leaf, *case.leaves[8:]])
    assert naive.entries(case.reader)
    assert "entries-damaged" in case.found()
    assert case.verdict(whole=True)[0] == 40


REVOCATION = "SELECT leaf.n FROM leaf JOIN word ON word.n = type WHERE text = 'change.revoked'"
GONE = (
    "DELETE FROM leaf WHERE n = {it}",
    "UPDATE leaf SET n = n - 1 WHERE n > {it}",
    "UPDATE mark SET value = value - 1 WHERE key = 'size'",
)
RENAMED = ("UPDATE leaf SET type = (SELECT n FROM word WHERE text = 'change.approved') WHERE n = {it}",)
BENT = ("UPDATE leaf SET at = (SELECT at FROM leaf WHERE n = (SELECT max(n) - 1 FROM leaf)) WHERE n = {it}",)


@pytest.mark.parametrize("statements", [GONE, RENAMED, BENT], ids=["row gone", "row renamed", "row bent"])
def test_altered_index_does_not_matter(statements: tuple[str, ...], tmp_path: Path) -> None:
    """The row that says that the approval was revoked goes, is called an approval, or leads to the vote itself."""
    story = story_on_disk(tmp_path)
    story.open()
    vote = story.act("approve", "bob")
    revoked = story.act("revoke", "bob", of=vote.hash)
    honest, trust = story.evidence(), Trust.from_files(story.trust())
    signed, file = audit_verify(Workspace.here(tmp_path)), tmp_path / ".itmp/index.sqlite"
    Workspace.here(tmp_path).reading().close()  # whoever looks brings it up to date
    assert naive.last_word(file, story.change) == "change.revoked"
    with closing(sqlite3.connect(file)) as db, db:
        (it,) = db.execute(REVOCATION).fetchone()
        for statement in statements:
            db.execute(statement.format(it=it))
    if statements is not BENT:
        assert naive.last_word(file, story.change) == "change.approved"
    place = Workspace.here(tmp_path)
    assert shown(place, story.change) <= {(leaf.index, leaf.event.type) for leaf in story.log.leaves()}
    assert revoked.index in {leaf.index for leaf in place.log.of_change(story.change)}
    assert (after := audit_verify(place)).findings == signed.findings == ()
    assert after.root == signed.root
    evidence(place, story.change, tmp_path / "e.tar")
    assert (tmp_path / "e.tar").read_bytes() == honest
    report = verify_evidence(honest, trust, logs=(open_reader(tmp_path / ".itmp/log"),))
    assert (report.exit_code, report.broken) == (41, None), "the change is open, and nothing is wrong"
    refusal = story.admit("alice")
    assert isinstance(refusal, Refusal)
    assert 4 in {check.n for check in refusal.checks if check.outcome == "refused"}


def shown(place: Workspace, change: str) -> set[tuple[int, str]]:
    """What a list of the change's approvals and revocations shows; nothing, where it refuses the index."""
    try:
        kinds = ("change.approved", "change.revoked")
        return {
            (leaf.index, leaf.event.type) for kind in kinds for leaf in audit_list(place, change, kind=kind)
        }
    except (EvidenceInvalidError, ForkError):
        return set()
