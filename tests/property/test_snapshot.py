"""A log opened from its snapshot is the log opened from all its leaves; what is wrong with a snapshot never matters."""

import os
import random
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itmp.adapters import posix_log
from itmp.audit import Event, Head, HeadMovedError, Log
from itmp.audit.snapshot import newest
from itmp.errors import ForkError, InvalidInputError
from itmp.signing import NoteKey
from itmp.testing.memory_log import MemoryStore, StepClock, counting_ids, genesis, memory_log

ORIGIN = "example.com/ops/2026"
KEY = NoteKey.generate(ORIGIN, bytes(range(32)))
START = datetime(2026, 11, 22, 5, tzinfo=UTC)
EVERY = 40


def event(n: int, kind: str = "check.finished", **fields: object) -> Event:
    name = f"{n:032x}" if n % 3 else f"a name of its own {n}"
    return Event(id=name, type=kind, actor={"kind": "machine", "id": "m"}, **fields)


def grow(log: Log, seed: int, count: int) -> None:
    """Append changes that begin, go on and close, policies, and what belongs to no change; publish now and then."""
    dice, n = random.Random(seed), 1_000_000 * seed  # noqa: S311 - a fixed seed
    closed: set[str] = set()
    while log.size() < count:
        n += 1
        change = f"CHG-{dice.randrange(12):010x}"
        match dice.randrange(12):
            case 0:
                log.append(event(n, "policy.changed"))
            case 1 if change not in closed and log.head_of(change):
                total, root = log.commitment(change)
                log.append(event(n, "change.closed", change=change, data={"count": total, "root": root}))
                closed.add(change)
            case 2:
                log.checkpoint()
            case _:
                log.append(event(n, change="" if change in closed else change, rc=n))
    log.checkpoint()


def open_again(store: MemoryStore) -> Log:
    return Log(store, KEY, StepClock(START + timedelta(days=1)), counting_ids(7), every=EVERY)


def without(store: MemoryStore) -> MemoryStore:
    """Return the same log without its snapshots."""
    bare = MemoryStore(ORIGIN)
    bare.journal.leaves, bare.journal.synced = list(store.journal.leaves), store.journal.synced
    bare.files.content = dict(store.files.content)
    bare.heads.head = store.heads.head
    return bare


def grown(seed: int, count: int, beyond: int) -> MemoryStore:
    store = MemoryStore(ORIGIN)
    log = Log(store, KEY, StepClock(START), counting_ids(1), every=EVERY)
    log.append(genesis(ORIGIN, KEY.vkey))
    grow(log, seed + 1, count)
    for n in range(beyond):
        log.append(event(10**9 + n, change=f"CHG-{n:010d}beyond"))
    return store


def same(one: Log, other: Log, sizes: list[int]) -> None:
    """Compare all that a log says."""
    assert one.size() == other.size()
    assert one.changes() == other.changes()
    for change in (*other.changes(), "CHG-unknown"):
        assert one.head_of(change) == other.head_of(change)
        assert one.commitment(change) == other.commitment(change)
        assert one.of_change(change) == other.of_change(change)
    assert one.policy_leaves() == other.policy_leaves()
    assert one.policy_head() == other.policy_head()
    for size in sizes:
        assert one.root(size) == other.root(size)
        assert one.prove_consistency(size, one.size()) == other.prove_consistency(size, one.size())
        assert one.prove_inclusion(size - 1, one.size()) == other.prove_inclusion(size - 1, one.size())
        assert one.leaf(size - 1) == other.leaf(size - 1)
    for now in (START + timedelta(days=2), START - timedelta(days=2)):
        assert one.health(now) == other.health(now)
    assert list(one.leaves()) == list(other.leaves())


def act(log: Log, size: int) -> list[str]:
    """Append again what is there, what collides, and what is new; return what came of each."""
    found = []
    for index in range(0, size, 7):
        old = log.leaf(index).event
        tries: tuple[Callable[[], object], ...] = (
            lambda old=old: log.append(old).index,
            lambda old=old: log.append(
                event(1, "log.read").__class__(id=old.id, type="log.read", actor=old.actor)
            ),
            lambda old=old, n=index: log.append(event(2 * 10**9 + n, change=old.change, rc=1)).index,
        )
        for step in tries:
            try:
                found.append(str(step()))
            except (InvalidInputError, HeadMovedError) as error:
                found.append(type(error).__name__)
    log.checkpoint()
    return [*found, log.root(log.size()).hex()]


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.sampled_from([60, 256, 300, 530]), beyond=st.integers(0, 9))
def test_a_log_from_its_snapshot_is_the_log_from_its_leaves(seed: int, count: int, beyond: int) -> None:
    store = grown(seed, count, beyond)
    snapshot = newest(store.snapshots, KEY.verifier)
    assert snapshot
    assert count - snapshot.head.size < 2 * EVERY
    sizes = sorted({1, 2, 255, 256, 257, count // 2, snapshot.head.size, count} & set(range(1, count + 1)))
    bare = without(store)
    same(open_again(store), open_again(bare), sizes)
    assert act(open_again(store), count) == act(open_again(bare), count)
    same(open_again(store), open_again(bare), sizes)


def test_what_lies_before_the_snapshot_is_not_read(tmp_path: Path) -> None:
    root = tmp_path / "root"
    log = disk(root)
    reopened = posix_log.open_log(root)
    (segment,) = reopened._store.journal._segments
    assert len(segment.ends) <= 256 + log.size() - reopened._snapshot.size
    assert segment.skipped + len(segment.ends) == log.size()
    assert reopened.leaf(3) == log.leaf(3)  # from a bundle
    assert segment.skipped > 0


def disk(root: Path, *, every: int = EVERY) -> Log:
    posix_log.create(root, origin=ORIGIN, genesis=lambda vkey: genesis(ORIGIN, vkey), key=KEY)
    log = posix_log.open_log(root, every=every)
    for start in range(0, 560, 80):
        log.extend([event(start + n, change=f"CHG-{n % 5}") for n in range(1, 81)])
        log.checkpoint()
    log.append(event(999, change="CHG-0"))
    return log


def spoilt(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def files(root: Path) -> list[Path]:
    return [path for path in (root / "snapshot").rglob("*") if path.is_file()]


def linked(path: Path) -> None:
    """Leave a link to the same bytes."""
    elsewhere = path.parents[path.parts[::-1].index("snapshot")].parent / f"{path.name}.elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def piped(path: Path) -> None:
    """Leave a pipe that nobody writes."""
    path.unlink()
    os.mkfifo(path)


HARMS: dict[str, Callable[[Path], object]] = {
    "no snapshots": lambda root: shutil.rmtree(root / "snapshot"),
    "a note": lambda root: [spoilt(path) for path in (root / "snapshot").glob("*.note")],
    "a state": lambda root: [spoilt(path) for path in (root / "snapshot").glob("*.state")],
    "no states": lambda root: [path.unlink() for path in (root / "snapshot").glob("*.state")],
    "parts": lambda root: [spoilt(path) for path in (root / "snapshot/parts").iterdir()],
    "parts of nothing": lambda root: [
        path.write_bytes(b"itmp-part/v1\n" + bytes(8) + b"[]") for path in (root / "snapshot/parts").iterdir()
    ],
    "no parts": lambda root: shutil.rmtree(root / "snapshot/parts"),
    "tiles": lambda root: [spoilt(path) for path in (root / "log/tile/0").rglob("*") if path.is_file()],
    "a full tile": lambda root: spoilt(root / "log/tile/0/000"),
    "no tiles": lambda root: shutil.rmtree(root / "log/tile/0"),
    "bundles": lambda root: [
        spoilt(path) for path in (root / "log/tile/entries").rglob("*") if path.is_file()
    ],
    "a forged note of a greater size": lambda root: (root / "snapshot/99999.note").write_bytes(
        next((root / "snapshot").glob("*.note")).read_bytes().replace(b"size ", b"size 9")
    ),
    "a greater name": lambda root: shutil.copy(
        next((root / "snapshot").glob("*.note")), root / "snapshot/99999.note"
    ),
    "half of each file": lambda root: [os.truncate(path, path.stat().st_size // 2) for path in files(root)],
    "links": lambda root: [linked(path) for path in files(root)],
    "pipes": lambda root: [piped(path) for path in files(root)],
    "a checkpoint for a note": lambda root: [
        shutil.copy(root / "log/checkpoint", path) for path in (root / "snapshot").glob("*.note")
    ],
    "a folder for a note": lambda root: (root / "snapshot/88888.note").mkdir(),
}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("template") / "root"
    disk(root)
    return root


@pytest.mark.parametrize("harm", HARMS)
def test_a_harmed_snapshot_changes_nothing_but_time(tmp_path: Path, template: Path, harm: str) -> None:
    root, bare = tmp_path / "root", tmp_path / "bare"
    shutil.copytree(template, root)
    shutil.copytree(template, bare)
    shutil.rmtree(bare / "snapshot")
    HARMS[harm](root)
    sizes = [1, 100, 256, 300, 500]
    same(posix_log.open_log(root), posix_log.open_log(bare), sizes)
    assert posix_log.open_log(root).append(event(5, change="CHG-0")).index == 5
    with pytest.raises(InvalidInputError, match="taken"):
        posix_log.open_log(root).append(event(5, change="CHG-1"))


def test_a_snapshot_of_another_log_or_key_is_passed_over() -> None:
    log, store = memory_log(KEY, start=START)
    other = NoteKey.generate(ORIGIN, bytes(32))
    text = f"itmp-snapshot/v1\nlog {ORIGIN}\nsize 9\nroot {'A' * 43}=\nstate sha256:{'0' * 64}\n"
    store.snapshots.put("9.note", other.sign(text))
    assert newest(store.snapshots, KEY.verifier) is None
    elsewhere = NoteKey.generate("example.com/else/2026", bytes(32))
    store.snapshots.put("9.note", elsewhere.sign(text.replace(ORIGIN, "example.com/else/2026")))
    assert open_again(store).size() == log.size()
    store.snapshots.put("9.note", KEY.sign(text.replace("itmp-snapshot/v1\n", "")))
    assert newest(store.snapshots, KEY.verifier) is None


def test_a_log_older_than_its_snapshot_is_a_fork(tmp_path: Path) -> None:
    root = tmp_path / "root"
    posix_log.create(root, origin=ORIGIN, genesis=lambda vkey: genesis(ORIGIN, vkey), key=KEY)
    old = tmp_path / "old"
    shutil.copytree(root, old)
    log = posix_log.open_log(root, every=EVERY)
    log.extend([event(n) for n in range(1, 100)])
    log.checkpoint()
    shutil.copytree(root / "snapshot", old / "snapshot")  # log and record rolled back, the snapshot not
    with pytest.raises(ForkError, match="snapshot"):
        posix_log.open_log(old)


def test_a_log_rolled_back_with_its_snapshot_is_caught_by_the_record(tmp_path: Path) -> None:
    root = tmp_path / "root"
    log = disk(root)
    old = tmp_path / "old"
    shutil.copytree(root, old)
    log.extend([event(5000 + n) for n in range(1, 100)])
    log.checkpoint()
    for part in ("log", "snapshot"):
        shutil.rmtree(root / part)
        shutil.copytree(old / part, root / part)
    with pytest.raises(ForkError):
        posix_log.open_log(root)


def test_another_history_after_the_snapshot_is_a_fork() -> None:
    store = grown(3, 100, 0)
    signed = newest(store.snapshots, KEY.verifier)
    assert signed
    store.heads.head = Head(origin=ORIGIN, size=store.heads.head.size, root=bytes(32))
    with pytest.raises(ForkError, match="two histories"):
        open_again(store)


@pytest.mark.parametrize("harm", ["the snapshots", "their parts", "the log itself"])
def test_a_link_for_a_folder_of_snapshots_costs_nobody_a_file(
    tmp_path: Path, template: Path, harm: str
) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    shutil.copytree(template, root)
    folder = root / ("snapshot/parts" if harm == "their parts" else "snapshot")
    folder.rename(elsewhere)
    folder.symlink_to("." if harm == "the log itself" else elsewhere)
    (elsewhere / "77.note").write_text("another's")
    (elsewhere / "mine").mkdir()
    before = {path: path.read_bytes() for path in elsewhere.rglob("*") if path.is_file()}
    log = posix_log.open_log(root, every=EVERY)
    log.extend([event(3000 + n) for n in range(1, EVERY + 1)])
    log.checkpoint()
    assert {path: path.read_bytes() for path in elsewhere.rglob("*") if path.is_file()} == before
    assert posix_log.open_log(root).size() == log.size()


def test_what_is_no_snapshots_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "root/snapshot/parts").mkdir(parents=True)
    others = [tmp_path / "root/snapshot" / name for name in ("read me", "parts/notes", "1.note.old")]
    for path in others:
        path.write_text("another's")
    disk(tmp_path / "root")
    assert [path.read_text() for path in others] == ["another's"] * len(others)
    assert len(list((tmp_path / "root/snapshot").glob("*.note"))) == 2


def test_a_log_and_record_older_than_the_snapshot_are_a_fork(tmp_path: Path, template: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(template, root)
    log = posix_log.open_log(root, every=EVERY)
    log.extend([event(4000 + n) for n in range(1, EVERY + 1)])
    log.checkpoint()
    shutil.rmtree(root / "log")
    shutil.copytree(template / "log", root / "log")
    shutil.copy(template / "head.sqlite", root / "head.sqlite")
    with pytest.raises(ForkError, match="snapshot"):
        posix_log.open_log(root)


def test_old_snapshots_go_and_parts_stay_few(template: Path) -> None:
    names = sorted(path.name for path in (template / "snapshot").iterdir())
    assert len([name for name in names if name.endswith(".note")]) == 2
    assert len([name for name in names if name.endswith(".state")]) == 2
    assert len(list((template / "snapshot/parts").iterdir())) <= 8
