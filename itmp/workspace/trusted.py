"""What whoever verifies a workspace's log brings along, and which of its periods each part of it is about.

Rules kept here: TRUST and kept checkpoints are never taken from the log; TRUST of an earlier period leads to this one
by the handovers that are here, which `chain` judges; where no period here begins with the genesis that TRUST names, the
log is another one than was trusted; a kept checkpoint of this log's name that another key signed is of a second log of
that name, and a fork; one that no key here has signed is an error; what a revoked key counts for, and whether TRUST's
witnesses have cosigned a head, is `itmp.evidence.Trust`'s word, as it is for evidence.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import Final

from itmp.audit import Checkpoint, Finding, Log, SignedCheckpoint
from itmp.canonical import Digest
from itmp.change import policy_history
from itmp.change.handover import series
from itmp.errors import Error, EvidenceInvalidError, InvalidInputError, NotFoundError
from itmp.evidence.rules import RevokedKeyError
from itmp.evidence.trust import LogPolicy, Trust
from itmp.signing import NoteVerifier
from itmp.signing.notes import key_ids
from itmp.workspace import inquiries, periods
from itmp.workspace.place import Workspace

FOLDER: Final = "trust"
BEHIND: Final = "witnesses-behind"
UNSIGNED: Final = "checkpoint-unsigned"
_NOTHING_GIVEN: Final[Mapping[str, bytes]] = {}
_MOST: Final = 1000
"""How many of the newest heads with a witness's line are looked through for one that the quorum has cosigned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What was brought: `said` tells it to people; `genesis` and `kept` are by origin; `findings` are wrong already."""

    said: tuple[str, ...] = ()
    genesis: Mapping[str, Digest] = field(default_factory=dict)
    kept: Mapping[str, Sequence[Checkpoint]] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    trust: Trust | None = None
    led: frozenset[str] = frozenset()
    """The names of TRUST's own log and of those after it, which its witnesses are asked to cosign."""

    def of(self, log: NoteVerifier, genesis: Digest) -> Trust:
        """Return what is known of one log here, by its own key and genesis; both are compared elsewhere."""
        if self.trust is None:
            return Trust(policy=LogPolicy(log=log), genesis=genesis)
        policy = replace(self.trust.policy, log=log) if log.name in self.led else LogPolicy(log=log)
        return Trust(policy=policy, genesis=genesis, revoked=self.trust.revoked, versions=self.trust.versions)


NOTHING: Final = Known()


def gathered(
    place: Workspace,
    folder: Path | None,
    kept: Path | None,
    *,
    keys: Mapping[str, NoteVerifier] | None = None,
) -> Known:
    """Read TRUST (the workspace's own `trust` where none is named and it is there) and a kept checkpoint's file.

    `keys` are those by the log's name, where the log cannot be opened to ask it.
    """
    chosen = folder or (place.root / FOLDER if (place.root / FOLDER).is_dir() else None)
    trust = inquiries.read_trust(chosen) if chosen else None
    logs, whole = _logs(place) if keys is None else (keys, False)
    said, findings = list[str](), list[Finding]()
    genesis: Mapping[str, Digest] = {}
    if trust is not None:
        said.append(f"{folder or FOLDER}: {', '.join(_said(trust))}")
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
    return Known(
        said=tuple(said),
        genesis=genesis,
        kept=found,
        findings=tuple(findings),
        trust=trust,
        led=_led(trust, tuple(logs)),
    )


def _said(trust: Trust) -> Iterator[str]:
    yield f"key and genesis of {trust.policy.log.name}"
    parts = {
        "checkpoint": trust.kept_note or trust.later,
        f"quorum {trust.policy.quorum} of witnesses": trust.policy.witnessed,
        "revoked keys": trust.revoked,
        "policy versions": trust.versions,
    }
    yield from (name for name, there in parts.items() if there)


def _led(trust: Trust | None, newest_first: Sequence[str]) -> frozenset[str]:
    own = trust.policy.log.name if trust else ""
    return frozenset(newest_first[: newest_first.index(own) + 1] if own in newest_first else ())


def heads(place: Workspace, known: Known, given: Mapping[str, bytes] = _NOTHING_GIVEN) -> Iterator[Finding]:
    """Hold this period's head against TRUST: what its key counts for, witnesses, and the policy versions it knows.

    `given` is what witnesses gave and nobody kept, by the path at which anchoring would.
    """
    log, size, at = place.log, place.log.size(), _at(place)
    trust, signed = known.of(NoteVerifier.parse(log.vkey), log.leaf(0).hash), log.published()
    if signed is not None:
        yield from of_head(trust, signed, at, covered=lambda: cosigned(log, trust.policy, given))
    for index, leaf in sorted(trust.versions.get(log.origin, {}).items()):
        if index >= size:
            why = f"TRUST knows a policy version at leaf {index}, the log has {size} leaves"
            yield _finding("rolled-back", at, why, rule=6)
        elif log.leaf(index).hash != leaf:
            why = f"leaf {index} is another than the policy version that TRUST knows"
            yield _finding("forked", at, why, rule=6)


def of_head(
    trust: Trust, signed: SignedCheckpoint, at: str, *, covered: Callable[[], int]
) -> Iterator[Finding]:
    """Judge one head; `covered` is the newest size that TRUST's quorum has cosigned, asked where this one lacks it."""
    try:
        trust.check_counts(signed.checkpoint.size, where=at)
    except RevokedKeyError as error:
        yield _finding("key-revoked", at, error.what, rule=1)
    try:
        trust.policy.open(signed.note)
    except EvidenceInvalidError as error:
        size = covered()
        if size >= signed.checkpoint.size:
            return  # its line lies beside the log, where the witness's answer was kept
        if size:
            why = f"they have cosigned {size} leaves at most: itmp audit anchor"
            yield _finding("witnesses-behind", at, f"{error.what}; {why}", rule=1)
        else:
            yield _finding("checkpoint-unsigned", at, error.what, rule=1)


def cosigned(log: Log, policy: LogPolicy, given: Mapping[str, bytes] = _NOTHING_GIVEN) -> int:
    """Return the newest size of this very log that the quorum has cosigned, by what witnesses gave; 0 where none is."""
    fresh = ((int(path.partition("/")[0]), path) for path in given)
    sizes = {size for size, name in chain(log.anchored(), fresh) if name.endswith(".note")}
    notes = ((size, _note(log, size, given)) for size in sorted(sizes, reverse=True))
    lined = ((size, note) for size, note in notes if _is_witnessed(policy, note))
    return next((size for size, note in islice(lined, _MOST) if _is_cosigned(log, policy, size, note)), 0)


def _note(log: Log, size: int, given: Mapping[str, bytes]) -> bytes:
    """Return the head that anchors kept for a size, with the line that each of them gave."""
    note = b""
    for path, data in chain(log.kept(size), ((p, d) for p, d in given.items() if p.startswith(f"{size}/"))):
        if path.endswith(".note"):
            line = data[data.rfind(b"\n", 0, -1) + 1 :]
            note += b"" if line in note else line if note else data
    return note


def _is_witnessed(policy: LogPolicy, note: bytes) -> bool:
    """Whether a witness's line is there; time stamps keep notes without one, as many as there are heads."""
    return any(witness.key_id in key_ids(note, witness.name) for witness in policy.witnesses.values())


def _is_cosigned(log: Log, policy: LogPolicy, size: int, note: bytes) -> bool:
    try:
        head = policy.open(note).checkpoint
    except Error:
        return False
    return head.size == size <= log.size() and head.root == log.root(size)


def compared(place: Workspace, known: Known) -> Iterator[Finding]:
    """Hold what can be seen without reading every leaf against TRUST: each log's beginning, and kept checkpoints."""
    yield from known.findings
    logs = {place.log.origin: place.log.leaf(0).hash}
    logs |= {history.origin: history.genesis.leaf for history, _ in periods.chain_of(place)}
    for origin, genesis in known.genesis.items():
        if logs.get(origin, genesis) != genesis:
            yield _finding("genesis-untrusted", origin, "its first leaf is not the one that TRUST names")
    log = place.log
    for one in known.kept.get(log.origin, ()):
        if one.size > log.size():
            why = f"{one.size} leaves were known, the log has {log.size()}"
            yield _finding("rolled-back", "TRUST/checkpoint", why, rule=6)
        elif one.root != log.root(one.size):
            why = f"another history of the first {one.size} leaves was kept"
            yield _finding("forked", "TRUST/checkpoint", why, rule=6)


def _at(place: Workspace) -> str:
    return f"period {place.period}: checkpoint" if place.period else "checkpoint"


def _logs(place: Workspace) -> tuple[Mapping[str, NoteVerifier], bool]:
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


def _untrusted(trust: Trust, logs: Mapping[str, NoteVerifier], *, whole: bool) -> Iterator[Finding]:
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


def _notes(trust: Trust | None, kept: Path | None) -> Iterator[tuple[str, bytes]]:
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
    note: bytes, logs: Mapping[str, NoteVerifier], trust: Trust | None, where: str
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
