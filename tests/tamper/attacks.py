"""What the attack tests share: a told log in memory that can be altered, signers that cheat, and our two verdicts.

Every attack keeps the same order: the altered thing, a naive verifier that is content with it, then ours, which
names it. `FOUND` are findings of the log's verifier, evidence has a finding and an exit code.
"""

import hashlib
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA512

import itmp.evidence
from itmp.audit import Checkpoint, Event, verify
from itmp.audit.merkle import Tree, leaf_hashes
from itmp.audit.tiles import ENTRIES, encode_bundle, tiles_of
from itmp.evidence import Report, Trust
from itmp.evidence import verify as verify_evidence
from itmp.signing import NoteKey, PublicKey, Signed
from itmp.signing.sshsig import armor_of
from itmp.signing.wire import mpint, string
from itmp.testing.memory_log import MemoryReader, MemoryStore
from itmp.testing.story import EXECUTOR, ORIGIN, Story, small_plan

FILLERS = 300
SCRIPT = Path(itmp.evidence.__file__).with_name("verify.sh")
NAMED: list[str] = []
"""What our verifiers found wrong during the test that runs: for the summary at the end (conftest.py)."""


@dataclass(kw_only=True)
class Case:
    """A log that an attacker may alter, the evidence of its one change, and what an auditor brings."""

    store: MemoryStore
    key: NoteKey
    bundle: bytes
    trust: dict[str, bytes]
    leaves: list[bytes] = field(default_factory=list)

    @property
    def reader(self) -> MemoryReader:
        """The log as an auditor reads it."""
        return MemoryReader(self.store)

    @property
    def files(self) -> dict[str, bytes]:
        """The log's files, to be altered in place."""
        return self.store.files.content

    def found(self, kept: Checkpoint | None = None, *, events: bool = True) -> set[str]:
        """The grave findings of the log's verifier."""
        return graves(self.store, self.trust, kept, events=events)

    def verdict(self, bundle: bytes | None = None, *, whole: bool = False) -> tuple[int, int, str]:
        """Exit code, rule and finding of the evidence's verifier; `whole` brings the log along."""
        log = self.reader if whole else None
        return judged(bundle or self.bundle, self.trust, log)

    def rewrite(self, leaves: Sequence[bytes], *, journal: bool = True) -> None:
        """Write entries, every tile and the journal anew for other leaves; the signed head stays."""
        tree, size = Tree(), len(self.leaves)
        tree.extend(leaf_hashes(leaves))
        for tile in tiles_of(size):
            low, high = tile.start, tile.start + tile.width
            whole = tile.level == ENTRIES
            self.files[tile.path] = encode_bundle(leaves[low:high]) if whole else tile.content(tree)
        if journal:
            self.store.journal.leaves[:] = leaves

    def sign(self, leaves: Sequence[bytes]) -> Checkpoint:
        """Do the same with the log's own key: a new head over other leaves, and no older ones."""
        tree = Tree()
        tree.extend(leaf_hashes(leaves))
        for path in list(self.files):
            if path.startswith(("history/", "tile/")):
                del self.files[path]
        self.leaves = list(leaves)
        self.rewrite(leaves)
        head = Checkpoint(origin=ORIGIN, size=len(leaves), root=tree.root())
        note = self.key.sign(head.to_text())
        self.files.update({"checkpoint": note, f"history/{head.size}.note": note})
        return head


def judged(bundle: bytes, trust: dict[str, bytes], log: MemoryReader | None = None) -> tuple[int, int, str]:
    """Exit code, rule and finding of our verdict on evidence."""
    report = verify_evidence(bundle, Trust.from_files(trust), logs=(log,) if log else ())
    broken = recorded(report).broken or next(rule for rule in report.rules if rule.finding or rule.n == 19)
    assert not broken.finding or broken.place not in {"", "the file"}, (broken, "a finding has a place")
    return report.exit_code, broken.n, broken.finding


def graves(
    store: MemoryStore, trust: dict[str, bytes], kept: Checkpoint | None = None, *, events: bool = True
) -> set[str]:
    """The grave findings of the log's verifier."""
    trusted = Trust.from_files(trust)
    found = verify(
        MemoryReader(store), [trusted.policy.log], genesis=trusted.genesis, kept=kept, events=events
    )
    grave = {one.name for one in found if one.grave}
    NAMED.extend(sorted(grave))
    return grave


def shelled(bundle: bytes, trust: dict[str, bytes], folder: Path) -> tuple[int, str]:
    """Exit code and output of the shell's verdict; `folder` is left with the file and TRUST."""
    (folder / "trust").mkdir()
    for name, data in trust.items():
        (folder / "trust" / name).write_bytes(data)
    (folder / "bundle.tar").write_bytes(bundle)
    call = ["bash", str(SCRIPT), str(folder / "bundle.tar"), str(folder / "trust")]
    done = subprocess.run(call, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout + done.stderr


def recorded(report: Report) -> Report:
    """Keep for the summary what a verdict finds wrong; return it."""
    wrong = report.broken or next((rule for rule in report.rules if rule.finding), None)
    if report.exit_code and wrong:
        NAMED.append(f"{wrong.finding or wrong.why:.60} (rule {wrong.n}, exit {report.exit_code})")
    return report


@cache
def _told() -> Case:
    store = MemoryStore(ORIGIN)
    story = Story(store=store, plan=small_plan(hosts=["web1"])).tell()
    bundle = story.evidence()
    story.log.extend([Event(id=story.id(), type="log.read", actor=EXECUTOR) for _ in range(FILLERS)])
    story.log.checkpoint()
    return Case(store=store, key=story.key, bundle=bundle, trust=story.trust())


def told() -> Case:
    """A fresh copy of a log of two bundles and a part of one, with a closed change in it."""
    origin, store = _told(), MemoryStore(ORIGIN)
    store.files.content |= origin.files
    store.journal.leaves += origin.store.journal.leaves
    leaves = list(store.journal.leaves)
    return Case(store=store, key=origin.key, bundle=origin.bundle, trust=dict(origin.trust), leaves=leaves)


def altered(leaf: bytes) -> bytes:
    """The same event by somebody else."""
    return replace(Event.from_bytes(leaf), actor={"kind": "executor", "id": "itmp@example.org"}).to_bytes()


# People


def cheating(
    secret: Ed25519PrivateKey | RSAPrivateKey,
    *,
    space: str = "itmp-approve@example.com",
    reserved: bytes = b"",
    hash_name: str = "sha512",
    flags: int | None = None,
) -> Callable[[str], str]:
    """A signer who follows the format and one wish of theirs; with `flags` the key is a FIDO one."""

    def sign(text: str) -> str:
        hashed = hashlib.new(hash_name, text.encode()).digest()
        parts = (space.encode(), reserved, hash_name.encode())
        data = b"SSHSIG" + b"".join(string(part) for part in (*parts, hashed))
        key, signature = _signed(secret, data, flags)
        whole = b"".join(string(part) for part in (key, *parts, signature))
        return armor_of(b"SSHSIG" + (1).to_bytes(4) + whole)

    return sign


def _signed(secret: Ed25519PrivateKey | RSAPrivateKey, data: bytes, flags: int | None) -> tuple[bytes, bytes]:
    if isinstance(secret, RSAPrivateKey):
        raw = secret.sign(data, PKCS1v15(), SHA512())
        return rsa_blob(secret), string(b"rsa-sha2-512") + string(raw)
    if flags is None:
        key = string(b"ssh-ed25519") + string(secret.public_key().public_bytes_raw())
        return key, string(b"ssh-ed25519") + string(secret.sign(data))
    rest = bytes([flags]) + (7).to_bytes(4)
    device = hashlib.sha256(b"ssh:").digest() + rest + hashlib.sha256(data).digest()
    return fido_blob(secret), string(b"sk-ssh-ed25519@openssh.com") + string(secret.sign(device)) + rest


def rsa_blob(secret: RSAPrivateKey) -> bytes:
    """An RSA key in OpenSSH's form."""
    numbers = secret.public_key().public_numbers()
    return string(b"ssh-rsa") + mpint(numbers.e) + mpint(numbers.n)


def fido_blob(secret: Ed25519PrivateKey) -> bytes:
    """A FIDO key in OpenSSH's form, made in software."""
    number = secret.public_key().public_bytes_raw()
    return string(b"sk-ssh-ed25519@openssh.com") + string(number) + string(b"ssh:")


def opened(*, risk: str = "low", policy: Callable[[bytes], bytes] = lambda data: data) -> Story:
    """A story with an open change, under the usual policy or what `policy` makes of it."""
    data = policy(Story().policy_bytes)
    story = Story(plan=small_plan(hosts=["web1"], risk=risk), policy=data, roots=["alice"])  # type: ignore[arg-type]
    story.open()
    return story


def voted(story: Story, sign: Callable[[str], str] | None = None, **lies: str) -> bytes:
    """Have "bob" approve, signed as `sign` does it, and run on that vote alone, as a lying executor would."""
    honest = story.sign("approve", "bob", **(story._lines("approve") | lies))
    signed = Signed(text=honest.text, signature=sign(honest.text) if sign else honest.signature)
    vote = story.record_signed("approve", "bob", signed)
    story.clock.time += story.clock.step
    return ran(story, [vote.hash])


def ran(story: Story, votes: Sequence[str]) -> bytes:
    """Write a permit that rests on `votes`, run, close, and return the evidence."""
    start = story.act("run", "alice")
    story.execute(story.force(statements=[story.request, *votes, start.hash]))
    story.close()
    return story.evidence()


def instead_of(story: Story, who: str, blob: bytes) -> Callable[[bytes], bytes]:
    """A policy in which `who` has another key."""
    old = story.people[who].public.line.encode()
    new = PublicKey.from_blob(blob).line.encode()
    return lambda data: data.replace(old, new)
