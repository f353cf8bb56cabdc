from datetime import timedelta

import pytest

from itmp.canonical import dumps
from itmp.errors import EvidenceIncompleteError, NotFoundError
from itmp.evidence import Report, Trust, archive, build, verify
from itmp.evidence.work import work_digest
from itmp.execution.doors import Slice
from itmp.execution.record import work_digest as written
from itmp.plan import all_steps
from itmp.signing import SignatureError
from itmp.testing.memory_log import MemoryReader, MemoryStore
from itmp.testing.story import ORIGIN, Story, small_plan


def judged(story: Story, bundle: bytes | None = None, **options: object) -> Report:
    return verify(bundle or story.evidence(), Trust.from_files(story.trust()), **options)  # type: ignore[arg-type]


def test_an_honest_story_holds() -> None:
    report = judged(Story().tell())
    assert (report.exit_code, report.broken) == (0, None)
    assert {rule.verdict for rule in report.rules} == {"holds", "not judged"}
    assert [rule.n for rule in report.rules if rule.verdict == "not judged"] == [19]


def test_the_story_names_people_hosts_and_outcomes() -> None:
    told = judged(Story().tell()).told
    assert told
    assert [(deed.act, deed.who.split("@")[0]) for deed in told.deeds] == [
        ("open", "alice"),
        ("approve", "bob"),
        ("run", "alice"),
        ("close", "alice"),
    ]
    [run] = told.runs
    assert (run.by, run.state, run.counts, run.quorum) == (
        ("alice@example.com",),
        "succeeded",
        {"changed": 2},
        1,
    )
    assert (told.environment, told.risk, told.state) == ("production", "low", "closed")


def test_same_log_same_bytes() -> None:
    assert Story().tell().evidence() == Story().tell().evidence()


def test_quorum_0_and_a_single_root_are_said() -> None:
    story = Story(plan=small_plan(environment="lab", group="lab"), roots=["alice"]).tell(approvers=())
    report = judged(story)
    assert report.ok
    assert any(line.startswith("quorum 0") for line in report.assurance)
    assert any(line.startswith("single root: alice@example.com") for line in report.assurance)
    assert any(line.startswith("assurance: self-attested") for line in report.assurance)
    assert any(line.startswith("custody: namespaces: ") for line in report.assurance)


def test_a_run_without_custody_is_said() -> None:
    story = Story()
    story.open()
    story.act("approve", "bob")
    story.execute(story.permit(custody="none"))
    story.close()
    report = judged(story)
    assert report.ok
    assert any(line.startswith("custody: none: ") for line in report.assurance)


def test_a_change_that_is_not_closed_is_incomplete() -> None:
    story = Story()
    story.open()
    story.act("approve", "bob")
    story.execute(story.permit())
    report = judged(story)
    assert report.exit_code == 41
    assert [rule.n for rule in report.rules if rule.verdict == "incomplete"] == [16]


def test_a_run_that_goes_on_is_incomplete_and_no_lie() -> None:
    story = Story()
    story.open()
    story.act("approve", "bob")
    permit = story.permit()
    assert judged(story).exit_code == 41
    story.say(permit, "run.started", data={"permit": permit.leaf})
    story.intend(permit, story.steps()[0], ["web1"])
    report = judged(story)
    assert report.exit_code == 41
    assert [rule.n for rule in report.rules if rule.verdict == "incomplete"] == [15, 16]


def test_refused_canceled_and_never_run_changes_have_evidence_too() -> None:
    story = Story()
    story.open()
    story.act("reject", "bob")
    story.act("cancel", "dave")
    story.close()
    report = judged(story)
    assert report.ok
    assert report.told
    assert report.told.runs == ()


def test_what_is_required_and_not_brought_is_incomplete() -> None:
    story = Story().tell()
    for name in ("checkpoint", "witness", "tsa"):
        assert judged(story, require=[name]).exit_code == 41


def test_a_kept_checkpoint_is_proven_to_continue() -> None:
    story = Story()
    kept = story.log.checkpoint().note
    story.tell()
    files = {**story.trust(), "checkpoint": kept}
    with_proof = verify(story.evidence(since=kept), Trust.from_files(files), require=["checkpoint"])
    assert with_proof.ok
    story.open(reason="later")
    again = Story()
    old = again.log.checkpoint().note
    again.open()
    again.act("approve", "bob")
    middle = again.log.checkpoint().note
    again.execute(again.permit())
    again.close()
    assert old != middle
    trust = Trust.from_files({**again.trust(), "checkpoint": middle})
    assert verify(again.evidence(since=middle), trust).ok


def test_without_the_proof_from_the_kept_checkpoint_it_is_incomplete() -> None:
    story = Story().tell()
    kept = story.log.checkpoint().note
    first = story.change
    story.open(reason="later")
    story.change = first
    trust = Trust.from_files({**story.trust(), "checkpoint": kept})
    assert verify(story.evidence(), trust).exit_code == 41
    assert verify(story.evidence(since=kept), trust).ok


def test_a_newer_kept_checkpoint_is_a_rollback() -> None:
    story = Story().tell()
    bundle, first = story.evidence(), story.change
    story.open(reason="later")
    kept = story.log.checkpoint().note
    story.change = first
    report = verify(bundle, Trust.from_files({**story.trust(), "checkpoint": kept}))
    assert (report.exit_code, report.broken and report.broken.n) == (42, 6)


def test_policy_versions_go_along_and_are_walked() -> None:
    story = Story()
    story.open()
    story.amend(story.policy_bytes.replace(b"approval: 14d", b"approval: 7d"))
    story.act("approve", "bob")
    story.execute(story.permit())
    story.close()
    bundle = story.evidence()
    assert {"policy/0.yml", "policy/2.yml"} <= archive.unpack(bundle).keys()
    assert judged(story, bundle).ok


def test_resume_reconcile_and_undo_hold() -> None:
    story = Story()
    story.open()
    story.act("approve", "bob")
    permit = story.permit(limit="web1")
    story.say(permit, "run.started", data={"permit": permit.leaf})
    intent = story.intend(permit, story.steps()[0], ["web1"])
    again = story.permit(mode="resume")
    story.say(again, "run.resumed", data={"permit": again.leaf})
    fields = {
        "run": "run-1",
        "host": "web1",
        "outcome": "ok",
        "reason": "looked",
        "role": "sre",
        "change": story.change,
    }
    signed = story.sign("reconcile", "dave", **fields)
    target = {"kind": "host", "id": "web1"}
    story.say(
        again, "action.reconciled", intent=intent.hash, target=target, outcome="ok", data=signed.to_data()
    )
    drain, restart = story.steps()
    story.slice(again, drain, hosts=["web2"])  # web1 was said to be done
    story.slice(again, restart)
    done = dict.fromkeys(("web1", "web2"), "changed")
    story.say(again, "run.finished", outcome="ok", data={"state": "succeeded", "hosts": done})
    story.clock.time += timedelta(days=2)
    back = story.permit(mode="undo")
    story.say(back, "run.started", data={"permit": back.leaf})
    [undo] = [step for step in all_steps(story.plan.manifest) if step.id == "back"]
    story.slice(back, undo, phase="undo")  # type: ignore[arg-type]
    story.say(back, "run.finished", outcome="failed", data={"state": "undone", "hosts": done})
    story.close()
    report = judged(story)
    assert (report.exit_code, report.broken) == (0, None)
    assert report.told
    assert report.told.runs[0].modes == ("run", "resume", "undo")
    assert report.told.runs[0].reconciled == {"web1": "ok"}


def test_long_host_lists_go_along_as_blobs() -> None:
    names = [f"web{number}" for number in range(600)]
    story = Story(plan=small_plan(hosts=names))
    story.open()
    story.act("approve", "bob")
    permit = story.permit()
    story.say(permit, "run.started", data={"permit": permit.leaf})
    for step in story.steps():
        listed = story.log.put_blob(dumps(names))
        work = written(Slice(key=step.id, step=step, hosts=tuple(names)))
        data = {"slice": step.id, "hosts_blob": listed, "work": work, "permit": permit.leaf}
        intent = story.say(permit, "slice.intended", step=step.id, phase="do", data=data)
        for name in names:
            story.result(permit, step, intent.hash, name, outcome="ok")
        ended = {"slice": step.id, "hosts_blob": story.log.put_blob(states(names))}
        story.say(permit, "slice.finished", step=step.id, intent=intent.hash, data=ended)
    blob = story.log.put_blob(states(names))
    story.say(permit, "run.finished", outcome="ok", data={"state": "succeeded", "hosts_blob": blob})
    story.close()
    assert judged(story).ok


def states(names: list[str]) -> bytes:
    return dumps(dict.fromkeys(names, "ok"))


def test_the_whole_log_shows_that_nothing_is_left_out() -> None:
    store = MemoryStore(ORIGIN)
    story = Story(store=store).tell()
    story.log.checkpoint()
    assert judged(story, logs=(MemoryReader(store),)).ok
    story.open(reason="another change, later")
    bundle = story.evidence()
    report = judged(story, bundle, logs=(MemoryReader(store),))
    assert [rule.verdict for rule in report.rules if rule.n == 19] == ["holds"]


def test_ignored_statements_are_told() -> None:
    story = Story()
    story.open()
    story.act("approve", "bob", plan="sha256:" + "1" * 64)
    story.act("approve", "carol")
    story.execute(story.permit())
    story.close()
    report = judged(story)
    assert report.ok
    assert report.told
    assert "signed another plan" in report.told.ignored[0]


def test_a_second_opinion_that_disagrees_breaks_rule_8() -> None:
    asked = []

    def disagrees(_signed: object, principal: str, _key: object) -> None:
        asked.append(principal)
        if principal.startswith("bob"):
            raise SignatureError("no")

    report = judged(Story(roots=["alice"]).tell(), strict=disagrees)
    assert (report.exit_code, report.broken and report.broken.n) == (40, 8)
    assert asked[0] == "alice@example.com"


def test_evidence_needs_a_change_and_a_checkpoint_over_it() -> None:
    story = Story()
    with pytest.raises(NotFoundError):
        build(story.log, "CHG-0000000000")
    story.open()
    with pytest.raises(EvidenceIncompleteError):
        build(story.log, story.change)


def test_a_redacted_plan_is_incomplete() -> None:
    store = MemoryStore(ORIGIN)
    story = Story(store=store).tell()
    plain = story.plan.digest.removeprefix("sha256:")
    store.files.remove(f"blobs/sha256/{plain[:2]}/{plain}")
    report = judged(story)
    assert report.exit_code == 41
    assert [rule.n for rule in report.rules if rule.verdict == "incomplete"] == [9, *range(10, 16), 20]


def test_executor_and_verifier_hash_work_alike() -> None:
    for step in all_steps(small_plan().manifest):
        assert work_digest(step, ("web2",)) == written(Slice(key="x", step=step, hosts=("web2",)))
