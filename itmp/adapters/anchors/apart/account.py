"""Writing heads as another account: as root by becoming it, else by the one sudo rule that root made.

Rules kept here: the way is looked up, never tried out; a store that is there and cannot be written is an error and not
replaced by a folder of this user; the child gets a bare environment, no open file and bounded time.
"""

import grp
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from itmp.adapters.anchors.folder import FolderAnchor, check_continues
from itmp.anchors import AnchorError, Prove, Request
from itmp.audit import SignedCheckpoint
from itmp.errors import ForkError
from itmp.signing import NoteVerifier

DEFAULT: Final = "itmp-anchor"
"""The account, and the group of those who may have it keep heads, where nothing else is said."""
VARIABLE: Final = "ITMP_ANCHOR_ACCOUNT"
KEEPER: Final = Path("/usr/local/lib/itmp/keep-anchor")
"""The program that the sudo rule names: root's file, so that nobody else decides what the account runs."""
SOURCE: Final = Path(__file__).with_name("keep.py")
PYTHON: Final = Path("/usr/bin/python3")
_SECONDS: Final = 10
_FORK: Final = 42
_NEWER: Final = 3
_ROOT_TOO: Final = "kept by account {}; root could change it still"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account that keeps heads; `way` is how this process may act as it."""

    name: str
    uid: int
    gid: int
    home: Path
    way: Literal["root", "sudo"]

    @property
    def store(self) -> Path:
        """Where it keeps them."""
        return self.home / "anchors"


def named_account(environ: Mapping[str, str], setting: str = "") -> str:
    """Return the account's name: the anchor's own setting, else the environment's, else `DEFAULT`; "" for none."""
    name = setting or environ.get(VARIABLE, DEFAULT)
    return "" if name == "none" else name


def find_account(name: str) -> Account | None:
    """Return the account if it is there and this process may have it keep heads, else None."""
    try:
        entry = pwd.getpwnam(name) if name else None
    except KeyError:
        entry = None
    if entry is None or entry.pw_uid in {0, os.geteuid()}:
        return None
    way: Literal["root", "sudo", ""] = "root" if os.geteuid() == 0 else "sudo" if _allowed(name) else ""
    if not way:
        return None
    return Account(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid, home=Path(entry.pw_dir), way=way)


def python() -> str:
    """Return an interpreter that another account may execute."""
    return str(PYTHON) if PYTHON.exists() else str(Path(sys.executable).resolve())


class AccountAnchor(FolderAnchor):
    """Heads in the store of `account`. Keeps the contract of `Anchor`."""

    def __init__(self, name: str, *, log: NoteVerifier, account: Account) -> None:
        super().__init__(name, log=log, folder=account.store)
        self._account = account

    def put(self, head: SignedCheckpoint, prove: Prove) -> Mapping[str, bytes]:
        """Have the account's keeper remember the head; it judges for itself whether the log continues."""
        held = self.held({})
        check_continues(held, self._log, head, prove, str(self._folder))
        sizes = self._sizes()
        old, new = sizes[-1] if sizes else 0, head.checkpoint.size
        if old == new:
            return {}
        proof = tuple(prove(old, new)) if old else ()
        body = Request(old=old, proof=proof, note=head.note).to_bytes()
        self._keep(b"log %s\n%s" % (self._log.vkey.encode(), body))
        return {}

    @property
    def remark(self) -> str:
        """Whose it is; root is told apart, because it could change anything."""
        if self._account.way == "root":
            return _ROOT_TOO.format(self._account.name)
        return f"kept by account {self._account.name}, which this account cannot act as"

    def _keep(self, request: bytes) -> None:
        done = self._run(request)
        said = (done.stdout + done.stderr).decode(errors="replace").strip().splitlines()
        answer = "".join(c if c.isprintable() else "?" for c in said[0])[:200] if said else "no answer"
        where = str(self._folder)
        if done.returncode == _FORK:
            raise ForkError(f"it holds another history: {answer}", where=where)
        if done.returncode == _NEWER:
            raise AnchorError(
                f"another head came first: {answer}", where=where, do="It is asked again next time."
            )
        if done.returncode:
            raise AnchorError(f"account {self._account.name} kept nothing: {answer}", where=where, do=_DO)

    def _run(self, request: bytes) -> "subprocess.CompletedProcess[bytes]":
        env = {"PATH": os.defpath, "LC_ALL": "C"}
        as_root = self._account.way == "root"
        call = [python(), "-I", "-S", "-c", SOURCE.read_text()] if as_root else _sudo(self._account.name)
        who: dict[str, int | Sequence[int]] = {}
        if as_root:
            who = {"user": self._account.uid, "group": self._account.gid, "extra_groups": []}
        try:
            return subprocess.run(  # type: ignore[call-overload,no-any-return]  # `who` is given as a whole
                call, input=request, env=env, cwd="/", capture_output=True,
                timeout=_SECONDS, check=False, start_new_session=True, **who,
            )  # fmt: skip
        except OSError as error:
            raise AnchorError(f"cannot act as {self._account.name}: {error.strerror}", do=_DO) from error
        except subprocess.TimeoutExpired as error:
            raise AnchorError(f"account {self._account.name} gave no answer within {_SECONDS} s") from error


_DO: Final = "As root, once: itmp audit separate"


def _sudo(name: str) -> list[str]:
    found = shutil.which("sudo")
    if found is None:
        raise AnchorError(
            f"there is no sudo to act as {name}", do="Install sudo; then as root: itmp audit separate"
        )
    return [found, "-n", "-u", name, "--", str(KEEPER)]


def _allowed(name: str) -> bool:
    """Whether root made this account a member of the group that the sudo rule names; asks sudo nothing."""
    try:
        return KEEPER.is_file() and pwd.getpwuid(os.geteuid()).pw_name in grp.getgrnam(name).gr_mem
    except KeyError:
        return False
