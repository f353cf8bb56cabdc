import hashlib
from datetime import timedelta

import yaml

from itmp.change import time_of
from itmp.inquiry import Case, access, exceptions, reconcile, sample, touches
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


def alone(**parts: object) -> Story:
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
    return Story(policy=yaml.safe_dump({**tree, **parts}).encode())


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
