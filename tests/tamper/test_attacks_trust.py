"""Attacks on a whole log that only the auditor's own folder tells: withheld heads, revoked keys, versions taken out."""

from datetime import timedelta
from pathlib import Path

import naive
import pytest
from attacks import NAMED

from itmp.adapters.clock import SystemClock
from itmp.adapters.posix_log import open_reader
from itmp.audit import Checkpoint
from itmp.signing import NoteKey
from itmp.testing.on_disk import story_on_disk
from itmp.testing.story import ORIGIN, Story
from itmp.workspace import Workspace, audit_health, audit_verify, trusted

W1, W2, STRANGER = (NoteKey.generate(f"w{n}.example.net", bytes([n]) * 32, algorithm=4) for n in (1, 2, 3))
WITNESSES = f"witness w1 {W1.vkey}\nwitness w2 {W2.vkey}\n"


@pytest.fixture
def story(tmp_path: Path) -> Story:
    """A story told days ago, whose `trust` asks for both witnesses."""
    start = SystemClock().now().replace(microsecond=0) - timedelta(days=3)
    story = story_on_disk(tmp_path, start=start).tell()
    trusting(tmp_path, story, f"{WITNESSES}group both all w1 w2\nquorum both\n")
    return story


def trusting(root: Path, story: Story, quorum: str, **files: str) -> None:
    folder = root / "trust"
    folder.mkdir(exist_ok=True)
    lines = f"log {story.log.vkey}\n{quorum}"
    for name, text in {"log.policy": lines, "genesis": f"{story.log.leaf(0).hash}\n", **files}.items():
        (folder / name).write_text(text)


def cosigned(story: Story, *witnesses: NoteKey, note: bytes = b"") -> int:
    """Have witnesses cosign the newest head, and keep what they gave beside the log, as anchoring does."""
    head = story.log.checkpoint()
    for witness in witnesses:
        story.log.keep(
            f"{head.checkpoint.size}/{witness.name}.note",
            witness.cosign(note or head.note, time=1_800_000_000),
        )
    return head.checkpoint.size


def said(root: Path) -> tuple[int, set[str]]:
    report = audit_verify(Workspace.here(root))
    grave = {one.name for one in report.findings if one.grave}
    NAMED.extend(sorted(grave))
    return report.exit_code, grave


def faults(root: Path) -> dict[str, str]:
    return dict(audit_health(Workspace.here(root)).faults)


def test_the_same_without_a_lie_holds(story: Story, tmp_path: Path) -> None:
    cosigned(story, W1, W2)
    assert said(tmp_path) == (0, set())
    assert not set(faults(tmp_path)) & {"checkpoint-unsigned", "witnesses-behind", "key-revoked"}


def test_log_withheld_from_the_witnesses(story: Story, tmp_path: Path) -> None:
    """The owner signs alone what no witness may see; one witness of two is no quorum."""
    assert naive.its_own_key(open_reader(tmp_path / ".itmp/log"))
    assert said(tmp_path) == (40, {"checkpoint-unsigned"})
    cosigned(story, W1)
    assert said(tmp_path) == (40, {"checkpoint-unsigned"})
    assert "checkpoint-unsigned" in faults(tmp_path), "for more than a day"


def test_newest_leaves_withheld_from_the_witnesses(story: Story, tmp_path: Path) -> None:
    """Witnesses have seen the log once; what came since is the owner's word alone."""
    size = cosigned(story, W1, W2)
    story.tell()
    story.log.checkpoint()
    report = audit_verify(Workspace.here(tmp_path))
    assert said(tmp_path) == (41, {"witnesses-behind"})
    assert any(f"they have cosigned {size} leaves at most" in one.message for one in report.findings)
    assert "witnesses-behind" in faults(tmp_path)


def test_newest_leaves_stamped_and_withheld_from_the_witnesses(
    story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Witnesses are out, or kept out, for more stamped heads than are looked through for their lines."""
    monkeypatch.setattr(trusted, "_MOST", 2)
    size = cosigned(story, W1, W2)
    for _ in range(3):
        story.tell()
        head = story.log.checkpoint()
        story.log.keep(f"{head.checkpoint.size}/tsa.note", head.note)
    report = audit_verify(Workspace.here(tmp_path))
    assert said(tmp_path) == (41, {"witnesses-behind"})
    assert any(f"they have cosigned {size} leaves at most" in one.message for one in report.findings)


def test_cosignature_that_is_none_of_the_witnesses(story: Story, tmp_path: Path) -> None:
    """A stranger's cosignature under a witness's file name, and real ones over another history of that size."""
    cosigned(story, STRANGER)
    size = story.log.size()
    story.log.keep(f"{size}/{W1.name}.note", STRANGER.cosign(story.log.checkpoint().note, time=1))
    assert said(tmp_path) == (40, {"checkpoint-unsigned"})
    other = Checkpoint(origin=ORIGIN, size=size, root=bytes(32))
    cosigned(story, W1, W2, note=story.key.sign(other.to_text()))
    assert said(tmp_path) == (40, {"checkpoint-unsigned"})


def test_revoked_key_signs_on_in_the_workspace(story: Story, tmp_path: Path) -> None:
    """A thief of the revoked key goes on with the log where it lies; without `revoked` everything is sound."""
    size = story.log.size()
    trusting(tmp_path, story, "quorum none\n", revoked=f"{story.log.vkey} {size}\n")
    assert said(tmp_path) == (0, set())
    assert "key-revoked" not in faults(tmp_path)
    story.tell()
    story.log.checkpoint()
    assert naive.its_own_key(open_reader(tmp_path / ".itmp/log"))
    assert said(tmp_path) == (40, {"key-revoked"})
    assert "counts for" in faults(tmp_path)["key-revoked"]
    cosigned(story, W1)
    story.tell()
    trusting(tmp_path, story, f"{WITNESSES}quorum w1\n")
    assert said(tmp_path) == (40, {"key-revoked", "witnesses-behind"}), "one hides the other no more"


@pytest.mark.parametrize(("index", "finding"), [(1, "forked"), (10_000, "rolled-back")])
def test_policy_version_taken_out_of_the_log(story: Story, tmp_path: Path, index: int, finding: str) -> None:
    """The auditor kept the line of a version; the log that is shown has another leaf there, or ends before it."""
    amended = story.amend(story.policy_bytes.replace(b"carol", b"karol"))
    line = f"{ORIGIN} {amended.index} {amended.hash}\n"
    trusting(tmp_path, story, "quorum none\n", versions=line)
    story.log.checkpoint()
    assert said(tmp_path) == (0, set())
    trusting(tmp_path, story, "quorum none\n", versions=f"{ORIGIN} {index} {amended.hash}\n")
    assert said(tmp_path) == (42, {finding})
    assert finding in faults(tmp_path)
