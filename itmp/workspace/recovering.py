"""Verbs for the day on which the log is in danger: a restore drill, and health for a monitor.

Rules kept here: neither writes anything; a drill trusts the trust folder and not the copy's own word; health answers
in one line whatever is wrong, also when the log cannot be opened at all.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from itmp import canonical
from itmp.adapters import posix_log, private
from itmp.adapters.clock import SystemClock
from itmp.adapters.posix_log import packed, spare
from itmp.adapters.posix_log.periods import names
from itmp.audit import STANDING_ENDS, Finding, SignedCheckpoint
from itmp.audit.blobs import MAX_BLOB, blob_path
from itmp.audit.checkpoint import MAX_NOTE
from itmp.canonical import Digest
from itmp.change import policy_history, time_of
from itmp.errors import Error, EvidenceInvalidError, ForkError, InvalidInputError, NotFoundError
from itmp.inquiry import Drill, contents, drill
from itmp.signing import NoteVerifier
from itmp.workspace import alerting, anchoring, chain, inquiries, periods, trusted
from itmp.workspace.contents import owed
from itmp.workspace.place import Workspace
from itmp.workspace.same_user import kept_by_us, separating

if TYPE_CHECKING:
    from itmp.audit import Checkpoint, Leaf, Log, LogReader
    from itmp.evidence import Trust

TRUST: Final = "trust"
HEAD: Final = "head.sqlite"
BEHIND: Final = timedelta(seconds=60)
"""How old the oldest leaf may be that no published checkpoint covers."""
LAG: Final = timedelta(hours=24)
"""How old the oldest leaf may be that TRUST's witnesses have not cosigned: an anchor's own `lag`, where none is set."""
_ROLLED_BACK: Final = frozenset({"rolled-back", "forked", "ForkError"})
_NAMED: Final = {
    "ForkError": "rolled-back",
    "LogUnavailableError": "log-unavailable",
    "EvidenceInvalidError": "damaged",
    "DiskFullError": "log-full",
    "store": "log-unavailable",
    "log-unwritable": "log-unavailable",
    "forked": "rolled-back",
    **dict.fromkeys(
        ("genesis-untrusted", "key-untrusted", "key-revoked", "kept-foreign", "checkpoint-unsigned",
         "witnesses-behind", "trust-unreadable"),
        "untrusted",
    ),
}  # fmt: skip
"""The incident that a fault belongs to, where it has another name."""
_JUDGED: Final = frozenset(
    ("log-unavailable", "log-full", "damaged", "rolled-back", "untrusted", "checkpoint-behind", "clock-behind",
     "redacted-content", "redaction-overdue", "retention-overdue", "stray-content", "anchor-behind")
)  # fmt: skip
"""What a look at the log's health finds out, and so may call over."""
_UNFIT: Final = 16
_FORK: Final = 42


@dataclass(frozen=True, slots=True, kw_only=True)
class Drilled:
    """A drill's outcome: `present` and `absent` are what a run from this copy needs, `notes` what to know besides."""

    drill: Drill
    present: tuple[str, ...]
    absent: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitness:
    """What a monitor is told: each fault's name and message, none means healthy; `notes` are no faults."""

    size: int
    faults: tuple[tuple[str, str], ...]
    notes: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 when healthy, 42 after a rollback or fork, else 16."""
        if any(name in _ROLLED_BACK for name, _ in self.faults):
            return _FORK
        return _UNFIT if self.faults else 0


def audit_restore(
    place: Workspace, copy: Path, *, trust: Path | None = None, kept: Sequence[Path] = ()
) -> Drilled:
    """Check a copy of `.itmp/log` (or of `.itmp`) against trust, the live log and checkpoints that were kept."""
    log = copy / "log" if (copy / "log").is_dir() else copy
    reader: LogReader = packed.PackedReader(copy) if copy.is_file() else posix_log.open_reader(log)
    known = _trust_for(place, inquiries.read_trust(trust or place.root / TRUST), reader)
    verifier = known.policy.log
    live, notes, faults = _live(place, verifier)
    found = drill(reader, verifier, genesis=known.genesis, kept=_kept(known, kept), live=live)
    found = replace(found, findings=(*found.findings, *faults))
    known.check_counts(found.size, where="the copy")
    parts = dict(
        _plans(reader, found.leaves) if copy.is_file() else _parts(log, reader, verifier, found.leaves)
    )
    return Drilled(
        drill=found,
        present=tuple(name for name, fault in parts.items() if not fault),
        absent=tuple(f"{name} ({fault})" for name, fault in parts.items() if fault),
        notes=(*notes, *_returned(log, found.leaves)),
    )


def _trust_for(place: Workspace, known: "Trust", reader: "LogReader") -> "Trust":
    """Return TRUST for the period that the copy says it is of, where this workspace's handovers lead there."""
    origin = (reader.get("checkpoint", MAX_NOTE) or b"").partition(b"\n")[0].decode("utf-8", "replace")
    if origin == known.policy.log.name or not place.has_log:
        return known
    faults = [one for one in chain.verify_older(place)[0] if one.grave and one.rule == chain.RULE]
    if faults:
        raise EvidenceInvalidError(f"{faults[0].name}: {faults[0].message}", where=faults[0].place)
    walked = [*reversed([history for history, _ in periods.chain_of(place)]), place.history()]
    started = False
    for history in walked:
        known = known.after(history.log_key, history.genesis.leaf) if started else known
        mine = (known.policy.log.vkey, known.genesis)
        started = started or (history.log_key, history.genesis.leaf) == mine
        if started and history.origin == origin:
            return known
    return known


def audit_health(place: Workspace, *, trust: Path | None = None) -> Fitness:
    """Say what is wrong with the log now; whatever keeps it from being opened is a fault too.

    `trust` is a folder to hold it against (else the workspace's own `trust`, where it is there).
    """
    faults = [*_writable(place)]
    try:
        log, now = place.log, SystemClock().now()
        faults += [
            (finding.name, finding.message) for finding in log.health(SystemClock()).findings if finding.grave
        ]
        faults += [*_last(log), *_behind(log, now)]
        place.history()
        faults += _untrusted(place, trust, now)
        faults += [
            (name, f"{count} contents: itmp audit retention --apply") for name, count in owed(place).items()
        ]
        size = log.size()
    except Error as error:
        where = f"{error.where}: " if error.where else ""
        kind = ForkError if isinstance(error, ForkError) else type(error)
        faults.append((kind.__name__, where + error.what))
        size = 0
    faults += [*_late(place)]
    _tell(place, faults, whole=bool(size))
    notes = tuple(f"anchor {name} is kept by this same account: {separating()}" for name in kept_by_us(place))
    return Fitness(size=size, faults=(*faults, *_untold(place)), notes=notes)


def alert_test(place: Workspace) -> tuple[alerting.Sent, ...]:
    """Send a test alert by every route that is configured, and say what became of each."""
    return alerting.test(place)


def _untrusted(place: Workspace, folder: Path | None, now: datetime) -> Iterator[tuple[str, str]]:
    """Compare the log with TRUST, as `audit verify` does, as far as no leaf has to be read for it.

    Witnesses have as long as an anchor has: each event is beyond what they cosigned for a while.
    """
    try:
        known = trusted.gathered(place, folder, None)
        findings = [*trusted.compared(place, known), *trusted.heads(place, known)]
    except InvalidInputError as error:
        yield "trust-unreadable", f"{error.where}: {error.what}" if error.where else error.what
        return
    for one in findings:
        if one.name not in {trusted.BEHIND, trusted.UNSIGNED} or _overdue(place, known, now):
            yield one.name, f"{one.place}: {one.message}"


def _overdue(place: Workspace, known: trusted.Known, now: datetime) -> bool:
    policy = known.of(NoteVerifier.parse(place.log.vkey), place.log.leaf(0).hash).policy
    return now - time_of(place.log.leaf(trusted.cosigned(place.log, policy))) > LAG


def _late(place: Workspace) -> Iterator[tuple[str, str]]:
    for one in anchoring.overdue(place):
        yield "anchor-behind", f"anchor {one.name} since {one.since}: {one.why}"


def _untold(place: Workspace) -> Iterator[tuple[str, str]]:
    for one in alerting.outcomes(place):
        if one.why:
            yield "alert-failed", f"route {one.route} at {one.at}: {one.why}"


def _tell(place: Workspace, faults: Sequence[tuple[str, str]], *, whole: bool) -> None:
    """Have somebody told of each fault; those that are over may be told anew when they come back."""
    late = {f"anchor-behind {one.name}" for one in anchoring.overdue(place)}
    found = {_NAMED.get(name, name) for name, _ in faults if name != "anchor-behind"} | late
    if "log-full" in found:
        found.discard("log-unavailable")  # it is why
    if whole:
        alerting.settle(place, _JUDGED, still=found)
    for incident in sorted(found):
        alerting.tell(place, incident)


def _writable(place: Workspace) -> Iterator[tuple[str, str]]:
    for folder in (place.state, place.state / posix_log.LOG, place.state / posix_log.LOG / posix_log.STATE):
        if folder.is_dir() and not os.access(folder, os.W_OK):
            yield "log-unwritable", f"{folder.name} cannot be written"
            return


def _last(log: "Log") -> Iterator[tuple[str, str]]:
    if log.leaf(log.size() - 1).event.type == "log.full":
        yield "log-full", "the disk was full, and nothing was written since"


def _behind(log: "Log", now: datetime) -> Iterator[tuple[str, str]]:
    head, size = log.published(), log.size()
    covered = head.checkpoint.size if head else 0
    if covered < size:
        waiting = now - time_of(log.leaf(covered))
        if waiting > BEHIND:
            seconds = int(waiting.total_seconds())
            yield (
                "checkpoint-behind",
                f"{size - covered} leaves are not signed, the oldest for {seconds} seconds",
            )


def _live(
    place: Workspace, verifier: NoteVerifier
) -> tuple["Log | None", tuple[str, ...], tuple[Finding, ...]]:
    """Return the live log of TRUST's key, what to know where there is none, and what is wrong where it is another."""
    if not place.has_log:
        return None, ("there is no live log here to compare with",), ()
    try:
        log = place.log
    except Error as error:
        kind = "was rolled back or forked" if isinstance(error, ForkError) else "cannot be opened"
        return None, (f"the live log {kind}, so nothing was compared with it: {error.what}",), ()
    period = verifier.name.rpartition("/")[2]
    if log.vkey != verifier.vkey and period in names(place.state):
        log = periods.of_period(place, period).log
    elif any(history.log_key == verifier.vkey for history, _ in periods.chain_of(place)):
        return None, (f"period {period} is not in place here, so nothing was compared with it",), ()
    if log.vkey != verifier.vkey:
        return None, (), (_another(log.origin, verifier),)
    return log, (), ()


def _another(origin: str, verifier: NoteVerifier) -> Finding:
    """Name a live log that is not TRUST's: under its name a second one, which is a fork."""
    if origin == verifier.name:
        why = "it has another key than TRUST names for its name: another log is in the trusted one's place"
        return Finding(rule=6, name="forked", place="live log", message=why)
    why = f"it is {origin}, TRUST is about {verifier.name}, and no handover leads from one to the other"
    return Finding(rule=7, name="genesis-untrusted", place="live log", message=why)


def _kept(trust: "Trust", files: Sequence[Path]) -> tuple["Checkpoint", ...]:
    found = [trust.kept] if trust.kept else []
    for file in files:
        try:
            note = file.read_bytes()
        except OSError as error:
            raise NotFoundError(f"cannot be read: {error.strerror}", where=str(file)) from error
        if len(note) > MAX_NOTE:
            raise InvalidInputError("too large for a checkpoint", where=str(file))
        found.append(SignedCheckpoint.open(note, [trust.policy.log], where=str(file)).checkpoint)
    return tuple(found)


def _parts(
    log: Path, reader: "LogReader", verifier: NoteVerifier, leaves: "Iterable[Leaf]"
) -> Iterator[tuple[str, str]]:
    """Yield each part that a run from the copy needs, and what is wrong with it."""
    base = log.parent
    yield "journal", "" if any(True for _ in reader.journal()) else "not in the copy"
    yield HEAD, "not beside the copy" if spare.gone(base / HEAD) else ""
    yield "log key", _key_fault(base / "keys" / "log.key", verifier)
    yield from _plans(reader, leaves)


def _plans(reader: "LogReader", leaves: "Iterable[Leaf]") -> Iterator[tuple[str, str]]:
    """Yield whether every plan's bytes are there: all that a packed period needs."""
    missing = sum(reader.get(blob_path(name), MAX_BLOB) is None for name in _plan_blobs(reader, leaves))
    yield "plans", f"{missing} of their blobs are missing" if missing else ""


def _key_fault(path: Path, verifier: NoteVerifier) -> str:
    if not path.is_file():
        return "not beside the copy; restore it from where keys are kept"
    try:
        return "" if posix_log.read_key(path).vkey == verifier.vkey else "it is another log's"
    except Error as error:
        return error.what


def _plan_blobs(reader: "LogReader", leaves: "Iterable[Leaf]") -> Iterator[Digest]:
    """Yield the manifests of the log's plans and every artifact that they name."""
    for leaf in leaves:
        if b'"plan.compiled"' not in leaf.data:
            continue
        name = canonical.parse_digest(leaf.event.plan)
        yield name
        manifest = reader.get(blob_path(name), MAX_BLOB)
        if manifest is not None and canonical.digest(manifest) == name:
            yield from map(canonical.parse_digest, canonical.loads(manifest).get("artifacts", {}).values())


def _returned(log: Path, leaves: "Iterable[Leaf]") -> Iterator[str]:
    store = private.PrivateStore(log.parent / private.PRIVATE)
    here = {file.commitment for file in store.kept()}
    if not here or not leaves:  # none where the copy is not sound
        return
    history = policy_history(leaf for leaf in leaves if leaf.data.endswith(STANDING_ENDS))
    gone = {item.commitment for item in contents(leaves, history, lambda _: None) if item.redaction}
    if back := len(gone & here):
        yield f"{back} redacted contents lie in this copy: after a restore, itmp audit retention --apply"
