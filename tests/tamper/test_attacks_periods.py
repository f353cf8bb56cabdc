"""Attacks on what joins one period's log to the next: who may end a log, what begins, and whose key still counts."""

import naive
import pytest
from attacks import NAMED, judged

from itmp.audit import Checkpoint, Event, verify
from itmp.evidence.bundle import handover
from itmp.signing import NoteVerifier
from itmp.testing.forgery import ForgedLog, repacked
from itmp.testing.memory_log import MemoryReader, MemoryStore
from itmp.testing.periods import NextStory, end, next_key
from itmp.testing.story import EXECUTOR, ORIGIN, Story

THIRD = "example.com/ops/2028"


@pytest.fixture(scope="module")
def honest() -> NextStory:
    """A told first period, handed over by the book, and a change told in the second."""
    first = Story().tell()
    end(first, next_key())
    second = NextStory(first)
    second.tell()
    return second


def offered(honest: NextStory, old: Story | ForgedLog, successor: Story) -> bytes:
    """The honest evidence, with another old log and another beginning of the new one."""
    bundle = honest.bundle()
    log = old.log if isinstance(old, Story) else old
    mine: dict[str, bytes | None] = dict.fromkeys(
        f"handovers/1/{name}" for name in handover(honest.before.log)
    )
    mine |= {f"handovers/1/{name}": data for name, data in handover(log).items()}
    return repacked(bundle, {**mine, "leaves/0": successor.log.leaf(0).data})


def refused(honest: NextStory, bundle: bytes, finding: str) -> None:
    """A naive reader of the first leaf is content; ours names the finding, by rule 21."""
    assert naive.continues(bundle, ORIGIN)
    assert naive.manifest(bundle)
    assert judged(bundle, honest.before.trust()) == (40, 21, finding)


def test_the_same_without_a_lie_holds(honest: NextStory) -> None:
    bundle = honest.bundle()
    assert naive.continues(bundle, ORIGIN)
    assert judged(bundle, honest.before.trust())[0] == 0


def test_handover_signed_by_the_old_key_alone(honest: NextStory) -> None:
    """A thief of the old key hands the log to a key that never agreed."""
    lie = NextStory(honest.before, note=lambda one: honest.before.key.sign(one.to_text()).decode())
    refused(honest, offered(honest, honest.before, lie), "handover-one-sided")


def test_handover_signed_by_the_new_key_alone(honest: NextStory) -> None:
    """Anybody can say that their log continues another."""
    lie = NextStory(honest.before, note=lambda one: next_key().sign(one.to_text()).decode())
    refused(honest, offered(honest, honest.before, lie), "handover-one-sided")


def test_handover_without_the_quorum(honest: NextStory) -> None:
    """A thief of the log key ends the log for a key of their own, with one root person's signature of two."""
    old = Story().tell()
    end(old, next_key(seed=b"thief"), by=["alice"])
    refused(honest, offered(honest, old, NextStory(old, next_key(seed=b"thief"))), "handover-broken")


def test_rotation_statement_used_for_another_key(honest: NextStory) -> None:
    """The people signed for one key; the thief puts their signatures under another."""
    old, thief = Story().tell(), next_key(seed=b"thief")
    end(old, thief, to=next_key().vkey)
    refused(honest, offered(honest, old, NextStory(old, thief)), "handover-broken")


def test_rotation_of_a_log_that_was_cut_before(honest: NextStory) -> None:
    """The thief drops the newest leaves, and ends the shorter log with the signatures for the longer one."""
    old = honest.before
    leaves = [leaf.data for leaf in old.log.leaves()]
    cut = [*leaves[:4], leaves[-1]]
    forged = ForgedLog(cut, old.key, old.log.blob)
    assert naive.continues(offered(honest, forged, honest), ORIGIN)
    assert judged(offered(honest, forged, honest), old.trust()) == (40, 21, "handover-broken")


def test_successor_names_another_end_of_the_old_log(honest: NextStory) -> None:
    lie = NextStory(honest.before, previous={"size": honest.before.log.size() - 1})
    refused(honest, offered(honest, honest.before, lie), "handover-altered")


def test_policy_slipped_in_at_a_rotation(honest: NextStory) -> None:
    """The new log begins with a policy that the old one's quorum never signed."""
    weaker = honest.before.policy_bytes.replace(
        b"amend: {roles: [owner], count: 2}", b"amend: {roles: [owner], count: 1}"
    )
    assert weaker != honest.before.policy_bytes
    lie = NextStory(honest.before, policy=weaker)
    refused(honest, offered(honest, honest.before, lie), "handover-altered")


def test_period_left_out() -> None:
    """Three periods, and the evidence hides the one between."""
    first = Story().tell()
    end(first, next_key())
    second = NextStory(first)
    end(second, next_key(THIRD, b"third"))
    third = NextStory(second, next_key(THIRD, b"third"))
    third.tell()
    assert judged(third.bundle(), first.trust())[0] == 0
    hidden = third.bundle(drop=["handovers/2/"])
    assert naive.manifest(hidden)
    assert judged(hidden, first.trust()) == (40, 21, "period-missing")
    assert judged(third.bundle(drop=["handovers/"]), first.trust()) == (40, 21, "period-missing")


def test_leaf_appended_after_the_log_ended(honest: NextStory) -> None:
    """A thief of the old key writes on in a period that is over."""
    old = honest.before
    leaves = [leaf.data for leaf in old.log.leaves()]
    late = Event(
        id="e" * 32, type="plan.compiled", actor=EXECUTOR, t="2026-11-29T00:00:00.000000Z", mono=10**15, boot="b",
    )  # fmt: skip
    forged = ForgedLog([*leaves, late.to_bytes()], old.key, old.log.blob)
    bundle = offered(honest, forged, honest)
    refused(honest, bundle, "handover-open")
    store = MemoryStore(ORIGIN)
    copy = Story(store=store).tell()
    end(copy, next_key())
    store.journal.leaves.append(late.to_bytes())
    found = verify(MemoryReader(store), [NoteVerifier.parse(copy.log.vkey)])
    NAMED.extend(one.name for one in found if one.grave)
    assert "after-end" in {one.name for one in found if one.grave}


def test_revoked_key_signs_on(honest: NextStory) -> None:
    """Whoever copied the key before it was revoked tells a longer story with it."""
    old = Story().tell()
    size = old.log.size()
    trust = {**old.trust(), "revoked": f"{old.log.vkey} {size}\n".encode()}
    assert judged(old.evidence(), trust)[0] == 0
    old.amend(old.policy_bytes.replace(b"approval: 14d", b"approval: 7d"))
    longer = old.evidence()
    assert naive.manifest(longer)
    assert judged(longer, old.trust())[0] == 0  # without the word of its people nothing shows
    assert judged(longer, trust) == (40, 2, "key-revoked")
    end(old, next_key())
    second = NextStory(old, policy=old.history.latest.policy.data)
    assert judged(honest.bundle(), {**honest.before.trust(), "revoked": f"{honest.before.log.vkey} 2\n".encode()}) == (
        40, 2, "key-revoked",
    )  # fmt: skip
    assert second.log.size() == 1


def test_retired_key_forks_its_log(honest: NextStory) -> None:
    """After a rotation the old key turns up, and tells the old period otherwise: a kept head shows it."""
    old = honest.before
    kept = Checkpoint(origin=ORIGIN, size=old.log.size(), root=old.log.root(old.log.size()))
    trust = {**old.trust(), "checkpoint": old.key.sign(kept.to_text())}
    other = Story().tell()
    assert naive.manifest(other.evidence())
    assert judged(other.evidence(), other.trust())[0] == 0
    assert judged(other.evidence(), trust) == (42, 6, "rolled-back")
    while other.log.size() < kept.size:
        other.write(Event(id=other.id(), type="plan.compiled", actor=EXECUTOR))
    assert judged(other.evidence(), trust) == (42, 6, "forked")
