"""While a run goes: the published head follows the log, a change has one holder, a stop is heard."""

import os
import signal
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest

from itmp import workspace
from itmp.adapters.clock import new_id
from itmp.adapters.file_events import FileEvents
from itmp.audit import Event
from itmp.testing.story import small_plan
from itmp.workspace import changes, holding
from itmp.workspace.holding import ChangeHeldError, held, publishing, stopping


@pytest.fixture
def place(tmp_path: Path) -> workspace.Workspace:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    workspace.init(
        tmp_path, key=str(tmp_path / "key"), organization="example.com", signer="alice@example.com"
    )
    return workspace.Workspace.here(tmp_path)


def test_the_published_head_follows_what_is_appended(place: workspace.Workspace) -> None:
    with publishing(place):
        place.log.append(Event(id=new_id(), type="log.read", actor={"kind": "executor", "id": "itmp"}))
        for _ in range(100):
            published = place.log.published()
            if published and published.checkpoint.size == place.log.size() == 2:
                return
            time.sleep(0.1)
    pytest.fail("the checkpoint stayed behind the log")


def test_an_intent_is_covered_at_once_and_results_may_wait(
    place: workspace.Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "PUBLISH", 0.01)
    monkeypatch.setattr(holding, "LATER", 3600.0)

    def published() -> int:
        signed = place.log.published()
        return signed.checkpoint.size if signed else 0

    def append(kind: str) -> None:
        place.log.append(Event(id=new_id(), type=kind, actor={"kind": "executor", "id": "itmp"}))

    append("log.read")
    with publishing(place):
        for done in (3, 5):
            append("slice.intended")
            while published() < done:
                time.sleep(0.01)
            append("log.read")
            time.sleep(0.2)  # twenty looks
            assert published() == done


def test_a_change_has_one_holder_at_a_time(place: workspace.Workspace) -> None:
    with held(place, "CHG-0000000000"):
        with pytest.raises(ChangeHeldError), held(place, "CHG-0000000000"):
            pass
        with held(place, "CHG-0000000001"):
            pass
    with held(place, "CHG-0000000000"):
        pass


def test_who_finds_a_change_held_wakes_nobody(place: workspace.Workspace) -> None:
    with held(place, "CHG-0000000000"), closing(FileEvents((place.leases,))) as events:
        assert events.subscribed
        with pytest.raises(ChangeHeldError), held(place, "CHG-0000000000"):
            pass
        assert not events.wait(0.1)


def test_a_signal_is_a_request_to_stop_and_the_old_handler_comes_back(place: workspace.Workspace) -> None:
    change = workspace.open_change(place, small_plan(), reason="test").change.id
    before = signal.getsignal(signal.SIGTERM)
    with stopping(place, change) as asked:
        assert not asked()
        os.kill(os.getpid(), signal.SIGTERM)
        assert asked()
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_stop_of_this_change_is_heard_from_another_process_and_one_of_another_is_not(
    place: workspace.Workspace,
) -> None:
    other = workspace.Workspace.here(place.root)
    mine, theirs = (
        workspace.open_change(place, small_plan(), reason="test", external=name).change.id for name in "ab"
    )
    with stopping(place, mine) as asked:
        for change in (theirs, mine):
            assert not asked()
            own = {"change": change, "reason": "enough"}
            statement, signed, signer = changes.sign_act(other, "stop", lambda _, own=own: own, None)
            changes.append_act(other, statement, signed, changes.actor(signer), changes.find(other, change))
        assert asked()
        assert asked()
