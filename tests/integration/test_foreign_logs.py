"""Our logs before other people's readers at every size from 0 to 600 and at 70,000, and their logs before ours."""

import struct
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import golang
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tlog_scales.backend import LocalBackend
from tlog_scales.reader import TilesReader
from tlog_scales.signing import PlainEd25519Signer, Vkey
from tlog_scales.tlog import Checkpoint as ScalesCheckpoint
from tlog_scales.writer import TilesWriter

from itmp.adapters import posix_log
from itmp.audit import Checkpoint, Event, verify
from itmp.audit.merkle import EMPTY_ROOT, Tree, leaf_hashes
from itmp.audit.tiles import ENTRIES, encode_bundle, tiles_of
from itmp.signing import NoteKey
from itmp.testing.memory_log import counting_ids, memory_log

pytestmark = [pytest.mark.go, pytest.mark.xdist_group("go")]

ORIGIN = "example.com/ops/2026"
SEED = bytes(range(32))
KEY = NoteKey.generate(ORIGIN, SEED)
FIXTURES = Path(__file__).parents[1] / "fixtures"
EACH, WIDE = 600, 70_000


def leaves_and_files(count: int) -> tuple[list[bytes], dict[str, bytes]]:
    """A log grown leaf by leaf, with a checkpoint at every size; every file that ever stood in its folder."""
    log, store = memory_log(KEY, start=datetime(2026, 11, 22, 5, tzinfo=UTC))
    files, ids = dict(store.files.content), counting_ids(2)
    for _ in range(1, count):
        log.append(Event(id=ids(), type="check.finished", actor={"kind": "executor", "id": "i"}, change="C"))
        log.checkpoint()
        files |= store.files.content
    return [leaf.data for leaf in log.leaves()], files


def placed(folder: Path, files: dict[str, bytes]) -> Path:
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


LEAVES, FILES = leaves_and_files(EACH)


@pytest.fixture(scope="module")
def each(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return placed(tmp_path_factory.mktemp("each"), FILES)


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """70,000 leaves: at this size several nodes of the frontier stand in one tile."""
    tree, files = Tree(), dict[str, bytes]()
    for tile in tiles_of(WIDE):
        if tile.level == ENTRIES:
            leaves = [b"leaf %d" % n for n in range(tile.start, tile.start + tile.width)]
            tree.extend(leaf_hashes(leaves))
            files[tile.path] = encode_bundle(leaves)
        else:
            files[tile.path] = tile.content(tree)
    files["checkpoint"] = KEY.sign(Checkpoint(origin=ORIGIN, size=WIDE, root=tree.root()).to_text())
    return placed(tmp_path_factory.mktemp("wide"), files)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("go")
    return lambda name: golang.build(FIXTURES / name, folder / name)


# Ours before theirs


def test_go_accepts_every_size(programs: Callable[[str], Path], each: Path) -> None:
    call = [programs("gocheck"), each, KEY.vkey, "each"]
    done = subprocess.run(call, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    sizes = sorted(int(line.split()[1]) for line in done.stdout.splitlines())
    assert sizes == list(range(1, EACH + 1))


def scales(folder: Path, head: ScalesCheckpoint) -> TilesReader:
    head.verify(Vkey.from_string(KEY.vkey))
    reader = TilesReader(LocalBackend(folder))
    reader.set_size(head.size)
    assert reader.calculate_root_hash() == head.root_hash
    return reader


def test_tlog_scales_accepts_every_size(each: Path) -> None:
    previous = EMPTY_ROOT
    for size in range(1, EACH + 1):
        head = ScalesCheckpoint.from_text((each / f"history/{size}.note").read_text())
        assert (head.origin, head.size) == (ORIGIN, size)
        reader = scales(each, head)
        [leaf] = leaf_hashes([reader.get_entry(size - 1)])
        assert reader.get_entry(size - 1) == LEAVES[size - 1]
        reader.get_inclusion_proof(size - 1, size).check(leaf, head.root_hash)
        if size > 1:  # its prover knows no proof from nothing
            reader.get_consistency_proof(size - 1, size).check(previous, head.root_hash)
        previous = head.root_hash


def test_tlog_scales_accepts_seventy_thousand(wide: Path) -> None:
    head = ScalesCheckpoint.from_text((wide / "checkpoint").read_text())
    reader = scales(wide, head)
    for index in (0, 65_535, 65_536, 69_631, 69_632, WIDE - 1):
        [leaf] = leaf_hashes([b"leaf %d" % index])
        reader.get_inclusion_proof(index, WIDE).check(leaf, head.root_hash)


def test_the_empty_head_is_theirs_too(programs: Callable[[str], Path], tmp_path: Path) -> None:
    note = KEY.sign(Checkpoint(origin=ORIGIN, size=0, root=EMPTY_ROOT).to_text())
    placed(tmp_path, {"checkpoint": note})
    assert scales(tmp_path, ScalesCheckpoint.from_text(note.decode())).size == 0
    done = subprocess.run(
        [programs("gocheck"), tmp_path, KEY.vkey], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == f"{ORIGIN} 0 0 0 0\n", done.stderr


# Theirs before ours


def holds(folder: Path) -> None:
    found = verify(posix_log.open_reader(folder), [KEY.verifier])
    assert {(one.name, one.grave) for one in found} == {("history-absent", False)}, found


SIZES = (1, 2, 3, 255, 256, 257, 511, 512, 513, EACH)


def grown(folder: Path) -> Iterator[int]:
    """Have tlog-scales write our events, committing at each of SIZES."""
    signer = PlainEd25519Signer(ORIGIN, Ed25519PrivateKey.from_private_bytes(SEED))
    writer = TilesWriter.create(folder, ORIGIN)
    for folder_name in ("0", "entries"):
        (folder / "tile" / folder_name / "000.p").mkdir(parents=True)
        (folder / "tile" / folder_name / "001.p").mkdir()
        (folder / "tile" / folder_name / "002.p").mkdir()
    (folder / "tile/1/000.p").mkdir(parents=True)
    written = 0
    for size in SIZES:
        for leaf in LEAVES[written:size]:
            writer.add_leaf(leaf)
        writer.commit([signer], gc=False)
        written = size
        yield size


def test_we_accept_what_tlog_scales_writes(tmp_path: Path) -> None:
    for _ in grown(tmp_path / "log"):
        holds(tmp_path / "log")
    bundle = tmp_path / "log/tile/entries/001"
    bundle.write_bytes(bundle.read_bytes()[:-3] + b"1}}")
    names = {one.name for one in verify(posix_log.open_reader(tmp_path / "log"), [KEY.verifier]) if one.grave}
    assert "root-mismatch" in names


def test_we_accept_what_go_writes(programs: Callable[[str], Path], tmp_path: Path) -> None:
    program = programs("gowrite")
    for size in SIZES:
        folder = tmp_path / str(size)
        folder.mkdir()
        given = b"".join(struct.pack(">I", len(leaf)) + leaf for leaf in LEAVES[:size])
        subprocess.run([program, folder, KEY.to_text()], input=given, check=True, timeout=60)
        holds(folder)
        for tile in tiles_of(size):
            assert (folder / tile.path).read_bytes() == FILES[tile.path]
        assert (folder / "checkpoint").read_bytes() == FILES[f"history/{size}.note"]
