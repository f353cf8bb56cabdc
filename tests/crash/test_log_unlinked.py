"""Files that were unlinked: nothing that was acknowledged is lost, or every opening is refused and says what is.

A journal and a head record have two names each; `lose` takes both.
"""

import os
import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from log_actor import Counted, create, event
from log_faults import DECIDED, NAMES, SPARES, Actors, grave, hold

from itmp.adapters import posix_log
from itmp.adapters.posix_log import periods, spare
from itmp.adapters.posix_log.heads import SqliteHeads
from itmp.adapters.posix_log.marks import Marks
from itmp.adapters.posix_log.opening import PosixStore
from itmp.audit import Log, snapshot
from itmp.errors import ForkError, LogUnavailableError

JOURNAL, RECORD = NAMES
STATE = "log/.state"
Said = list[list[str]]


class Rebooted(Counted):
    """The clock of another boot."""

    def boot(self) -> str:
        return "another-boot"


def opened(root: Path, clock: type[Counted] = Counted) -> Log:
    return posix_log.open_log(root, clock=clock(count(DECIDED)))


def acknowledged(log: Log, *numbers: int) -> Said:
    """Append events; return what was promised."""
    receipts = [log.append(event(n)) for n in numbers]
    return [["ack", receipt.leaf.event.id, str(receipt.index), receipt.hash] for receipt in receipts]


@pytest.fixture
def root(actors: Actors, prepared: dict[str, Path]) -> Path:
    """Three leaves, all published."""
    return actors.place(prepared["append"])


def heal(root: Path) -> None:
    """Let a sync fail, and the next opening move the journal to a second segment."""
    log = opened(root)
    acknowledged(log, 1)
    log.append(event(800), durable=False)
    Marks(root / STATE / "marks").poisoned = 5
    opened(root)
    assert sorted(path.name for path in (root / STATE).glob("journal.*")) == ["journal.0", "journal.3"]


def lose(root: Path, *names: str) -> None:
    for name in names or (JOURNAL,):
        path = root / name
        path.unlink()
        path.parent.joinpath("spare", path.name).unlink(missing_ok=True)


def refused(root: Path, match: str, clock: type[Counted] = Counted) -> None:
    """Every opening is refused with exit code 16, not the first alone."""
    for _ in range(2):
        with pytest.raises(LogUnavailableError, match=match) as caught:
            opened(root, clock)
        assert caught.value.exit_code == 16
        assert caught.value.do


# One of two names.


@pytest.mark.parametrize("clock", [Counted, Rebooted], ids=["this boot", "another boot"])
@pytest.mark.parametrize("taken", [*NAMES, *SPARES, f"{STATE}/journal.3", f"{STATE}/spare/journal.3"])
def test_an_unlinked_name_costs_nothing(root: Path, taken: str, clock: type[Counted]) -> None:
    heal(root)
    said = acknowledged(opened(root), 900, 901)
    (root / taken).unlink()
    assert grave(root) == []
    log = opened(root, clock)
    assert list(hold(root, said, f"{taken} was unlinked")) == []
    for name in (*NAMES, f"{STATE}/journal.3"):
        assert (root / name).stat().st_nlink == 2
        assert (root / name).samefile((root / name).parent / "spare" / Path(name).name)
    assert log.append(event(902)).leaf.event.id == event(902).id  # who had it open goes on


def test_a_writer_goes_on_whose_file_loses_a_name(root: Path) -> None:
    log = opened(root)
    said = acknowledged(log, 900)
    (root / JOURNAL).unlink()
    said += acknowledged(log, 901)
    assert (root / JOURNAL).stat().st_nlink == 2
    (root / RECORD).unlink()
    log.checkpoint()
    assert list(hold(root, said, "unlinked under a writer")) == []


def test_readers_find_the_leaves_of_a_journal_that_lost_its_name(root: Path) -> None:
    acknowledged(opened(root), 900)
    (root / JOURNAL).unlink()
    (part,) = posix_log.open_reader(root / "log").journal()
    assert [len(leaves) for leaves in part.chunks()] == [4]
    assert not (root / JOURNAL).exists()


@pytest.mark.parametrize("way", ["unlinked", "replaced"])
def test_no_receipt_is_given_for_a_file_that_nobody_will_find(root: Path, way: str) -> None:
    log = opened(root)
    shutil.copy(root / JOURNAL, root / "copy")
    lose(root)
    if way == "replaced":
        (root / "copy").rename(root / JOURNAL)
    with pytest.raises(LogUnavailableError):
        log.append(event(900))


@pytest.mark.parametrize("way", ["unlinked", "replaced"])
def test_no_receipt_is_given_when_the_file_goes_while_it_is_synced(
    root: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    log, sync = opened(root), os.fdatasync
    shutil.copy(root / JOURNAL, root / "copy")

    def unlinked_meanwhile(descriptor: int) -> None:
        sync(descriptor)
        lose(root)
        if way == "replaced":
            (root / "copy").rename(root / JOURNAL)

    acknowledged(log, 1)
    monkeypatch.setattr(os, "fdatasync", unlinked_meanwhile)
    with pytest.raises(LogUnavailableError, match="gone"):
        log.append(event(900))
    monkeypatch.undo()
    with pytest.raises(LogUnavailableError):
        log.append(event(900))
    assert Marks(root / STATE / "marks").synced == 3


def test_a_healed_journal_is_not_held_against_the_file_that_a_sync_spoiled(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(root).append(event(800), durable=False)
    Marks(root / STATE / "marks").poisoned = 5
    spoiled = os.open(root / JOURNAL, os.O_WRONLY)
    keep, identity = spare.keep, os.fstat(spoiled).st_ino

    def die(path: Path) -> None:
        if path.name == "journal.0" and path.stat().st_ino != identity:
            raise KeyboardInterrupt  # the fresh file has its name, and no spare one yet
        keep(path)

    monkeypatch.setattr(spare, "keep", die)
    with pytest.raises(KeyboardInterrupt):
        opened(root)
    monkeypatch.undo()
    os.pwrite(spoiled, bytes(20), 0)  # what memory forgot is read from the disk
    os.close(spoiled)
    assert list(hold(root, [], "killed while it was healed")) == []


def test_leaves_that_a_failed_sync_dropped_are_not_missed_when_the_healing_is_killed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = acknowledged(opened(root), 900)
    size = (root / JOURNAL).stat().st_size
    opened(root).extend([event(800), event(801)], durable=False)
    marks = Marks(root / STATE / "marks")
    marks.poisoned = 5
    assert (marks.written, marks.synced) == (6, 4)
    with (root / JOURNAL).open("r+b") as journal:
        dropped = journal.seek(0, os.SEEK_END) - size
        journal.seek(size)
        journal.write(bytes(dropped))

    def die(path: Path) -> None:
        if path.name == "journal.4":
            raise KeyboardInterrupt

    monkeypatch.setattr(spare, "keep", die)
    with pytest.raises(KeyboardInterrupt):
        opened(root)
    monkeypatch.undo()
    assert (root / STATE / "journal.4").exists()
    assert list(hold(root, said, "killed while it was healed")) == []


@pytest.mark.parametrize("newer", [JOURNAL, SPARES[0]])
def test_of_two_files_under_two_names_the_longer_counts(root: Path, newer: str) -> None:
    older = ({JOURNAL, SPARES[0]} - {newer}).pop()
    shutil.copy(root / JOURNAL, root / "copy")
    said = acknowledged(opened(root), 900)
    (root / "copy").rename(root / older)
    assert list(hold(root, said, f"{older} is an older copy")) == []
    assert (root / JOURNAL).samefile(root / SPARES[0])


def test_two_files_under_two_names_that_differ_are_refused(root: Path) -> None:
    other = root / SPARES[0]
    data = bytearray(other.read_bytes())
    other.unlink()
    data[-2] ^= 1
    other.write_bytes(data)
    refused(root, "two files")
    assert other.read_bytes() == data
    other.unlink()
    assert list(hold(root, [], "the other one was removed")) == []


def test_a_file_system_without_links_is_no_hindrance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    log = create(tmp_path / "root")
    said = acknowledged(log, 900)
    log.checkpoint()
    assert list(hold(tmp_path / "root", said, "no links")) == []
    assert not list((tmp_path / "root").rglob("spare/*"))
    lose(tmp_path / "root")
    assert list(hold(tmp_path / "root", said, "no links, and no journal")) == []


# Any file.


def test_any_one_file_may_go(actors: Actors, tmp_path: Path) -> None:
    """Each file of a log, key and contents excepted: the next append and checkpoint are sound, and nothing is lost."""
    log = create(tmp_path / "template")
    log.extend([event(n) for n in range(1, 300)])
    log.checkpoint()
    said = acknowledged(log, 900, 901)
    store = log._store
    snapshot.write(store.snapshots, log._key, log._view, store.journal.position(log.size()), log._bytes)
    wrong = []
    for path in sorted(path for path in (tmp_path / "template").rglob("*") if path.is_file()):
        name = path.relative_to(tmp_path / "template")
        if name.parts[0] == "keys":
            continue
        root = actors.place(tmp_path / "template")
        (root / name).unlink()
        opened(root).checkpoint()
        wrong += hold(root, said, f"{name} was unlinked")
        shutil.rmtree(root)
    assert wrong == []


def test_a_tile_that_goes_under_a_publisher_is_put_again(tmp_path: Path) -> None:
    root = tmp_path / "root"
    log = create(root)
    log.extend([event(n) for n in range(1, 300)])
    log.checkpoint()
    (root / "log/tile/1/000.p/1").unlink()  # the next root needs it, and no new leaf changes it
    said = acknowledged(log, 900)
    log.checkpoint()
    assert list(hold(root, said, "a tile was unlinked")) == []


@pytest.mark.parametrize("part", ["tile/entries/000.p/3", "tile/0/000.p/3"])
def test_a_published_file_that_was_altered_is_left_as_it_is(root: Path, part: str) -> None:
    data = bytearray((root / "log" / part).read_bytes())
    data[-2] ^= 1
    (root / "log" / part).write_bytes(data)
    log = opened(root)
    acknowledged(log, 900)
    log.checkpoint()
    assert (root / "log" / part).read_bytes() == data
    assert grave(root)


# Both names of the journal.


def test_a_lost_journal_whose_leaves_are_all_published_is_made_again(root: Path) -> None:
    log = opened(root)
    said = acknowledged(log, 900)
    log.checkpoint()
    lose(root)
    assert list(hold(root, said, "the journal was lost")) == []
    found = [leaf.event.data for leaf in opened(root).leaves() if leaf.event.type == "log.recovered"]
    assert [(data["cut"], data["size"]) for data in found] == [(0, 4)]
    lose(root)  # and again
    assert list(hold(root, said, "the journal was lost twice")) == []


@pytest.mark.parametrize("durable", [True, False])
def test_a_lost_journal_with_leaves_that_are_not_published_is_refused(root: Path, *, durable: bool) -> None:
    log = opened(root)
    log.append(event(900), durable=False)
    log.append(event(901), durable=durable)
    shutil.copy(root / JOURNAL, root / "copy")
    lose(root)
    refused(root, r"journal\.0: the journal is gone: leaves 3 to 4 were written to it and are not published")
    (root / "copy").rename(root / JOURNAL)
    assert list(hold(root, [], "put back")) == []


def test_after_a_restart_durable_leaves_of_a_lost_journal_are_still_told_of(root: Path) -> None:
    acknowledged(opened(root), 900, 901)
    lose(root)
    refused(root, "leaves 3 to 4 were written", Rebooted)
    assert [path.name for path in (root / STATE).glob("journal.*")] == []


def _no_marks(root: Path) -> None:
    (root / STATE / "marks").unlink()


def _nothing_written(root: Path) -> None:
    PosixStore(root, boot=Rebooted(count()).boot()).journal.sync(3)


@pytest.mark.parametrize("harm", [_no_marks, _nothing_written])
def test_where_nothing_says_what_a_lost_journal_held_it_is_refused(
    root: Path, harm: Callable[[Path], None]
) -> None:
    harm(root)
    lose(root)
    for clock in (Counted, Rebooted):
        refused(root, "leaves from 3 on may have been in it alone", clock)


@pytest.mark.parametrize("part", ["log/tile/entries/000.p/3", RECORD])
def test_a_lost_journal_is_not_made_again_without_what_vouches_for_it(root: Path, part: str) -> None:
    lose(root)
    (root / "spare/head.sqlite").unlink()
    (root / part).unlink()
    refused(root, "head record" if part == RECORD else "published leaves cannot be read")


def test_a_lost_journal_is_not_made_again_from_other_leaves(root: Path) -> None:
    lose(root)
    bundle = root / "log/tile/entries/000.p/3"
    data = bytearray(bundle.read_bytes())
    data[20] ^= 1
    bundle.write_bytes(data)
    refused(root, "not those of the head record")


def test_a_lost_newest_segment_is_missed(root: Path) -> None:
    heal(root)
    said = acknowledged(opened(root), 900)
    shutil.copy(root / f"{STATE}/journal.3", root / "copy")
    lose(root, f"{STATE}/journal.3")
    refused(root, r"journal\.3: the journal is gone: leaves 3 to 4 were written")
    (root / "copy").rename(root / f"{STATE}/journal.3")
    opened(root).checkpoint()
    acknowledged(opened(root), 900)
    lose(root, f"{STATE}/journal.3")
    opened(root)
    assert list(hold(root, said, "all was published")) == []


@pytest.mark.parametrize("clock", [Counted, Rebooted], ids=["this boot", "another boot"])
def test_a_lost_first_segment_is_made_again_from_what_is_published(root: Path, clock: type[Counted]) -> None:
    heal(root)
    said = acknowledged(opened(root), 900)
    lose(root)
    opened(root, clock)
    assert list(hold(root, said, "the first segment was lost")) == []


def test_a_lost_first_segment_that_was_not_published_is_missed(root: Path) -> None:
    acknowledged(opened(root), 900)
    opened(root).append(event(800), durable=False)
    Marks(root / STATE / "marks").poisoned = 5
    opened(root)
    assert (root / f"{STATE}/journal.4").exists()
    lose(root)
    for clock in (Counted, Rebooted):
        refused(root, "leaves 3 to 3 with it, which were not published", clock)


@pytest.mark.parametrize("clock", [Counted, Rebooted], ids=["this boot", "another boot"])
def test_a_shorter_file_in_the_journals_place_is_refused(root: Path, clock: type[Counted]) -> None:
    shutil.copy(root / JOURNAL, root / "copy")
    acknowledged(opened(root), 900)
    lose(root)
    (root / "copy").rename(root / JOURNAL)
    refused(root, "lost leaves 3 to 3", clock)


def test_a_journal_that_ends_before_the_head_is_a_rollback(root: Path) -> None:
    shutil.copy(root / JOURNAL, root / "copy")
    log = opened(root)
    acknowledged(log, 900)
    log.checkpoint()
    for boot in (Counted, Rebooted):
        lose(root)
        shutil.copy(root / "copy", root / JOURNAL)
        with pytest.raises(ForkError):
            opened(root, boot)


def test_nothing_is_written_to_a_journal_that_ends_before_the_head(root: Path) -> None:
    shutil.copy(root / JOURNAL, root / "copy")
    log = opened(root)
    acknowledged(log, 900)
    log.checkpoint()
    lose(root)
    (root / "copy").rename(root / JOURNAL)
    store = PosixStore(root, boot=Counted(count()).boot())
    with pytest.raises(LogUnavailableError, match="before the newest head"), store.journal.exclusive():
        pass
    with pytest.raises(LogUnavailableError, match="before the newest head"):
        store.journal.sync(3)


# Both names of the head record.


def test_a_lost_head_record_is_made_again_while_the_journal_is_vouched_for(root: Path) -> None:
    log = opened(root)
    said = acknowledged(log, 900)
    said += [["signed", "4", log.root(4).hex()]] if log.checkpoint() else []
    said += acknowledged(log, 901)
    lose(root, RECORD)
    log = opened(root)
    assert log.published().checkpoint.size == 4
    assert list(hold(root, said, "the head record was lost")) == []


def test_a_lost_head_record_is_missed_after_a_restart(root: Path) -> None:
    acknowledged(opened(root), 900)
    lose(root, RECORD)
    refused(root, "head record", Rebooted)
    assert not (root / RECORD).exists()


def test_a_lost_head_record_is_not_made_again_over_another_journal(root: Path) -> None:
    shutil.copy(root / JOURNAL, root / "copy")
    lose(root, RECORD, JOURNAL)
    (root / "copy").rename(root / JOURNAL)
    refused(root, "head record")


def test_a_record_in_anothers_place_gets_the_spare_name(root: Path) -> None:
    shutil.copy(root / RECORD, root / "copy")
    (root / "copy").rename(root / RECORD)
    opened(root)
    assert (root / RECORD).samefile(root / SPARES[1])


def test_an_ended_periods_record_is_never_given_back_to_the_next_log(root: Path) -> None:
    (root / "periods/2026").mkdir(parents=True)
    periods._retire(root, root / "periods/2026")
    assert (root / "periods/2026/head.sqlite").exists()
    with pytest.raises(LogUnavailableError):
        SqliteHeads(root / RECORD).read()
