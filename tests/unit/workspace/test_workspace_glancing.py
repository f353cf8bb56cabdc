"""A glance says of a change what the whole fold says, without reading its results."""

import sqlite3
from contextlib import suppress
from pathlib import Path

import pytest

from itmp.adapters import posix_log
from itmp.adapters.index import NAME
from itmp.audit import Log
from itmp.canonical import Digest
from itmp.change import ChangeRecord, Permit, fold, skim
from itmp.change.fold import RecordDamagedError
from itmp.errors import BusyError, NotFoundError
from itmp.execution import RunStory, standing
from itmp.plan import Plan
from itmp.testing.small_plans import ansible, ask, hosts, plan
from itmp.testing.story import ORIGIN, Story, small_plan
from itmp.workspace import Workspace, answer, change_story, changes, wait
from itmp.workspace.answering import asking, to_answer
from itmp.workspace.glancing import Glances
from itmp.workspace.reading import Reading
from itmp.workspace.watching import lost

HOSTS = tuple(f"web{n}" for n in range(1, 6))


def begun(root: Path, other: Plan | None = None) -> tuple[Story, Log, Permit]:
    story = Story(plan=other or small_plan(hosts=HOSTS))
    genesis = story.log.leaf(0).event
    log = posix_log.create(root, origin=ORIGIN, genesis=genesis, key=story.key, clock=story.clock)
    story.log = log
    story.open()
    story.act("approve", "bob")
    permit = story.permit()
    story.say(permit, "run.started", data={"permit": permit.leaf})
    return story, log, permit


def unknown(record: ChangeRecord, host: str) -> tuple[str, Digest] | None:
    """Return in which run and slice a reconciliation would speak of a host; None in none."""
    with suppress(NotFoundError):
        run, part = lost(record, host)
        return run.id, part.leaf
    return None


def notify(story: Story, permit: Permit, intent: Digest, host: str, *titles: str) -> None:
    """Write a result that changed something and notified handlers."""
    task = story.steps()[0].expected[0]
    more = {"notified": list(titles)}
    data = {"path": task.path, "line": task.line, "name": "Configure", "message": "", "more": more}
    target = {"kind": "host", "id": host}
    story.say(
        permit, "action.finished", step="drain", phase="do", intent=intent, action=task.action, target=target,
        outcome="changed", rc=0, data=data,
    )  # fmt: skip


def handled(story: Story, permit: Permit, intent: Digest, host: str, title: str) -> None:
    """Write that a handler ran."""
    data = {"path": "h.yml", "line": 9, "name": title, "message": ""}
    target = {"kind": "host", "id": host}
    story.say(
        permit, "action.finished", step="drain", phase="do", intent=intent, action="service", target=target,
        outcome="changed", rc=0, data=data,
    )  # fmt: skip


def end(story: Story, permit: Permit, intent: Digest, **states: str) -> None:
    hosts = dict.fromkeys(HOSTS, "changed") | states
    story.say(
        permit, "slice.finished", step="drain", phase="do", intent=intent,
        data={"slice": "drain", "hosts": hosts},
    )  # fmt: skip


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
    left, skimmed = story.told_twice()
    assert skimmed == left
    assert skimmed.count == whole.count
    for host in HOSTS:
        assert unknown(skimmed, host) == unknown(whole, host)
    told = RunStory.from_leaves(
        log.of_change(story.change), plan=story.plan, blob=log.blob, run=record.run.id
    )
    assert glances.story(record, record.run).handlers == told.handlers
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


def test_handlers_owed_are_those_of_every_leaf_over_several_attempts(tmp_path: Path) -> None:
    root = tmp_path / "state"
    story, log, permit = begun(root)
    (drain, _) = story.steps()
    first = story.intend(permit, drain, HOSTS).hash
    for host in HOSTS:
        notify(story, permit, first, host, "Restart nginx", "Reload")
    handled(story, permit, first, "web4", "Reload")
    same(root, story, log)  # killed here: all of them are owed
    again = story.permit(mode="resume")
    story.say(again, "run.resumed", data={"permit": again.leaf})
    second = story.intend(again, drain, HOSTS).hash
    notify(story, again, second, "web3", "Tell")
    handled(story, again, second, "web1", "Restart nginx")
    handled(story, again, second, "web1", "Reload")
    same(root, story, log)
    end(story, again, second, web2="failed", web5="unknown")
    same(root, story, log)
    target = {"kind": "host", "id": "web5"}
    story.say(again, "action.reconciled", step="drain", intent=second, target=target, outcome="ok")
    hosts = dict.fromkeys(HOSTS, "changed") | {"web2": "failed"}
    story.say(again, "run.finished", outcome="failed", data={"state": "stopped", "hosts": hosts})
    same(root, story, log)
    reading = Reading(root)
    glances = Glances(reading)
    record = glances.record(story.change)
    assert record.run
    assert glances.story(record, record.run).handlers == (
        "pending handlers: web2: Restart nginx, Reload (drain)",
        "pending handlers: web3: Restart nginx, Reload (drain)",
        "pending handlers: web4: Restart nginx (drain)",
    )
    reading.close()


def test_a_slice_that_ended_well_has_no_result_read(tmp_path: Path) -> None:
    root = tmp_path / "state"
    story, _, permit = begun(root)
    intent = story.intend(permit, story.steps()[0], HOSTS).hash
    for host in HOSTS:
        notify(story, permit, intent, host, "Reload")
    end(story, permit, intent, web2="failed")
    reading = Reading(root)
    glances = Glances(reading)
    record = glances.record(story.change)
    assert record.run
    assert [leaf.event.target for leaf in glances._owing(record, record.run)] == [
        {"kind": "host", "id": "web2"}
    ]
    reading.close()


def test_a_skim_finds_what_a_fold_finds(tmp_path: Path) -> None:
    root = tmp_path / "state"
    story, log, permit = begun(root)
    drain, restart = story.steps()
    intent = story.intend(permit, drain, HOSTS).hash
    story.result(permit, drain, intent, "web1")
    story.result(permit, drain, permit.leaf, "web2")  # a permit is no intent
    story.result(permit, drain, intent, "web3")
    story.slice(permit, restart)
    story.close()
    leaves = log.of_change(story.change)
    whole, skimmed = story.told_twice()
    assert len(whole.findings) == 1
    assert skimmed == whole
    for gone in range(1, len(leaves) - 1):
        with pytest.raises(RecordDamagedError):
            skim((*leaves[:gone], *leaves[gone + 1 :]), story.history)


def test_a_rejection_hidden_from_the_index_still_stands_in_the_gates_word(tmp_path: Path) -> None:
    root = tmp_path / ".itmp"
    (tmp_path / "itmp.yml").write_text("organization: example.com\nlog: ops\n")
    story, log, permit = begun(root)
    story.slice(permit, story.steps()[0])
    vote = story.act("reject", "carol")
    story.say(permit, "run.stopped", data={"why": "x"})
    log.checkpoint()
    place = Workspace.here(tmp_path)
    told = change_story(place, story.change).to_json()
    hide(root, vote.index)
    glance = Glances(place.reading()).record(story.change)
    assert all(one.approves for one in glance.votes)
    assert change_story(place, story.change).to_json() == told
    assert any(check["n"] == 4 and check["outcome"] == "refused" for check in told["checks"])
    assert wait(place, story.change, what="runnable", timeout="0s").exit_code == 18


def test_an_answer_hidden_from_the_index_is_not_asked_for_again(tmp_path: Path) -> None:
    root = tmp_path / ".itmp"
    (tmp_path / "itmp.yml").write_text("organization: example.com\nlog: ops\n")
    story, log, permit = begun(root, plan([ansible("one", hosts(2)), ask("sure")]))
    data = {"slice": "sure", "hosts": [], "work": "", "permit": permit.leaf}
    story.say(permit, "slice.intended", step="sure", phase="do", data=data)
    place = Workspace.here(tmp_path)
    run, question = to_answer(place, changes.skimmed(place, story.change), "sure", "true")
    assert (run.id, question.id) == (permit.run, "sure")
    given = story.act("answer", "bob", run=permit.run, step="sure", value="false", role="sre")
    story.say(permit, "run.stopped", data={"why": "x"})
    log.checkpoint()
    place.reading().close()
    hide(root, given.index)
    place = Workspace.here(tmp_path)
    assert place.reading().has(story.change)
    assert "sure" in asking(place, Glances(place.reading()).record(story.change))
    with pytest.raises(BusyError, match=r"bob@example\.com has answered sure already"):
        answer(place, story.change, "sure", "true")


def hide(root: Path, index: int) -> None:
    """Hide a statement from the index, as somebody can who may write it."""
    with sqlite3.connect(root / NAME) as db:
        (run,) = db.execute("SELECT n FROM word WHERE text = 'run.stopped'").fetchone()
        db.execute("UPDATE leaf SET bulk = 1, type = ? WHERE n = ?", (run, index))
