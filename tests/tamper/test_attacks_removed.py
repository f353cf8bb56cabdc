"""Attacks by people who were removed, and hold an earlier period's key: they hide their removal, or undo it."""

import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import naive
import pytest
from attacks import judged, recorded

import itmp.evidence
from itmp.audit import Event, Leaf, Log, SignedCheckpoint
from itmp.change import PolicyHistory, policy_history
from itmp.evidence import Report, Trust, build, verify
from itmp.evidence.bundle import handover, since_member
from itmp.signing import NoteKey
from itmp.testing.memory_log import MemoryReader, MemoryStore
from itmp.testing.periods import NextStory, end, next_key
from itmp.testing.story import EXECUTOR, ORIGIN, Story

WITNESS = NoteKey.generate("witness.example.net/w1", b"w" * 32, algorithm=4)
SCRIPT = Path(itmp.evidence.__file__).with_name("verify.sh")
UNSEEN = "rests on its own key alone"


class Hiding:
    """A log as its thief shows it: every policy version but the first is left out, and a witness has cosigned its head."""

    def __init__(self, log: Log) -> None:
        self.of_change, self.blob = log.of_change, log.blob
        self.prove_inclusion, self.prove_consistency = log.prove_inclusion, log.prove_consistency
        self.anchored, self.kept, self.vkey = log.anchored, log.kept, log.vkey
        self._log = log

    def published(self) -> SignedCheckpoint | None:
        """The head, which continues all that the witness has seen."""
        head = self._log.published()
        return replace(head, note=WITNESS.cosign(head.note, time=1_800_000_000)) if head else None

    def policy_leaves(self) -> Iterable[Leaf]:
        """The genesis, and how the log ended."""
        return [leaf for leaf in self._log.policy_leaves() if leaf.event.type != "policy.changed"]


@dataclass(frozen=True, kw_only=True)
class Case:
    """An earlier log in which alice and bob gave their say to carol and dave, and evidence of a later period."""

    store: MemoryStore
    old: Story
    removal: Leaf
    kept: bytes
    new: NextStory

    @property
    def versions(self) -> bytes:
        """The removal, as an auditor keeps it."""
        return f"{ORIGIN} {self.removal.index} {self.removal.hash}\n".encode()

    @property
    def witness(self) -> dict[str, bytes]:
        """TRUST of an auditor who asks for a witness."""
        policy = self.old.trust()["log.policy"].replace(b"none", b"w1")
        return {"log_policy": f"witness w1 {WITNESS.vkey}\n".encode() + policy}

    def report(self, bundle: bytes, *, logs: tuple[MemoryReader, ...] = (), **trust: bytes) -> Report:
        """What an auditor with TRUST of the earlier period says; `trust` are further files of theirs."""
        files = {**self.old.trust(), **{name.replace("_", "."): data for name, data in trust.items()}}
        return recorded(verify(bundle, Trust.from_files(files), logs=logs))

    def verdict(
        self, bundle: bytes, *, logs: tuple[MemoryReader, ...] = (), **trust: bytes
    ) -> tuple[int, str]:
        """The same in short: exit code and finding."""
        report = self.report(bundle, logs=logs, **trust)
        return report.exit_code, next(rule.finding for rule in report.rules if rule.finding)

    def passes(self, bundle: bytes, **trust: bytes) -> bool:
        """Whether it holds, and says on what that rests."""
        report = self.report(bundle, **trust)
        return report.exit_code == 0 and any(UNSEEN in line for line in report.assurance)


def without_them(policy: bytes) -> bytes:
    """The policy in which carol and dave own the log, and alice and bob do not."""
    said = {
        "sre, owner": "sre ",
        "approver, owner, sre": "approver ",
        "approver": "approver, owner",
        "sre": "sre, owner",
    }
    for before, after in said.items():
        line = f"    roles: [{before}]\n".encode()
        assert policy.count(line) == 1
        policy = policy.replace(line, f"    roles: [{after}]\n".encode())
    return policy


def handed_on(old: Story, policy: str) -> NextStory:
    """End the old log with its key and the signatures of alice and bob, under `policy`, for a key of their own."""
    end(old, next_key(), policy=policy)
    new = NextStory(old)
    new.tell()
    return new


@pytest.fixture(scope="module")
def case() -> Case:
    """The removal is logged and signed; later alice and bob end that log, and their file leaves the removal out."""
    store = MemoryStore(ORIGIN)
    old = Story(store=store)
    fill(old, 3)
    first = old.history.latest.policy.digest
    removal = old.log.leaf(old.amend(without_them(old.policy_bytes)).index)
    kept = old.log.checkpoint().note
    new = handed_on(old, first)
    return Case(store=store, old=old, removal=removal, kept=kept, new=new)


def shown(new: NextStory, since: bytes = b"") -> bytes:
    """Evidence of the later period as the thief shows it; `since` is the checkpoint that the auditor asked for."""
    new.log.checkpoint()
    old = Hiding(new.before.log)
    members = handover(old) | (since_member(old, since) if since else {})
    return build(Hiding(new.log), new.change, older=[members])


def fill(story: Story, count: int) -> None:
    """Let time pass: events that are of no change."""
    for _ in range(count):
        story.write(Event(id=story.id(), type="log.read", actor=EXECUTOR))


def test_removed_quorum_hides_its_removal(case: Case) -> None:
    """No byte of the earlier log is altered; the file leaves out the version that took alice's and bob's say away."""
    bundle = shown(case.new)
    assert naive.continues(bundle, ORIGIN)
    assert naive.manifest(bundle)
    assert case.verdict(bundle, versions=case.versions) == (40, "policy-left-out")
    assert case.verdict(bundle, logs=(MemoryReader(case.store),)) == (40, "log-contradicts")
    # A head commits to leaves, and not to which of them are policies: neither of these finds it, and it is said.
    assert case.passes(bundle)
    assert case.passes(bundle, **case.witness)
    assert case.verdict(bundle, checkpoint=later().log.checkpoint().note) == (40, "handover-broken")
    assert judged(bundle, later().trust()) == (40, 21, "period-missing")
    assert case.passes(shown(case.new, since=case.kept), checkpoint=case.kept)


def later() -> Story:
    """The period that carol and dave begin, who own the log."""
    old = Story()
    fill(old, 3)
    old.amend(without_them(old.policy_bytes))
    key = next_key(seed=b"honest")
    end(old, key, by=["carol", "dave"])
    return NextStory(old, key, policy=without_them(old.policy_bytes))


@pytest.mark.parametrize("fillers", [0, 10])
def test_removed_quorum_forks_the_earlier_log(case: Case, fillers: int) -> None:
    """With that key they tell the whole earlier period otherwise: their removal never happened."""
    other = Story()
    fill(other, fillers)
    bundle = handed_on(other, other.history.latest.policy.digest).bundle()
    assert naive.continues(bundle, ORIGIN)
    known = (40, "policy-left-out") if fillers else (42, "rolled-back")
    assert case.verdict(bundle, versions=case.versions) == known
    unproven = (41, "consistency-absent") if fillers else (42, "rolled-back")
    assert case.verdict(bundle, checkpoint=case.kept) == unproven
    contradicted = (42, "rolled-back") if fillers else (42, "forked")
    assert case.verdict(bundle, logs=(MemoryReader(case.store),)) == contradicted
    assert case.verdict(bundle, **case.witness) == (
        40,
        "handover-broken",
    )  # no witness cosigns a second history
    assert case.passes(bundle)


class Forgetful(Story):
    """An executor who acts as though the first policy were still in force."""

    @property
    def history(self) -> PolicyHistory:
        """The first version alone."""
        return policy_history(Hiding(self.log).policy_leaves())


def shell(bundle: bytes, trust: dict[str, bytes], folder: Path) -> int:
    """What the shell alone says."""
    (folder / "trust").mkdir(exist_ok=True)
    for name, data in {"e.tar": bundle, **{f"trust/{name}": data for name, data in trust.items()}}.items():
        (folder / name).write_bytes(data)
    call = ["bash", str(SCRIPT), str(folder / "e.tar"), str(folder / "trust")]
    return subprocess.run(call, capture_output=True, timeout=120, check=False).returncode


def test_removed_approver_hides_the_removal(tmp_path: Path) -> None:
    """Within one period: bob, who approves nothing any more, approves, and the file knows no other policy."""
    store = MemoryStore(ORIGIN)
    story = Forgetful(store=store)
    new = without_them(story.policy_bytes).replace(b"[approver ]", b"[sre ]")
    removal = story.log.leaf(story.amend(new).index)
    story.tell()
    story.log.checkpoint()
    bundle, files = build(Hiding(story.log), story.change), story.trust()
    assert naive.approved(bundle)
    known = {**files, "versions": f"# told\n{ORIGIN} {removal.index} {removal.hash}\n".encode()}
    assert judged(bundle, known) == (40, 5, "policy-left-out")
    assert judged(bundle, files, MemoryReader(store)) == (40, 19, "log-contradicts")
    assert judged(bundle, files)[0] == 0
    later = {**files, "versions": known["versions"] + f"{ORIGIN} 999 {removal.hash}\n".encode()}
    honest = {**files, "versions": f"{ORIGIN} 0 {story.log.leaf(0).hash}\n".encode()}
    assert [shell(bundle, trust, tmp_path) for trust in (known, later, honest)] == [40, 40, 0]
    late = {**files, "versions": f"{ORIGIN} 999 {removal.hash}".encode()}
    assert (shell(bundle, late, tmp_path), judged(bundle, late)[0]) == (41, 41)
    assert judged(story.evidence(), known)[::2] == (40, "statement-invalid")
