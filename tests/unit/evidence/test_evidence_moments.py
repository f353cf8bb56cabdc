"""Between which moments each statement was made, by the word of witnesses; and leaves whose own time they contradict."""

from datetime import UTC, datetime, timedelta

import pytest

from itmp.audit import Event
from itmp.evidence import Report, Trust, archive, build, verify
from itmp.signing import NoteKey
from itmp.testing.forgery import repacked
from itmp.testing.story import EXECUTOR, Story

NAME = "witness.example/w1"


class Witnessed(Story):
    """A story whose heads a witness cosigns, ten seconds after they were published, until it goes away."""

    witness = NoteKey.generate(NAME, b"\x03" * 32, algorithm=4)
    lag = timedelta(seconds=10)

    def anchor(self) -> None:
        note = self.log.checkpoint()
        at = int((self.clock.time + self.lag).timestamp())
        self.log.keep(f"{note.checkpoint.size}/w1.note", self.witness.cosign(note.note, time=at))

    def told(self, pause: timedelta = timedelta(hours=1)) -> "Witnessed":
        """Tell a whole change, anchored after each signed act, an hour apart."""
        self.anchor()
        self.clock.time += pause
        self.open()
        self.anchor()
        self.clock.time += pause
        self.act("approve", "bob")
        self.anchor()
        self.clock.time += pause
        self.execute(self.permit())
        self.anchor()
        self.close()
        return self


def trusted(story: Story, **files: bytes) -> Trust:
    given = dict(story.trust()) | files
    given["log.policy"] = given["log.policy"].replace(
        b"quorum none", f"witness w1 {Witnessed.witness.verifier.vkey}\nquorum none".encode()
    )
    return Trust.from_files(given)


def judged(story: Story, bundle: bytes | None = None, **files: bytes) -> Report:
    return verify(bundle or story.evidence(), trusted(story, **files))


def clock(moment: datetime | None) -> str:
    return f"{moment.astimezone(UTC):%H:%M:%S}" if moment else "-"


def test_each_statement_lies_between_what_its_signer_saw_and_the_first_head_that_holds_it() -> None:
    report = judged(Witnessed().told())
    assert (report.exit_code, report.broken) == (0, None)
    assert report.told
    made = {
        deed.act: (
            clock(deed.made.after and deed.made.after.at),
            clock(deed.at),
            clock(deed.made.before and deed.made.before.at),
        )
        for deed in report.told.deeds
    }
    assert made == {
        "open": ("20:00:10", "21:00:00", "21:00:10"),
        "approve": ("21:00:10", "22:00:00", "22:00:10"),
        "run": ("22:00:10", "23:00:00", "23:00:10"),
        "close": ("23:00:10", "23:00:00", "-"),
    }


def test_without_anchors_no_interval_is_told() -> None:
    report = judged(Story().tell())
    assert report.told
    assert {(deed.made.after, deed.made.before) for deed in report.told.deeds} == {(None, None)}


def test_a_strangers_cosignature_bounds_nothing() -> None:
    story = Witnessed()
    story.witness = NoteKey.generate(NAME, b"\x04" * 32, algorithm=4)
    report = judged(story.told())
    assert report.exit_code == 0
    assert report.told
    assert report.told.deeds[1].made.before is None


def test_an_approval_that_says_an_earlier_time_than_a_head_without_it_is_contradicted() -> None:
    story = Witnessed()
    story.open()
    story.clock.time += timedelta(hours=5)
    story.anchor()
    story.clock.time -= timedelta(
        hours=5
    )  # the log's owner sets the clock back, and starts anew for another boot
    story.clock.boot_id = "boot-2"
    story.act("approve", "bob")
    story.execute(story.permit())
    story.close()
    broken = judged(story).broken
    assert broken
    assert (broken.n, broken.finding) == (17, "clock-contradicted")
    assert "and was not in the log at 2026-11-23T01:00:10Z" in broken.why


def test_a_leaf_that_says_a_later_time_than_a_head_with_it_is_contradicted() -> None:
    story = Witnessed()
    story.lag = timedelta(hours=-3)
    broken = judged(story.told()).broken
    assert broken
    assert (broken.n, broken.finding) == (17, "clock-contradicted")
    assert "and was in the log by" in broken.why


def test_a_clock_some_minutes_off_is_no_contradiction() -> None:
    story = Witnessed()
    story.lag = timedelta(minutes=-9)
    assert judged(story.told()).exit_code == 0


def test_the_auditors_own_cosigned_checkpoint_counts_where_the_file_leaves_heads_out() -> None:
    story = Witnessed()
    story.open()
    story.clock.time += timedelta(hours=5)
    head = story.log.checkpoint()
    kept = story.witness.cosign(head.note, time=int(story.clock.time.timestamp()))
    story.clock.time -= timedelta(hours=5)
    story.clock.boot_id = "boot-2"
    story.act("approve", "bob")
    story.execute(story.permit())
    story.close()
    story.log.checkpoint()
    bundle = build(story.log, story.change, since=kept)
    broken = judged(story, bundle, checkpoint=kept).broken
    assert broken
    assert broken.finding == "clock-contradicted"


@pytest.mark.parametrize("what", ["size", "key", "witness alone", "bytes", "fork", "proof"])
def test_an_anchored_head_that_is_not_the_logs_breaks_rule_6(what: str) -> None:
    story = Witnessed().told()
    members = archive.unpack(story.evidence())
    names = sorted(name for name in members if name.startswith("anchors/"))
    first, second = names[0], names[1]
    size = first.split("/")[1]
    proof = f"consistency/{size}-{story.log.size()}"
    other = NoteKey.generate(story.key.name, b"\x09" * 32)
    head = members[first].decode().split("\n")
    text = "\n".join([*head[:2], "A" * 43 + "=", ""])
    changes: dict[str, dict[str, bytes | None]] = {
        "size": {first: members[second]},
        "key": {first: other.sign("\n".join([*head[:3], ""]))},
        "witness alone": {first: "\n".join(line for line in head if story.key.name not in line[1:]).encode()},
        "bytes": {first: members[first].replace(b"example", b"exbmple", 1)},
        "fork": {first: story.key.sign(text)},
        "proof": {proof: None},
    }
    report = judged(story, repacked(story.evidence(), changes[what]))
    assert report.broken
    assert (report.broken.n, report.exit_code) == (6, 42 if what == "fork" else 40)


def test_a_file_holds_only_the_heads_around_its_statements() -> None:
    story = Witnessed()
    story.told()
    for _ in range(9):
        story.clock.time += timedelta(hours=1)
        story.write(Event(id=story.id(), type="log.read", actor=dict(EXECUTOR)))
        story.anchor()
    members = archive.unpack(story.evidence())
    assert len([name for name in members if name.startswith("anchors/")]) <= 24
