"""An anchor in a git repository of the user's: one commit for each head, signed with an SSH key.

Rules kept here: only a branch of its own is written, by plumbing and compare-and-swap; no working tree, index, hook or
other branch is touched; a commit counts only with a valid signature of the configured key, and its note only with the
log's. Who is trusted: whoever can rewrite the repository; its other clones find that out, so fetch it from elsewhere.
"""

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from itmp.adapters.anchors.folder import check_continues, slug
from itmp.anchors import AnchorError, Prove
from itmp.audit import SignedCheckpoint
from itmp.errors import NotFoundError, ToolMissingError
from itmp.signing import NoteVerifier, PublicKey

KEPT: Final = 64
_PASSED: Final = ("PATH", "HOME", "USER", "LOGNAME", "SSH_AUTH_SOCK", "TMPDIR")
"""What git gets of the executor's environment: no secret that happens to stand there."""
_SECONDS: Final = 10
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
        held, tip = self.held({}), self._tip()
        check_continues(held, self._log, head, prove, str(self._path))
        if held and held[0] == head.note:
            return {f"{self.name}.commit": tip.encode() + b"\n"}
        blob = self._git("hash-object", "-w", "--stdin", given=head.note)
        tree = self._git("mktree", given=f"100644 blob {blob}\t{_FILE}\n".encode())
        parents = ["-p", tip] if tip else []
        said = f"{head.checkpoint.origin}: {head.checkpoint.size} leaves"
        commit = self._git("commit-tree", "-S", tree, *parents, "-m", said)
        self._git("update-ref", self._ref, commit, tip or "0" * len(commit))
        return {f"{self.name}.commit": commit.encode() + b"\n"}

    def held(self, kept: Mapping[str, bytes]) -> Sequence[bytes]:  # noqa: ARG002 - all that it knows lies there
        """Return the newest notes, newest first; one whose commit is not validly signed as no bytes."""
        return self._notes(KEPT)

    def newest(self) -> Sequence[bytes]:
        """Return the newest note, for a quick comparison; no bytes where its commit is not validly signed."""
        return self._notes(1)

    def _notes(self, count: int) -> Sequence[bytes]:
        tip = self._tip()
        if not tip:
            return []
        listed = self._git(
            "log", "--first-parent", f"--max-count={count}", "--no-show-signature", "--format=%H %G?", tip
        )
        return [
            self._git_bytes("cat-file", "blob", f"{commit}:{_FILE}") if verdict == "G" else b""
            for commit, _, verdict in (line.partition(" ") for line in listed.splitlines())
        ]

    def _tip(self) -> str:
        return self._git("for-each-ref", "--format=%(objectname)", self._ref)

    def _git(self, *arguments: str, given: bytes = b"") -> str:
        return self._git_bytes(*arguments, given=given).decode(errors="replace").strip()

    def _git_bytes(self, *arguments: str, given: bytes = b"") -> bytes:
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
            return self._run([*call, *arguments], given)

    def _run(self, call: list[str], given: bytes) -> bytes:
        who = {f"GIT_{role}_{part}": value for role in ("AUTHOR", "COMMITTER") for part, value in _IDENTITY}
        env = {name: os.environ[name] for name in _PASSED if name in os.environ} | who
        env |= {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "SSH_ASKPASS_REQUIRE": "never"}
        try:
            done = subprocess.run(
                call,
                input=given,
                env=env,
                capture_output=True,
                timeout=_SECONDS,
                check=False,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise ToolMissingError("git is not installed", do="Install git 2.34 or newer.") from error
        except subprocess.TimeoutExpired as error:
            raise AnchorError(f"git gave no answer within {_SECONDS} s", where=str(self._path)) from error
        if done.returncode:
            said = (done.stderr.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
            raise AnchorError(f"git refuses: {said[:200]!r}", where=str(self._path))
        return done.stdout


_IDENTITY: Final = (("NAME", _WHO), ("EMAIL", "itmp@localhost"))
