"""An anchor in a second local folder: one file for each head.

Rules kept here: one folder for each log key, so that a new log of the same name never meets an old one's heads, and
whoever verifies is told that those are here (`others`); a head is written only when it continues the newest one here,
by proof; the newest `KEPT` are kept. Who is trusted: the account that owns the folder. Where that is the log's own
account, the folder finds accidents and restored backups, not an attacker who is that account; `remark` says so.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from itmp.adapters.posix_log import durable
from itmp.anchors import AnchorError, Prove
from itmp.audit import ProofError, SignedCheckpoint, verify_consistency
from itmp.audit.checkpoint import MAX_NOTE
from itmp.errors import Error, ForkError
from itmp.signing import NoteVerifier

KEPT: Final = 64
_END: Final = ".note"
_SAME_USER: Final = (
    "same user: shows accidents and restored backups, not an attacker who is this user; "
    "as root, once, to have another account keep it: itmp audit separate"
)
_RECENT: Final = 3


def slug(log: NoteVerifier) -> str:
    """Return a name for one log and key that is safe as a file name, a branch and an object key."""
    return f"{_plain(log)}-{log.key_id.hex()}"


def _plain(log: NoteVerifier) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c == "-") else "_" for c in log.name)


def default_folder(environ: Mapping[str, str]) -> Path:
    """Return where anchors of this user lie when no path is named."""
    state = environ.get("XDG_STATE_HOME") or str(
        Path(environ.get("HOME", "~")).expanduser() / ".local" / "state"
    )
    return Path(state) / "itmp" / "anchors"


def check_continues(
    notes: Iterable[bytes], log: NoteVerifier, head: SignedCheckpoint, prove: Prove, where: str
) -> None:
    """Raise `ForkError` unless `head` continues every one of `notes` that the log's key signed."""
    new = head.checkpoint
    for note in notes:
        try:
            old = SignedCheckpoint.open(note, [log]).checkpoint
        except Error:
            continue  # told by the judgement of what is held
        if old.size > new.size:
            raise ForkError(
                f"it holds {old.size} leaves, the log has {new.size}: an older log was put back", where=where
            )
        try:
            proof = prove(old.size, new.size)
            verify_consistency(old=old.size, new=new.size, old_root=old.root, new_root=new.root, proof=proof)
        except ProofError as error:
            raise ForkError(f"it holds another history: {error.what}", where=where) from error


class FolderAnchor:
    """Heads as `<folder>/<log>/<size>.note`. Keeps the contract of `Anchor`.

    `owned` folders belong to one workspace: heads of its log's name under another key are a second log in its place.
    Any other folder is for every log of an account, of which two may well have one name.
    """

    kind = "directory"

    def __init__(self, name: str, *, log: NoteVerifier, folder: Path, owned: bool = False) -> None:
        self.name, self._log, self._folder, self.owned = name, log, folder / slug(log), owned

    def others(self) -> Mapping[str, bytes]:
        """Return the newest note under each other key whose log may have this one's name, by its folder."""
        beside = sorted(self._folder.parent.glob(f"{_plain(self._log)}-????????"))
        return {
            str(folder): _newest(folder) for folder in beside if folder != self._folder and folder.is_dir()
        }

    def put(self, head: SignedCheckpoint, prove: Prove) -> Mapping[str, bytes]:
        """Write the head durably, unless it is here."""
        check_continues(self.held({}), self._log, head, prove, str(self._folder))
        size = head.checkpoint.size
        if not (self._folder / f"{size}{_END}").exists():
            self.attach(size, _END, head.note)
        return {}

    def attach(self, size: int, end: str, data: bytes) -> None:
        """Durably write `<size><end>`, which goes when that size is no longer among the newest."""
        try:
            durable.make_folder(self._folder, mode=0o700)
            path, temporary = self._folder / f"{size}{end}", self._folder / f".{os.urandom(8).hex()}"
            durable.place(path, data, temporary=temporary)
            for old in self._sizes()[:-KEPT]:
                for path in self._folder.glob(f"{old}.*"):
                    path.unlink(missing_ok=True)
        except OSError as error:
            raise AnchorError(f"cannot be written: {error.strerror}", where=str(self._folder)) from error

    def held(self, kept: Mapping[str, bytes]) -> Iterator[bytes]:  # noqa: ARG002 - all that it knows lies here
        """Yield the notes that lie here, newest first; an unreadable one as no bytes."""
        return (self._read(size) for size in reversed(self._sizes()))

    def newest(self) -> Sequence[bytes]:
        """Return the newest few notes that lie here, for a quick comparison; an unreadable one as no bytes."""
        return [self._read(size) for size in self._sizes()[-_RECENT:]]

    @property
    def remark(self) -> str:
        """Whether this process could change what lies here: it is no outside knowledge then."""
        ours = not self._folder.exists() or os.geteuid() in {0, self._folder.stat().st_uid}
        return _SAME_USER if ours else "another user's"

    def _read(self, size: int) -> bytes:
        return _note(self._folder, size)

    def _sizes(self) -> list[int]:
        return _sizes_in(self._folder)


def _newest(folder: Path) -> bytes:
    return next((_note(folder, size) for size in reversed(_sizes_in(folder))), b"")


def _note(folder: Path, size: int) -> bytes:
    try:
        return durable.read_file(folder / f"{size}{_END}", MAX_NOTE) or b""
    except Error:
        return b""


def _sizes_in(folder: Path) -> list[int]:
    try:
        names = [entry.name for entry in os.scandir(folder)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise AnchorError(f"cannot be read: {error.strerror}", where=str(folder)) from error
    stems = [name.removesuffix(_END) for name in names if name.endswith(_END)]
    return sorted(int(stem) for stem in stems if stem.isdecimal() and str(int(stem)) == stem)
