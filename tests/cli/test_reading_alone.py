"""An auditor reads a copy of the log: without its private key, under another account, and nothing is written."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from itmp.adapters.clock import new_id
from itmp.audit import Event
from itmp.testing.on_disk import story_on_disk
from itmp.workspace import Workspace

BIN = Path(sys.executable).parent
OTHER = (
    ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all,+dac_read_search",
     "--ambient-caps=-all,+dac_read_search"]
    if os.getuid() == 0
    else []
)  # fmt: skip
"""Another account, which may read everything that root keeps the interpreter in, and write nothing that is not its own."""
State = dict[str, tuple[str, int, int]]


class Copy:
    """A folder with `itmp.yml`, TRUST, and of the state `log/` alone; `out` is where the auditor may write."""

    def __init__(self, folder: Path, *, change: str) -> None:
        self.root, self.change, self.out = folder / "copy", change, folder / "out"
        self.before: State = {}

    def itmp(self, *words: str, rc: int = 0) -> str:
        done = subprocess.run(
            [*OTHER, BIN / "itmp", *words],
            cwd=self.root,
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == rc, (words, done.stdout, done.stderr)
        return done.stdout

    @property
    def environ(self) -> dict[str, str]:
        mine = {"HOME": str(self.out), "TMPDIR": str(self.out), "PYTHONDONTWRITEBYTECODE": "1"}
        return {**os.environ, "NO_COLOR": "1", "PYTHONWARNINGS": "", **mine}

    def state(self) -> State:
        return {
            str(path): (
                hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
                path.stat().st_mtime_ns,
                path.stat().st_mode,
            )
            for path in (self.root, *self.root.rglob("*"))
        }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """A whole change under a signed head, one leaf after it, and what an auditor is given of that."""
    folder = tmp_path_factory.mktemp("reading")
    story = story_on_disk(folder / "w")
    story.tell()
    story.log.checkpoint()
    story.log.append(Event(id=new_id(), type="log.read", actor={"kind": "person", "id": "alice@example.com"}))
    copy = Copy(folder, change=story.change)
    copy.out.mkdir()
    copy.out.chmod(0o777)
    (copy.root / ".itmp").mkdir(parents=True)
    shutil.copy(folder / "w/itmp.yml", copy.root)
    shutil.copytree(folder / "w/.itmp/log", copy.root / ".itmp/log")
    (copy.root / "records").mkdir()
    (copy.root / "trust").mkdir()
    for name, data in story.trust().items():
        (copy.root / "trust" / name).write_bytes(data)
    for path in (*copy.root.rglob("*"), copy.root):
        path.chmod(0o555 if path.is_dir() else 0o444)
    copy.before = copy.state()
    return copy


@pytest.fixture
def copy(made: Copy) -> Iterator[Copy]:
    yield made
    assert made.state() == made.before, "not a byte, a mode or a time has changed, and no file is new"


def test_a_copy_without_keys_verifies_and_names_what_no_head_covers(copy: Copy) -> None:
    told = json.loads(copy.itmp("audit", "verify", "--trust", "trust", "--strict", "--json"))
    assert [(one["name"], one["grave"]) for one in told["findings"]] == [("unsigned", False)]
    assert told["trusted"]
    assert told["unsigned"] == 1
    assert "sound" in copy.itmp("audit", "verify")


def test_without_its_journal_too(made: Copy, tmp_path: Path) -> None:
    copy = Copy(tmp_path, change=made.change)
    shutil.copytree(made.root, copy.root)
    copy.out.mkdir()
    copy.out.chmod(0o777)
    for path in (copy.root / ".itmp/log", copy.root / ".itmp/log/.state"):
        path.chmod(0o755)
    shutil.rmtree(copy.root / ".itmp/log/.state")
    assert json.loads(copy.itmp("audit", "verify", "--json"))["findings"] == []
    assert made.change in copy.itmp("audit", "population")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("population",), "CHG-"),
        (("sample", "--seed", "mine", "--n", "1"), "CHG-"),
        (("access",), "alice@example.com"),
        (("exceptions",), "exception"),
        (("list",), "change.opened"),
        (("show", "0"), "log.created"),
    ],
    ids=lambda words: words[0] if isinstance(words, tuple) else "",
)
def test_questions_are_answered_from_a_copy(copy: Copy, words: tuple[str, ...], said: str) -> None:
    assert said in copy.itmp("audit", *words)


def test_a_copy_is_held_against_hosts(copy: Copy) -> None:
    told = json.loads(copy.itmp("audit", "reconcile", "--records", "records", "--json", rc=41))
    assert told["silent"]


def test_a_report_is_drawn_from_a_copy(copy: Copy) -> None:
    file = copy.out / "change.html"
    copy.itmp("audit", "report", copy.change, "-o", str(file), "--trust", "trust")
    assert copy.change in file.read_text()


def test_pages_are_served_from_a_copy(copy: Copy) -> None:
    line = [*OTHER, BIN / "itmp", "audit", "serve", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(line, cwd=copy.root, env=copy.environ, stderr=subprocess.PIPE, text=True) as served:
        try:
            assert served.stderr
            address = served.stderr.readline().split()[0]
            for page in ("", f"changes/{copy.change}", "log", "?q=nothing"):
                with urllib.request.urlopen(address + page, timeout=60) as answer:  # noqa: S310 - our own server
                    assert answer.status == 200
        finally:
            served.terminate()
            served.wait(30)


def test_in_its_own_place_nothing_is_signed_and_no_key_is_opened(tmp_path: Path) -> None:
    story = story_on_disk(tmp_path / "w")
    story.tell()
    key = tmp_path / "w/.itmp/keys/log.key"
    key.write_text("not a key\n")
    copy = Copy(tmp_path, change=story.change)
    copy.root = tmp_path / "w"
    copy.out.mkdir()
    copy.out.chmod(0o777)
    before = copy.state()
    report = json.loads(copy.itmp("audit", "verify", "--json"))
    assert report["unsigned"] > 0
    assert not any(one["grave"] for one in report["findings"])
    copy.itmp("audit", "population")
    copy.itmp("audit", "exceptions")
    assert copy.state() == before


def test_a_log_that_is_read_takes_nothing(tmp_path: Path) -> None:
    story_on_disk(tmp_path / "w").tell()
    log = Workspace.here(tmp_path / "w").for_reading().log
    with pytest.raises(Exception, match="for reading alone"):
        log.checkpoint()
    with pytest.raises(Exception, match="for reading alone"):
        log.append(Event(id=new_id(), type="log.read", actor={"kind": "person", "id": "alice@example.com"}))
    with pytest.raises(Exception, match="for reading alone"):
        log.put_blob(b"x")
