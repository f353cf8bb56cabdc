from dataclasses import replace
from typing import Any

import pytest

from itmp import canonical
from itmp.audit import Event, Leaf
from itmp.change import RecordDamagedError, fold
from itmp.signing import Signed
from itmp.testing.small_plans import ansible, ask, hosts, plan
from itmp.testing.story import EXECUTOR, Story, small_plan


def opened() -> Story:
    story = Story()
    story.open()
    return story


def test_the_state_follows_the_events() -> None:
    story = opened()
    seen = [story.record.state]
    story.act("reject", "carol")
    seen.append(story.record.state)
    story.act("approve", "carol")
    seen.append(story.record.state)
    permit = story.permit()
    seen.append(story.record.state)
    story.execute(permit)
    seen.append(story.record.state)
    story.close()
    seen.append(story.record.state)
    assert seen == ["assess", "authorize", "scheduled", "implement", "review", "closed"]
    assert story.record.findings == ()


def test_a_canceled_change_says_so() -> None:
    story = opened()
    story.act("cancel", "dave")
    assert story.record.state == "canceled"


def test_the_record_knows_its_request() -> None:
    story = opened()
    record = story.record
    assert record.request
    assert (record.id, record.plan, record.request.leaf) == (story.change, story.plan.digest, story.request)
    assert (record.request.requester, record.request.type, record.request.external) == (
        "alice@example.com",
        "normal",
        "",
    )
    assert (record.count, record.head) == (1, story.request)


def test_a_run_holds_its_slices_results_and_hosts() -> None:
    story = Story().tell()
    [run] = story.record.runs
    assert (run.state, run.started, run.active, run.open_slices) == ("succeeded", True, False, ())
    assert [part.key for part in run.slices] == ["drain", "restart"]
    assert [result.target["id"] for result in run.slices[0].results] == ["web1", "web2"]
    assert run.slices[1].finished == run.hosts == {"web1": "changed", "web2": "changed"}


def test_an_intent_without_its_end_stays_open() -> None:
    story = opened()
    story.act("approve", "bob")
    permit = story.permit()
    story.say(permit, "run.started", data={"permit": permit.leaf})
    story.intend(permit, story.steps()[0], ["web1"])
    [run] = story.record.runs
    assert run.active
    assert [part.key for part in run.open_slices] == ["drain"]


def test_long_host_lists_are_read_from_a_blob() -> None:
    story = opened()
    story.act("approve", "bob")
    permit = story.permit()
    names = canonical.dumps(["web1", "web2"])
    blob = story.log.put_blob(names)
    story.say(
        permit,
        "slice.intended",
        step="drain",
        data={"slice": "drain", "hosts_blob": blob, "permit": permit.leaf},
    )
    leaves, history = story.log.of_change(story.change), story.history
    assert fold(leaves, history, blob=story.log.blob).runs[0].slices[0].hosts == ("web1", "web2")
    assert "not at hand" in fold(leaves, history).findings[0].why
    assert "other bytes" in fold(leaves, history, blob=lambda _: b"[]").findings[0].why


@pytest.mark.parametrize(
    ("act", "who", "lies", "why"),
    [
        ("approve", "bob", {"plan": "sha256:" + "1" * 64}, "signed another plan"),
        ("approve", "bob", {"change": "CHG-0123456789"}, "signed another change"),
        ("approve", "bob", {"request": "sha256:" + "1" * 64}, "signed another request"),
        ("approve", "bob", {"window": "2026-11-22T20:00:00Z 2026-11-22T21:00:00Z"}, "signed another window"),
        ("approve", "bob", {"scope": "env=production hosts=1 resources=0"}, "shown another scope"),
        ("approve", "bob", {"policy": "sha256:" + "1" * 64}, "names policy"),
        ("approve", "bob", {"log": "example.com/ops/2025"}, "is for log example.com/ops/2025"),
        ("approve", "bob", {"log": "example.org/ops/2026"}, "not for 'example.com'"),
        ("approve", "bob", {"role": "owner"}, "may not approve as owner"),
        ("approve", "alice", {}, "may not approve as approver"),
        ("approve", "bob", {"valid": "2026-11-22T10:00:00Z 2026-11-22T11:00:00Z"}, "outside valid"),
        ("approve", "bob", {"valid": "2026-11-23T10:00:00Z 2026-11-23T11:00:00Z"}, "outside valid"),
        ("approve", "bob", {"seen": "99 0RgTD8upVL8lZ2mV4Ezh6B1p9pVfWv2oRkz4pQh0q3Y="}, "has seen 99"),
        ("run", "carol", {}, "may not run as sre"),
        ("cancel", "carol", {}, "may not cancel as sre"),
    ],
)
def test_a_statement_that_does_not_fit_counts_for_nothing(
    act: str, who: str, lies: dict[str, str], why: str
) -> None:
    story = opened()
    story.act(act, who, data=None, **lies)
    record = story.record
    assert (record.votes, record.starts, record.canceled) == ((), (), None)
    [finding] = record.findings
    assert why in finding.why
    assert finding.index == story.log.size() - 1


def test_a_key_that_was_not_valid_at_that_time_counts_for_nothing() -> None:
    story = Story()
    line = story.people["bob"].public.line
    dated = f"{line}\n        not_after: '2026-11-22T19:59:59Z'".encode()
    story = Story(policy=story.policy_bytes.replace(line.encode(), dated), roots=["alice"])
    story.open()
    story.act("approve", "bob")
    assert "key of bob@example.com was not valid" in story.record.findings[0].why


def test_another_persons_signature_counts_for_nothing() -> None:
    story = opened()
    signed = story.sign("approve", "bob", **story._lines("approve"))
    forged = story.people["carol"].sign(signed.text.encode(), "itmp-approve@example.com")
    story.record_signed("approve", "bob", Signed(text=signed.text, signature=forged))
    assert "is not a key of bob@example.com" in story.record.findings[0].why


def test_an_act_in_another_leaf_counts_for_nothing() -> None:
    story = opened()
    signed = story.sign("reject", "bob", **story._lines("reject"))
    story.record_signed("approve", "bob", signed)
    assert "act reject recorded as change.approved" in story.record.findings[0].why


def test_the_same_statement_counts_once() -> None:
    story = opened()
    signed = story.sign("approve", "bob", **story._lines("approve"))
    story.record_signed("approve", "bob", signed)
    story.record_signed("approve", "bob", signed)
    assert len(story.record.votes) == 1
    assert "used this nonce" in story.record.findings[0].why


def test_an_approval_of_one_change_counts_for_no_other() -> None:
    story = opened()
    vote = story.sign("approve", "bob", **story._lines("approve"))
    story.open(reason="another one")
    story.record_signed("approve", "bob", vote)
    assert story.record.votes == ()
    assert "another change" in story.record.findings[0].why


def test_a_change_id_that_does_not_follow_from_its_statement_opens_nothing() -> None:
    story = Story()
    signed = story.sign("open", "alice", **story._lines("open"))
    story.change = "CHG-0000000000"
    story.record_signed("open", "alice", signed)
    story.act("approve", "bob", request="sha256:" + "1" * 64, change=story.change)
    record = story.record
    assert (record.state, record.request, record.votes) == ("new", None, ())


def test_a_revocation_takes_its_vote_back_and_a_new_vote_stands() -> None:
    story = opened()
    vote = story.act("approve", "bob")
    story.act("revoke", "bob", of=vote.hash)
    assert [word.given.act for word in story.record.standing().values()] == ["revoke"]
    story.act("approve", "bob")
    assert [word.given.act for word in story.record.standing().values()] == ["approve"]


def test_a_revocation_of_no_vote_here_stands_against_the_change() -> None:
    story = opened()
    story.act("revoke", "bob", of="sha256:" + "1" * 64)
    assert list(story.record.standing()) == [""]


def test_revoking_an_invalid_approval_does_not_block_its_signer_for_good() -> None:
    story = opened()
    vote = story.act("approve", "bob", plan="sha256:" + "1" * 64)
    story.act("revoke", "bob", of=vote.hash)
    story.act("approve", "bob")
    assert [word.given.act for word in story.record.standing().values()] == ["approve"]


@pytest.mark.parametrize("gone", range(5))
def test_a_missing_leaf_is_damage_and_not_absence(gone: int) -> None:
    story = opened()
    vote = story.act("approve", "bob")
    story.act("revoke", "bob", of=vote.hash)
    story.act("approve", "carol")
    story.act("stop", "alice")
    leaves = [leaf for at, leaf in enumerate(story.log.of_change(story.change)) if at != gone]
    if gone == 4:  # a cut tail shows only against the log's head
        assert fold(leaves, story.history).count == 4
        return
    with pytest.raises(RecordDamagedError, match="events are missing"):
        fold(leaves, story.history)


def test_leaves_of_another_change_are_damage() -> None:
    story = Story().tell()
    first = story.log.of_change(story.change)
    story.open(reason="another one")
    with pytest.raises(RecordDamagedError, match="an event of change"):
        fold([*first, *story.log.of_change(story.change)], story.history)
    with pytest.raises(RecordDamagedError, match="an event of change"):
        fold(list(story.log.leaves())[:1], story.history)


def test_a_renumbered_leaf_is_damage() -> None:
    story = opened()
    story.act("approve", "bob")
    story.act("approve", "carol")
    first, _, third = story.log.of_change(story.change)
    forged = replace(third.event, cseq=1)
    with pytest.raises(RecordDamagedError):
        fold([first, Leaf(index=third.index, data=forged.to_bytes())], story.history)


def test_what_nobody_signed_is_kept_as_a_finding() -> None:
    story = opened()
    nonsense: list[tuple[str, dict[str, Any]]] = [
        ("change.approved", {}),
        ("permit.issued", {"permit": {"mode": "run"}}),
        ("run.started", {}),
        ("slice.finished", {"hosts": {}}),
    ]
    for kind, data in nonsense:
        story.write(
            Event(id=story.id(), type=kind, actor=EXECUTOR, change=story.change, run="run-9", data=data)
        )
    assert len(story.record.findings) == 4
    assert story.record.runs == ()


def test_a_result_without_its_intent_is_a_finding() -> None:
    story = opened()
    story.act("approve", "bob")
    permit = story.permit()
    story.result(permit, story.steps()[0], "sha256:" + "1" * 64, "web1")
    assert "names no earlier intent" in story.record.findings[0].why


def test_reconciliations_are_signed() -> None:
    story = opened()
    story.act("approve", "bob")
    permit = story.permit()
    intent = story.intend(permit, story.steps()[0], ["web1"])
    fields = {
        "run": "run-1",
        "host": "web1",
        "outcome": "ok",
        "reason": "looked at it",
        "role": "sre",
        "change": story.change,
    }
    signed = story.sign("reconcile", "dave", **fields)
    target = {"kind": "host", "id": "web1"}
    for outcome in ("failed", "ok"):
        story.say(
            permit,
            "action.reconciled",
            intent=intent.hash,
            target=target,
            outcome=outcome,
            data=signed.to_data(),
        )
    record = story.record
    assert "another host or outcome" in record.findings[0].why
    fields = {
        "run": "run-1",
        "host": "web1",
        "outcome": "ok",
        "reason": "again",
        "role": "sre",
        "change": story.change,
    }
    story.say(
        permit,
        "action.reconciled",
        intent=intent.hash,
        target=target,
        outcome="ok",
        data=story.sign("reconcile", "dave", **fields).to_data(),
    )
    assert story.record.runs[0].slices[0].reconciled == {"web1": "ok"}


def test_after_a_policy_change_statements_must_name_the_new_version() -> None:
    story = opened()
    old = story.history.latest.policy.digest
    story.amend(story.policy_bytes.replace(b"approval: 14d", b"approval: 7d"))
    story.act("approve", "bob", policy=old)
    story.act("approve", "carol")
    record = story.record
    assert [vote.given.signer for vote in record.votes] == ["carol@example.com"]
    assert len(record.findings) == 1


def test_the_plan_is_only_needed_for_scope_and_schedule() -> None:
    story = opened()
    story.act("approve", "bob")
    record = fold(story.log.of_change(story.change), story.history)
    assert (record.state, len(record.votes)) == ("authorize", 1)
    other = fold(story.log.of_change(story.change), story.history, manifest=small_plan(hosts=["a"]).manifest)
    assert other.votes == ()


def test_the_first_answer_that_counts_stands() -> None:
    steps = [ask("confirm", roles=["sre"]), ask("how", choices=["canary", "all"])]
    story = Story(plan=plan([*steps, ansible("last", hosts(2))]))
    story.open()
    story.act("approve", "carol")
    permit = story.permit()
    story.act("answer", "alice", run="run-1", step="confirm", value="true")
    for key in ("confirm", "how"):
        data = {"slice": key, "hosts": [], "work": "", "permit": permit.leaf}
        story.say(permit, "slice.intended", step=key, phase="do", data=data)
    story.act("answer", "bob", run="run-1", step="confirm", value="no")
    story.act("answer", "bob", run="run-1", step="confirm", value="false")
    story.act("answer", "alice", run="run-1", step="confirm", value="true")
    story.act("answer", "alice", run="run-1", step="how", value="some")
    story.act("answer", "alice", run="run-1", step="last", value="true")
    story.act("answer", "alice", run="run-1", step="how", value="all")
    (run,) = story.record.runs
    told = {key: (given.signer, given.line("value")) for key, given in run.answers.items()}
    assert told == {"confirm": ("bob@example.com", "false"), "how": ("alice@example.com", "all")}
    said = [finding.why.partition("answered ")[2] for finding in story.record.findings]
    assert said == [
        "confirm, which was not asked",
        "confirm with 'no'; allowed: true or false",
        "confirm before alice@example.com",
        "how with 'some'; allowed: one of: canary, all",
        "last, which was not asked",
    ]
