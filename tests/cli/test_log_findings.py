"""`itmp audit verify` names whatever is wrong with a log by name, rule and place, also where it cannot be opened."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from itmp.adapters import posix_log
from itmp.adapters.clock import new_id
from itmp.adapters.posix_log import frames
from itmp.audit import Event
from itmp.signing import NoteKey
from itmp.testing.on_disk import story_on_disk
from itmp.testing.story import ORIGIN

BIN = Path(sys.executable).parent
Found = tuple[str, int]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with one change under a signed head; `older` beside it is its log as it was one event before."""
    root = tmp_path_factory.mktemp("findings") / "w"
    story = story_on_disk(root)
    story.tell()
    story.log.checkpoint()
    shutil.copytree(root / ".itmp/log", root / "older")
    story.log.append(Event(id=new_id(), type="log.read", actor={"kind": "person", "id": "alice@example.com"}))
    story.log.checkpoint()
    return root


def newest(folder: Path, pattern: str) -> Path:
    return max(folder.glob(pattern), key=lambda path: (path.stat().st_mtime_ns, path.name))


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)


def _checkpoint(log: Path) -> None:
    flip(log / "checkpoint", 30)


def _journal(log: Path) -> None:
    (log / ".state/spare/journal.0").unlink(missing_ok=True)
    flip(log / ".state/journal.0", (log / ".state/journal.0").stat().st_size // 2)


def _cut(log: Path) -> None:
    _journal(log)
    path = log / ".state/journal.0"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _history(log: Path) -> None:
    notes = sorted(log.glob("history/*.note"), key=lambda path: int(path.stem))
    flip(notes[-1], 30)


def _tile(log: Path) -> None:
    for path in log.glob("tile/0/000.p/*"):
        flip(path, 5)


def _bundle(log: Path) -> None:
    for path in log.glob("tile/entries/000.p/*"):
        flip(path, path.stat().st_size - 3)


def _older(log: Path) -> None:
    shutil.rmtree(log)
    shutil.copytree(log.parents[1] / "older", log)


def _no_record(log: Path) -> None:
    for path in (log.parent / "head.sqlite", log.parent / "spare/head.sqlite", log / ".state/marks"):
        path.unlink(missing_ok=True)


CASES: dict[str, tuple[Callable[[Path], None], int, set[Found]]] = {
    "checkpoint": (_checkpoint, 40, {("note-invalid", 1), ("log-damaged", 17)}),
    "journal": (_journal, 40, {("journal-damaged", 11), ("log-damaged", 17)}),
    "journal cut": (_cut, 40, {("journal-short", 11), ("log-damaged", 17)}),
    "history note": (_history, 40, {("note-invalid", 5), ("log-damaged", 17)}),
    "tile": (_tile, 40, {("tile-differs", 4)}),
    "bundle": (_bundle, 40, {("root-mismatch", 3)}),
    "older than its record": (_older, 42, {("rolled-back", 17)}),
    "no record": (_no_record, 40, {("log-unavailable", 17)}),
}


@pytest.mark.parametrize("name", CASES)
def test_name_rule_place_and_exit_code(made: Path, tmp_path: Path, name: str) -> None:
    harm, code, wanted = CASES[name]
    root = Path(shutil.copytree(made, tmp_path / "w"))
    harm(root / ".itmp/log")
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    done = _verify(root, "--json")
    report = json.loads(done.stdout)
    assert done.returncode == code, done.stdout
    found = {(one["name"], one["rule"]) for one in report["findings"] if one["grave"]}
    assert wanted <= found, found
    assert all(one["place"] and one["message"] for one in report["findings"])
    told = _verify(root)
    assert told.returncode == code
    for finding, rule in wanted:
        assert any(f"rule {rule}" in line and finding in line for line in told.stdout.splitlines()), (
            told.stdout
        )
    assert before == {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_leaf_that_was_acknowledged_and_is_gone_is_named(made: Path, tmp_path: Path) -> None:
    """No head covers it; the journal's marks tell of it, in the log's own place."""
    root = Path(shutil.copytree(made, tmp_path / "w"))
    log = posix_log.open_log(root / ".itmp")
    log.append(Event(id=new_id(), type="log.read", actor={"kind": "person", "id": "alice@example.com"}))
    assert _verify(root).returncode == 0
    journal = root / ".itmp/log/.state/journal.0"
    os.truncate(journal, frames.scan(journal.read_bytes()).ends[-2])
    done = _verify(root, "--json")
    (found,) = [one for one in json.loads(done.stdout)["findings"] if one["grave"]]
    assert (done.returncode, found["name"], found["rule"]) == (40, "log-unavailable", 17)
    assert "journal.0" in found["place"]


def test_what_was_brought_is_held_against_a_log_that_cannot_be_opened(made: Path, tmp_path: Path) -> None:
    root, other = Path(shutil.copytree(made, tmp_path / "w")), NoteKey.generate(ORIGIN, b"o" * 32)
    (root / "mine").mkdir()
    (root / "mine/log.policy").write_text(f"log {other.vkey}\nquorum none\n")
    (root / "mine/genesis").write_text(f"sha256:{'0' * 64}\n")
    _checkpoint(root / ".itmp/log")
    done = _verify(root, "--trust", "mine", "--json")
    names = {one["name"] for one in json.loads(done.stdout)["findings"]}
    assert done.returncode == 40
    assert names >= {"key-untrusted", "note-invalid", "log-damaged"}


def _verify(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    line = [BIN / "itmp", "audit", "verify", *words]
    return subprocess.run(line, cwd=root, capture_output=True, text=True, check=False)
