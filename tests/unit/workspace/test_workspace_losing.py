"""A log whose key is gone: its people go on with another, and everything old can still be read and proved."""

from pathlib import Path

import pytest
from keep import again, found, keep

from itmp import workspace
from itmp.adapters import posix_log
from itmp.adapters.clock import new_id
from itmp.audit import Event
from itmp.errors import InvalidInputError, LogUnavailableError, RefusedError
from itmp.workspace import losing
from itmp.workspace.place import EXECUTOR


def key_of(place: workspace.Workspace) -> str:
    return str(place.root / "key")


@pytest.fixture
def place(tmp_path: Path) -> workspace.Workspace:
    place = found(tmp_path / "w")
    keep(place, "x")  # a change is open, and stays so
    return place


def test_a_log_goes_on_without_the_key_that_is_gone(place: workspace.Workspace) -> None:
    old, size = place.log, place.log.size()
    old.append(Event(id=new_id(), type="plan.compiled", actor=dict(EXECUTOR)))  # signed by nobody, ever
    (place.state / "keys/log.key").unlink()
    with pytest.raises(LogUnavailableError, match="key is missing"):
        _ = again(place).log
    done = workspace.rotate_lost(again(place), "the disk died", period="2031", key=key_of(place))
    assert (done.done, done.lost, done.revokes, done.size) == (True, True, False, size)
    assert (place.root / "trust/lost").read_text() == f"{old.vkey} {size}\n"
    after = again(place)
    assert after.log.origin == done.new
    assert posix_log.read_key(place.state / "keys/log.key").vkey == done.vkey
    first = after.history()
    assert first.previous is not None
    assert (first.previous.lost, first.genesis.by) == (True, ("alice@example.com",))
    report = workspace.audit_verify(after)
    assert report.exit_code == 0, report.findings
    assert {"key-lost", "unsigned"} <= {one.name for one in report.findings}
    assert workspace.of_period(after, old.origin.rpartition("/")[2]).log.size() == size + 1
    with pytest.raises(RefusedError, match="stays in place"):
        workspace.audit_archive(again(place), old.origin.rpartition("/")[2])
    after.log.append(Event(id=new_id(), type="plan.compiled", actor=dict(EXECUTOR)))
    assert after.log.checkpoint().checkpoint.size == 2
    workspace.audit_periods(again(place))
    assert workspace.rotate(again(place), period="2032", key=key_of(place)).done


def test_a_key_that_is_here_is_not_lost(place: workspace.Workspace) -> None:
    with pytest.raises(InvalidInputError, match="key is here, and signs"):
        workspace.rotate_lost(place, "no reason", key=key_of(place))
    path = place.state / "keys/log.key"
    path.chmod(0o644)
    with pytest.raises(InvalidInputError, match="cannot be used"):
        workspace.rotate_lost(place, "no reason", key=key_of(place))


def test_a_key_that_is_found_again_goes_on(place: workspace.Workspace) -> None:
    """What was proposed is given up, and the key put back; until then nothing is signed."""
    path = place.state / "keys/log.key"
    secret = path.read_bytes()
    path.unlink()
    made = again(place)
    losing._give_up_key(place.state)
    made.log.append(Event(id=new_id(), type="plan.compiled", actor=dict(EXECUTOR)))
    with pytest.raises(LogUnavailableError, match="its key is lost"):
        made.log.checkpoint()
    path.write_bytes(secret)
    back = again(place)
    assert back.log.checkpoint().checkpoint.size == back.log.size()
    assert workspace.audit_verify(back).exit_code == 0
