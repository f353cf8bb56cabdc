"""Every byte of a log's folder counts: flipped, cut, appended, moved or removed, it is found and named."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from itmp import canonical
from itmp.adapters import posix_log
from itmp.adapters.posix_log import frames
from itmp.audit import Checkpoint, Event, Log, SignedCheckpoint, verify
from itmp.audit.merkle import leaf_hash, root_of
from itmp.audit.tiles import decode_bundle, encode_bundle
from itmp.errors import Error, EvidenceInvalidError, ForkError, LogUnavailableError
from itmp.signing import NoteKey
from itmp.testing.memory_log import StepClock, counting_ids, genesis

ORIGIN = "example.com/ops/2026"
KEY = NoteKey.generate(ORIGIN, bytes(range(32)))
START = datetime(2026, 11, 22, 5, tzinfo=UTC)


def build(root: Path, *counts: int, policy: str = "") -> Log:
    """A log with a checkpoint after each of `counts` events."""
    ids = counting_ids(1)
    first = genesis(ORIGIN, KEY.vkey, policy=policy)
    log = posix_log.create(root, origin=ORIGIN, genesis=first, key=KEY, clock=StepClock(START), ids=ids)
    for count in counts:
        log.extend([event(ids(), n) for n in range(count)])
        log.checkpoint()
    return log


def event(name: str, n: int) -> Event:
    return Event(id=name, type="check.finished", actor={"kind": "executor", "id": "i"}, change="C", rc=n)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("small")
    log = build(root, 2)
    log.put_blob(b"content")
    return root


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("wide")
    build(root, 255, 3, 300)
    return root


@pytest.fixture
def copy(small: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small, tmp_path / "copy"))


@pytest.fixture
def broad(wide: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(wide, tmp_path / "broad"))


def grave(root: Path, *, events: bool = True, kept: Checkpoint | None = None) -> set[str]:
    found = verify(posix_log.open_reader(root / "log"), [KEY.verifier], kept=kept, events=events)
    return {finding.name for finding in found if finding.grave}


def published(root: Path) -> list[Path]:
    state = root / "log" / ".state"
    return [
        path
        for path in sorted((root / "log").rglob("*"))
        if path.is_file() and (state not in path.parents or path.name.startswith("journal"))
    ]


def flips(path: Path) -> Iterator[int]:
    """Flip one bit of each byte in turn, and put it back."""
    data = path.read_bytes()
    with path.open("r+b", buffering=0) as file:
        for at, byte in enumerate(data):
            os.pwrite(file.fileno(), bytes([byte ^ (1 << at % 8)]), at)
            yield at
            os.pwrite(file.fileno(), bytes([byte]), at)


def test_an_untouched_log_holds(copy: Path, broad: Path) -> None:
    assert grave(copy) == grave(broad) == set()
    assert {path.parent.name for path in published(copy)} >= {"log", "history", "000.p", ".state"}


def test_every_flipped_byte_is_found(copy: Path, record_property: Callable[[str, object], None]) -> None:
    found = {(path, at): grave(copy, events=False) for path in published(copy) for at in flips(path)}
    missed = [(path.name, at) for (path, at), names in found.items() if not names]
    record_property("tally", {"bytes of a log flipped": len(found), "bad": len(missed)})
    assert missed == []
    assert grave(copy) == set()


def test_no_log_is_opened_on_a_flipped_byte_that_it_stands_on(copy: Path) -> None:
    opened = []
    for name in ("checkpoint", ".state/journal.0", "history/3.note"):
        for at in flips(copy / "log" / name):
            try:
                posix_log.open_log(copy, clock=StepClock(START, boot=f"b{at}"))
            except Error as error:
                assert error.exit_code in {16, 40, 42}  # noqa: PT017 - each of many
            else:
                opened.append((name, at))
    assert opened == []


def test_a_byte_more_or_less_is_found_in_every_file(copy: Path) -> None:
    for path in published(copy):
        data = path.read_bytes()
        for other in (data + b"\n", data + b"\x00", data[:-1], data + data, b""):
            path.write_bytes(other)
            found = verify(posix_log.open_reader(copy / "log"), [KEY.verifier], events=False)
            assert found, (path, len(other))
            assert any(finding.grave for finding in found) or path.name == "journal.0"
        path.write_bytes(data)
    assert grave(copy) == set()


def test_every_missing_file_is_found_unless_content_may_be_redacted(broad: Path) -> None:
    (broad / "log" / "blobs").mkdir(exist_ok=True)
    for path in published(broad):
        data = path.read_bytes()
        path.unlink()
        name = path.relative_to(broad / "log").as_posix()
        older = name.startswith("history/") and name != "history/559.note"
        superseded = name.startswith("tile/1/") and not name.endswith("/2")
        assert bool(grave(broad, events=False)) == (not older and not superseded and "journal" not in name), (
            name
        )
        path.write_bytes(data)


def edit(root: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    """Let `change` rewrite the leaves of the second bundle and of the journal, by both its names."""
    bundle = root / "log/tile/entries/001"
    before = decode_bundle(bundle.read_bytes(), 256)
    after = change(list(before))
    bundle.write_bytes(encode_bundle(after))
    old, new = (b"".join(map(frames.encode, leaves)) for leaves in (before, after))
    for journal in (root / "log/.state/journal.0", root / "log/.state/spare/journal.0"):
        assert journal.read_bytes().count(old) == 1
        journal.write_bytes(journal.read_bytes().replace(old, new))


def altered(leaf: bytes) -> bytes:
    return replace(Event.from_bytes(leaf), rc=99).to_bytes()


EDITS: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "edited": lambda leaves: [*leaves[:7], altered(leaves[7]), *leaves[8:]],
    "swapped": lambda leaves: [*leaves[:7], leaves[8], leaves[7], *leaves[9:]],
    "deleted": lambda leaves: [*leaves[:7], *leaves[8:]],
    "inserted": lambda leaves: [*leaves[:7], altered(leaves[7]), *leaves[7:]],
    "duplicated": lambda leaves: [*leaves[:8], leaves[7], *leaves[9:]],
    "emptied": lambda leaves: [*leaves[:7], b"", *leaves[8:]],
    "oversize": lambda leaves: [*leaves[:7], b"x" * 61_441, *leaves[8:]],
}


@pytest.mark.parametrize("name", EDITS)
def test_edited_entries_are_found_even_with_the_journal_rewritten(broad: Path, name: str) -> None:
    edit(broad, EDITS[name])
    assert grave(broad) & {"root-mismatch", "entries-damaged"}
    with pytest.raises((EvidenceInvalidError, LogUnavailableError, ForkError)):
        posix_log.open_log(broad)


def test_recomputed_tiles_do_not_hide_an_edit(broad: Path) -> None:
    edit(broad, EDITS["edited"])
    hashes = [leaf_hash(leaf) for leaf in decode_bundle((broad / "log/tile/entries/001").read_bytes(), 256)]
    (broad / "log/tile/0/001").write_bytes(b"".join(hashes))
    assert "root-mismatch" in grave(broad)
    top = broad / "log/tile/1/000.p/2"
    top.write_bytes(top.read_bytes()[:32] + root_of(hashes))
    assert "root-mismatch" in grave(broad)
    with pytest.raises((ForkError, EvidenceInvalidError)):
        posix_log.open_log(broad)


def test_a_stolen_key_cannot_rewrite_what_somebody_kept(broad: Path, wide: Path) -> None:
    kept = SignedCheckpoint.open((wide / "log/history/259.note").read_bytes(), [KEY.verifier]).checkpoint
    forged_root = broad.parent / "forged"
    build(forged_root, 255, 3, 300, policy="other")
    assert grave(forged_root) == set()
    assert grave(forged_root, kept=kept) == {"forked"}
    small_root = broad.parent / "smaller"
    build(small_root, 255)
    assert grave(small_root, kept=kept) == {"rolled-back"}
    assert grave(broad, kept=kept) == set()
    assert grave(broad, kept=replace(kept, origin="example.com/other")) == {"kept-foreign"}


def test_another_logs_checkpoint_and_an_unsigned_one_are_refused(copy: Path) -> None:
    text = Checkpoint(origin=ORIGIN, size=3, root=b"r" * 32).to_text()
    for note in (
        NoteKey.generate(ORIGIN, b"o" * 32).sign(text),
        NoteKey.generate("example.com/other", bytes(range(32))).sign(
            text.replace(ORIGIN, "example.com/other")
        ),
        text.encode(),
        text.encode() + b"\n",
    ):
        (copy / "log/checkpoint").write_bytes(note)
        assert "note-invalid" in grave(copy)


def test_two_roots_for_one_size_are_found(copy: Path) -> None:
    other = KEY.sign(Checkpoint(origin=ORIGIN, size=1, root=b"r" * 32).to_text())
    (copy / "log/history/1.note").write_bytes(other)
    assert grave(copy) == {"forked"}


def test_an_older_checkpoint_put_back_is_found(broad: Path) -> None:
    shutil.copy(broad / "log/history/1.note", broad / "log/checkpoint")
    assert "checkpoint-behind" in grave(broad)


def test_a_checkpoint_one_publication_behind_is_named_and_the_next_publisher_puts_it_right(
    broad: Path,
) -> None:
    shutil.copy(broad / "log/history/259.note", broad / "log/checkpoint")
    found = verify(posix_log.open_reader(broad / "log"), [KEY.verifier])
    assert [(finding.name, finding.grave) for finding in found] == [("checkpoint-behind", True)]
    assert "a publisher was killed" in found[0].message
    posix_log.open_log(broad).checkpoint()
    assert verify(posix_log.open_reader(broad / "log"), [KEY.verifier]) == ()


@pytest.mark.parametrize("state", [True, False], ids=["with its journal", "published files only"])
def test_an_older_backup_put_back_is_refused_with_the_fork_code(tmp_path: Path, state: bool) -> None:  # noqa: FBT001 - a case
    root = tmp_path / "root"
    log = build(root, 3)
    shutil.copytree(root / "log", tmp_path / "backup")
    log.append(event("f" * 32, 1))
    log.checkpoint()
    if not state:
        shutil.rmtree(tmp_path / "backup/.state")
        shutil.copytree(root / "log/.state", tmp_path / "backup/.state")
        journal = tmp_path / "backup/.state/journal.0"
        shutil.copy(root / "log/.state/journal.0", journal)
        os.truncate(journal, frames.scan(journal.read_bytes()).ends[3])
        (tmp_path / "backup/.state/spare/journal.0").unlink()
    shutil.rmtree(root / "log")
    shutil.move(tmp_path / "backup", root / "log")
    with pytest.raises(ForkError) as caught:
        posix_log.open_log(root, clock=StepClock(START, boot="another"))
    assert caught.value.exit_code == 42
    assert not log.health(datetime.now(UTC)).ok


def test_a_log_rolled_back_under_a_running_process_takes_no_leaf(tmp_path: Path) -> None:
    log = build(tmp_path / "root", 3)
    journal = tmp_path / "root/log/.state/journal.0"
    os.truncate(journal, frames.scan(journal.read_bytes()).ends[2])
    with pytest.raises(LogUnavailableError):
        log.append(event("f" * 32, 1))


def test_a_missing_head_record_is_not_taken_for_an_empty_one(copy: Path) -> None:
    (copy / "head.sqlite").unlink()
    (copy / "spare/head.sqlite").unlink()
    with pytest.raises(LogUnavailableError, match="head record"):
        posix_log.open_log(copy)
    assert not (copy / "head.sqlite").exists()


def test_strangers_among_the_files_are_named(copy: Path) -> None:
    log = copy / "log"
    (log / "tile/0/junk").write_text("x")
    assert grave(copy) == {"stray-file"}
    (log / "tile/0/junk").unlink()
    (log / "tile/0/000.p/9").write_bytes(b"x" * 288)
    assert grave(copy) == {"tile-beyond"}
    (log / "tile/0/000.p/9").unlink()
    (log / "tile/0/000.p/1").write_bytes(b"x" * 32)
    assert grave(copy) == {"tile-differs"}
    (log / "tile/0/000.p/1").unlink()
    shutil.copy(log / "history/1.note", log / "history/2.note")
    assert grave(copy) == {"history-misnamed"}


def test_links_and_pipes_are_not_read(copy: Path) -> None:
    tile = copy / "log/tile/0/000.p/3"
    content = copy / "elsewhere"
    tile.rename(content)
    tile.symlink_to(content)
    assert "tile-missing" in grave(copy)
    tile.unlink()
    os.mkfifo(tile)
    assert "tile-missing" in grave(copy)


def test_an_altered_blob_is_neither_served_nor_passed(copy: Path) -> None:
    name = canonical.digest(b"content")
    path = copy / "log/blobs/sha256" / name[7:9] / name[7:]
    path.write_bytes(b"contenu")
    assert grave(copy) == {"blob-altered"}
    with pytest.raises(EvidenceInvalidError):
        posix_log.open_log(copy).blob(name)
