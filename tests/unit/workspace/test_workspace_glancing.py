"""A glance says of a change what the whole fold says, without reading its results."""

from pathlib import Path

from itmp.adapters import posix_log
from itmp.audit import Log
from itmp.change import Permit, fold
from itmp.execution import RunStory, standing
from itmp.testing.story import ORIGIN, Story, small_plan
from itmp.workspace.glancing import Glances
from itmp.workspace.reading import Reading

HOSTS = tuple(f"web{n}" for n in range(1, 6))


def begun(root: Path) -> tuple[Story, Log, Permit]:
    story = Story(plan=small_plan(hosts=HOSTS))
    genesis = story.log.leaf(0).event
    log = posix_log.create(root, origin=ORIGIN, genesis=genesis, key=story.key, clock=story.clock)
    story.log = log
    story.open()
    story.act("approve", "bob")
    permit = story.permit()
    story.say(permit, "run.started", data={"permit": permit.leaf})
    return story, log, permit


def same(root: Path, story: Story, log: Log) -> dict[str, str]:
    """Hold the glance against the fold; return where the targets stand."""
    reading = Reading(root)
    glances = Glances(reading)
    record = glances.record(story.change)
    whole = fold(
        log.of_change(story.change), story.history, manifest=story.plan.manifest, now=story.clock.now()
    )
    assert (record.id, record.plan, record.request, record.votes) == (
        whole.id,
        whole.plan,
        whole.request,
        whole.votes,
    )
    assert [(run.id, run.state, dict(run.targets)) for run in record.runs] == [
        (run.id, run.state, dict(run.targets)) for run in whole.runs
    ]
    assert record.findings == whole.findings
    assert record.run
    told = RunStory.from_leaves(
        log.of_change(story.change), plan=story.plan, blob=log.blob, run=record.run.id
    )
    stands = glances.hosts(record, record.run)
    if record.run.state not in {"succeeded", "failed", "undone"}:
        assert stands == dict(standing(story.plan, told, left_out={}))
    reading.close()
    return stands


def test_it_agrees_with_the_fold_at_every_turn_of_a_run(tmp_path: Path) -> None:
    root = tmp_path / "state"
    story, log, permit = begun(root)
    assert set(same(root, story, log).values()) == {"not_reached"}
    drain, restart = story.steps()
    story.slice(permit, drain)
    same(root, story, log)
    intent = story.intend(permit, restart, HOSTS)
    for host, outcome in (("web1", "changed"), ("web2", "failed"), ("web3", "unreachable"), ("web2", "ok")):
        story.result(permit, restart, intent.hash, host, outcome=outcome)
    assert same(root, story, log)["web3"] == "unreachable"
    hosts = {"web1": "changed", "web2": "failed", "web3": "unreachable", "web4": "ok", "web5": "not_reached"}
    story.say(
        permit,
        "slice.finished",
        step="restart",
        phase="do",
        intent=intent.hash,
        data={"slice": "restart", "hosts": hosts},
    )
    same(root, story, log)
    story.say(permit, "run.finished", outcome="failed", data={"state": "failed", "hosts": hosts})
    assert same(root, story, log) == hosts
