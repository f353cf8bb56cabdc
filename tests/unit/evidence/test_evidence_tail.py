"""A key revoked at an older size: what lies beyond is named as doubtful, and nothing is dropped. Rule 2."""

import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

import itmp.evidence
from itmp.change import PolicyHistoryError, policy_history
from itmp.evidence import Report, Trust, build, verify
from itmp.signing import NoteKey
from itmp.testing.memory_log import MemoryReader, MemoryStore
from itmp.testing.periods import NextStory, end, next_key
from itmp.testing.story import ORIGIN, Story

WITNESS = NoteKey.generate("witness.example/w1", b"\x03" * 32, algorithm=4)
WHY = "the disk was copied"


class Witnessed(Story):
    """A story whose newest head a witness cosigns when it is asked."""

    def anchor(self) -> None:
        note = self.log.checkpoint()
        at = int(self.clock.time.timestamp())
        self.log.keep(f"{note.checkpoint.size}/w1.note", WITNESS.cosign(note.note, time=at))


def trusting(story: Story, *, witness: bool = False, revoked: str = "") -> Trust:
    files = dict(story.trust())
    if witness:
        files["log.policy"] = files["log.policy"].replace(
            b"quorum none", f"witness w1 {WITNESS.vkey}\nquorum w1".encode()
        )
    if revoked:
        files["revoked"] = revoked.encode()
    return Trust.from_files(files)


def found(report: Report) -> list[tuple[int, str, str]]:
    return [(rule.n, rule.finding, rule.why) for rule in report.rules if rule.finding]


def disowned(size: int) -> Story:
    story = Story(store=MemoryStore(ORIGIN)).tell()
    end(story, next_key(), reason=WHY, counts=size)
    return story


def test_events_beyond_the_size_are_doubtful() -> None:
    story = disowned(3)
    last = story.log.of_change(story.change)[-1].index
    report = verify(story.evidence(), trusting(story))
    assert report.exit_code == 41
    assert found(report) == [(2, "tail-doubtful", f"leaves 3 to {last}: signed by a key revoked at size 3")]
    assert report.told is not None
    assert report.told.state == "closed"  # the story is told all the same


def test_events_before_the_size_are_as_good_as_ever() -> None:
    story = Story().tell()
    size = story.log.size()
    story.amend(story.policy_bytes.replace(b"approval: 14d", b"approval: 7d"))
    end(story, next_key(), reason=WHY, counts=size)
    line = f"{story.log.vkey} {size}\n"
    assert verify(story.evidence(), trusting(story)).exit_code == 0
    assert verify(story.evidence(), trusting(story, revoked=line)).exit_code == 0


def test_auditors_who_were_told_accept_the_end_that_the_people_gave_it_alone() -> None:
    """TRUST says 3: a longer log is the thief's, but for the one that its own quorum ended with that word."""
    story, line = disowned(3), f"{Story().log.vkey} 3\n"
    assert verify(story.evidence(), trusting(story, revoked=line)).exit_code == 41
    assert found(verify(Story().tell().evidence(), trusting(story, revoked=line)))[0][:2] == (
        2,
        "key-revoked",
    )
    other = disowned(4)
    assert found(verify(other.evidence(), trusting(story, revoked=line)))[0][:2] == (2, "key-revoked")


def test_the_shell_agrees(tmp_path: Path) -> None:
    script = Path(itmp.evidence.__file__).with_name("verify.sh")
    (tmp_path / "trust").mkdir()

    def code(story: Story, revoked: str = "") -> int:
        (tmp_path / "e.tar").write_bytes(story.evidence())
        for name, data in {**story.trust(), "revoked": revoked.encode()}.items():
            (tmp_path / "trust" / name).write_bytes(data)
        call = ["bash", str(script), str(tmp_path / "e.tar"), str(tmp_path / "trust")]
        return subprocess.run(call, capture_output=True, timeout=120, check=False).returncode

    assert (code(disowned(3)), code(disowned(3), f"{Story().log.vkey} 3\n")) == (41, 41)
    assert (code(disowned(4), f"{Story().log.vkey} 3\n"), code(Story().tell())) == (40, 0)


def test_the_next_period_says_which_leaves_before_it_were_disowned() -> None:
    story = disowned(3)
    after = NextStory(story)
    after.tell()
    report = verify(after.bundle(), trusting(story, revoked=f"{story.log.vkey} 3\n"))
    assert report.exit_code == 0, report.broken
    last = story.log.size() - 1
    told = f"key revoked: {ORIGIN} was disowned by its people from leaf 3 on, to its end at {last}"
    assert told in report.assurance
    assert isinstance(story.log._store, MemoryStore)
    reader = MemoryReader(story.log._store)
    whole = verify(after.bundle(), trusting(story, revoked=f"{story.log.vkey} 3\n"), logs=(reader,))
    assert whole.exit_code == 0, whole.broken
    told_otherwise = verify(after.bundle(), trusting(story, revoked=f"{story.log.vkey} 4\n"), logs=(reader,))
    assert told_otherwise.exit_code == 40


@pytest.mark.parametrize("before", [True, False])
def test_what_witnesses_had_cosigned_before_is_no_later_fork(before: object) -> None:
    story = Witnessed()
    story.anchor()
    story.tell()
    if before:
        story.anchor()
    covered = story.log.size()
    story.clock.time += timedelta(hours=1)
    end(story, next_key(), reason=WHY, counts=3)
    note = WITNESS.cosign(story.log.checkpoint().note, time=int(story.clock.time.timestamp()) + 60)
    bundle = build(Cosigned(story, note), story.change)
    report = verify(bundle, trusting(story, witness=True))
    if not before:  # the witness came when everybody knew: too late to tell one history from another
        assert (report.exit_code, found(report)[0][:2]) == (41, (2, "tail-doubtful"))
        return
    assert (report.exit_code, found(report)) == (0, [])
    line = f"leaves 3 to {covered - 1}: signed by a key revoked at size 3; witnesses had cosigned that before"
    assert any(one.startswith(line) for one in report.assurance)
    assert verify(story.evidence(), trusting(story)).exit_code == 41  # who asks for no witness has none


class Cosigned:
    """A log whose newest head is the one in `note`."""

    def __init__(self, story: Story, note: bytes) -> None:
        log, head = story.log, story.log.published()
        self.published = lambda: replace(head, note=note) if head else None
        self.of_change, self.blob, self.policy_leaves = log.of_change, log.blob, log.policy_leaves
        self.prove_inclusion, self.prove_consistency = log.prove_inclusion, log.prove_consistency
        self.anchored, self.kept, self.vkey = log.anchored, log.kept, log.vkey


@pytest.mark.parametrize(
    ("lies", "why"),
    [
        ({"counts": 3, "claims": 4}, "0 signed this"),
        ({"counts": 3, "claims": 99}, "never there"),
        ({"counts": 0, "claims": -1}, "never there"),
        ({"counts": 3, "size": "3"}, "0 signed that"),
        ({"counts": 3, "by": ["alice"]}, "1 signed this"),
    ],
)
def test_a_tail_is_disowned_by_its_quorum_and_as_each_of_them_meant(
    lies: dict[str, object], why: str
) -> None:
    story = Story().tell()
    end(story, next_key(), reason=WHY, **lies)  # type: ignore[arg-type]  # lies of several kinds
    with pytest.raises(PolicyHistoryError, match=why):
        policy_history(story.log.leaves())


def test_nobody_makes_an_end_of_an_older_size_or_the_other_way_round() -> None:
    """The statements for one cannot be used for the other: the log's owner writes the leaf, people say what it means."""
    story = Story().tell()
    end(story, next_key(), reason=WHY, claims=story.log.size())
    with pytest.raises(PolicyHistoryError, match="0 signed that"):
        policy_history(story.log.leaves())
    story = Story().tell()
    end(story, next_key(), reason=WHY, counts=3, claims=story.log.size() + 2)
    with pytest.raises(PolicyHistoryError, match="0 signed that"):
        policy_history(story.log.leaves())
