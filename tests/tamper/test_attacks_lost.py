"""A log whose key is lost: its people end it without a signature of it, and what somebody else would make of that."""

import subprocess
from pathlib import Path

import naive
import pytest
from attacks import judged

import itmp.evidence
from itmp.change import Handover
from itmp.evidence import Trust, verify
from itmp.testing.forgery import repacked
from itmp.testing.periods import NextStory, end, lose, next_key
from itmp.testing.story import ORIGIN, Story

NEW = next_key()
SCRIPT = Path(itmp.evidence.__file__).with_name("verify.sh")


def signed_alone(handover: Handover) -> str:
    """The new key alone signs: the old one is gone."""
    return NEW.sign(handover.to_text()).decode()


def after(old: Story, **lies: object) -> NextStory:
    story = NextStory(old, NEW, note=signed_alone, lost=lose(old, NEW, **lies))  # type: ignore[arg-type]  # lies of several kinds
    story.tell()
    return story


def told(old: Story, size: int = 0) -> dict[str, bytes]:
    """TRUST of an auditor who was told of the loss."""
    return {**old.trust(), "lost": f"{old.log.vkey} {size or old.log.size()}\n".encode()}


def shell(bundle: bytes, trust: dict[str, bytes], folder: Path) -> int:
    """What the shell alone says."""
    (folder / "trust").mkdir()
    for name, data in {"e.tar": bundle, **{f"trust/{name}": data for name, data in trust.items()}}.items():
        (folder / name).write_bytes(data)
    call = ["bash", str(SCRIPT), str(folder / "e.tar"), str(folder / "trust")]
    return subprocess.run(call, capture_output=True, timeout=120, check=False).returncode


def test_the_same_without_a_lie_holds(tmp_path: Path) -> None:
    old = Story().tell()
    story = after(old)
    bundle = story.bundle()
    report = verify(bundle, Trust.from_files(told(old)))
    assert report.exit_code == 0, report.broken
    assert shell(bundle, story.trust(), tmp_path) == 0  # TRUST of its own period: no handover is walked
    assert f"key lost: {ORIGIN} stopped at {old.log.size()} leaves without its key" in report.assurance


def test_lost_key_that_nobody_told_the_auditor_of() -> None:
    """Anybody who was an owner once, and has a key, can say that the log's is lost: they need no key of the log."""
    old = Story().tell()
    bundle = after(old).bundle()
    assert naive.continues(bundle, ORIGIN)
    report = verify(bundle, Trust.from_files(old.trust()))
    assert (report.exit_code, [rule.finding for rule in report.rules if rule.finding]) == (41, ["key-lost"])
    assert judged(bundle, told(old, 3)) == (40, 21, "handover-broken")


@pytest.mark.parametrize(
    "lies",
    [{"by": ["alice"]}, {"reason": "the year is over"}, {"size": "2"}, {"to": next_key(seed=b"other").vkey}],
)
def test_lost_key_without_the_quorums_word(lies: dict[str, object]) -> None:
    """Fewer people, people who said something else, of another size, or for another key."""
    old = Story().tell()
    lie = NextStory(old, NEW, note=signed_alone, lost=lose(old, NEW, **lies))  # type: ignore[arg-type]  # as above
    bundle = repacked(after(old).bundle(), {"leaves/0": lie.log.leaf(0).data})
    assert naive.continues(bundle, ORIGIN)
    assert judged(bundle, told(old)) == (40, 21, "handover-broken")


def test_lost_key_claimed_of_a_log_that_ended() -> None:
    """The log ended with its own key, and goes on; the same people say of that end that its key was lost."""
    old = Story().tell()
    end(old, next_key(seed=b"other"))
    bundle = after(old).bundle()
    assert naive.continues(bundle, ORIGIN)
    assert judged(bundle, told(old)) == (40, 21, "handover-open")


def test_lost_key_at_an_older_head() -> None:
    """Their statements for one size are used for another head of the log."""
    old = Story()
    words = lose(old, NEW)
    old.tell()
    lie = NextStory(old, NEW, note=signed_alone, lost=words)
    bundle = repacked(after(old).bundle(), {"leaves/0": lie.log.leaf(0).data})
    assert judged(bundle, told(old)) == (40, 21, "handover-broken")
