"""What whoever verifies a workspace's log brings along, and which of its periods each part of it is about.

Rules kept here: TRUST and kept checkpoints are never taken from the log; TRUST of an earlier period leads to this one
by the handovers that are here, which `chain` judges; where no period here begins with the genesis that TRUST names, the
log is another one than was trusted; a kept checkpoint of this log's name that another key signed is of a second log of
that name, and a fork; one that no key here has signed is an error.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from itmp.audit import Checkpoint, Finding, SignedCheckpoint
from itmp.canonical import Digest
from itmp.change import policy_history
from itmp.change.handover import series
from itmp.errors import Error, EvidenceInvalidError, InvalidInputError, NotFoundError
from itmp.signing import NoteVerifier
from itmp.signing.notes import key_ids
from itmp.workspace import inquiries, periods
from itmp.workspace.place import Workspace

if TYPE_CHECKING:
    from itmp.evidence import Trust

FOLDER: Final = "trust"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What was brought: `said` tells it to people; `genesis` and `kept` are by origin; `findings` are wrong already."""

    said: tuple[str, ...] = ()
    genesis: Mapping[str, Digest] = field(default_factory=dict)
    kept: Mapping[str, Sequence[Checkpoint]] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


NOTHING: Final = Known()


def gathered(place: Workspace, folder: Path | None, kept: Path | None) -> Known:
    """Read TRUST (the workspace's own `trust` where none is named and it is there) and a kept checkpoint's file."""
    chosen = folder or (place.root / FOLDER if (place.root / FOLDER).is_dir() else None)
    trust = inquiries.read_trust(chosen) if chosen else None
    (logs, whole), said, findings = _logs(place), list[str](), list[Finding]()
    genesis: Mapping[str, Digest] = {}
    if trust is not None:
        checkpoint = ", checkpoint" if trust.kept_note or trust.later else ""
        said.append(f"{folder or FOLDER}: key and genesis of {trust.policy.log.name}{checkpoint}")
        findings += _untrusted(trust, logs, whole=whole)
        genesis = {trust.policy.log.name: trust.genesis}
    said += [f"{kept}: kept checkpoint"] if kept else []
    found: dict[str, list[Checkpoint]] = {}
    for where, note in _notes(trust, kept):
        head = _opened(note, logs, trust, where)
        if isinstance(head, Finding):
            findings.append(head)
        else:
            found.setdefault(head.origin, []).append(head)
    return Known(said=tuple(said), genesis=genesis, kept=found, findings=tuple(findings))


def _logs(place: Workspace) -> tuple[dict[str, NoteVerifier], bool]:
    """Return the key of each period that is here, by its origin, and whether the handovers lead to the first of all."""
    found, earliest = {place.log.origin: NoteVerifier.parse(place.log.vkey)}, None
    try:
        earliest = policy_history([place.log.leaf(0)])
        for history, _ in periods.chain_of(place):
            found[history.origin] = NoteVerifier.parse(history.log_key)
            earliest = history
    except Error:  # told by what judges the handovers and the policy's history
        return found, False
    return found, earliest.previous is None


def _untrusted(trust: "Trust", logs: Mapping[str, NoteVerifier], *, whole: bool) -> Iterator[Finding]:
    """Yield what speaks against these being the logs that TRUST is about; each genesis is compared by rule 7.

    An earlier period to which no handover leads any more is `period-missing`, and grave, by what joins periods.
    """
    name = trust.policy.log.name
    if name not in logs:
        if not whole and series(name) in {series(origin) for origin in logs}:
            return
        yield _finding("genesis-untrusted", "TRUST", f"it is about {name}, and no period here is that log")
    elif logs[name].vkey != trust.policy.log.vkey:
        why = f"it names the key {trust.policy.log.vkey}, {name} is here with {logs[name].vkey}"
        yield _finding("key-untrusted", "TRUST", why)


def _notes(trust: "Trust | None", kept: Path | None) -> Iterator[tuple[str, bytes]]:
    if trust is not None and trust.kept_note is not None:
        yield "TRUST/checkpoint", trust.kept_note.note
    if trust is not None and trust.later is not None:
        yield "TRUST/checkpoint", trust.later
    if kept is not None:
        try:
            yield str(kept), kept.read_bytes()
        except OSError as error:
            raise NotFoundError(f"cannot be read: {error.strerror}", where=str(kept)) from error


def _opened(
    note: bytes, logs: Mapping[str, NoteVerifier], trust: "Trust | None", where: str
) -> Checkpoint | Finding:
    origin = note.partition(b"\n")[0].decode("utf-8", "replace")
    if origin not in logs:
        return _finding(
            "kept-foreign", where, f"it is of {origin:.80}, and no period here is that log", rule=6
        )
    keys = {
        key.vkey: key for key in (logs[origin], *([trust.policy.log] if trust else ())) if key.name == origin
    }
    try:
        return SignedCheckpoint.open(note, tuple(keys.values()), where=where).checkpoint
    except EvidenceInvalidError as error:
        others = key_ids(note, origin) - {key.key_id for key in keys.values()}
        if not others:
            raise InvalidInputError(error.what, where=where, do="Name the note as it was kept.") from error
        why = f"another key signed it as {origin}: a second log of that name"
        return _finding("forked", where, why, rule=6)


def _finding(name: str, place: str, message: str, *, rule: int = 7) -> Finding:
    return Finding(rule=rule, name=name, place=place, message=message)
