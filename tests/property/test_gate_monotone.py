"""The gate is monotone: one vote less, an objection more, a worse time or a role less never admits what was refused."""

import random
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from itmp.audit import Health
from itmp.change import Admission, ChangeRecord, GateInput, Policy, PolicyHistory, judge
from itmp.testing.story import Story, small_plan

ACTS = (
    "approve bob",
    "approve carol",
    "approve erin",
    "reject carol",
    "reject erin",
    "revoke bob",
    "revoke erin",
    "short bob",
)
ROLES = {
    "alice": ("sre", "owner"),
    "bob": ("approver", "owner", "sre"),
    "carol": ("approver",),
    "erin": ("approver", "sre"),
}
WINDOW = "2026-11-22T19:00:00Z 2026-11-23T04:00:00Z"


@cache
def told(acts: tuple[str, ...], risk: Any, opener: str, runner: str) -> GateInput:
    story = Story(plan=small_plan(risk=risk), roles=ROLES)
    story.open(opener, window=WINDOW)
    for act in acts:
        do(story, act)
    start = story.act("run", runner)
    return GateInput(
        mode="run",
        plan=story.plan,
        record=story.record,
        history=story.history,
        health=Health(findings=()),
        now=story.clock.now(),
        start=start.hash,
        world=story.world(),
    )


def do(story: Story, act: str) -> None:
    word, who = act.split()
    if word == "short":
        story.act("approve", who, valid="2026-11-22T20:00:00Z 2026-11-22T20:10:00Z")
    elif word == "revoke":
        mine = [vote for vote in story.record.votes if vote.given.signer.startswith(who)]
        if mine:
            story.act("revoke", who, of=mine[-1].given.leaf)
    else:
        story.act(word, who)


stories = st.builds(
    told,
    st.lists(st.sampled_from(ACTS), max_size=5).map(tuple),
    st.sampled_from(["low", "high"]),
    st.sampled_from(["alice", "bob"]),
    st.sampled_from(["alice", "bob", "erin"]),
)
MODES = st.sampled_from(["run", "slice", "undo", "always"])


def admits(asked: GateInput) -> bool:
    return isinstance(judge(asked), Admission)


def never_better(before: GateInput, after: GateInput) -> None:
    assert admits(before) or not admits(after)


def with_record(asked: GateInput, **changes: Any) -> GateInput:
    return replace(asked, record=replace(asked.record, **changes))


@settings(max_examples=60, deadline=None)
@given(stories, MODES, st.randoms(use_true_random=False))
def test_one_approval_less_never_admits(asked: GateInput, mode: Any, choice: random.Random) -> None:
    asked = replace(asked, mode=mode)
    approvals = [vote for vote in asked.record.votes if vote.approves]
    if approvals:
        gone = choice.choice(approvals)
        never_better(asked, with_record(asked, votes=tuple(v for v in asked.record.votes if v is not gone)))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(ACTS), max_size=4).map(tuple),
    st.sampled_from(ACTS[3:7]),
    st.sampled_from(["low", "high"]),
)
def test_one_objection_more_never_admits(acts: tuple[str, ...], more: str, risk: str) -> None:
    never_better(told(acts, risk, "alice", "alice"), told((*acts, more), risk, "alice", "alice"))


@settings(max_examples=60, deadline=None)
@given(stories, st.integers(min_value=-600, max_value=3 * 24 * 60))
def test_a_later_time_never_admits(asked: GateInput, minutes: int) -> None:
    later = replace(asked, now=asked.now + timedelta(minutes=minutes))
    if minutes > 0:
        never_better(asked, later)


@settings(max_examples=60, deadline=None)
@given(st.integers(min_value=-120, max_value=14 * 60))
def test_outside_the_window_nothing_is_admitted(minutes: int) -> None:
    asked = told(("approve bob", "approve carol"), "low", "alice", "alice")
    now = asked.now + timedelta(minutes=minutes)
    request = asked.record.request
    assert request
    assert request.window
    assert admits(asked)
    assert request.window.contains(now) or not admits(replace(asked, now=now))


def without_role(history: PolicyHistory, name: str, role: str) -> PolicyHistory | None:
    """The same history, whose last version keeps its digest but takes `role` from `name`."""
    latest = history.latest
    document = yaml.safe_load(latest.policy.data)
    for signer in document["signers"]:
        if signer["id"].startswith(name):
            signer["roles"] = [mine for mine in signer["roles"] if mine != role] or ["owner"]
    document["amend"]["count"] = 1
    policy = Policy.from_bytes(yaml.safe_dump(document).encode())
    object.__setattr__(policy, "digest", latest.policy.digest)
    return replace(history, versions=(*history.versions[:-1], replace(latest, policy=policy)))


@settings(max_examples=60, deadline=None)
@given(stories, st.sampled_from(sorted(ROLES)), st.sampled_from(["approver", "sre"]))
def test_one_role_less_never_admits(asked: GateInput, name: str, role: str) -> None:
    history = without_role(asked.history, name, role)
    assert history
    never_better(asked, replace(asked, history=history))


@settings(max_examples=40, deadline=None)
@given(stories)
def test_nothing_is_admitted_without_its_quorum_of_others(asked: GateInput) -> None:
    answer = judge(asked)
    if isinstance(answer, Admission):
        record: ChangeRecord = asked.record
        assert record.request
        apart = {record.request.requester, answer.runner}
        voters = {vote.given.signer for vote in record.votes if vote.approves} - apart
        assert len(voters) >= answer.quorum >= 1
