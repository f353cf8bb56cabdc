from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from itmp.audit import Finding, Health
from itmp.calendars import Window
from itmp.change import Admission, Check, ExternalState, GateInput, NeedsWorld, Refusal, judge
from itmp.change.policy import CLOCK
from itmp.errors import (
    ForkError,
    NotApprovedError,
    OutsideWindowError,
    RefusedError,
    RejectedError,
    StaleError,
)
from itmp.plan import Plan
from itmp.plan.model import Moved, Review
from itmp.testing.story import START, Story, small_plan

WINDOW = "2026-11-22T21:00:00Z 2026-11-23T02:00:00Z"


def approved(
    plan: Plan | None = None, *by: str, policy: Callable[[bytes], bytes] | None = None, **lies: str
) -> Story:
    story = Story(plan=plan)
    if policy:
        story = Story(plan=plan, policy=policy(story.policy_bytes))
    story.open(**lies)
    for name in by or ("bob",):
        story.act("approve", name)
    return story


def given(story: Story, mode: Any = "run", who: str = "alice", **changes: Any) -> GateInput:
    start = story.act(mode, who) if mode in {"run", "resume", "undo"} else None
    base = GateInput(
        mode=mode,
        plan=story.plan,
        record=story.record,
        history=story.history,
        health=Health(findings=()),
        now=story.clock.now(),
        start=start.hash if start else None,
        world=story.world(),
    )
    return replace(base, **changes)


def refusal(asked: GateInput) -> Refusal:
    answer = judge(asked)
    assert isinstance(answer, Refusal), answer
    return answer


def check(answer: Any, n: int) -> Check:
    assert [one.n for one in answer.checks] == list(range(1, 10))
    return answer.checks[n - 1]  # type: ignore[no-any-return]


def replan(plan: Plan, **changes: Any) -> Plan:
    artifacts = {path: plan.artifact(path) for path in plan.manifest.artifacts}
    return Plan.build(replace(plan.manifest, **changes), artifacts)


def test_an_approved_change_is_admitted() -> None:
    answer = judge(given(approved()))
    assert isinstance(answer, Admission)
    assert {one.outcome for one in answer.checks} == {"ok"}
    assert (answer.quorum, answer.alone, answer.hosts, answer.runner) == (
        1,
        False,
        ("web1", "web2"),
        "alice@example.com",
    )
    assert len(answer.statements) == 3


def test_the_world_is_asked_for_only_when_everything_else_passes() -> None:
    story = approved()
    first = judge(given(story, world=None))
    assert isinstance(first, NeedsWorld)
    assert [check(first, n).outcome for n in (6, 9)] == ["not judged"] * 2
    answer = refusal(given(story, world=None, plan=small_plan(hosts=["a"])))
    assert [check(answer, n).outcome for n in (6, 9)] == ["not judged"] * 2


def test_one_person_alone_runs_low_risk_in_the_lab_and_the_admission_says_so() -> None:
    story = Story(plan=small_plan(environment="lab", group="lab"))
    story.open()
    answer = judge(given(story))
    assert isinstance(answer, Admission)
    assert answer.alone
    assert answer.reading.environment == "lab"


# Check 1


def test_1_without_approvals_another_plan_is_not_approved() -> None:
    story = Story()
    story.open()
    answer = refusal(given(story, plan=small_plan(hosts=["a"])))
    assert (answer.exit_code, answer.first.n) == (10, 1)


def test_1_another_plan_than_the_approved_one_is_stale() -> None:
    answer = refusal(given(approved(), plan=small_plan(hosts=["a"])))
    assert (answer.exit_code, answer.first.n) == (12, 1)
    assert isinstance(answer.to_error("CHG-1"), StaleError)


def test_1_approvals_under_an_older_policy_are_stale() -> None:
    story = approved()
    story.amend(story.policy_bytes.replace(b"approval: 14d", b"approval: 7d"))
    answer = refusal(given(story))
    assert (answer.exit_code, answer.first.n) == (12, 1)
    story.act("approve", "bob")
    assert isinstance(judge(given(story)), Admission)


def test_1_a_change_that_was_never_opened_is_refused() -> None:
    story = approved()
    answer = refusal(given(story, record=replace(story.record, request=None, votes=())))
    assert answer.exit_code == 10


# Check 2


def test_2_too_few_approvals() -> None:
    story = Story()
    story.open()
    answer = refusal(given(story))
    assert (answer.exit_code, answer.first.n) == (10, 2)
    assert isinstance(answer.to_error("CHG-1"), NotApprovedError)


def test_2_high_risk_needs_two_people() -> None:
    story = approved(small_plan(risk="high"))
    assert refusal(given(story)).exit_code == 10
    story.act("approve", "bob")
    assert refusal(given(story)).exit_code == 10
    story.act("approve", "carol")
    assert isinstance(judge(given(story)), Admission)


def test_2_a_change_type_without_a_rule_is_refused_by_policy() -> None:
    answer = refusal(given(approved(type="standard")))
    assert (answer.exit_code, answer.first.n) == (15, 2)
    assert isinstance(answer.to_error("CHG-1"), RefusedError)


def test_2_a_machine_approves_nothing() -> None:
    human, machine = (f"id: carol@example.com\n    kind: {kind}".encode() for kind in ("human", "machine"))
    story = approved(None, "carol", policy=lambda text: text.replace(human, machine))
    assert refusal(given(story)).exit_code == 10
    assert isinstance(judge(given(approved(None, "carol"))), Admission)


def test_2_a_role_outside_the_rule_does_not_count() -> None:
    def policy(text: bytes) -> bytes:
        return text.replace(b"owner: [enrol,", b"owner: [approve, enrol,")

    story = Story(policy=policy(Story().policy_bytes))
    story.open()
    story.act("approve", "bob", role="owner")
    assert refusal(given(story)).exit_code == 10


# Check 3


def test_2_hosts_without_a_pinned_key_need_the_policys_word() -> None:
    plan = small_plan()
    assert plan.manifest.inventory is not None
    plan = replan(plan, inventory=replace(plan.manifest.inventory, unpinned=("web1",)))
    answer = refusal(given(approved(plan)))
    assert (answer.exit_code, answer.first.n) == (15, 2)
    assert "without a pinned key: web1" in answer.first.why

    def allow(policy: bytes) -> bytes:
        return policy.replace(b"limits: {", b"limits: {unpinned_hosts: allow, ")

    assert isinstance(judge(given(approved(plan, policy=allow))), Admission)


def test_3_the_requesters_own_vote_is_set_aside() -> None:
    story = Story()
    story.open("bob")
    story.act("approve", "bob")
    answer = refusal(given(story))
    assert (answer.exit_code, answer.first.n) == (15, 3)
    story.act("approve", "carol")
    assert isinstance(judge(given(story)), Admission)


def test_3_the_runners_own_vote_is_set_aside() -> None:
    story = approved()
    answer = refusal(given(story, who="bob"))
    assert (answer.exit_code, answer.first.n) == (15, 3)


def test_3_the_policy_may_allow_it_in_writing() -> None:
    written = b"separation: [{environment: production, requester_approves: true, approver_runs: true, because: two-person team}]"
    story = Story(policy=Story().policy_bytes.replace(b"separation: []", written))
    story.open("bob")
    story.act("approve", "bob")
    assert isinstance(judge(given(story, who="bob")), Admission)


def test_3_nothing_starts_without_its_statement() -> None:
    story = approved()
    for start in (None, "sha256:" + "1" * 64, story.record.votes[0].given.leaf):
        answer = refusal(given(story, start=start))
        assert (answer.exit_code, answer.first.n) == (15, 3)
    asked = given(story, "run")
    assert refusal(replace(asked, mode="resume")).exit_code == 15


def test_3_a_start_counts_once_and_only_while_it_is_valid() -> None:
    story = approved()
    permit = story.permit()
    assert refusal(given(story, start=permit.statements[-1])).first.n == 3
    late = approved()
    asked = given(late)
    answer = refusal(replace(asked, now=asked.now + timedelta(hours=13)))
    assert check(answer, 3).outcome == "refused"


def test_3_a_resume_statement_counts_once_too() -> None:
    story = approved()
    story.permit()
    again = story.permit(mode="resume")
    asked = replace(given(story, "resume"), start=again.statements[-1])
    assert "has been used" in check(refusal(asked), 3).why


def test_2_an_approval_falls_with_its_signers_key() -> None:
    line = Story().people["bob"].public.line
    dated = f"{line}\n        not_after: '2026-11-22T20:30:00Z'".encode()
    story = approved(policy=lambda text: text.replace(line.encode(), dated))
    assert isinstance(judge(given(story)), Admission)
    story.clock.time += timedelta(hours=1)
    assert refusal(given(story)).exit_code == 10


def test_3_a_change_runs_once_and_then_is_resumed() -> None:
    story = approved()
    permit = story.permit()
    assert "has run already" in check(refusal(given(story)), 3).why
    assert isinstance(judge(given(story, "resume")), Admission)
    story.execute(permit)
    assert "no unfinished run" in check(refusal(given(story, "resume")), 3).why
    assert isinstance(judge(given(story, "undo")), Admission)


def test_3_a_limit_narrows_and_never_widens() -> None:
    story = approved()
    start = story.act("run", "alice", limit="web2,db*")
    answer = judge(given(story, start=start.hash, record=story.record))
    assert isinstance(answer, Admission)
    assert answer.hosts == ("web2",)
    nothing = story.act("run", "alice", limit="db*")
    assert "selects none" in check(refusal(given(story, start=nothing.hash, record=story.record)), 3).why


@pytest.mark.parametrize(
    ("limit", "hosts"),
    [
        ("web", ("web1", "web2")),
        ("!web1", ("web2",)),
        ("web*,!web2", ("web1",)),
        ("web1, web2", ("web1", "web2")),
    ],
)
def test_3_limits_name_hosts_and_groups(limit: str, hosts: tuple[str, ...]) -> None:
    story = approved()
    start = story.act("run", "alice", limit=limit)
    answer = judge(given(story, start=start.hash, record=story.record))
    assert isinstance(answer, Admission)
    assert answer.hosts == hosts


# Check 4


def test_4_a_rejection_refuses_until_that_person_approves() -> None:
    story = approved()
    story.act("reject", "carol")
    answer = refusal(given(story))
    assert (answer.exit_code, answer.first.n) == (18, 4)
    assert isinstance(answer.to_error("CHG-1"), RejectedError)
    story.act("approve", "carol")
    assert isinstance(judge(given(story)), Admission)


def test_4_a_revocation_refuses_even_where_others_suffice() -> None:
    story = approved(None, "bob", "carol")
    vote = story.record.votes[0].given.leaf
    story.act("revoke", "bob", of=vote)
    assert refusal(given(story)).exit_code == 18


def test_4_an_expired_approval_is_no_approval() -> None:
    story = Story()
    story.open()
    story.act("approve", "bob", valid="2026-11-22T20:00:00Z 2026-11-22T20:30:00Z")
    story.clock.time += timedelta(hours=1)
    answer = refusal(given(story))
    assert (answer.exit_code, check(answer, 4).outcome) == (10, "refused")
    story.act("approve", "carol")
    assert isinstance(judge(given(story)), Admission)


def test_4_an_approval_for_longer_than_the_policy_allows_is_none() -> None:
    story = Story()
    story.open()
    story.act("approve", "bob", valid="2026-11-22T20:00:00Z 2027-11-22T20:00:00Z")
    assert refusal(given(story)).exit_code == 10


@pytest.mark.parametrize("act", ["cancel", "stop"])
def test_4_cancel_and_stop_refuse(act: str) -> None:
    story = approved()
    start = story.act("run", "alice")
    story.act(act, "dave")
    answer = refusal(given(story, start=start.hash, record=story.record))
    assert (answer.exit_code, answer.first.n) == (18, 4)


def test_4_a_start_after_a_stop_goes_on() -> None:
    story = approved()
    story.act("stop", "dave")
    assert isinstance(judge(given(story)), Admission)


# Check 5


def test_5_outside_its_window_the_change_waits() -> None:
    story = approved(window=WINDOW)
    answer = refusal(given(story))
    assert (answer.exit_code, answer.first.n) == (11, 5)
    assert answer.retry_at == datetime(2026, 11, 22, 21, tzinfo=UTC)
    assert isinstance(answer.to_error("CHG-1"), OutsideWindowError)
    story.clock.time += timedelta(hours=1, minutes=1)
    inside = judge(given(story))
    assert isinstance(inside, Admission)
    assert inside.not_after == datetime(2026, 11, 23, 2, tzinfo=UTC)


def test_5_after_its_window_there_is_no_retry() -> None:
    story = approved(window=WINDOW)
    story.clock.time += timedelta(hours=6)
    answer = refusal(given(story))
    assert (answer.exit_code, answer.retry_at) == (11, None)


def test_5_a_freeze_refuses_and_says_until_when() -> None:
    frozen = b"freezes: [{name: big sale, from: 2026-11-22T00:00:00Z, to: 2026-11-22T23:00:00Z, environments: [production], except: [emergency]}]"
    story = approved(policy=lambda text: text.replace(b"freezes: []", frozen))
    answer = refusal(given(story))
    assert (answer.exit_code, answer.retry_at) == (11, datetime(2026, 11, 22, 23, tzinfo=UTC))
    assert "big sale" in answer.first.why
    emergency = approved(policy=lambda text: text.replace(b"freezes: []", frozen), type="emergency")
    assert isinstance(judge(given(emergency)), Admission)


def test_5_weekly_windows_bind_all_but_emergencies() -> None:
    weekly = b"windows: [{environments: [production], days: [mon], start: '01:00', duration: 2h, zone: UTC}]"
    story = approved(policy=lambda text: text.replace(b"windows: []", weekly))
    answer = refusal(given(story))
    assert (answer.exit_code, answer.retry_at) == (11, datetime(2026, 11, 23, 1, tzinfo=UTC))
    story.clock.time += timedelta(hours=5, minutes=30)
    inside = judge(given(story))
    assert isinstance(inside, Admission)
    assert inside.not_after == datetime(2026, 11, 23, 3, tzinfo=UTC)
    emergency = approved(policy=lambda text: text.replace(b"windows: []", weekly), type="emergency")
    assert isinstance(judge(given(emergency)), Admission)


def test_5_retry_is_only_promised_when_time_alone_is_missing() -> None:
    story = Story()
    story.open(window=WINDOW)
    answer = refusal(given(story))
    assert (answer.exit_code, answer.retry_at, check(answer, 5).outcome) == (10, None, "refused")


# Check 6


def moved(story: Story, **changes: Any) -> Any:
    return judge(given(story, world=replace(story.world(), **changes)))


def test_6_a_world_that_moved_is_stale() -> None:
    story = approved()
    inventory = story.plan.manifest.inventory
    assert inventory
    first, second = inventory.hosts
    for hosts, word in [
        ((first,), "gone: web2"),
        ((first, second, replace(second, name="web3")), "new: web3"),
        ((first, replace(second, address="10.0.0.9")), "changed: web2"),
        ((first, replace(second, vars=first.vars)), "changed: web2"),
        (None, "the inventory was not read"),
    ]:
        answer = moved(story, hosts=hosts)
        assert (answer.exit_code, answer.first.n) == (12, 6)
        assert word in answer.first.why
    assert moved(story, problems=("inventories/hosts.yml is gone",)).exit_code == 12


def test_6_a_host_that_no_inventory_holds_is_never_gone() -> None:
    steps = small_plan().manifest.steps
    here = tuple(replace(step, hosts=(*step.hosts, "localhost")) for step in steps)  # type: ignore[call-arg]
    answer = approved(plan=replan(small_plan(), steps=here)).admit()
    assert isinstance(answer, Admission)
    assert (answer.hosts, answer.skipped) == (("web1", "web2", "localhost"), ())


def test_6_the_plan_may_allow_hosts_to_be_gone_or_new() -> None:
    plan = replan(small_plan(), moved=Moved(gone="skip", skip=1, new="ignore"))
    story = approved(plan)
    assert plan.manifest.inventory
    first, second = plan.manifest.inventory.hosts
    answer = moved(story, hosts=(first, replace(second, name="web3")))
    assert isinstance(answer, Admission)
    assert (answer.hosts, answer.skipped) == (("web1",), ("web2",))
    assert moved(story, hosts=()).exit_code == 12


# Checks 7, 8, 9


def test_7_a_document_past_its_review_is_refused() -> None:
    for due, code in [("2026-11-21", 15), ("2026-11-22", None)]:
        plan = replan(small_plan(), reviewed=Review(on="2026-10-01", due=due))
        answer = judge(given(approved(plan)))
        assert (answer.exit_code if isinstance(answer, Refusal) else None) == code


@pytest.mark.parametrize(("name", "code"), [("clock-behind", 16), ("damaged", 16), ("rolled-back", 42)])
def test_8_an_unhealthy_log_comes_before_everything(name: str, code: int) -> None:
    story = approved()
    story.act("reject", "carol")
    health = Health(findings=(Finding(rule=8, name=name, place="head", message="no"),))
    answer = refusal(given(story, health=health))
    assert (answer.exit_code, answer.first.n) == (code, 8)
    assert isinstance(answer.to_error("CHG-1"), ForkError) == (code == 42)


def test_8_a_clock_that_nobody_keeps_is_refused_with_what_to_do() -> None:
    health = Health(findings=(Finding(rule=8, name=CLOCK, place="clock", message="nobody keeps it"),))
    answer = refusal(given(approved(), health=health))
    assert (answer.exit_code, answer.first.why) == (16, "clock: nobody keeps it")
    assert "chrony" in answer.first.do
    both = Health(findings=(*health.findings, Finding(rule=8, name="damaged", place="head", message="no")))
    assert "itmp audit verify" in refusal(given(approved(), health=both)).first.do


def test_8_what_is_not_grave_does_not_refuse() -> None:
    health = Health(findings=(Finding(rule=8, name="slept", place="clock", message="", grave=False),))
    assert isinstance(judge(given(approved(), health=health)), Admission)


def test_9_the_external_record_must_say_implement_now() -> None:
    story = approved(external="CHG0030001")
    needs = judge(given(story, world=None))
    assert isinstance(needs, NeedsWorld)
    assert needs.external == "CHG0030001"
    now = Window(start=START, end=START + timedelta(hours=8))
    good = ExternalState(reference="CHG0030001", implement=True, state="implement", window=now)
    assert isinstance(moved(story, external=good), Admission)
    for bad in (
        None,
        replace(good, implement=False),
        replace(good, window=None),
        replace(good, reference="CHG0030002"),
        replace(good, window=Window(start=START - timedelta(days=1), end=START)),
    ):
        answer = moved(story, external=bad, external_problem="timed out")
        assert (answer.exit_code, answer.first.n) == (15, 9)


# Modes and precedence


def test_a_slice_repeats_2_4_5_8() -> None:
    story = approved()
    permit = story.permit()
    answer = judge(given(story, "slice", start=permit.statements[-1], record=story.record, world=None))
    assert isinstance(answer, Admission)
    assert [one.n for one in answer.checks if one.outcome == "ok"] == [2, 4, 5, 8]
    story.act("reject", "carol")
    assert refusal(given(story, "slice", start=permit.statements[-1], world=None)).exit_code == 18


def test_an_always_slice_only_asks_the_log() -> None:
    story = approved()
    story.permit()
    story.act("cancel", "dave")
    answer = judge(given(story, "always", world=None))
    assert isinstance(answer, Admission)
    assert [one.n for one in answer.checks if one.outcome == "ok"] == [8]
    health = Health(findings=(Finding(rule=8, name="damaged", place="head", message="no"),))
    assert refusal(given(story, "always", world=None, health=health)).exit_code == 16


def test_undo_is_stranded_by_no_expiry_no_window_and_no_rejection() -> None:
    story = approved(window=WINDOW)
    story.clock.time += timedelta(hours=1, minutes=5)
    story.execute(story.permit())
    story.act("reject", "carol")
    story.clock.time += timedelta(days=3)
    answer = judge(given(story, "undo", world=None))
    assert isinstance(answer, Admission)
    assert [one.n for one in answer.checks if one.outcome == "ok"] == [1, 3, 8]


def test_undo_needs_a_run_a_statement_and_somebody_else_than_the_approver() -> None:
    story = approved()
    assert "no run to undo" in check(refusal(given(story, "undo")), 3).why
    story.permit()
    assert refusal(given(story, "undo", "bob")).first.n == 3
    assert refusal(given(story, "undo", plan=small_plan(hosts=["a"]))).first.n == 1


def test_the_first_in_the_order_of_precedence_gives_the_exit_code() -> None:
    plan = replan(small_plan(), reviewed=Review(on="2026-01-01", due="2026-02-01"))
    story = approved(plan, window=WINDOW)
    sick = Health(findings=(Finding(rule=8, name="damaged", place="head", message="no"),))
    other = small_plan(hosts=["a"])
    codes = []
    codes.append(refusal(given(story)).exit_code)  # 7 and 5
    story.act("reject", "bob")
    codes.append(refusal(given(story)).exit_code)  # 4 by rejection, 2, 7, 5
    codes.append(refusal(given(story, plan=other)).exit_code)  # 1 as well
    codes.append(refusal(given(story, plan=other, health=sick)).exit_code)  # and 8
    assert codes == [15, 18, 18, 16]
    fresh = approved(plan, window=WINDOW)
    assert refusal(given(fresh, plan=other)).exit_code == 12  # 1 before 7 and 5
