"""What a log promises, over every store."""

import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from log_places import ORIGIN, START, Place

from itmp import canonical
from itmp.audit import (
    Event,
    Expect,
    HeadMovedError,
    SignedCheckpoint,
    leaf_digest,
    verify,
    verify_consistency,
    verify_inclusion,
)
from itmp.audit.merkle import root_of
from itmp.errors import InvalidInputError, NotFoundError

CHANGE = "CHG-0000000001"


def grave(place: Place) -> list[str]:
    return [f.name for f in verify(place.reader(), [place.key.verifier]) if f.grave]


def test_a_receipt_names_the_leaf_that_every_reader_finds(place: Place) -> None:
    log = place.open()
    receipt = log.append(place.event(data={"n": 1}))
    again = place.open().leaf(receipt.index)
    assert again == receipt.leaf
    assert receipt.hash == again.hash == leaf_digest(again.data)
    assert again.event.data == {"n": 1}


def test_the_log_fills_time_and_chain(place: Place) -> None:
    log = place.open()
    first, second = log.extend([place.event(), place.event()])
    assert (first.leaf.event.cseq, second.leaf.event.cseq) == (0, 1)
    assert (first.leaf.event.cprev, second.leaf.event.cprev) == ("", first.hash)
    assert second.leaf.event.boot == "boot-1"
    assert second.leaf.event.mono > first.leaf.event.mono
    assert second.leaf.event.t > first.leaf.event.t >= "2026-11-22T05:00:00.000000Z"
    assert len(second.leaf.event.t) == 27


def test_events_of_no_change_have_no_chain(place: Place) -> None:
    receipt = place.open().append(place.event("plan.compiled", change=""))
    assert receipt.leaf.event.cseq is None
    assert receipt.leaf.event.cprev == ""


def test_the_same_event_twice_is_one_leaf(place: Place) -> None:
    log, event = place.open(), place.event(data={"n": 1})
    first = log.append(event)
    other = log.append(place.event())
    assert log.append(event, expect=Expect(change=CHANGE, head=None)) == first
    assert place.open().append(event) == first
    assert log.append(replace(first.leaf.event)) == first
    assert log.size() == other.index + 1


def test_the_same_event_twice_in_one_batch_is_one_leaf(place: Place) -> None:
    log, event = place.open(), place.event()
    first, second = log.extend([event, event])
    assert first == second


def test_an_id_is_not_used_for_two_events(place: Place) -> None:
    log, event = place.open(), place.event(data={"n": 1})
    log.append(event)
    before = log.size()
    with pytest.raises(InvalidInputError, match="taken"):
        log.append(replace(event, data={"n": 2}))
    with pytest.raises(InvalidInputError, match="taken"):
        log.extend([one := place.event(), replace(one, rc=1)])
    assert log.size() == before


def test_expect_refuses_when_the_head_moved(place: Place) -> None:
    log, stranger = place.open(), place.open()
    head = log.append(place.event(), expect=Expect(change=CHANGE, head=None)).hash
    moved = stranger.append(place.event(), expect=Expect(change=CHANGE, head=head)).hash
    with pytest.raises(HeadMovedError) as caught:
        log.append(place.event(), expect=Expect(change=CHANGE, head=head))
    assert caught.value.exit_code == 19
    assert log.size() == 3
    assert log.head_of(CHANGE) == moved
    log.append(place.event(), expect=Expect(change=CHANGE, head=moved))


def test_expect_none_refuses_a_change_that_has_begun(place: Place) -> None:
    log = place.open()
    log.append(place.event())
    with pytest.raises(HeadMovedError):
        log.append(place.event(), expect=Expect(change=CHANGE, head=None))
    log.append(place.event(change="CHG-0000000002"), expect=Expect(change="CHG-0000000002", head=None))


def test_expect_compares_the_policy_too(place: Place) -> None:
    log = place.open()
    old = log.policy_head()
    assert old == log.leaf(0).hash
    new = log.append(place.event("policy.changed", change=""), expect=Expect(change=None, head=old)).hash
    assert log.policy_head() == new
    with pytest.raises(HeadMovedError):
        log.append(place.event("policy.changed", change=""), expect=Expect(change=None, head=old))
    with pytest.raises(HeadMovedError):
        log.append(place.event(), expect=Expect(change=CHANGE, head=None, policy=old))
    log.append(place.event(), expect=Expect(change=CHANGE, head=None, policy=new))


@pytest.mark.parametrize("kind", ["log.read", "plan.compiled"])
def test_log_and_plan_events_belong_to_no_change(place: Place, kind: str) -> None:
    with pytest.raises(InvalidInputError, match="no change"):
        place.open().append(place.event(kind))


def test_genesis_stands_first_and_only_there(place: Place) -> None:
    with pytest.raises(InvalidInputError, match=r"log\.created"):
        place.open().append(place.event("log.created", change=""))


def test_a_close_commits_the_change_and_ends_it(place: Place) -> None:
    log = place.open()
    receipts = log.extend([place.event() for _ in range(5)])
    count, root = log.commitment(CHANGE)
    assert (count, root) == (5, canonical.of_raw(root_of([canonical.raw(one.hash) for one in receipts])))
    for data in ({"count": 4, "root": root}, {"count": 5, "root": receipts[0].hash}, {}):
        with pytest.raises(HeadMovedError):
            log.append(place.event("change.closed", data=data))
    log.append(place.event("change.closed", data={"count": count, "root": root}))
    with pytest.raises(InvalidInputError, match="closed"):
        log.append(place.event("change.refused"))
    with pytest.raises(InvalidInputError, match="closed"):
        place.open().append(place.event("change.refused"))
    assert grave(place) == []


def test_a_wrong_event_in_a_batch_writes_nothing(place: Place) -> None:
    log = place.open()
    with pytest.raises(InvalidInputError):
        log.extend([place.event(), place.event(outcome="fine")])
    assert log.size() == 1


def test_leaves_are_read_by_range_and_by_change(place: Place) -> None:
    log = place.open()
    log.extend([place.event(change=f"CHG-000000000{n % 3}") for n in range(9)])
    assert [leaf.index for leaf in log.leaves(2, 5)] == [2, 3, 4]
    assert [leaf.index for leaf in log.leaves()] == list(range(10))
    assert [leaf.index for leaf in log.of_change("CHG-0000000001")] == [2, 5, 8]
    assert log.changes() == ("CHG-0000000000", "CHG-0000000001", "CHG-0000000002")
    assert log.of_change("CHG-9999999999") == ()
    assert log.head_of("CHG-9999999999") is None
    with pytest.raises(NotFoundError):
        log.leaf(10)


def test_a_reader_sees_what_another_writes(place: Place) -> None:
    reader, writer = place.open(), place.open()
    receipt = writer.append(place.event())
    assert reader.size() == receipt.index + 1
    assert reader.head_of(CHANGE) == receipt.hash


def test_checkpoints_are_signed_and_proofs_hold(place: Place) -> None:
    log, heads = place.open(), []
    for count in (1, 1, 300, 256, 7):
        log.extend([place.event() for _ in range(count)])
        signed = log.checkpoint()
        assert SignedCheckpoint.open(signed.note, [place.key.verifier]) == signed
        assert signed.checkpoint.origin == ORIGIN
        heads.append(signed.checkpoint)
    assert [head.size for head in heads] == [2, 3, 303, 559, 566]
    for old in heads:
        proof = log.prove_consistency(old.size, 566)
        verify_consistency(old=old.size, new=566, old_root=old.root, new_root=heads[-1].root, proof=proof)
        assert log.root(old.size) == old.root
    for index in (0, 255, 256, 511, 565):
        leaf = canonical.raw(log.leaf(index).hash)
        proof = log.prove_inclusion(index, 566)
        verify_inclusion(index=index, size=566, leaf=leaf, proof=proof, root=heads[-1].root)
    assert log.published() == place.open().published() == signed
    assert verify(place.reader(), [place.key.verifier], genesis=log.leaf(0).hash, kept=heads[0]) == ()


def test_a_checkpoint_without_new_leaves_is_the_same_note(place: Place) -> None:
    log = place.open()
    log.append(place.event())
    assert log.checkpoint() == log.checkpoint() == place.open().checkpoint()


def test_blobs_are_found_by_their_content(place: Place) -> None:
    log = place.open()
    name = log.put_blob(b"x" * 100_000)
    assert log.put_blob(b"x" * 100_000) == name == canonical.digest(b"x" * 100_000)
    assert place.open().blob(name) == b"x" * 100_000
    with pytest.raises(NotFoundError):
        log.blob(canonical.digest(b"other"))
    with pytest.raises(InvalidInputError):
        log.blob("sha256:../../checkpoint")


def test_health_names_a_clock_behind_the_log(place: Place) -> None:
    log = place.open()
    log.append(place.event())
    assert log.health(place.clock.time).ok
    behind = log.health(START - timedelta(days=1))
    assert [finding.name for finding in behind.findings] == ["clock-behind"]
    assert not behind.ok


def test_threads_share_one_log(place: Place) -> None:
    log, failures = place.open(), []

    def write(thread: int) -> None:
        try:
            mine = place.open() if thread % 2 else log
            for n in range(10):
                mine.append(event_of(thread, n))
        except BaseException as error:
            failures.append(error)
            raise

    def event_of(thread: int, n: int) -> Event:
        return Event(
            id=f"{thread:016x}{n:016x}",
            type="check.finished",
            actor={"kind": "executor", "id": "itmp"},
            change=f"CHG-{thread:010x}",
        )

    threads = [threading.Thread(target=write, args=(n,)) for n in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert log.size() == 61
    log.checkpoint()
    assert grave(place) == []
