"""The log is read by Go's own checksum-database code, which shares nothing with ours."""

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import golang
import pytest

from itmp.adapters import posix_log
from itmp.audit import Event, verify
from itmp.audit._integrate import integrate
from itmp.audit.merkle import Tree, leaf_hashes
from itmp.signing import NoteKey
from itmp.testing.memory_log import MemoryReader, MemoryStore, StepClock, counting_ids, genesis

pytestmark = [pytest.mark.go, pytest.mark.xdist_group("go")]

ORIGIN = "example.com/ops/2026"
KEY = NoteKey.generate(ORIGIN, bytes(range(32)))
SOURCE = Path(__file__).parents[1] / "fixtures/gocheck"
WIDE = 70_000


@pytest.fixture(scope="module")
def gocheck(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return golang.build(SOURCE, tmp_path_factory.mktemp("gocheck") / "gocheck")


def run(gocheck: Path, folder: Path, vkey: str = KEY.vkey) -> subprocess.CompletedProcess[str]:
    return subprocess.run([gocheck, folder, vkey], capture_output=True, text=True, timeout=120, check=False)


def found(folder: Path) -> set[str]:
    return {
        one.name for one in verify(posix_log.open_reader(folder), [KEY.verifier], events=False) if one.grave
    }


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """70,000 small leaves: three levels of tiles, several frontier nodes in one tile."""
    folder = tmp_path_factory.mktemp("wide")
    store, tree = MemoryStore(ORIGIN), Tree()
    for size in (1, 300, 65_536, WIDE):
        leaves = [b"leaf %d" % n for n in range(tree.size, size)]
        store.journal.write(leaves, last=False)
        tree.extend(leaf_hashes(leaves))
        integrate(store, KEY, tree, size)
    for path, data in store.files.content.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    findings = verify(MemoryReader(store), [KEY.verifier], events=False)
    assert [one.name for one in findings if one.grave] == ["genesis-invalid"]  # raw leaves on purpose
    return folder


def test_go_reads_what_the_log_wrote(gocheck: Path, tmp_path: Path) -> None:
    ids = counting_ids(1)
    first = genesis(ORIGIN, KEY.vkey)
    clock = StepClock(datetime(2026, 11, 22, 5, tzinfo=UTC))
    log = posix_log.create(tmp_path, origin=ORIGIN, genesis=first, key=KEY, clock=clock, ids=ids)
    assert run(gocheck, tmp_path / "log").stdout == f"{ORIGIN} 1 1 3 1\n"
    for heads, size in enumerate((2, 255, 256, 257, 600), 2):
        actor = {"kind": "executor", "id": "i"}
        log.extend(
            [
                Event(id=ids(), type="check.finished", actor=actor, change="C")
                for _ in range(size - log.size())
            ]
        )
        log.checkpoint()
        done = run(gocheck, tmp_path / "log")
        bundles = -(-size // 256)
        assert done.stdout == f"{ORIGIN} {size} {size} {3 * bundles} {heads}\n", done.stderr


def test_go_reads_a_wide_log(gocheck: Path, wide: Path) -> None:
    done = run(gocheck, wide)
    assert done.stdout == f"{ORIGIN} {WIDE} {WIDE} {3 * 274} 4\n", done.stderr


@pytest.mark.parametrize(
    ("path", "at"),
    [
        ("tile/0/273.p/112", 0), ("tile/0/273.p/112", 64 * 32), ("tile/0/273.p/112", 111 * 32), ("tile/1/001.p/17", 0),
        ("tile/1/001.p/17", 16 * 32 + 31), ("tile/2/000.p/1", 5), ("tile/0/100", 9), ("tile/1/000", 255 * 32),
        ("tile/entries/273.p/112", 6), ("tile/entries/000", 3), ("checkpoint", 30), ("history/300.note", 30),
    ],
)  # fmt: skip
def test_go_and_the_log_refuse_the_same_forgeries(gocheck: Path, wide: Path, path: str, at: int) -> None:
    file = wide / path
    data = file.read_bytes()
    try:
        file.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        done = run(gocheck, wide)
        assert (done.returncode, done.stdout) == (1, "")
        assert found(wide) - {"genesis-invalid"}
    finally:
        file.write_bytes(data)
    assert found(wide) == {"genesis-invalid"}


def test_go_refuses_another_key(gocheck: Path, wide: Path) -> None:
    other = NoteKey.generate(ORIGIN, b"o" * 32)
    assert run(gocheck, wide, other.vkey).returncode == 1


def test_an_old_go_on_path_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "go"
    old.write_text("#!/bin/sh\necho go version go1.19.8 linux/amd64\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    chosen = golang.toolchain(golang.needed(SOURCE))
    assert chosen != old
    assert golang.version(chosen) >= golang.needed(SOURCE)
