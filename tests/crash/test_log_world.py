"""What the world does to a log: full disks, failed syncs, files and folders taken away, no permission."""

import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest
from log_actor import Counted, create, event
from log_faults import DECIDED, Actors, grave, hold, points

from itmp.adapters import posix_log
from itmp.adapters.posix_log.marks import Marks
from itmp.adapters.posix_log.opening import PosixStore
from itmp.audit import DiskFullError, Log
from itmp.errors import Error, LogUnavailableError

SMALL = "1600k"
ROOM = 300 * 1024
NOBODY = 65534
NEXT_BOOT = "the-next-boot"
REFUSES, GOES_ON = 0, 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for a log and a little more; who may not mount gets files of limited size."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "none", disk]
    mounted = os.geteuid() == 0 and not subprocess.run(mount, capture_output=True, check=False).returncode
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield disk
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    if mounted:
        subprocess.run(["umount", "-l", disk], check=True)


def fill_up(disk: Path) -> Callable[[], None]:
    """Leave little room; return what makes room again."""
    if not disk.is_mount():
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, limits[1]))
        return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    status, ballast = os.statvfs(disk), disk / "ballast"
    ballast.write_bytes(bytes(max(0, status.f_bavail * status.f_frsize - ROOM)))
    return ballast.unlink


@pytest.mark.parametrize("publish", [False, True], ids=["append", "publish"])
def test_a_full_disk_stops_the_log_and_room_lets_it_go_on(small_disk: Path, *, publish: bool) -> None:
    root, said = small_disk / "root", []
    log = create(root)
    make_room = fill_up(small_disk)

    def fill() -> None:
        for n in range(600, 700):
            receipt = log.append(event(n))
            said.append(["ack", receipt.leaf.event.id, str(receipt.index), receipt.hash])
            if publish:
                log.checkpoint()

    with pytest.raises(LogUnavailableError) as caught:
        fill()
    assert publish or isinstance(caught.value, DiskFullError)
    assert 0 < len(said) < 100
    make_room()
    assert list(hold(root, said, "room again")) == []


def test_a_failed_sync_poisons_the_segment_for_every_process(
    actors: Actors, prepared: dict[str, Path]
) -> None:
    root = actors.place(prepared["append"])
    other = posix_log.open_log(root, clock=Counted(count(DECIDED)))
    other.append(event(499))
    other.append(event(500), durable=False)
    clean = actors.trace("append", actors.place(prepared["append"]))
    sync = next(point for point in points(clean.trace) if point.name == "fdatasync")
    outcome = actors.strike("append", root, sync, "EIO")
    assert [words[0] for words in outcome.said] == ["refused", "ack"]  # the same process opened it anew
    assert len(list((root / "log/.state").glob("journal.*"))) == 2
    assert list(hold(root, outcome.said, "after a failed sync")) == []
    assert other.append(event(501)).durable  # who had it open follows to the fresh segment


def test_while_a_segment_is_poisoned_nobody_writes(actors: Actors, prepared: dict[str, Path]) -> None:
    root = actors.place(prepared["append"])
    other = posix_log.open_log(root)
    other.append(event(499))
    other._store.journal._marks.poisoned = 5
    for _ in range(2):
        with pytest.raises(LogUnavailableError, match="sync failed"):
            other.append(event(500))
    assert list(hold(root, [], "opened anew")) == []


def test_who_reads_after_a_restart_leaves_the_marks_as_they_are(
    actors: Actors, prepared: dict[str, Path]
) -> None:
    root = actors.place(prepared["append"])
    path = root / "log/.state/marks"
    Marks(path).poisoned = 5  # of the boot that is over
    before = path.read_bytes()
    store = PosixStore(root, boot=NEXT_BOOT)
    assert (store.journal.size(), len(store.journal.read(0, 3)), store.journal.complaints()) == (3, 3, [])
    low, position = 0, store.journal.position(3)
    assert store.journal.resume(3, position) == low
    assert path.read_bytes() == before
    store.journal.sync(3)
    assert path.read_bytes().startswith(NEXT_BOOT.encode())
    store.close()


@pytest.mark.parametrize("lost", [False, True], ids=["marks kept", "marks lost"])
def test_who_has_only_read_follows_to_a_fresh_segment(
    actors: Actors, prepared: dict[str, Path], *, lost: bool
) -> None:
    root = actors.place(prepared["append"])
    state = root / "log/.state"
    if lost:
        (state / "marks").unlink()
    reader, store = (PosixStore(root, boot=NEXT_BOOT) for _ in range(2))
    assert reader.journal.size() == 3
    store.journal.sync(3)
    store.journal._marks.poisoned = 5
    healed = PosixStore(root, boot=NEXT_BOOT)
    assert (state / "journal.3").exists()
    with healed.journal.exclusive() as turn:
        turn.write([b"{}"])
    if lost:
        (state / "marks").unlink()
    assert (reader.journal.size(), reader.journal.read(3, 4)) == (4, [b"{}"])
    with reader.journal.exclusive() as turn:
        assert turn.size == 4
    for one in (reader, store, healed):
        one.close()


@pytest.mark.parametrize("way", ["append", "sync"])
def test_a_sync_that_fails_while_others_take_up_the_marks_is_heard_by_them(
    actors: Actors, prepared: dict[str, Path], way: str
) -> None:
    root = actors.place(prepared["append"])
    mine, other = (PosixStore(root, boot=NEXT_BOOT).journal for _ in range(2))
    assert mine.size() == other.size() == 3

    def take_part() -> None:
        if way == "sync":
            mine.sync(3)
        else:
            with mine.exclusive() as turn:
                turn.write([b"{}"])

    with ThreadPoolExecutor(1) as pool:
        with other._sync_lock:
            taking_part = pool.submit(take_part)
            with pytest.raises(TimeoutError):
                taking_part.result(0.3)
            other._adopt()
            other._marks.poisoned = 5
        with pytest.raises(LogUnavailableError, match="sync failed"):
            taking_part.result(30)
    assert (mine._marks.poisoned, mine.size()) == (5, 3)
    mine.close()
    other.close()
    assert list(hold(root, [], "opened anew")) == []


REFUSED = [
    ("log/tile/entries/000.p", ""),
    ("log/tile/0/000.p", ""),
    ("log/history", ""),
    ("log", ""),
    ("log/.state/tmp", ""),
    (".", ""),
    (".", "head.sqlite"),
    ("log/.state", "journal.0"),
    ("log/.state", "publish.lock"),
]
"""What may not be written, and which file of it is gone besides."""
HARMLESS = [
    ("log/.state", ""),
    ("log/.state/spare", ""),
    ("log/.state/spare", "journal.0"),
    ("spare", ""),
    ("spare", "head.sqlite"),
]
"""What nothing has to be written to, as long as all is there; a file goes without its spare name."""


@pytest.mark.parametrize(("part", "gone"), REFUSED)
def test_a_folder_that_may_not_be_written_is_an_error_and_no_harm(
    actors: Actors, prepared: dict[str, Path], part: str, gone: str
) -> None:
    root = actors.place(prepared["append"])
    assert _as_nobody(root, part, gone) == REFUSES
    assert grave(root) == []
    assert list(hold(root, [], f"{part} was read-only")) == []


@pytest.mark.parametrize(("part", "gone"), HARMLESS)
def test_a_log_goes_on_where_only_spare_names_may_not_be_written(
    actors: Actors, prepared: dict[str, Path], part: str, gone: str
) -> None:
    root = actors.place(prepared["append"])
    assert _as_nobody(root, part, gone) == GOES_ON
    assert grave(root) == []
    assert list(hold(root, [], f"{part} was read-only")) == []


def _as_nobody(root: Path, part: str, gone: str) -> int:
    """Append and publish where a folder is read-only, as somebody for whom that counts."""
    folder = root / part
    if gone:
        (folder / gone).unlink()
    for path in [root, *root.rglob("*"), root.parents[0]] if os.geteuid() == 0 else []:
        os.chown(path, NOBODY, NOBODY)
    before = folder.stat().st_mode
    folder.chmod(0o555)
    child = os.fork()
    if child == 0:
        os._exit(_tried(root) if not os.geteuid() else _tried(root, change=False))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    folder.chmod(before)
    for path in [root, *root.rglob("*"), root.parents[0]] if os.geteuid() == 0 else []:
        os.chown(path, 0, 0)
    return code


def _tried(root: Path, *, change: bool = True) -> int:
    try:
        if change:
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
        log: Log = posix_log.open_log(root)
        log.append(event(500))
        log.checkpoint()
    except Error:
        return REFUSES
    except BaseException:  # noqa: BLE001 - the child must end here
        return 2
    return GOES_ON
