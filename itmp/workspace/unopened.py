"""A log that cannot be opened, judged all the same: by what is published of it, and by why it cannot.

Rules kept here: opening refuses early and says one thing; the library's `verify` says everything that can be said of
the files, so both are told, each by name, rule and place; what a reader refuses is a fork or a rollback only where the
journal is not damaged: leaves that cannot be read prove no second history.
"""

from collections.abc import Iterable, Iterator
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
_KEY: Final = 7
_OPENED: Final = "the log cannot be opened"


def judged(
    place: Workspace, error: Error, trust: Path | None, kept: Path | None, *, what: str = _OPENED
) -> tuple[Known, Checkpoint | None, tuple[Finding, ...]]:
    """Judge the log of `place`, which `error` keeps from being opened, or read (`what`).

    Return what was brought, the newest head that can be read, and what is wrong. Periods before it are not judged.
    """
    reader, keys = posix_log.open_reader(place.shard / posix_log.LOG), posix_log.verifiers_of(place.shard)
    own = posix_log.own_verifier(place.shard) if place.keyed else None
    if not keys and own is not None:
        keys = (own,)  # the log does not say which key it is of, the key beside it does
    known = gathered(place, trust, kept, keys={key.name: key for key in keys[:1]})
    if not keys and known.trust is not None:
        keys = (known.trust.policy.log,)
    name = keys[0].name if keys else ""
    found = verify(reader, keys[:1], genesis=known.genesis.get(name), kept=known.kept.get(name, ()))
    findings = (*known.findings, *_exchanged(own, keys[:1]), *found, finding(error, found, what=what))
    return known, _newest(reader, keys), findings


def _exchanged(own: NoteVerifier | None, keys: tuple[NoteVerifier, ...]) -> Iterator[Finding]:
    """Hold the key that the log names against the one beside it: a log that was exchanged whole is sound in itself."""
    for key in keys:
        if own is not None and own.vkey != key.vkey:
            why = f"it is the key of {own.vkey}, the log here names {key.vkey}"
            yield Finding(rule=_KEY, name="key-untrusted", place="keys/log.key", message=why)


def finding(error: Error, found: Iterable[Finding], *, what: str) -> Finding:
    """Return what `error` says of the log, of which `found` is wrong besides."""
    torn = any(one.grave and one.name.startswith("journal-") for one in found)
    if isinstance(error, ForkError) and not torn:
        name = "rolled-back" if isinstance(error, RolledBackError) else "forked"
    else:
        name = UNAVAILABLE if isinstance(error, LogUnavailableError) else DAMAGED
    why = f"{what}: {error.what}"
    return Finding(rule=RULE, name=name, place=error.where or "the log", message=why)


def _newest(reader: posix_log.PosixReader, keys: tuple[NoteVerifier, ...]) -> Checkpoint | None:
    try:
        note = reader.get("checkpoint", posix_log.MAX_NOTE) or b""
        return SignedCheckpoint.open(note, keys).checkpoint
    except Error:
        return None
