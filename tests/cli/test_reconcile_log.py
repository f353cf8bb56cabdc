"""`itmp audit reconcile` names what the log alone leaves open, asked of a log on disk by the real command."""

import json
import subprocess
import sys
from pathlib import Path

from itmp.testing.on_disk import story_on_disk
from itmp.testing.story import Story, small_plan

URN = "urn:pulumi:prod::web::itmp:aws:Instance::web1"


def asked(root: Path) -> list[tuple[str, str, str]]:
    """Return name, place and words of every disagreement; the command ends with 41 where there is any, else with 0."""
    (root / "records").mkdir(exist_ok=True)
    itmp = Path(sys.executable).with_name("itmp")
    done = subprocess.run(
        [itmp, "audit", "reconcile", "--records", "records", "--json"],
        cwd=root, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    told = json.loads(done.stdout)
    found = [(item["name"], item["place"], item["what"]) for item in told["disagreements"]]
    silent = told["silent"] or told["missing"]
    assert done.returncode == (41 if found or silent else 0), done
    return found


def begun(story: Story) -> tuple[str, str]:
    """Begin a run whose one slice left an operation and a host without a word; return the change and the run."""
    change = story.open(reason="begun")
    story.act("approve", "bob")
    permit = story.permit(run="run-begun")
    story.say(permit, "run.started", data={"permit": permit.leaf})
    step = story.steps()[0]
    intent = story.intend(permit, step, ["web1", "web2"])
    where = {"step": step.id, "phase": "do", "intent": intent.hash}
    story.say(permit, "action.intended", **where, action="update", target={"kind": "resource", "id": URN})
    story.result(permit, step, intent.hash, "web2")
    states = {"web1": "unknown", "web2": "changed"}
    story.say(permit, "slice.finished", **where, data={"slice": step.id, "hosts": states})
    return change, permit.run


def test_what_the_log_leaves_open_is_named(tmp_path: Path) -> None:
    story = story_on_disk(tmp_path)
    story.tell()  # nothing of it is open
    approved = story.open(reason="approved")
    story.act("approve", "bob")
    unapproved = story.open(reason="nobody looked")
    change, run = begun(story)
    found = asked(tmp_path)
    assert sorted((name, place) for name, place, _ in found) == [
        ("change-without-run", approved),
        ("intent-without-result", change),
        ("outcome-unknown", change),
        ("run-without-end", change),
    ]
    words = {name: what for name, _, what in found}
    assert words["change-without-run"] == "approved by bob@example.com, scheduled, and never ran"
    assert (
        words["intent-without-result"]
        == f"no result of update on {URN} in slice {_slice(story)} of run {run}"
    )
    assert (
        words["outcome-unknown"] == f"nobody knows what became of web1 in slice {_slice(story)} of run {run}"
    )
    assert words["run-without-end"] == f"run {run} has no end"
    assert unapproved not in {place for _, place, _ in found}


def _slice(story: Story) -> str:
    return story.steps()[0].id


def test_a_change_that_needed_nobody_and_never_ran_is_named(tmp_path: Path) -> None:
    story = story_on_disk(tmp_path, plan=small_plan(environment="lab", group="lab"))
    change = story.open()
    [(name, place, what)] = asked(tmp_path)
    assert (name, place) == ("change-without-run", change)
    assert what.startswith("in need of no approval, ")
    story.execute(story.permit())
    assert asked(tmp_path) == []


def test_what_somebody_settled_is_not_named(tmp_path: Path) -> None:
    """A person's word, or a later slice of the same step, is the last one."""
    story = story_on_disk(tmp_path)
    change, run = begun(story)
    permit = story.record.permits[-1]
    step = story.steps()[0]
    intents = [leaf for leaf in story.log.of_change(change) if leaf.event.type == "slice.intended"]
    words = {"change": change, "run": run, "host": "web1", "outcome": "ok", "reason": "I looked"}
    signed = story.sign("reconcile", "alice", role="sre", **words)
    story.say(
        permit, "action.reconciled", step=step.id, phase="do", intent=intents[0].hash, outcome="ok",
        target={"kind": "host", "id": "web1"}, data=signed.to_data(),
    )  # fmt: skip
    assert [name for name, _, _ in asked(tmp_path)] == ["run-without-end", "intent-without-result"]
