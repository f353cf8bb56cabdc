"""From one log to the next: every lie in a handover is named."""

from typing import TYPE_CHECKING, Any

import pytest

from itmp.audit import Leaf
from itmp.change import Handover, HandoverError, PolicyHistory, continue_history, policy_history
from itmp.errors import EvidenceInvalidError
from itmp.signing import NoteKey
from itmp.testing.periods import NEXT, NextStory, end, next_key
from itmp.testing.story import Story

if TYPE_CHECKING:
    from collections.abc import Callable


def walked(before: Story, after: Story) -> PolicyHistory:
    new = policy_history(after.log.leaves())
    continue_history(policy_history(before.log.leaves()), before.log.checkpoint(), new)
    return new


def test_a_new_period_begins_where_the_old_one_ended() -> None:
    story = Story()
    end(story, next_key())
    after = NextStory(story)
    history = walked(story, after)
    assert history.previous is not None
    assert (history.previous.origin, history.previous.size) == (story.log.origin, story.log.size())
    assert history.genesis.by == ("alice@example.com", "bob@example.com")
    assert history.latest.policy.digest == story.history.latest.policy.digest
    assert policy_history(story.log.leaves()).ended is not None


def test_a_revoked_key_ends_its_log_at_that_size() -> None:
    story = Story()
    end(story, next_key(), reason="the disk was copied")
    history = policy_history(story.log.leaves())
    assert history.ended is not None
    assert history.ended.revoked == history.ended.index - 1
    walked(story, NextStory(story))


@pytest.mark.parametrize(
    ("lies", "why"),
    [
        ({"by": ["alice"]}, "needs 2 people to rotate"),
        ({"by": ["alice", "alice"]}, "needs 2 people to rotate"),
        ({"size": "99"}, "0 signed this rotation"),
        ({"to": next_key(seed=b"other").vkey}, "0 signed this rotation"),
        ({"role": "sre"}, "may not rotate as sre"),
        ({"log": NEXT}, "the statement is for log"),
    ],
)
def test_a_log_ends_by_its_quorum_alone(lies: dict[str, Any], why: str) -> None:
    story = Story()
    end(story, next_key(), **lies)
    with pytest.raises(EvidenceInvalidError, match=why):
        policy_history(story.log.leaves())


@pytest.mark.parametrize("name", ["example.com/other/2027", "example.org/ops/2027", "example.com/ops/2026"])
def test_the_next_log_is_another_period_of_the_same(name: str) -> None:
    story = Story()
    end(story, next_key(name))
    with pytest.raises(EvidenceInvalidError, match="no other period"):
        policy_history(story.log.leaves())


def test_the_next_log_has_another_key() -> None:
    story = Story()
    end(story, NoteKey(name=NEXT, seed=story.key.seed))
    with pytest.raises(EvidenceInvalidError, match="a new period needs a new key"):
        policy_history(story.log.leaves())


def test_a_handover_lacks_no_side() -> None:
    story, new = Story(), next_key()
    end(story, new)
    sides: tuple[tuple[str, Callable[[Handover], str]], ...] = (
        ("the new log's key has not", lambda one: story.key.sign(one.to_text()).decode()),
        ("the old log's key has not", lambda one: new.sign(one.to_text()).decode()),
        ("no known key has signed", lambda one: next_key(seed=b"x").sign(one.to_text()).decode()),
        ("handover-altered", lambda _: Handover.sign(_other(story, new), story.key, new)),
    )
    for why, note in sides:
        with pytest.raises(EvidenceInvalidError, match=why):
            policy_history(NextStory(story, new, note=note).log.leaves())


def _other(story: Story, new: NoteKey) -> Handover:
    return Handover(
        old=story.key.verifier, new=new.verifier, size=1, root=bytes(32), leaf=story.log.leaf(0).hash,
        policy=story.history.latest.policy.digest,
    )  # fmt: skip


def test_another_policy_does_not_slip_in() -> None:
    story = Story()
    end(story, next_key())
    with pytest.raises(EvidenceInvalidError, match=r"handover-altered|names policy"):
        policy_history(
            NextStory(
                story, policy=story.policy_bytes.replace(b"approval: 14d", b"approval: 15d")
            ).log.leaves()
        )


def test_a_log_that_did_not_end_hands_nothing_over() -> None:
    ended, story = Story(), Story()
    end(ended, next_key())
    new = policy_history(NextStory(ended).log.leaves())
    with pytest.raises(HandoverError, match="handover-open"):
        continue_history(policy_history(story.log.leaves()), story.log.checkpoint(), new)


def test_nothing_follows_the_end() -> None:
    story, other = Story(), Story()
    end(story, next_key())
    other.amend(story.policy_bytes.replace(b"approval: 14d", b"approval: 7d"))
    late = Leaf(index=story.log.size(), data=other.log.leaf(1).data)
    leaves = [*story.log.leaves(), late]
    with pytest.raises(EvidenceInvalidError, match="a leaf after the one that ends"):
        policy_history(leaves)
