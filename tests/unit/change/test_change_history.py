import pytest

from itmp.audit import Event
from itmp.change import PolicyHistoryError, policy_history
from itmp.signing import NoteKey
from itmp.testing.story import EXECUTOR, ORIGIN, Story


def other(story: Story) -> bytes:
    return story.policy_bytes.replace(b"approval: 14d", b"approval: 7d")


def test_the_genesis_policy_is_in_force_from_the_beginning() -> None:
    story = Story()
    history = story.history
    assert (history.origin, history.log_key) == (ORIGIN, story.log.vkey)
    assert history.genesis.by == ("alice@example.com", "bob@example.com")
    assert not history.single_root
    assert history.at(0) == history.at(99) == history.genesis


def test_one_root_person_shows() -> None:
    assert Story(roots=["alice"]).history.single_root


def test_the_old_quorum_brings_a_new_version() -> None:
    story = Story()
    receipt = story.amend(other(story))
    history = story.history
    assert history.latest.index == receipt.index
    assert history.at(receipt.index) == history.genesis
    assert history.at(receipt.index + 1) == history.latest
    assert history.named(history.latest.policy.digest) == history.latest
    assert history.named("sha256:" + "0" * 64) is None


@pytest.mark.parametrize(
    ("by", "lies", "why"),
    [
        (["alice"], {}, "needs 2 people to change it; 1 signed"),
        (["alice", "alice"], {}, "needs 2 people to change it; 1 signed"),
        (["alice", "bob"], {"to": "sha256:" + "0" * 64}, "0 signed"),
        (["alice", "bob"], {"from": "sha256:" + "0" * 64}, "0 signed"),
        (["alice", "carol"], {}, "carol@example.com may not policy as owner"),
        (["alice", "bob"], {"role": "sre"}, "may not policy as sre"),
        (["alice", "bob"], {"policy": "sha256:" + "0" * 64}, "names policy"),
        (["alice", "bob"], {"log": "example.com/ops/2025"}, "the statement is for log"),
        (["alice", "bob"], {"valid": "2026-01-01T00:00:00Z 2026-01-02T00:00:00Z"}, "outside valid"),
    ],
)
def test_without_the_old_quorum_nothing_changes(by: list[str], lies: dict[str, str], why: str) -> None:
    story = Story()
    story.amend(other(story), by, **lies)
    with pytest.raises(PolicyHistoryError, match=why):
        _ = story.history


def test_only_the_roles_that_amend_count() -> None:
    text = Story().policy_bytes.replace(b"sre: [open,", b"sre: [policy, open,")
    story = Story(policy=text)
    story.amend(other(story), role="sre")
    with pytest.raises(PolicyHistoryError, match="0 signed"):
        _ = story.history


def test_the_old_version_cannot_be_brought_back_by_its_own_signatures() -> None:
    story = Story()
    first = story.policy_bytes
    forth = story.amend(other(story))
    story.amend(first)
    data = story.log.leaf(forth.index).event.data
    story.write(Event(id=story.id(), type="policy.changed", actor=EXECUTOR, data=data))
    with pytest.raises(PolicyHistoryError, match="is used again"):
        _ = story.history


def test_a_log_begins_with_its_genesis() -> None:
    story = Story()
    story.amend(other(story))
    with pytest.raises(PolicyHistoryError, match=r"leaf 0 is not log\.created"):
        policy_history(list(story.log.leaves())[1:])


def test_an_enrolment_over_another_key_is_none() -> None:
    class Liar(Story):
        def sign(self, act, who, **fields):  # type: ignore[no-untyped-def]
            if act == "enrol":
                fields["logkey"] = NoteKey.generate(ORIGIN, bytes(32)).verifier.vkey
            return super().sign(act, who, **fields)

    with pytest.raises(PolicyHistoryError, match="another log key"):
        _ = Liar().history
