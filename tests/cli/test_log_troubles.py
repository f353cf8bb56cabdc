"""Without a log that holds, nothing runs; when the log stops holding, the run stops."""

import os
import resource
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from places import BIN, Place, carriers, rolling

pytestmark = pytest.mark.fleet


def journal(place: Place) -> Path:
    """Return the log's newest write-ahead segment."""
    return max((place.root / ".itmp/log/.state").glob("journal.*"))


def flip(path: Path, at: int) -> None:
    """Change one byte of a file in place."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)


def _journal(place: Place) -> None:
    flip(journal(place), journal(place).stat().st_size // 2)


def _entries(place: Place) -> None:
    (bundle,) = list((place.root / ".itmp/log/tile/entries").rglob("*.p/*"))[-1:]
    for path in (place.root / ".itmp/log/tile/entries").rglob("*.p/*"):
        flip(path, bundle.stat().st_size // 3)


def _checkpoint(place: Place) -> None:
    flip(place.root / ".itmp/log/checkpoint", 30)


def _lost(place: Place) -> None:
    for path in (place.root / ".itmp/log/tile/entries").rglob("*.p/*"):
        path.unlink()
    for path in (place.root / ".itmp/log/.state").rglob("journal.*"):
        path.unlink()


def _cut(place: Place) -> None:
    os.truncate(journal(place), journal(place).stat().st_size // 2)


@pytest.mark.parametrize("harm", [_journal, _checkpoint, _lost, _cut])
def test_with_a_damaged_log_nothing_runs(place: Place, harm: Callable[[Place], None]) -> None:
    change = place.ready(rolling("one"))
    harm(place)
    for words in (("run", change, "--key", "alice"), ("audit", "verify")):
        done = place.itmp(*words)
        assert done.rc in {16, 40, 42}, (words, done)
        assert "Traceback" not in done.err
        assert len((done.out + done.err).splitlines()) >= 2, "what to do is said"
    assert place.untouched()


def test_a_damaged_published_copy_is_named_and_no_run_or_evidence_rests_on_it(place: Place) -> None:
    change = place.ready(rolling("one", hosts="web1"))
    _entries(place)
    told = place.itmp("audit", "verify", expect=40).out
    assert "root-mismatch" in told
    assert "tile/0/000" in told
    place.run(change)
    place.itmp("change", "close", change, "--reason", "done", "--key", "alice", expect=0)
    place.itmp("evidence", change, "-o", "e.tar", expect=0)
    place.itmp("e.tar", "--trust", "trust", program="itmp-verify", expect=0)


def test_an_older_copy_of_the_log_is_a_rollback(place: Place) -> None:
    change = place.propose(rolling("one"))
    place.itmp("reject", change, "--key", "carol", "--yes", expect=0)
    kept = place.root.parent / "kept"
    (place.root / ".itmp/log").rename(kept)
    done = place.itmp("run", change, "--key", "alice")
    assert done.rc in {2, 16, 42}, done
    kept.rename(place.root / ".itmp/log")
    place.itmp("run", change, "--key", "alice", expect=18)
    assert place.untouched()


def test_when_the_disk_is_full_before_the_start_nothing_runs(place: Place) -> None:
    change = place.ready(rolling("one", batches=(3,)))
    size = journal(place).stat().st_size

    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    done = place.ended(place.start("run", change, "--key", "alice", preexec_fn=full))
    assert done.rc == 16, done
    assert "Traceback" not in done.err
    assert place.untouched()
    assert place.sound()
    place.run(change)


def test_when_the_disk_fills_up_the_run_stops_after_the_action_in_flight(place: Place) -> None:
    change = place.ready(rolling("one", "two", always=("last",), hosts="web1:web2"))
    place.hold("web1", "one")
    run = place.start("run", change, "--key", "alice", "--json")
    place.until("web1", "begin one")
    limit = journal(place).stat().st_size
    resource.prlimit(run.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    place.let_go("web1", "one")
    done = place.ended(run)
    assert done.rc == 16, done
    assert place.journal("web1") == ["begin one", "end one"]
    assert place.journal("web2") == []
    assert not carriers(done.json["run"])
    assert place.sound()
    assert place.json("status", change)["hosts"] == {"web1": "unknown", "web2": "not_reached"}
    place.itmp("reconcile", change, "web1", "ok", "--reason", "looked at it", "--key", "alice", expect=0)
    place.json("resume", change, "--key", "alice")
    assert place.journal("web1")[-1] == place.journal("web2")[-1] == "end last"


def test_with_a_read_only_state_nothing_runs(place: Place) -> None:
    change = place.ready(rolling("one"))
    command = shlex.join([str(BIN / "itmp"), "run", change, "--key", "alice"])
    folder = shlex.quote(str(place.root / ".itmp"))
    if os.getuid() == 0:  # for root a mode is no obstacle, a mount is
        script = f"mount --bind {folder} {folder} && mount -o remount,ro,bind {folder} && exec {command}"
        process = place.start("-m", "sh", "-c", script, program="/usr/bin/unshare")
    else:
        process = place.start(
            "-c",
            f"chmod -R a-w {folder}; {command}; rc=$?; chmod -R u+w {folder}; exit $rc",
            program="/bin/sh",
        )
    done = place.ended(process)
    assert done.rc == 16, done
    assert "Traceback" not in done.err
    assert place.untouched()
