"""A log that cannot be opened, judged all the same: by what is published of it, and by why it cannot.

Rules kept here: opening refuses early and says one thing; the library's `verify` says everything that can be said of
the files, so both are told, each by name, rule and place; what a reader refuses is a fork or a rollback only where the
journal is not damaged: leaves that cannot be read prove no second history.
"""

from pathlib import Path
from typing import Final

from itmp.adapters import posix_log
from itmp.audit import Checkpoint, Finding, SignedCheckpoint, verify
from itmp.errors import Error, ForkError, LogUnavailableError, RolledBackError
from itmp.signing import NoteVerifier
from itmp.workspace.place import Workspace
from itmp.workspace.trusted import Known, gathered

RULE: Final = 17
"""Our own number for whether the log can be opened: its leaves continue every head that is known, and none is lost."""
UNAVAILABLE: Final = "log-unavailable"
DAMAGED: Final = "log-damaged"


def judged(
    place: Workspace, error: Error, trust: Path | None, kept: Path | None
) -> tuple[Known, Checkpoint | None, tuple[Finding, ...]]:
    """Judge the log of `place`, which `error` keeps from being opened.

    Return what was brought, the newest head that can be read, and what is wrong. Periods before it are not judged.
    """
    reader, keys = posix_log.open_reader(place.shard / posix_log.LOG), posix_log.verifiers_of(place.shard)
    known = gathered(place, trust, kept, keys={key.name: key for key in keys[:1]})
    if not keys and known.trust is not None:
        keys = (known.trust.policy.log,)  # the log does not even say which key it is of
    name = keys[0].name if keys else ""
    found = verify(reader, keys[:1], genesis=known.genesis.get(name), kept=known.kept.get(name, ()))
    return known, _newest(reader, keys), (*known.findings, *found, _finding(error, found))


def _finding(error: Error, found: tuple[Finding, ...]) -> Finding:
    torn = any(one.grave and one.name.startswith("journal-") for one in found)
    if isinstance(error, ForkError) and not torn:
        name = "rolled-back" if isinstance(error, RolledBackError) else "forked"
    else:
        name = UNAVAILABLE if isinstance(error, LogUnavailableError) else DAMAGED
    why = f"the log cannot be opened: {error.what}"
    return Finding(rule=RULE, name=name, place=error.where or "the log", message=why)


def _newest(reader: posix_log.PosixReader, keys: tuple[NoteVerifier, ...]) -> Checkpoint | None:
    try:
        note = reader.get("checkpoint", posix_log.MAX_NOTE) or b""
        return SignedCheckpoint.open(note, keys).checkpoint
    except Error:
        return None
