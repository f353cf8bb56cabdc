"""Whoever looks at a run that nobody carries out any more is told so, and what to type first."""

from dataclasses import replace
from pathlib import Path

import pytest

from itmp.adapters import posix_log
from itmp.plan import HttpProbe, Plan
from itmp.testing.small_plans import ansible, hosts, plan
from itmp.testing.story import ORIGIN, Story
from itmp.workspace import Workspace, change_story, status, wait
from itmp.workspace.holding import held

TWO = hosts(2)
PROBE = HttpProbe(url="http://web1.example/health")
RECONCILE = "itmp reconcile {} {} ok|failed --reason TEXT"


def died(root: Path, of: Plan) -> tuple[Workspace, Story]:
    """A run whose process died while its first slice was at work."""
    (root / "itmp.yml").write_text("organization: example.com\nlog: ops\n")
    story = Story(plan=of)
    genesis = story.log.leaf(0).event
    story.log = posix_log.create(
        root / ".itmp", origin=ORIGIN, genesis=genesis, key=story.key, clock=story.clock
    )
    story.open()
    story.act("approve", "bob")
    permit = story.permit()
    story.say(permit, "run.started", data={"permit": permit.leaf})
    story.intend(permit, story.steps()[0], TWO)
    story.log.checkpoint()
    return Workspace.here(root), story


def test_a_run_without_its_process_is_carried_out_by_nobody_and_a_person_is_asked_first(
    tmp_path: Path,
) -> None:
    place, story = died(tmp_path, plan([replace(ansible("one", TWO), probes={"web1": PROBE})]))
    told = status(place, story.change)
    assert (told.exit_code, told.state) == (0, "implement, run running, carried out by nobody")
    assert told.notes[0] == "the process that carried it out is gone; what it left is not known"
    assert told.hosts == dict.fromkeys(TWO, "unknown")
    asked, *more = told.next
    assert asked == RECONCILE.format(story.change, "web2"), "web1 has a probe"
    assert more == [f"itmp resume {story.change}", f"itmp undo {story.change}"]
    ended = wait(place, story.change, what="finished", timeout="0s")
    assert (ended.exit_code, ended.next, ended.notes) == (14, told.next, told.notes)


def test_a_run_that_somebody_carries_out_is_called_running(tmp_path: Path) -> None:
    place, story = died(tmp_path, plan([ansible("one", TWO)]))
    with held(place, story.change):
        told = status(place, story.change)
        assert (told.exit_code, told.state, told.notes) == (0, "implement, run running", ())
        assert told.next[0] == f"itmp wait {story.change} --for finished"
        tale = change_story(place, story.change)
        assert tale.to_json()["runs"][0]["carried_out"] is True
        assert "nobody" not in "\n".join(tale.lines)
    tale = change_story(place, story.change)
    assert tale.to_json()["runs"][0]["carried_out"] is False
    assert any(line.endswith("running, carried out by nobody") for line in tale.lines)


@pytest.mark.parametrize("state", ["unknown", "failed"])
def test_a_run_that_has_ended_was_not_left(tmp_path: Path, state: str) -> None:
    place, story = died(tmp_path, plan([ansible("one", TWO)]))
    permit = story.permit(mode="resume")
    story.say(
        permit, "run.finished", outcome=state, data={"state": state, "hosts": dict.fromkeys(TWO, state)}
    )
    told = status(place, story.change)
    assert "nobody" not in told.state
    asks = [RECONCILE.format(story.change, host) for host in TWO if state == "unknown"]
    assert [line for line in told.next if "reconcile" in line] == asks
