"""Evidence across periods: who trusts an older genesis is led on, period by period, or told what is missing."""

import base64

import pytest

from itmp.audit import Checkpoint, Leaf, SignedCheckpoint
from itmp.errors import EvidenceInvalidError
from itmp.evidence import Report, Trust, archive, verify
from itmp.evidence.bundle import since_member
from itmp.evidence.seen import signed_in
from itmp.signing import Signed
from itmp.testing.forgery import repacked
from itmp.testing.memory_log import MemoryReader, MemoryStore
from itmp.testing.periods import NextStory, end, next_key
from itmp.testing.story import Story


def told() -> NextStory:
    first = Story().tell()
    end(first, next_key())
    second = NextStory(first)
    end(second, next_key("example.com/ops/2028", b"third"))
    third = NextStory(second, next_key("example.com/ops/2028", b"third"))
    third.tell()
    return third


@pytest.fixture(scope="module")
def third() -> NextStory:
    return told()


def judged(bundle: bytes, trust: dict[str, bytes], **options: object) -> Report:
    return verify(bundle, Trust.from_files(trust), **options)  # type: ignore[arg-type]


def first_of(story: NextStory) -> Story:
    assert isinstance(story.before, NextStory)
    return story.before.before


def test_trust_of_any_period_leads_to_the_newest(third: NextStory) -> None:
    bundle = third.bundle()
    for story, walked in ((first_of(third), 2), (third.before, 1), (third, 0)):
        report = judged(bundle, story.trust())
        assert report.exit_code == 0, report.broken
        assert sum("handed over" in line for line in report.assurance) == walked


def test_evidence_of_an_ended_period_still_holds(third: NextStory) -> None:
    first = first_of(third)
    report = judged(first.evidence(), first.trust())
    assert report.exit_code == 0, report.broken


def test_without_a_handover_the_way_is_named(third: NextStory) -> None:
    report = judged(third.bundle(drop=["handovers/1/"]), first_of(third).trust())
    assert (report.exit_code, report.broken and report.broken.finding) == (40, "period-missing")
    report = judged(third.evidence(), first_of(third).trust())
    assert report.broken is not None
    assert report.broken.finding == "period-missing"
    assert "continues example.com/ops/2027" in report.broken.why


def test_a_kept_checkpoint_of_an_older_period_counts(third: NextStory) -> None:
    first = first_of(third)
    size = first.log.size() - 3
    head = Checkpoint(origin=first.log.origin, size=size, root=first.log.root(size))
    kept = SignedCheckpoint.sign(head, first.key).note
    trust = {**first.trust(), "checkpoint": kept}
    absent = judged(third.bundle(), trust, require=["checkpoint"])
    assert absent.exit_code == 41
    assert [rule.n for rule in absent.rules if rule.verdict == "incomplete"] == [6]
    proof = {f"handovers/1/{name}": data for name, data in since_member(first.log, kept).items()}
    report = judged(repacked(third.bundle(), proof), trust, require=["checkpoint"])
    assert report.exit_code == 0, report.broken
    forked = SignedCheckpoint.sign(Checkpoint(origin=head.origin, size=size, root=bytes(32)), first.key).note
    report = judged(repacked(third.bundle(), proof), {**trust, "checkpoint": forked})
    assert (report.exit_code, report.broken and report.broken.finding) == (42, "forked")


def test_a_kept_checkpoint_of_the_new_period_counts(third: NextStory) -> None:
    note = third.log.checkpoint().note
    report = judged(third.bundle(), {**first_of(third).trust(), "checkpoint": note}, require=["checkpoint"])
    assert report.exit_code == 0, report.broken
    forged = next_key("example.com/ops/2028", b"thief").sign(third.log.checkpoint().checkpoint.to_text())
    report = judged(third.bundle(), {**first_of(third).trust(), "checkpoint": forged})
    assert report.exit_code == 40


def test_a_kept_checkpoint_of_a_period_that_is_not_reached_is_not_called_absent(third: NextStory) -> None:
    first = first_of(third)
    trust = {**first.trust(), "checkpoint": third.log.checkpoint().note}
    report = judged(first.evidence(), trust)
    assert report.exit_code == 0, report.broken
    assert any("TRUST's is of a period that this file does not reach" in line for line in report.assurance)
    assert judged(first.evidence(), trust, require=["checkpoint"]).exit_code == 41


@pytest.mark.parametrize("age", [0, 1, 2])
def test_every_member_of_a_handover_is_bound(third: NextStory, age: int) -> None:
    bundle, trust = third.bundle(), [third, third.before, first_of(third)][age].trust()
    members = [name for name in archive.unpack(bundle) if name.startswith("handovers/1/")]
    assert len(members) > 5
    assert judged(bundle, trust).exit_code == 0
    for name in members:
        data = archive.unpack(bundle)[name]
        flipped = bytes([data[0] ^ 1]) + data[1:]
        assert judged(repacked(bundle, {name: flipped}), trust).exit_code in {40, 42}, name
        assert judged(repacked(bundle, {name: None}), trust).exit_code in {40, 42}, name
    assert judged(repacked(bundle, {"handovers/1/extra": b"x"}), trust).exit_code == 40
    assert judged(repacked(bundle, {"handovers/9/checkpoint": b"x"}), trust).exit_code == 40


def signed_by(bundle: bytes, prefix: str) -> set[Signed]:
    """Every statement in the leaves below `prefix`."""
    found = {
        name: data for name, data in archive.unpack(bundle).items() if name.startswith(f"{prefix}leaves/")
    }
    return {signed for data in found.values() for signed in signed_in(Leaf(index=0, data=data))}


@pytest.mark.parametrize("age", [0, 1, 2])
def test_a_second_opinion_is_asked_about_every_statement_of_every_period(third: NextStory, age: int) -> None:
    bundle, trust = third.bundle(), (third, third.before, first_of(third))[age].trust()
    asked = set[Signed]()
    report = judged(bundle, trust, strict=lambda signed, *_: asked.add(signed))
    assert report.exit_code == 0, report.broken
    by_period = [signed_by(bundle, prefix) for prefix in ("handovers/1/", "handovers/2/", "")]
    assert asked == set().union(*by_period)
    assert all(by_period)


@pytest.mark.parametrize(("age", "number"), [(0, 1), (0, 2), (1, 1), (1, 2), (2, 1), (2, 2)])
def test_a_second_opinion_that_differs_on_a_handover_is_failure(
    third: NextStory, age: int, number: int
) -> None:
    bundle, trust = third.bundle(), (third, third.before, first_of(third))[age].trust()
    here = signed_by(bundle, f"handovers/{number}/") - signed_by(bundle, "")

    def disagrees(signed: Signed, *_: object) -> None:
        if signed in here:
            raise EvidenceInvalidError("ssh-keygen refuses it", where="statement")

    report = judged(bundle, trust, strict=disagrees)
    assert report.broken
    assert (report.exit_code, report.broken.n, report.broken.finding) == (40, 21, "handover-broken")


def test_a_revoked_key_counts_to_its_size_alone() -> None:
    story = Story().tell()
    size = story.log.size()
    bundle = story.evidence()
    line = f"{story.log.vkey} {size}\n".encode()
    assert judged(bundle, {**story.trust(), "revoked": line}).exit_code == 0
    story.amend(story.policy_bytes.replace(b"approval: 14d", b"approval: 7d"))
    report = judged(story.evidence(), {**story.trust(), "revoked": line})
    assert (report.exit_code, report.broken and report.broken.finding) == (40, "key-revoked")


def test_a_line_of_revoked_has_one_form() -> None:
    story = Story()
    vkey = story.log.vkey
    for text in (f"{vkey}\n", f"{vkey} -1\n", f"{vkey} 1 2\n", f"{vkey} 1\n{vkey} 2\n", "x 1\n"):
        with pytest.raises(Exception, match=r"revoked|verifier|Expected|text of"):
            Trust.from_files({**story.trust(), "revoked": text.encode()})
    note = f"# lost on {base64.b64encode(b'x').decode()}\n\n{vkey} 3\n".encode()
    assert Trust.from_files({**story.trust(), "revoked": note}).revoked == {vkey: 3}


def test_a_known_policy_version_of_any_period_must_be_there(third: NextStory) -> None:
    """One line for each log; a file that is only too old is incomplete, and says so."""
    logs = [story.log for story in (first_of(third), third.before, third)]
    known = "".join(f"{log.origin} 0 {log.leaf(0).hash}\n" for log in logs)
    trust = {**first_of(third).trust(), "versions": f"# all of them\n\n{known}".encode()}
    report = judged(third.bundle(), trust)
    assert report.exit_code == 0, report.broken
    assert [line for line in report.assurance if line.startswith("to keep in TRUST/versions")] == [
        f"to keep in TRUST/versions: {line}" for line in known.splitlines()
    ]
    for number, log in enumerate(logs):
        other = known.replace(log.leaf(0).hash, log.leaf(1).hash)
        assert judged(third.bundle(), {**trust, "versions": other.encode()}).exit_code == 42
        late = f"{log.origin} {log.size()} {log.leaf(0).hash}\n".encode()
        report = judged(third.bundle(), {**trust, "versions": late})
        assert report.exit_code == (41 if number == 2 else 42)
    assert [rule.finding for rule in report.rules if rule.finding] == ["policy-not-reached"]


def test_a_line_of_versions_has_one_form() -> None:
    story = Story()
    name, leaf = story.log.origin, story.log.leaf(0).hash
    for text in (
        f"{name} 0\n",
        f"{name} -1 {leaf}\n",
        f"{name} 0 x\n",
        f"{name} 0 {leaf}\n{name} 0 {leaf}\n",
    ):
        with pytest.raises(Exception, match=r"versions|digest"):
            Trust.from_files({**story.trust(), "versions": text.encode()})


def test_the_logs_of_earlier_periods_can_be_brought_too() -> None:
    stores = [MemoryStore("example.com/ops/2026"), MemoryStore("example.com/ops/2027")]
    first = Story(store=stores[0]).tell()
    end(first, next_key())
    second = NextStory(first, store=stores[1])
    second.tell()
    bundle, readers = second.bundle(), [MemoryReader(store) for store in stores]
    report = judged(bundle, first.trust(), logs=tuple(readers))
    assert report.exit_code == 0, report.broken
    assert not any("completeness" in line for line in report.assurance)
    older = judged(bundle, first.trust(), logs=(readers[0],))
    assert older.exit_code == 0, older.broken
    assert ["completeness against" in line for line in older.assurance if "completeness" in line] == [True]
    report = judged(bundle, second.trust(), logs=(readers[0],))
    assert (report.exit_code, report.broken and report.broken.n) == (40, 19)
