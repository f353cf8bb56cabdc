"""Whoever looks at a run that nobody carries out any more is told so, and what to type first."""

from dataclasses import replace
from pathlib import Path

import pytest

from itmp.adapters import posix_log
from itmp.plan import HttpProbe, Plan
from itmp.testing.small_plans import ansible, hosts, plan
from itmp.testing.story import ORIGIN, Story
from itmp.workspace import Workspace, change_story, changes, status, wait
from itmp.workspace.holding import held
from itmp.workspace.leftover import left_by_others

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
    assert more == [f"itmp resume {story.change}"], "the plan has no undo steps"
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


def another(story: Story) -> str:
    """Open and approve a second change over the same plan; return the first one's id."""
    first, story.change = story.change, ""
    story.open(reason="the same again")
    story.act("approve", "bob")
    story.log.checkpoint()
    assert story.change != first
    return first


def test_what_another_change_left_unknown_is_said_with_the_command_for_it(tmp_path: Path) -> None:
    place, story = died(tmp_path, plan([replace(ansible("one", TWO), probes={"web1": PROBE})]))
    first = another(story)
    record = changes.find(place, story.change)
    (one,) = left_by_others(place, record)
    assert (one.change, one.targets, one.do) == (first, TWO, RECONCILE.format(first, "web2"))
    (probed,) = left_by_others(place, record, ["web1"])
    assert (probed.targets, probed.do) == (("web1",), f"itmp resume {first}"), "its probe can tell"
    assert left_by_others(place, record, ["web9"]) == ()
    tale = change_story(place, story.change)
    assert tale.to_json()["notes"] == [
        f"{first} has left web1, web2 unknown; type: {RECONCILE.format(first, 'web2')}"
    ]
    assert any(line.startswith(f"  note       {first} has left") for line in tale.lines)


def test_what_is_known_or_still_carried_out_is_nobodys_warning(tmp_path: Path) -> None:
    place, story = died(tmp_path, plan([ansible("one", TWO)]))
    first = another(story)
    record = changes.find(place, story.change)
    with held(place, first):
        assert left_by_others(place, record) == ()
    assert left_by_others(place, changes.find(place, first)) == (), "its own"
    story.change = first
    permit = story.permit(mode="resume")
    known = {"state": "failed", "hosts": dict.fromkeys(TWO, "failed")}
    story.say(permit, "run.finished", outcome="failed", data=known)
    assert left_by_others(place, record) == ()
