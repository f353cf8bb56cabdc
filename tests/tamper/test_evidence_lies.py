"""What a lying owner of the log can write, and the rule that names it. Everything is signed with the log's own key."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta

import pytest
from attacks import recorded

from itmp.audit import Event, Leaf, Log
from itmp.change import Permit, PolicyHistoryError
from itmp.change.permit import hosts_digest
from itmp.evidence import Report, Trust, build, verify
from itmp.evidence.proofs import write_inclusion
from itmp.plan import all_steps
from itmp.plan.model import AnsibleStep
from itmp.signing import NoteKey
from itmp.testing.forgery import ForgedLog, forged, repacked
from itmp.testing.memory_log import MemoryReader, MemoryStore
from itmp.testing.story import ORIGIN, Story, small_plan

NOWHERE = "sha256:" + "1" * 64


def judged(story: Story, bundle: bytes | None = None) -> Report:
    return recorded(verify(bundle or story.evidence(), Trust.from_files(story.trust())))


def broken(report: Report) -> tuple[int, int]:
    assert report.broken, report.rules
    return report.exit_code, report.broken.n


def opened(**options: object) -> Story:
    story = Story(**options)  # type: ignore[arg-type]
    story.open()
    return story


def finish(story: Story, permit: Permit) -> Story:
    story.execute(permit)
    story.close()
    return story


# Rule 10: a permit that the gate would never have granted


def nobody_approved(story: Story) -> Permit:
    return story.force()


def requester_approved(story: Story) -> Permit:
    story.open("bob")
    story.act("approve", "bob")
    return story.force()


def runner_approved(story: Story) -> Permit:
    story.act("approve", "bob")
    return story.force("bob")


def approval_of_another_plan(story: Story) -> Permit:
    story.act("approve", "bob", plan=NOWHERE)
    return story.force()


def approval_of_another_change(story: Story) -> Permit:
    vote = story.sign("approve", "bob", **story._lines("approve"))
    story.open(reason="the real one")
    story.record_signed("approve", "bob", vote)
    return story.force()


def approval_of_another_log(story: Story) -> Permit:
    story.act("approve", "bob", log="example.com/ops/2025")
    return story.force()


def approval_of_another_window(story: Story) -> Permit:
    story.act("approve", "bob", window="2026-11-22T20:00:00Z 2026-11-23T20:00:00Z")
    return story.force()


def approval_of_a_smaller_scope(story: Story) -> Permit:
    story.act("approve", "bob", scope="env=lab hosts=1 resources=0")
    return story.force()


def approval_in_a_role_not_held(story: Story) -> Permit:
    story.act("approve", "dave")
    return story.force()


def approval_under_an_old_policy(story: Story) -> Permit:
    story.act("approve", "bob")
    story.amend(story.policy_bytes.replace(b"approval: 14d", b"approval: 7d"))
    return story.force()


def revoked(story: Story) -> Permit:
    vote = story.act("approve", "bob")
    story.act("revoke", "bob", of=vote.hash)
    return story.force()


def rejected(story: Story) -> Permit:
    story.act("approve", "bob")
    story.act("reject", "carol")
    return story.force()


def canceled(story: Story) -> Permit:
    story.act("approve", "bob")
    story.act("cancel", "dave")
    return story.force()


def expired(story: Story) -> Permit:
    story.act("approve", "bob", valid="2026-11-22T20:00:00Z 2026-11-22T20:10:00Z")
    story.clock.time += timedelta(minutes=11)
    return story.force()


def approved_afterwards(story: Story) -> Permit:
    permit = story.force()
    story.act("approve", "bob")
    return permit


def two_keys_of_one_person(story: Story) -> Permit:
    story.act("approve", "bob")
    story.act("approve", "bob")
    return story.force()


def lasts_too_long(story: Story) -> Permit:
    story.act("approve", "bob")
    return story.force(not_after="2027-11-22T20:00:00Z")


def wider_than_its_limit(story: Story) -> Permit:
    story.act("approve", "bob")
    start = story.act("run", "alice", limit="web1")
    vote = story.record.votes[0].given.leaf
    return story.force(statements=[story.request, vote, start.hash])


def hosts_outside_the_plan(story: Story) -> Permit:
    story.act("approve", "bob")
    hosts = ("web1", "web2", "db1")
    return story.force(limit=list(hosts), hosts=hosts_digest(hosts))


def other_steps(story: Story) -> Permit:
    story.act("approve", "bob")
    return story.force(steps=NOWHERE)


def other_policy(story: Story) -> Permit:
    story.act("approve", "bob")
    return story.force(policy=NOWHERE)


def hides_what_it_rests_on(story: Story) -> Permit:
    story.act("approve", "bob")
    start = story.act("run", "alice")
    return story.force(statements=[story.request, start.hash])


def no_start(story: Story) -> Permit:
    story.act("approve", "bob")
    return story.force(statements=[story.request, story.record.votes[0].given.leaf])


PERMITS = [
    nobody_approved,
    requester_approved,
    runner_approved,
    approval_of_another_plan,
    approval_of_another_change,
    approval_of_another_log,
    approval_of_another_window,
    approval_of_a_smaller_scope,
    approval_in_a_role_not_held,
    approval_under_an_old_policy,
    revoked,
    rejected,
    canceled,
    expired,
    approved_afterwards,
    lasts_too_long,
    wider_than_its_limit,
    hosts_outside_the_plan,
    other_steps,
    other_policy,
    hides_what_it_rests_on,
    no_start,
]


@pytest.mark.parametrize("lie", PERMITS)
def test_a_permit_that_the_gate_refuses_is_named(lie: Callable[[Story], Permit]) -> None:
    story = opened()
    assert broken(judged(finish(story, lie(story)))) == (40, 10)


def test_the_same_permit_without_a_lie_holds() -> None:
    story = opened()
    story.act("approve", "bob")
    assert judged(finish(story, story.force())).ok


def test_two_votes_of_one_person_are_one() -> None:
    story = opened(plan=small_plan(risk="high"))
    assert broken(judged(finish(story, two_keys_of_one_person(story)))) == (40, 10)


# Rules 11 to 15: what the executor wrote


def approved() -> tuple[Story, Permit]:
    story = opened()
    story.act("approve", "bob")
    return story, story.permit()


def begun() -> tuple[Story, Permit, AnsibleStep]:
    story, permit = approved()
    story.say(permit, "run.started", data={"permit": permit.leaf})
    return story, permit, story.steps()[0]


def test_11_a_run_without_a_permit() -> None:
    story, permit = approved()
    story.say(permit, "run.started", data={"permit": NOWHERE})
    assert broken(judged(story)) == (40, 11)


def test_11_a_permit_used_twice() -> None:
    story, permit = approved()
    story.execute(permit)
    story.say(permit, "run.started", data={"permit": permit.leaf})
    assert broken(judged(story)) == (40, 11)


def test_11_a_run_that_ends_without_having_begun() -> None:
    story, permit = approved()
    story.say(permit, "run.finished", outcome="ok", data={"state": "succeeded", "hosts": {}})
    assert broken(judged(story)) == (40, 11)


def test_12_an_intent_before_its_run() -> None:
    story, permit = approved()
    story.intend(permit, story.steps()[0], ["web1"])
    assert broken(judged(story)) == (40, 12)


@pytest.mark.parametrize("hosts", [["db1"], ["web1", "db1"], ["web1", "web1"]])
def test_12_an_intent_on_hosts_outside_the_plan(hosts: list[str]) -> None:
    story, permit, step = begun()
    story.intend(permit, step, hosts)
    assert broken(judged(story)) == (40, 12)


def test_12_an_intent_on_hosts_outside_the_limit() -> None:
    story = opened()
    story.act("approve", "bob")
    permit = story.permit(limit="web1")
    story.say(permit, "run.started", data={"permit": permit.leaf})
    story.intend(permit, story.steps()[0], ["web2"])
    assert broken(judged(story)) == (40, 12)


@pytest.mark.parametrize(
    "changes",
    [
        {"step": "reboot"},
        {"phase": "undo"},
        {"phase": "other"},
        {"data": {"slice": "drain", "hosts": ["web1"], "work": NOWHERE, "permit": "permit"}},
        {"data": {"slice": "drain", "hosts": ["web1"], "permit": NOWHERE}},
        {"data": {"slice": "drain", "hosts": [["web1"]], "permit": "permit"}},
        {"data": {"slice": "drain", "permit": "permit"}},
    ],
)
def test_12_an_intent_that_is_not_the_plans(changes: dict[str, object]) -> None:
    story, permit, step = begun()
    real = story.intend(permit, step, ["web1"]).leaf.event
    more = dict(changes)
    if "data" in more:
        data: dict[str, object] = dict(more["data"])  # type: ignore[call-overload]
        more["data"] = {**data, "permit": permit.leaf if data["permit"] == "permit" else data["permit"]}
    story.write(replace(real, id=story.id(), t="", mono=None, boot="", cseq=None, cprev="", **more))  # type: ignore[arg-type]
    assert broken(judged(story)) in {(40, 12), (40, 1)}


@pytest.mark.parametrize(
    "happens",
    [
        lambda story: story.act("revoke", "bob", of=story.record.votes[0].given.leaf),
        lambda story: story.act("reject", "carol"),
        lambda story: story.act("cancel", "dave"),
        lambda story: story.act("stop", "dave"),
        lambda story: setattr(story.clock, "time", story.clock.time + timedelta(hours=13)),
    ],
)
def test_12_an_intent_after_the_approvals_have_fallen(happens: Callable[[Story], object]) -> None:
    story, permit, step = begun()
    happens(story)
    story.intend(permit, step, ["web1"])
    assert broken(judged(story)) == (40, 12)


def test_12_undo_slices_of_an_admitted_run_are_not_stranded() -> None:
    story, permit, step = begun()
    story.slice(permit, step)
    story.act("reject", "carol")
    [back] = [one for one in all_steps(story.plan.manifest) if one.id == "back"]
    assert isinstance(back, AnsibleStep)
    story.slice(permit, back, phase="undo")
    hosts = dict.fromkeys(("web1", "web2"), "changed")
    story.say(permit, "run.finished", outcome="failed", data={"state": "undone", "hosts": hosts})
    assert judged(story).exit_code == 41  # only the close is missing


def test_13_a_result_without_an_intent() -> None:
    story, permit, step = begun()
    story.result(permit, step, NOWHERE, "web1")
    assert broken(judged(story)) == (40, 13)


def test_13_a_result_of_an_intent_that_comes_later() -> None:
    story, permit, step = begun()
    honest = story.slice(permit, step)
    events = [leaf.event for leaf in story.log.leaves()]
    at = next(n for n, event in enumerate(events) if event.type == "slice.intended")
    swapped = forged(story, lambda all_: [*all_[:at], all_[at + 1], all_[at], *all_[at + 2 :]], rechain=True)
    assert honest.index == at
    assert broken(judged(story, swapped))[1] in {12, 13}


def test_13_a_result_on_a_host_outside_its_intent() -> None:
    story, permit, step = begun()
    intent = story.intend(permit, step, ["web1"])
    story.result(permit, step, intent.hash, "web2")
    assert broken(judged(story)) == (40, 13)


@pytest.mark.parametrize(
    "data", [{"line": 4}, {"path": "project/other.yml"}, {"line": [3]}, {"path": {}}, {"delegate": "lb1"}]
)
def test_13_an_action_outside_the_plan(data: dict[str, object]) -> None:
    story, permit, step = begun()
    intent = story.intend(permit, step, ["web1"])
    real = story.result(permit, step, intent.hash, "web1").leaf.event
    assert real.data
    story.write(
        replace(
            real, id=story.id(), t="", mono=None, boot="", cseq=None, cprev="", data={**real.data, **data}
        )
    )
    assert broken(judged(story)) == (40, 13)


@pytest.mark.parametrize("lie", [{"run": "run-2"}, {"step": "restart"}, {"phase": "undo"}])
def test_13_a_result_of_another_run_or_step(lie: dict[str, str]) -> None:
    story, permit, step = begun()
    intent = story.intend(permit, step, ["web1"])
    real = story.result(permit, step, intent.hash, "web1").leaf.event
    story.write(replace(real, id=story.id(), t="", mono=None, boot="", cseq=None, cprev="", **lie))  # type: ignore[arg-type]
    assert broken(judged(story)) == (40, 13)


def test_7_an_event_of_another_plan() -> None:
    story, permit, step = begun()
    real = story.intend(permit, step, ["web1"]).leaf.event
    story.write(replace(real, id=story.id(), t="", mono=None, boot="", cseq=None, cprev="", plan=NOWHERE))
    assert broken(judged(story)) == (40, 7)


@pytest.mark.parametrize(
    ("outcome", "state", "holds"),
    [
        ("changed", "ok", False),
        ("changed", "skipped", False),
        ("changed", "not_reached", False),
        ("changed", "changed", True),
        ("changed", "failed", True),
        ("ok", "changed", False),
        ("ok", "ok", True),
        ("ok", "unreachable", False),
        ("unreachable", "unreachable", True),
        ("skipped", "ok", False),
        ("skipped", "skipped", True),
        ("", "ok", False),
        ("", "changed", False),
        ("", "not_reached", True),
        ("", "unknown", True),
    ],
)
def test_14_a_state_that_its_results_do_not_bear(outcome: str, state: str, holds: object) -> None:
    story, permit, step = begun()
    intent = story.intend(permit, step, ["web1"])
    if outcome:
        story.result(permit, step, intent.hash, "web1", outcome=outcome)
    data = {"slice": "drain", "hosts": {"web1": state}}
    story.say(permit, "slice.finished", step=step.id, phase="do", intent=intent.hash, data=data)
    hosts = {"web1": state, "web2": "not_reached"}
    story.say(permit, "run.finished", outcome="failed", data={"state": "failed", "hosts": hosts})
    report = judged(story)
    assert report.exit_code == 41 if holds else broken(report) == (40, 14)


def test_13_what_was_denied_may_lie_outside_the_plan() -> None:
    story, permit, step = begun()
    intent = story.intend(permit, step, ["web1"])
    fields = {"target": {"kind": "host", "id": "web1"}, "action": "ansible.builtin.shell", "data": {}}
    story.say(permit, "action.finished", step=step.id, intent=intent.hash, outcome="denied", **fields)
    story.say(
        permit,
        "slice.finished",
        step=step.id,
        intent=intent.hash,
        data={"slice": "drain", "hosts": {"web1": "failed"}},
    )
    hosts = {"web1": "failed", "web2": "not_reached"}
    story.say(permit, "run.finished", outcome="failed", data={"state": "failed", "hosts": hosts})
    assert judged(story).exit_code == 41


@pytest.mark.parametrize(
    ("lie", "found"),
    [
        ({}, None),
        ({"type": "check.finished"}, None),
        ({"type": "action.reconciled"}, 13),
        ({"outcome": "failed"}, 13),
        ({"outcome": "skipped"}, 13),
        ({"intent": ""}, 13),
        ({"run": "run-2"}, 13),
        ({"step": "restart"}, 13),
        ({"phase": "undo"}, 13),
    ],
)
def test_13_what_was_denied_may_name_another_target_and_gives_nobody_a_state(
    lie: dict[str, str], found: int | None
) -> None:
    story, permit, step = begun()
    intent = story.intend(permit, step, ["web1"])
    for host in ("db1", "web2"):
        said = {"type": "action.finished", "outcome": "denied", "intent": intent.hash, "data": {}, **lie}
        fields = {"id": story.id(), "t": "", "mono": None, "boot": "", "cseq": None, "cprev": "", **said}
        story.write(replace(intent.leaf.event, target={"kind": "host", "id": host}, **fields))  # type: ignore[arg-type]
    data = {"slice": "drain", "hosts": {"web1": "not_reached"}}
    story.say(permit, "slice.finished", step=step.id, phase="do", intent=intent.hash, data=data)
    hosts = {"web1": "not_reached", "web2": "not_reached"}
    story.say(permit, "run.finished", outcome="failed", data={"state": "failed", "hosts": hosts})
    report = judged(story)
    assert report.exit_code == 41 if found is None else broken(report) == (40, found)


def test_13_a_result_after_the_end_of_its_slice() -> None:
    story, permit, step = begun()
    intent = story.slice(permit, step)
    story.result(permit, step, intent.hash, "web1")
    assert broken(judged(story)) == (40, 13)


@pytest.mark.parametrize(
    "hosts", [{}, {"web1": "ok"}, {"web1": "ok", "web2": "fine"}, {"web1": "ok", "web2": ["ok"]}, [], None]
)
def test_14_a_slice_that_forgets_a_host(hosts: object) -> None:
    story, permit, step = begun()
    intent = story.intend(permit, step, ["web1", "web2"])
    story.say(
        permit, "slice.finished", step=step.id, intent=intent.hash, data={"slice": "drain", "hosts": hosts}
    )
    assert broken(judged(story)) == (40, 14)


def test_14_a_success_that_leaves_a_slice_open() -> None:
    story, permit, step = begun()
    story.intend(permit, step, ["web1"])
    hosts = dict.fromkeys(("web1", "web2"), "changed")
    for other in story.steps():
        if other is not step:
            story.slice(permit, other)
    story.say(permit, "run.finished", outcome="ok", data={"state": "succeeded", "hosts": hosts})
    assert broken(judged(story)) == (40, 14)


@pytest.mark.parametrize(
    "hosts", [{"web1": "changed"}, {"web1": "ok", "web2": "ok", "db1": "ok"}, {"web1": "ok", "web2": "lost"}]
)
def test_15_a_run_that_does_not_account_for_every_host(hosts: dict[str, str]) -> None:
    story, permit, step = begun()
    story.slice(permit, step)
    story.say(permit, "run.finished", outcome="ok", data={"state": "failed", "hosts": hosts})
    assert broken(judged(story)) == (40, 15)


def test_15_an_outcome_on_a_host_that_was_never_intended() -> None:
    story, permit, step = begun()
    story.intend(permit, step, ["web1"])
    hosts = {"web1": "unknown", "web2": "changed"}
    story.say(permit, "run.finished", outcome="unknown", data={"state": "unknown", "hosts": hosts})
    assert broken(judged(story)) == (40, 15)


def test_15_a_run_that_never_ended() -> None:
    story, permit, step = begun()
    story.slice(permit, step)
    story.close()
    assert broken(judged(story)) == (40, 15)


# Rewritten history


def without(kind: str) -> Callable[[list[Event]], list[Event]]:
    return lambda events: [event for event in events if event.type != kind]


def test_7_an_event_left_out_shows() -> None:
    story = Story().tell()
    assert broken(judged(story, forged(story, without("slice.finished"))))[1] in {6, 7}


def test_6_a_deleted_revocation_is_a_fork_for_whoever_signed_after_it() -> None:
    story = opened()
    vote = story.act("approve", "bob")
    story.act("revoke", "bob", of=vote.hash)
    story.act("approve", "carol")
    bundle = forged(story, without("change.revoked"), rechain=True)
    assert broken(judged(story, bundle)) == (42, 6)


def test_7_the_same_without_a_later_witness_still_breaks_the_chain() -> None:
    story = opened()
    vote = story.act("approve", "bob")
    story.act("revoke", "bob", of=vote.hash)
    story.clock.time += timedelta(seconds=1)
    permit = story.force()
    story.say(permit, "run.started", data={"permit": permit.leaf})
    assert broken(judged(story, forged(story, without("change.revoked"))))[1] in {6, 7}


def test_7_an_event_that_belongs_to_no_change() -> None:
    story, permit, _ = begun()
    story.say(permit, "redaction.done", data={})
    assert broken(judged(story)) == (40, 7)


def test_5_a_log_key_that_nobody_enrolled() -> None:
    story = Story().tell()
    other = NoteKey.generate(ORIGIN, bytes(32))
    copy = ForgedLog([leaf.data for leaf in story.log.leaves()], other, story.log.blob)
    trust = {**story.trust(), "log.policy": f"log {other.vkey}\nquorum none\n".encode()}
    assert broken(verify(build(copy, story.change), Trust.from_files(trust))) == (40, 5)


@pytest.mark.parametrize("change", [{"count": 3}, {"root": NOWHERE}, {"count": "14"}])
def test_16_a_close_that_commits_something_else(change: dict[str, object]) -> None:
    story = Story().tell()

    def edit(events: list[Event]) -> list[Event]:
        return [*events[:-1], replace(events[-1], data={**(events[-1].data or {}), **change})]

    assert broken(judged(story, forged(story, edit))) == (40, 16)


def test_16_events_after_the_close() -> None:
    story = Story().tell()
    extra = replace(story.log.leaf(story.log.size() - 2).event, id="f" * 32)
    report = judged(story, forged(story, lambda events: [*events, extra], rechain=True))
    assert broken(report)[1] in {11, 16}


def test_16_a_close_that_nobody_signed() -> None:
    story = Story()
    story.open()
    story.close("carol")
    assert broken(judged(story)) == (40, 16)


@pytest.mark.parametrize("changes", [{"mono": 1}, {"t": "2026-11-22T19:00:00.000000Z"}, {"mono": None}])
def test_17_a_clock_that_runs_backwards(changes: dict[str, object]) -> None:
    story, permit, step = begun()
    story.slice(permit, step)
    hosts = {"web1": "changed", "web2": "changed"}
    story.say(permit, "run.finished", outcome="failed", data={"state": "failed", "hosts": hosts})

    def edit(events: list[Event]) -> list[Event]:
        return [*events[:-1], replace(events[-1], **changes)]  # type: ignore[arg-type]

    assert broken(judged(story, forged(story, edit))) == (40, 17)


def weakened() -> tuple[Story, bytes]:
    """Evidence with a policy version that one of two owners signed."""
    story = Story().tell()
    receipt = story.amend(story.policy_bytes.replace(b"approval: 14d", b"approval: 7d"), by=["alice"])
    story.log.checkpoint()
    with pytest.raises(PolicyHistoryError):  # an honest installation cannot even build it
        build(story.log, story.change)
    head = story.log.published()
    assert head
    hashes = story.log.prove_inclusion(receipt.index, head.checkpoint.size)
    lie = {
        f"leaves/{receipt.index}": receipt.leaf.data,
        f"proofs/{receipt.index}.tlog-proof": write_inclusion(receipt.index, hashes, head.note),
    }
    return story, repacked(build(_Blind(story.log), story.change), lie)


def test_5_a_policy_that_its_old_quorum_did_not_bring() -> None:
    assert broken(judged(*weakened())) == (40, 5)


def test_19_a_policy_version_that_is_left_out_shows_against_the_whole_log() -> None:
    store = MemoryStore(ORIGIN)
    story = Story(store=store).tell()
    story.amend(story.policy_bytes.replace(b"approval: 14d", b"approval: 7d"))
    story.log.checkpoint()
    bundle = build(_Blind(story.log), story.change)
    trust = Trust.from_files(story.trust())
    assert verify(bundle, trust).ok
    assert broken(verify(bundle, trust, logs=(MemoryReader(store),))) == (40, 19)
    assert verify(story.evidence(), trust, logs=(MemoryReader(store),)).ok


def test_19_evidence_of_another_history_is_a_fork() -> None:
    store = MemoryStore(ORIGIN)
    story = Story(store=store).tell()
    story.log.checkpoint()
    last = story.log.size() - 1

    def edit(events: list[Event]) -> list[Event]:
        return [replace(event, id="f" * 32) if at == last else event for at, event in enumerate(events)]

    bundle, trust = forged(story, edit), Trust.from_files(story.trust())
    assert verify(bundle, trust).ok
    assert broken(verify(bundle, trust, logs=(MemoryReader(store),))) == (42, 19)


def test_19_a_log_that_is_damaged_or_shorter_proves_nothing() -> None:
    store = MemoryStore(ORIGIN)
    story = Story(store=store)
    story.open()
    story.log.checkpoint()
    old = {path: bytes(data) for path, data in store.files.content.items()}
    story.act("cancel", "dave")
    story.close()
    bundle, trust = story.evidence(), Trust.from_files(story.trust())
    assert verify(bundle, trust, logs=(MemoryReader(store),)).ok
    tile = "tile/entries/000.p/4"
    store.files.content[tile] = store.files.content[tile].replace(b"cancel", b"kancel")
    assert broken(verify(bundle, trust, logs=(MemoryReader(store),))) == (40, 19)
    store.files.content.clear()
    store.files.content.update(old)
    store.journal.leaves[2:] = []
    assert broken(verify(bundle, trust, logs=(MemoryReader(store),))) == (42, 19)


class _Blind:
    """The log as somebody shows it who hides the last policy version."""

    def __init__(self, log: Log) -> None:
        self.published, self.of_change, self.blob = log.published, log.of_change, log.blob
        self.prove_inclusion, self.prove_consistency = log.prove_inclusion, log.prove_consistency
        self._leaves, self.kept = log.policy_leaves, log.kept
        self.anchored, self.vkey = log.anchored, log.vkey

    def policy_leaves(self) -> Iterable[Leaf]:
        return [leaf for leaf in self._leaves() if leaf.event.type != "policy.changed"]


def test_4_another_log_is_not_the_trusted_one() -> None:
    story, other = Story().tell(), Story(roots=["alice"])
    assert broken(verify(story.evidence(), Trust.from_files(other.trust()))) == (40, 4)


def test_6_a_checkpoint_that_a_signer_saw_on_a_fork() -> None:
    story = Story()
    story.open(seen="1 0RgTD8upVL8lZ2mV4Ezh6B1p9pVfWv2oRkz4pQh0q3Y=")
    story.close()
    assert broken(judged(story)) == (42, 6)


def test_8_a_change_that_was_never_validly_opened() -> None:
    story = Story()
    story.open("carol")
    assert broken(judged(story)) == (40, 8)
