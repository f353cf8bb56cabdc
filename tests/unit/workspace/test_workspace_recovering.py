"""The restore drill against honest, old, damaged and forked copies; health against each of its faults."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from keep import SECRET, again, found, keep

from itmp import workspace
from itmp.adapters import posix_log
from itmp.adapters.clock import new_id
from itmp.audit import Event
from itmp.audit.verify import verify
from itmp.errors import NotFoundError
from itmp.signing import NoteVerifier
from itmp.workspace.place import EXECUTOR
from itmp.workspace.recovering import Drilled


@pytest.fixture
def place(tmp_path: Path) -> workspace.Workspace:
    made = found(tmp_path / "w")
    for text in ("one", "two", "three"):
        keep(made, text)
    return made


@pytest.fixture
def copy(place: workspace.Workspace, tmp_path: Path) -> Path:
    shutil.copytree(place.state, tmp_path / "copy")
    return tmp_path / "copy"


def check(place: workspace.Workspace, copy: Path, **more: object) -> Drilled:
    return workspace.audit_restore(again(place), copy, **more)  # type: ignore[arg-type]  # tests pass what it takes


def names(found: Drilled) -> set[str]:
    return {finding.name for finding in found.drill.findings if finding.grave}


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


# The drill.


def test_an_equal_copy_is_sound_and_the_drill_writes_nothing(place: workspace.Workspace, copy: Path) -> None:
    before = snapshot(copy), snapshot(place.state / "log")
    drilled = check(place, copy)
    assert (drilled.drill.exit_code, drilled.drill.size, drilled.drill.lacks) == (0, 4, 0)
    assert drilled.present == ("journal", "head.sqlite", "log key", "plans")
    assert (drilled.absent, drilled.notes) == ((), ())
    assert before == (snapshot(copy), snapshot(place.state / "log"))


def test_an_older_copy_says_how_many_events_it_lacks(place: workspace.Workspace, copy: Path) -> None:
    keep(place, "four")
    keep(place, "five")
    drilled = check(place, copy)
    assert (drilled.drill.exit_code, drilled.drill.size, drilled.drill.lacks) == (0, 4, 2)


def test_leaves_beyond_the_signed_ones_are_counted(place: workspace.Workspace, copy: Path) -> None:
    place.log.append(Event(id=new_id(), type="log.read", actor=dict(EXECUTOR)))
    shutil.copytree(place.state / "log", copy / "log", dirs_exist_ok=True)
    drilled = check(place, copy)
    assert (drilled.drill.exit_code, drilled.drill.beyond, drilled.drill.lacks) == (0, 1, 0)


def test_what_is_missing_to_run_from_it_is_named(
    place: workspace.Workspace, copy: Path, tmp_path: Path
) -> None:
    lone = tmp_path / "lone"
    shutil.copytree(copy / "log", lone, ignore=shutil.ignore_patterns(".state"))
    drilled = check(place, lone)
    assert drilled.drill.exit_code == 0
    assert {name.partition(" (")[0] for name in drilled.absent} == {"journal", "head.sqlite", "log key"}
    other = found(tmp_path / "other")
    shutil.copy(other.state / "keys/log.key", copy / "keys/log.key")
    assert "log key (it is another log's)" in check(place, copy).absent


@pytest.mark.parametrize(
    "harm",
    [
        lambda log: flip(log / "checkpoint", 40),
        lambda log: flip(next((log / "tile/entries").rglob("*.p/*"), log), 100),
        lambda log: flip(max((log / ".state").glob("journal.*")), 100),
        lambda log: (log / "checkpoint").unlink(),
        lambda log: shutil.rmtree(log / "tile"),
        lambda log: (log / "tile/0/stray").write_bytes(b"x"),
        lambda log: (log / "checkpoint").write_bytes(b""),
    ],
)
def test_a_damaged_copy_is_40(place: workspace.Workspace, copy: Path, harm: Callable[[Path], object]) -> None:
    for old in (copy / "log/tile/entries").rglob("*.p/*"):
        if old.name != "4":
            old.unlink()
    harm(copy / "log")
    drilled = check(place, copy)
    assert drilled.drill.exit_code == 40, drilled
    assert names(drilled)


def test_a_fork_signed_by_the_logs_own_key_is_42(place: workspace.Workspace, copy: Path) -> None:
    keep(place, "the true fourth")
    posix_log.open_log(copy).append(Event(id=new_id(), type="log.read", actor=dict(EXECUTOR)))
    unsigned = check(place, copy)
    assert (unsigned.drill.exit_code, names(unsigned)) == (42, {"forked"})
    posix_log.open_log(copy).checkpoint()
    assert not any(f.grave for f in _naive(place, copy)), "alone it is a perfect log"
    signed = check(place, copy)
    assert (signed.drill.exit_code, names(signed)) == (42, {"forked"})


def test_a_live_log_that_was_rolled_back_whole_is_42(
    place: workspace.Workspace, copy: Path, tmp_path: Path
) -> None:
    keep(place, "four")
    newer = tmp_path / "newer"
    shutil.copytree(place.state, newer)
    kept = place.root.parent / "kept.note"
    kept.write_text(workspace.audit_checkpoint(place))
    shutil.rmtree(place.state)
    shutil.copytree(copy, place.state)
    assert workspace.audit_verify(again(place)).exit_code == 0, "by itself it is a perfect log"
    assert names(check(place, newer)) == {"live-rolled-back"}
    assert check(place, newer).drill.exit_code == 42
    assert names(check(place, copy)) == set()
    assert names(check(place, copy, kept=[kept])) == {"live-rolled-back"}


def test_with_the_live_log_gone_a_kept_checkpoint_judges(
    place: workspace.Workspace, copy: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "kept.note"
    kept.write_text(workspace.audit_checkpoint(place))
    early = copy / "log/history/2.note"
    keep(place, "four")
    newer = tmp_path / "newer.note"
    newer.write_text(workspace.audit_checkpoint(place))
    posix_log.open_log(copy).append(Event(id=new_id(), type="log.read", actor=dict(EXECUTOR)))
    posix_log.open_log(copy).checkpoint()
    shutil.rmtree(place.state)
    drilled = check(place, copy, kept=[kept, early])
    assert (drilled.drill.exit_code, drilled.drill.lacks) == (0, None)
    assert drilled.notes == ("there is no live log here to compare with",)
    assert names(check(place, copy, kept=[newer])) == {"forked"}
    assert check(place, copy, kept=[newer]).drill.exit_code == 42


def test_a_copy_older_than_the_kept_checkpoint_lacks_events(place: workspace.Workspace, copy: Path) -> None:
    keep(place, "four")
    kept = place.root.parent / "kept.note"
    kept.write_text(workspace.audit_checkpoint(place))
    assert check(place, copy, kept=[kept]).drill.exit_code == 0
    shutil.rmtree(place.state)
    drilled = check(place, copy, kept=[kept])
    assert [f.name for f in drilled.drill.findings] == ["older-than-kept"]
    assert drilled.drill.exit_code == 0


def test_a_copy_of_another_log_is_no_copy(place: workspace.Workspace, tmp_path: Path) -> None:
    other = found(tmp_path / "other")
    assert check(place, other.state).drill.exit_code == 40
    drilled = check(place, place.state, trust=other.root / "trust").drill
    assert drilled.exit_code == 42, "the live log is not the trusted one, under its name"
    assert ("forked", "live log") in {(one.name, one.place) for one in drilled.findings}
    with pytest.raises(NotFoundError):
        check(place, tmp_path / "nowhere")


def test_a_copy_with_redacted_contents_says_so(place: workspace.Workspace, tmp_path: Path) -> None:
    keep(place, SECRET)
    early = tmp_path / "early"
    shutil.copytree(place.state / "private", early)
    workspace.audit_redact(place, "4", "/diff", reason="a password", key=str(place.root / "key"))
    shutil.copytree(place.state, tmp_path / "copy")
    assert check(place, tmp_path / "copy").notes == ()
    shutil.copytree(early, tmp_path / "copy/private", dirs_exist_ok=True)
    [note] = check(place, tmp_path / "copy").notes
    assert note.startswith("1 redacted contents lie in this copy")


# Health.


def test_a_fit_log_is_healthy(place: workspace.Workspace) -> None:
    fitness = workspace.audit_health(again(place))
    assert (fitness.exit_code, fitness.size, fitness.faults) == (0, 4, ())


class Old:
    """A clock of an earlier day."""

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)

    def mono(self) -> int:
        return 1

    def boot(self) -> str:
        return "another"


class Ahead(Old):
    """A clock of a later year."""

    def now(self) -> datetime:
        return datetime(2100, 1, 1, tzinfo=UTC)


def _behind(place: workspace.Workspace) -> None:
    posix_log.open_log(place.state, clock=Old()).append(
        Event(id=new_id(), type="log.read", actor=dict(EXECUTOR))
    )


def _ahead(place: workspace.Workspace) -> None:
    log = posix_log.open_log(place.state, clock=Ahead())
    log.append(Event(id=new_id(), type="log.read", actor=dict(EXECUTOR)))
    log.checkpoint()


def _full(place: workspace.Workspace) -> None:
    place.log.append(Event(id=new_id(), type="log.full", actor=dict(EXECUTOR)))
    place.log.checkpoint()


def _forget(place: workspace.Workspace) -> None:
    for path in ("head.sqlite", "spare/head.sqlite", "log/.state/marks"):
        (place.state / path).unlink()


def _older(place: workspace.Workspace) -> None:
    old = place.root.parent / "old"
    shutil.copytree(place.state / "log", old)
    keep(place, "four")
    shutil.rmtree(place.state / "log")
    old.rename(place.state / "log")


@pytest.mark.parametrize(
    ("harm", "name", "code"),
    [
        (_behind, "checkpoint-behind", 16),
        (_ahead, "clock-behind", 16),
        (_full, "log-full", 16),
        (_older, "ForkError", 42),
        (lambda place: (place.state / "log/.state/reserve").unlink(), "store", 16),
        (lambda place: shutil.rmtree(place.state / "log"), "NotFoundError", 16),
        (lambda place: (place.state / "keys/log.key").unlink(), "LogUnavailableError", 16),
        (lambda place: flip(place.state / "log/checkpoint", 40), "CheckpointError", 16),
        (_forget, "LogUnavailableError", 16),
    ],
)
def test_each_fault_is_named_in_one_line(
    place: workspace.Workspace, harm: Callable[[workspace.Workspace], object], name: str, code: int
) -> None:
    harm(place)
    fitness = workspace.audit_health(again(place))
    assert name in {fault for fault, _ in fitness.faults}, fitness
    assert fitness.exit_code == code


def test_a_log_that_cannot_be_written_is_unfit_in_one_line(place: workspace.Workspace) -> None:
    command = shlex.join([str(Path(sys.executable).parent / "itmp"), "audit", "health"])
    folder = shlex.quote(str(place.state / "log"))
    script = f"chmod a-w {folder}; {command}; rc=$?; chmod u+w {folder}; exit $rc"
    argv = ["/bin/sh", "-c", script]
    if os.geteuid() == 0:  # for root a mode is no obstacle, a mount is
        script = f"mount --bind {folder} {folder} && mount -o remount,ro,bind {folder} && exec {command}"
        argv = ["/usr/bin/unshare", "-m", "sh", "-c", script]
    done = subprocess.run(
        argv,
        cwd=place.root,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        stdin=subprocess.DEVNULL,
    )
    assert (done.returncode, done.stderr) == (16, "")
    [line] = done.stdout.splitlines()
    assert line.startswith("unfit  log-unwritable: log cannot be written"), line


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def _naive(place: workspace.Workspace, copy: Path) -> tuple[object, ...]:
    return verify(posix_log.open_reader(copy / "log"), (NoteVerifier.parse(place.log.vkey),))
