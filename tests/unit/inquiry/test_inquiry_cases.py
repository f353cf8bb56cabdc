import hashlib
from datetime import UTC, datetime, timedelta

import yaml

from itmp.change import Permit, time_of
from itmp.inquiry import Case, access, exceptions, reconcile, sample, touches
from itmp.plan import Plan
from itmp.testing.story import Story, small_plan


def case(story: Story) -> Case:
    leaves = story.log.of_change(story.change)
    return Case.of(leaves, story.history, manifest=story.plan.manifest, blob=story.log.blob)


def kinds(story: Story) -> list[str]:
    found = exceptions([case(story)], story.history, story.log.leaves(), time_of(story.log.leaf(0)))
    return [item.kind for item in found]


def test_a_case_names_people_times_and_targets() -> None:
    story = Story().tell()
    told = case(story)
    [run] = told.runs
    assert (told.environment, told.risk, told.approvers) == ("production", "low", ("bob@example.com",))
    assert (run.started_by, run.modes, run.state, run.targets) == (
        ("alice@example.com",),
        ("run",),
        "succeeded",
        2,
    )
    assert run.ended is not None
    assert told.first < run.started < run.ended < told.last
    assert {host for host, _, _ in run.spans} == {"web1", "web2"}
    assert all(end is not None and begin <= end for _, begin, end in run.spans)


def test_without_its_plan_a_case_has_no_reading() -> None:
    story = Story().tell()
    told = Case.of(story.log.of_change(story.change), story.history, manifest=None, blob=story.log.blob)
    assert (told.environment, told.risk) == ("unknown", "unknown")


def test_a_change_belongs_to_every_period_that_it_touches() -> None:
    told = case(Story().tell())
    step = timedelta(microseconds=1)

    def inside(start: timedelta | None, end: timedelta | None) -> bool:
        return touches(
            told.first,
            told.last,
            start=None if start is None else told.first + start,
            end=None if end is None else told.first + end,
        )

    length = told.last - told.first
    assert inside(None, None)
    assert inside(None, step)
    assert not inside(None, timedelta(0))
    assert inside(length, None)
    assert not inside(length + step, None)


def test_a_sample_follows_from_the_seed_alone_and_anybody_can_draw_it() -> None:
    ids = [f"CHG-{n:010x}" for n in range(6)]
    drawn = sample(ids, seed="auditor", count=3)
    assert drawn == sample(ids[::-1], seed="auditor", count=3)
    assert len(set(drawn)) == 3
    assert len({sample(ids, seed=str(n), count=3) for n in range(20)}) > 5
    assert len(sample(ids, seed="auditor", count=100)) == 6

    def by_hand(one: str) -> str:
        return hashlib.sha256(b"itmp/sample/v1\0auditor\0" + one.encode()).hexdigest()

    assert list(drawn) == sorted(ids, key=by_hand)[:3]


def test_a_grant_dates_from_the_version_that_gave_it_unbroken() -> None:
    story = Story()
    first = story.policy_bytes.decode()
    assert "carol@example.com" in first
    without = "".join(_without(first, "carol@example.com"))
    story.amend(without.encode())
    story.amend(first.encode())
    times = [time_of(story.log.leaf(version.index)) for version in story.history.versions]
    grants = {(grant.signer, grant.role): grant for grant in access(story.history, times)}
    assert grants["alice@example.com", "owner"].index == 0
    assert grants["carol@example.com", "approver"].index == 2
    assert grants["carol@example.com", "approver"].by == ("alice@example.com", "bob@example.com")
    assert "approve" in grants["carol@example.com", "approver"].acts


def _without(text: str, signer: str) -> list[str]:
    """Drop one signer's block of a policy."""
    lines, skipping = [], False
    for line in text.splitlines(keepends=True):
        if line.lstrip().startswith("- id:"):
            skipping = signer in line
        elif skipping and not line.startswith(" "):
            skipping = False
        if not skipping:
            lines.append(line)
    return lines


def test_an_ordinary_change_is_no_exception() -> None:
    assert kinds(Story().tell()) == []


def test_a_log_of_one_founder_and_a_permit_without_approval_are_named() -> None:
    story = Story(plan=small_plan(environment="lab", group="lab"), roots=["alice"]).tell(approvers=())
    assert kinds(story) == ["single-root", "no-approval"]


def test_an_emergency_is_named_whether_it_was_reviewed_or_not() -> None:
    story = Story()
    story.open(type="emergency")
    assert "emergency" in kinds(story)


def test_a_person_who_settles_an_outcome_is_named() -> None:
    story = Story()
    story.open()
    story.act("approve", "bob")
    permit = story.permit()
    story.say(permit, "run.started", data={"permit": permit.leaf})
    step = story.steps()[0]
    intent = story.intend(permit, step, ["web1"])
    signed = story.sign(
        "reconcile",
        "alice",
        role="sre",
        change=story.change,
        run=permit.run,
        host="web1",
        outcome="ok",
        reason="I looked",
    )
    story.say(
        permit,
        "action.reconciled",
        step=step.id,
        phase="do",
        intent=intent.hash,
        outcome="ok",
        target={"kind": "host", "id": "web1"},
        data=signed.to_data(),
    )
    [found] = exceptions([case(story)], story.history, (), time_of(story.log.leaf(0)))
    assert (found.kind, found.who, found.why) == ("reconciled", "alice@example.com", "web1 is ok: I looked")


def test_hosts_left_out_of_a_resume_are_named() -> None:
    story = Story()
    story.open()
    story.act("approve", "bob")
    permit = story.permit()
    story.say(
        permit, "run.resumed", data={"permit": permit.leaf, "skip": ["web2"], "reason": "in repair"},
        on_behalf_of="alice@example.com",
    )  # fmt: skip
    assert kinds(story) == ["skipped"]


def test_an_approved_change_that_never_ran_and_an_open_intent_are_questions() -> None:
    story = Story()
    story.open()
    story.act("approve", "bob")
    assert [item.name for item in reconcile([case(story)], [])] == ["change-without-run"]
    permit = story.permit()
    story.say(permit, "run.started", data={"permit": permit.leaf})
    story.intend(permit, story.steps()[0], ["web1"])
    names = [item.name for item in reconcile([case(story)], [])]
    assert sorted(names) == ["intent-without-result", "run-without-end"]


def alone(plan: Plan | None = None, **parts: object) -> Story:
    """A log whose policy lets one person do several things in production, with `parts` of it replaced."""
    tree = yaml.safe_load(Story().policy_bytes)
    tree["separation"] = [
        {
            "environment": "production",
            "requester_approves": True,
            "approver_runs": True,
            "because": "a team of two",
        }
    ]
    return Story(plan=plan, policy=yaml.safe_dump({**tree, **parts}).encode())


def test_one_person_who_does_several_things_is_named_with_the_policys_reason() -> None:
    story = alone().tell(approvers=("bob",), runner="bob")
    [found] = exceptions([case(story)], story.history, (), time_of(story.log.leaf(0)))
    assert (found.kind, found.who) == ("one-person", "bob@example.com")
    assert found.why == "approved it and started the run: a team of two"
    own = alone()
    own.open("bob")
    own.act("approve", "bob")
    own.permit("alice")
    assert kinds(own) == ["own-approval"]


def test_a_run_in_a_freeze_that_its_type_may_pass_is_named() -> None:
    freeze = {
        "name": "year end",
        "from": "2026-11-01T00:00:00Z",
        "to": "2027-01-05T00:00:00Z",
        "environments": ["production"],
        "except": ["normal"],
    }
    assert kinds(alone(freezes=[freeze]).tell()) == ["opened-freeze"]
    early = {**freeze, "to": "2026-11-02T00:00:00Z"}
    assert kinds(alone(freezes=[early]).tell()) == []


FREEZE = {
    "name": "year end",
    "from": "2026-11-22T22:00:00Z",
    "to": "2026-11-23T02:00:00Z",
    "environments": ["production"],
    "except": ["normal"],
}
INSIDE = datetime(2026, 11, 22, 22, 30, tzinfo=UTC)


def amended(story: Story, **parts: object) -> None:
    story.amend(yaml.safe_dump({**yaml.safe_load(story.history.latest.policy.data), **parts}).encode())


def found(story: Story) -> list[tuple[str, str, datetime]]:
    told = exceptions([case(story)], story.history, (), time_of(story.log.leaf(0)))
    return [(item.kind, item.who, item.at) for item in told]


def test_a_freeze_that_is_taken_out_afterwards_stood_at_the_time() -> None:
    story = alone(freezes=[FREEZE])
    story.clock.time = INSIDE
    story.tell()
    amended(story, freezes=[])
    assert kinds(story) == ["opened-freeze"]


def test_a_freeze_that_is_written_afterwards_opened_for_nobody() -> None:
    story = alone()
    story.clock.time = INSIDE
    story.tell()
    amended(story, freezes=[FREEZE])
    assert kinds(story) == []


def begun(story: Story) -> Permit:
    """Begin a run before the freeze, and do its first step."""
    story.open()
    story.act("approve", "bob")
    permit = story.permit("alice")
    story.say(permit, "run.started", data={"permit": permit.leaf})
    story.slice(permit, story.steps()[0])
    return permit


def test_a_run_that_goes_on_into_a_freeze_passed_it_at_its_beginning() -> None:
    story = alone(freezes=[FREEZE])
    permit = begun(story)
    assert kinds(story) == []
    story.clock.time = INSIDE
    story.slice(permit, story.steps()[1])
    assert found(story) == [("opened-freeze", "alice@example.com", datetime(2026, 11, 22, 22, tzinfo=UTC))]


def test_a_run_is_held_against_the_freeze_that_stood_at_its_slice() -> None:
    story = alone()
    permit = begun(story)
    amended(story, freezes=[FREEZE])
    story.clock.time = INSIDE
    intent = story.slice(permit, story.steps()[1])
    assert found(story) == [("opened-freeze", "alice@example.com", time_of(intent.leaf))]


def test_a_resume_in_a_freeze_is_whose_it_is_and_a_word_about_a_run_is_no_run() -> None:
    story = alone(freezes=[FREEZE])
    permit = begun(story)
    story.say(permit, "run.finished", outcome="failed", data={"state": "failed", "hosts": {}})
    story.clock.time = INSIDE
    story.act("stop", "bob", role="sre", reason="too late")
    assert kinds(story) == [], "nothing ran in the freeze"
    again = story.permit("dave", mode="resume")
    assert [(kind, who) for kind, who, _ in found(story)] == [("opened-freeze", "dave@example.com")]
    story.execute(again)
    assert [(kind, who) for kind, who, _ in found(story)] == [("opened-freeze", "dave@example.com")]


def test_an_undo_in_a_freeze_is_named_though_its_type_may_not_pass() -> None:
    story = alone(freezes=[{**FREEZE, "except": []}])
    permit = begun(story)
    story.say(permit, "run.finished", outcome="failed", data={"state": "failed", "hosts": {}})
    story.clock.time = INSIDE
    story.permit("alice", mode="undo")
    [item] = exceptions([case(story)], story.history, (), time_of(story.log.leaf(0)))
    assert (item.kind, item.why) == ("opened-freeze", "was undone in the freeze year end")


def test_without_the_plans_bytes_a_freeze_is_not_taken_for_another_environments() -> None:
    story = alone(freezes=[FREEZE])
    story.clock.time = INSIDE
    story.tell()
    blind = Case.of(story.log.of_change(story.change), story.history, manifest=None, blob=story.log.blob)
    told = exceptions([blind], story.history, (), time_of(story.log.leaf(0)))
    assert "opened-freeze" in {item.kind for item in told}


def whys(story: Story, kind: str) -> list[str]:
    told = exceptions([case(story)], story.history, (), time_of(story.log.leaf(0)))
    return [item.why for item in told if item.kind == kind]


def test_hosts_that_were_reached_without_a_key_are_named_as_the_policy_of_the_time_allowed() -> None:
    plan = small_plan(hosts=("web1", "web2", "web3"), unpinned=["web1", "web2"])
    story = alone(plan=plan, limits={"unpinned_hosts": "allow"})
    story.open()
    story.act("approve", "bob")
    story.execute(story.permit(limit="web2,web3"))
    amended(story, limits={})
    assert whys(story, "unpinned-hosts") == ["host keys not checked: web2: limits.unpinned_hosts: allow"]
    story.permit(mode="undo")
    [_, undo] = whys(story, "unpinned-hosts")
    assert undo == "host keys not checked: web1, web2: an undo is not asked for them"


def test_a_policy_that_allows_unpinned_hosts_is_no_exception_where_none_was_reached() -> None:
    assert kinds(alone(limits={"unpinned_hosts": "allow"}).tell()) == []


def test_an_attempt_that_nothing_kept_from_the_logs_key_is_named() -> None:
    story = Story()
    story.open()
    story.act("approve", "bob")
    story.execute(story.permit(custody="none"), state="failed")
    story.execute(story.permit(mode="resume", custody="landlock"))
    assert found(story)[0][:2] == ("no-custody", "alice@example.com")
    assert kinds(story) == ["no-custody"], "the resume had a custody"


def test_a_permit_that_says_nothing_of_custody_is_not_taken_for_kept() -> None:
    story = Story()
    story.open()
    story.act("approve", "bob")
    story.force(binaries={"python": "3.11"})
    assert whys(story, "no-custody") == [
        "custody: not said: its child processes could open the log and its key"
    ]
