"""Evidence of runs that really happened on SSH hosts: honest however they ended, and the same to every checker."""

import subprocess
from pathlib import Path

import pytest
from places import Place, rolling

import itmp.evidence
from itmp.evidence import Report, Trust, verify

pytestmark = pytest.mark.fleet

SCRIPT = Path(itmp.evidence.__file__).with_name("verify.sh")


def judged(place: Place, change: str, *, closed: bool = True) -> Report:
    """Have the three checkers agree on the change's evidence; return the report."""
    code = 0 if closed else 41
    file = place.root / "e.tar"
    place.itmp("evidence", change, "-o", str(file), expect=0)
    trust = place.root / "trust"
    report = verify(
        file.read_bytes(), Trust.from_files({entry.name: entry.read_bytes() for entry in trust.iterdir()})
    )
    assert (report.exit_code, report.broken) == (code, None)
    place.itmp("audit", "checkpoint", expect=0)
    call = [
        "itmp-verify",
        str(file),
        "--trust",
        str(trust),
        "--strict",
        "--log",
        str(place.root / ".itmp" / "log"),
    ]
    strict = subprocess.run(call, env=place.environ, capture_output=True, text=True, timeout=240, check=False)
    assert strict.returncode == code, strict.stdout + strict.stderr
    shell = subprocess.run(
        ["bash", str(SCRIPT), str(file), str(trust)], capture_output=True, text=True, timeout=240, check=False
    )
    assert shell.returncode == code, shell.stdout + shell.stderr
    return report


def test_a_change_that_went_well(place: Place) -> None:
    change = place.ready(rolling("one", "two", batches=(1, 2)))
    place.run(change)
    place.itmp("change", "close", change, "--reason", "done", "--key", "alice", expect=0)
    told = judged(place, change).told
    assert told
    assert told.runs[0].state == "succeeded"
    assert told.runs[0].counts == {"changed": 3}


@pytest.mark.long
def test_a_change_that_failed_was_resumed_and_closed(place: Place) -> None:
    change = place.ready(rolling("one", "two", batches=(1, 2)))
    place.fail("web2", "one")
    place.run(change, expect=13)
    judged(place, change, closed=False)
    for held in place.on("web2").glob("fail-*"):
        held.unlink()
    place.json("resume", change, "--key", "alice", "--retry", "failed,unreachable", expect=None)
    place.itmp("change", "close", change, "--reason", "done", "--key", "alice", expect=None)
    assert judged(place, change).told


def test_a_change_that_was_refused_and_canceled(place: Place) -> None:
    change = place.propose(rolling("one"))
    place.run(change, expect=10)
    place.itmp("change", "cancel", change, "--reason", "no", "--key", "alice", expect=0)
    told = judged(place, change, closed=False).told
    assert told
    assert (told.refusals, told.state, told.runs) == (1, "canceled", ())
