"""An anchor in a git repository of the user's: one commit for each head, signed with an SSH key.

Rules kept here: only a branch of its own is written, by plumbing and compare-and-swap; no working tree, index, hook or
other branch is touched; a head covers the log only by a commit with a valid signature of the configured key, and counts
only with the log's. Every commit that the branch leads to is read, by whatever parent, so that commits which are put on
top hide no head below them: `QUICK` of them before anything is begun or put, `LOOKED` at most when the log is verified,
and a branch of more is flooded. Who is trusted: whoever can rewrite the repository; its other clones find that out, so
fetch it from elsewhere.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from itmp.adapters.anchors.folder import check_continues, slug
from itmp.anchors import AnchorError, AnchorFloodedError, Prove
from itmp.audit import SignedCheckpoint
from itmp.audit.checkpoint import MAX_NOTE
from itmp.errors import NotFoundError, ToolMissingError
from itmp.signing import NoteVerifier, PublicKey

SIGNED: Final = 64
"""Newest commits whose signature is looked at."""
QUICK: Final = 256
"""Commits that are read before anything is begun, and before a head is put: tens of milliseconds."""
LOOKED: Final = 250_000
"""685 heads a day for a year."""
_PORTION: Final = 256
_PASSED: Final = ("PATH", "HOME", "USER", "LOGNAME", "SSH_AUTH_SOCK", "TMPDIR")
"""What git gets of the executor's environment: no secret that happens to stand there."""
_SECONDS: Final = 10
_LONG: Final = 60
_FILE: Final = "checkpoint"
_WHO: Final = "itmp"


class GitAnchor:
    """Branch `itmp-anchors/<log>` of the repository at `path`, signed by `key`. Keeps the contract of `Anchor`."""

    kind = "git"
    remark = "as good as the clones that others fetch"

    def __init__(self, name: str, *, log: NoteVerifier, path: Path, key: Path) -> None:
        self.name, self._log, self._path, self._key = name, log, path, key
        self._ref = f"refs/heads/itmp-anchors/{slug(log)}"
        public = key if key.suffix == ".pub" else Path(f"{key}.pub")
        if not public.is_file():
            raise NotFoundError("no public key beside the signing key", where=str(public))
        self._public = PublicKey.parse(public.read_text())

    def put(self, head: SignedCheckpoint, prove: Prove) -> Mapping[str, bytes]:
        """Commit the head, unless the newest commit holds it; return `NAME.commit`, the commit's id."""
        tip = self._tip()  # first: a commit that comes meanwhile makes the swap fail
        held = list(self._notes(self._commits(tip, QUICK), signed=1))
        check_continues(held, self._log, head, prove, str(self._path))
        if held and held[0] == head.note:
            return {f"{self.name}.commit": tip.encode() + b"\n"}
        blob = self._git("hash-object", "-w", "--stdin", given=head.note)
        tree = self._git("mktree", given=f"100644 blob {blob}\t{_FILE}\n".encode())
        parents = ["-p", tip] if tip else []
        said = f"{head.checkpoint.origin}: {head.checkpoint.size} leaves"
        commit = self._git("commit-tree", "-S", tree, *parents, "-m", said)
        try:
            self._git("update-ref", self._ref, commit, tip or "0" * len(commit))
        except AnchorError:
            if self._tip() == tip:
                raise
            return self.put(head, prove)  # another process was faster: what it put is compared too
        return {f"{self.name}.commit": commit.encode() + b"\n"}

    def held(self, kept: Mapping[str, bytes]) -> Iterator[bytes]:  # noqa: ARG002 - all that it knows lies there
        """Yield the notes of all commits, newest first; of the newest no bytes for one that is not validly signed."""
        commits = self._commits(self._tip(), LOOKED + 1)
        yield from self._notes(commits[:LOOKED], signed=SIGNED)
        if len(commits) > LOOKED:
            raise AnchorFloodedError(
                f"more than {LOOKED} commits: its oldest heads were not reached", where=str(self._path)
            )

    def newest(self) -> Iterator[bytes]:
        """Yield the notes of the newest commits, to compare quickly; no bytes for a tip without a valid signature."""
        return self._notes(self._commits(self._tip(), QUICK), signed=1)

    def _notes(self, commits: Sequence[str], *, signed: int) -> Iterator[bytes]:
        if not commits:
            return
        listed = self._git("log", "--no-walk", "--no-show-signature", "--format=%H %G?", *commits[:signed])
        good = {line.removesuffix(" G") for line in listed.splitlines() if line.endswith(" G")}
        for at in range(0, len(commits), _PORTION):
            portion = commits[at : at + _PORTION]
            for nth, (commit, note) in enumerate(zip(portion, self._read(portion), strict=True), at):
                yield note if nth >= signed or commit in good else b""

    def _commits(self, tip: str, count: int) -> list[str]:
        return self._git("rev-list", f"--max-count={count}", tip, seconds=_LONG).split() if tip else []

    def _read(self, commits: Sequence[str]) -> Iterator[bytes]:
        """Yield what each commit holds; no bytes for none, or for too much to be a head."""
        asked = "".join(f"{commit}:{_FILE}\n" for commit in commits).encode()
        sized = self._git("cat-file", "--batch-check=%(objectname) %(objecttype) %(objectsize)", given=asked)
        told = [line.split(" ") for line in sized.splitlines()]
        blobs = [line[0] if line[1] == "blob" and int(line[2]) <= MAX_NOTE else "" for line in told]
        wanted = list(dict.fromkeys(filter(None, blobs)))
        data = self._git_bytes("cat-file", "--batch", given="".join(f"{one}\n" for one in wanted).encode())
        notes = {"": b""}
        for one in wanted:
            head, _, data = data.partition(b"\n")
            size = int(head.rpartition(b" ")[2])
            notes[one], data = data[:size], data[size + 1 :]
        return (notes[one] for one in blobs)

    def _tip(self) -> str:
        return self._git("for-each-ref", "--format=%(objectname)", self._ref)

    def _git(self, *arguments: str, given: bytes = b"", seconds: int = _SECONDS) -> str:
        return self._git_bytes(*arguments, given=given, seconds=seconds).decode(errors="replace").strip()

    def _git_bytes(self, *arguments: str, given: bytes = b"", seconds: int = _SECONDS) -> bytes:
        with tempfile.TemporaryDirectory(prefix="itmp-git-") as folder:
            allowed = Path(folder, "allowed")
            allowed.write_text(f'{_WHO} namespaces="git" {self._public.line}\n')
            options = {
                "gpg.format": "ssh",
                "user.signingkey": str(self._key.absolute()),
                "gpg.ssh.allowedSignersFile": str(allowed),
                "core.hooksPath": os.devnull,
            }
            call = ["git", "-C", str(self._path)]
            for name, value in options.items():
                call += ["-c", f"{name}={value}"]
            return self._run([*call, *arguments], given, seconds)

    def _run(self, call: list[str], given: bytes, seconds: int) -> bytes:
        who = {f"GIT_{role}_{part}": value for role in ("AUTHOR", "COMMITTER") for part, value in _IDENTITY}
        env = {name: os.environ[name] for name in _PASSED if name in os.environ} | who
        env |= {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "SSH_ASKPASS_REQUIRE": "never"}
        env |= {
            "GIT_NO_REPLACE_OBJECTS": "1"
        }  # what the commits say, not what the repository has in their place
        try:
            done = subprocess.run(
                call,
                input=given,
                env=env,
                capture_output=True,
                timeout=seconds,
                check=False,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise ToolMissingError("git is not installed", do="Install git 2.34 or newer.") from error
        except subprocess.TimeoutExpired as error:
            raise AnchorError(f"git gave no answer within {seconds} s", where=str(self._path)) from error
        if done.returncode:
            said = (done.stderr.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
            raise AnchorError(f"git refuses: {said[:200]!r}", where=str(self._path))
        return done.stdout


_IDENTITY: Final = (("NAME", _WHO), ("EMAIL", "itmp@localhost"))
