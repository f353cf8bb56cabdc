"""Where a log's parts stand, and what reading it takes: its folder and its key.

Rules kept here: nothing is written; a key that others can read, or that is not ours, is refused. What speaks with an
agent loads when a log's key is there. Reading needs no key but the public one, which the log's first leaf names: in
its own place it must be that of the key there, and whether it is the one that somebody trusts is for whoever brings it
to compare.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from itmp.adapters.posix_log import durable, frames
from itmp.adapters.posix_log.files import STATE, PosixReader, segments
from itmp.audit import Event, SignedCheckpoint
from itmp.audit.checkpoint import MAX_NOTE, Checkpoint
from itmp.audit.published import bundled
from itmp.errors import Error, EvidenceInvalidError, LogUnavailableError, NotFoundError
from itmp.signing import LogKey, NoteKey, NoteVerifier

LOG: Final = "log"
HEAD: Final = "head.sqlite"
SNAPSHOT: Final = "snapshot"
KEY: Final = Path("keys") / "log.key"
PUBLISHING: Final = Path(LOG) / STATE / "publish.lock"
RETIRED: Final = "log.vkey"
"""The public key of a log that has ended: its private key is destroyed then."""
_IN_AGENT: Final = "SSH-AGENT+"  # of `ssh_agent.AGENT`
_MAX_KEY: Final = 4096


def open_reader(log_dir: Path) -> PosixReader:
    """Open a log's folder (or a copy of it) read-only; no key, no head record."""
    if not log_dir.is_dir():
        raise NotFoundError("there is no log here", where=str(log_dir))
    return PosixReader(log_dir)


def is_own(root: Path) -> bool:
    """Whether the log below `root` is in its own place: with its keys' folder, or an ended log's public key, beside."""
    return any(os.path.lexists(path) for path in ((root / KEY).parent, root / RETIRED))


def key_of(root: Path) -> LogKey:
    """Return the key of the log below `root`; of one that has ended only the public half is there."""
    data = durable.read_file(root / RETIRED, _MAX_KEY)
    if data is None:
        return read_key(root / KEY)
    from itmp.adapters.ssh_agent import RetiredKey  # noqa: PLC0415 - as the docstring says

    return RetiredKey(verifier=NoteVerifier.parse(data.decode(errors="replace").removesuffix("\n")))


def read_key(path: Path) -> LogKey:
    """Read the log's key, or which key of the ssh-agent it is; refuse a file that others can read, or not ours."""
    with durable.unavailable("read", path):
        data = durable.read_private(path, _MAX_KEY)
    if data is None:
        raise LogUnavailableError(
            "the log's key is missing", where=str(path), do="Restore it, or start a new period."
        )
    text = data.decode(errors="replace").removesuffix("\n")
    if not text.startswith(_IN_AGENT):
        return NoteKey.from_text(text)
    from itmp.adapters.ssh_agent import AgentKey  # noqa: PLC0415 - as the docstring says

    return AgentKey.from_text(text)


def own_verifier(root: Path) -> NoteVerifier | None:
    """Return the public half of the key beside the log; None where none is there, it is no key, or not ours to read."""
    try:
        return key_of(root).verifier
    except Error:
        return None


def verifiers_of(root: Path) -> tuple[NoteVerifier, ...]:
    """Return the public keys that the log below `root` names as its own, the one that signed its head first.

    Honest logs name one, and of one that has ended it is written down. None where no first leaf can be read, which is
    damage.
    """
    reader = open_reader(root / LOG)
    found = dict.fromkeys(_named(root, reader))
    note = reader.get("checkpoint", MAX_NOTE) or b""
    return tuple(sorted(found, key=lambda key: not _signed(note, key)))


def verifier_of(root: Path) -> NoteVerifier:
    """Return the public key of the log below `root`.

    Raise `LogUnavailableError` where it names none, `EvidenceInvalidError` where the key beside it is another one's.
    """
    found = verifiers_of(root)
    if not found:
        raise LogUnavailableError(
            "the log's first leaf cannot be read, which names its key",
            where=str(root / LOG),
            do="itmp audit verify --trust DIR judges what is there by the key that you brought.",
        )
    own = own_verifier(root)
    if own is not None and own.vkey != found[0].vkey:
        raise EvidenceInvalidError(
            f"the log here names the key {found[0].vkey}: it is another one than that of the key beside it",
            where=KEY.as_posix(),
            do="Another log was put in this one's place, or another key. Restore both from one copy.",
        )
    return found[0]


def _named(root: Path, reader: PosixReader) -> Iterator[NoteVerifier]:
    with suppress(Error):
        data = durable.read_file(root / RETIRED, _MAX_KEY)
        if data is not None:
            yield NoteVerifier.parse(data.decode(errors="replace").removesuffix("\n"))
            return  # what lies there now may have been written by anybody
    for first in (_journaled, _published):
        with suppress(Error):
            data = first(reader, root)
            key = (Event.from_bytes(data).data or {}).get("log_key") if data else None
            if key is not None:
                yield NoteVerifier.parse(str(key))


def _journaled(_: PosixReader, root: Path) -> bytes | None:
    """Return the first leaf as the journal has it."""
    for start, path in segments(root / LOG / STATE)[:1]:
        with durable.opened(path) as descriptor:
            found = frames.scan(durable.read_at(descriptor, 0, frames.MAX_FRAME))
        return found.leaves[0] if start == 0 and found.leaves else None
    return None


def _published(reader: PosixReader, _: Path) -> bytes | None:
    """Return the first leaf as the bundles have it; how many there are says a note that nobody has judged yet."""
    note = reader.get("checkpoint", MAX_NOTE) or b""
    text = note.decode(errors="replace").partition("\n\n")[0] + "\n"
    return next(bundled(reader, Checkpoint.parse(text).size), None)


def _signed(note: bytes, key: NoteVerifier) -> bool:
    try:
        SignedCheckpoint.open(note, (key,))
    except Error:
        return False
    return True
