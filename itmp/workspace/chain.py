"""Whole logs, period by period: each is verified like any log, and so is what joins one to the next.

Rules kept here: a period that is here is verified from its raw entries, packed or not, and its handover holds every
leaf of it that says who may do what; one whose log is gone is verified by its handover alone, and that is said; a
handover is judged as in evidence, proofs and all; a period of which nothing is left is `period-missing`, and the walk
ends there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from itmp.adapters import posix_log
from itmp.adapters.posix_log import periods as layout
from itmp.audit import STANDING_ENDS, Checkpoint, Finding, Log, LogReader, verify
from itmp.audit.published import bundled
from itmp.canonical import Digest
from itmp.change import HandoverError, PolicyHistory, continue_history, policy_history
from itmp.change.handover import period_of
from itmp.errors import Error, EvidenceInvalidError
from itmp.evidence.period import Period
from itmp.evidence.rules import HANDOVERS, finding_of
from itmp.evidence.trust import LogPolicy
from itmp.signing import NoteVerifier
from itmp.workspace import packing, periods
from itmp.workspace.place import Workspace
from itmp.workspace.trusted import NOTHING, Known, of_head

RULE: Final = 16
"""Our own number for what joins periods; 1 to 13 are `itmp.audit.verify`'s, 14 signatures, 15 anchors."""
UNJUDGED: Final = "kept-unjudged"
_POLICY: Final = 14
_SHORT: Final = "journal-short"
"""No fault of a copy, whose journal may have been copied before its head was: what is signed is published."""


def verify_log(place: Workspace, known: Known) -> tuple[Finding, ...]:
    """Verify this period's log: its entries by `itmp.audit.verify` and what was brought, and the policy's versions."""
    log = place.log
    reader, head = posix_log.open_reader(place.shard / posix_log.LOG), decided(log)
    findings = list(
        verify(
            reader,
            (NoteVerifier.parse(log.vkey),),
            genesis=known.genesis.get(log.origin, log.leaf(0).hash),
            kept=known.kept.get(log.origin, ()),
            decided=head,
        )
    )
    if not posix_log.is_own(place.shard):
        findings = [replace(one, grave=one.grave and one.name != _SHORT) for one in findings]
    try:
        place.history()
    except EvidenceInvalidError as error:
        findings.append(Finding(rule=_POLICY, name="policy-history", place=error.where, message=error.what))
    return tuple(findings)


def decided(log: Log) -> Checkpoint | None:
    """Return the head of the log's own record, which lies apart from what is published."""
    try:
        head = log.published()
    except EvidenceInvalidError:  # lines beside its own do not hold: rule 1 says so
        return None
    return head.checkpoint if head else None


def verify_older(
    place: Workspace, known: Known = NOTHING
) -> tuple[tuple[Finding, ...], tuple[tuple[str, int], ...]]:
    """Verify every period before this one; return what is wrong, and the periods with their sizes, oldest first."""
    findings, walked = list[Finding](), list[tuple[str, int]]()
    try:
        new = policy_history(place.log.policy_leaves())
    except EvidenceInvalidError:
        return (), ()  # the newest log's own finding
    while new.previous is not None:
        name = period_of(new.previous.origin)
        try:
            members = periods.handover_of(place.state, name)
            if members is None:
                gone = f"{new.origin} continues {new.previous.origin}, and no handover of it is here"
                findings.append(_finding("period-missing", name, gone))
                break
            found, new, size = _step(place, known, members, new)
        except Error as error:
            findings.append(_finding(_name(error), name, error.what))
            break
        findings += found
        walked.append((name, size))
    return tuple(findings), tuple(reversed(walked))


def _step(
    place: Workspace, known: Known, members: dict[str, bytes], new: PolicyHistory
) -> tuple[list[Finding], PolicyHistory, int]:
    """Judge one handover and the log that it comes from; return the findings, that log's history and its size."""
    name = period_of(new.previous.origin) if new.previous else ""
    handed = _handed(members, f"{name}.handover: ", known)
    old, head = handed.history, handed.head
    verifier = NoteVerifier.parse(old.log_key)
    continue_history(old, head, new)
    reader, kept = _reader(place, name), known.kept.get(old.origin, ())
    genesis = known.genesis.get(old.origin, old.genesis.leaf)
    headed = [] if name in layout.names(place.state) else [*_headed(handed, known)]
    if reader is None:
        told = "its log is not here: only its handover could be checked"
        gone = [_finding("period-dropped", name, told, grave=False)]
        return [*gone, *_by_handover(handed, genesis, kept, name), *headed], old, head.checkpoint.size
    found = verify(reader, (verifier,), genesis=genesis, kept=(head.checkpoint, *kept))
    findings = [*(_in_period(name, finding) for finding in found), *headed]
    note = reader.get("checkpoint", posix_log.MAX_NOTE) or b""
    if not note.startswith(head.note):
        findings.append(_finding("forked", name, "its log has another final head than its handover"))
    if not any(finding.grave for finding in findings):
        _holds_all(handed, reader)
    return findings, old, head.checkpoint.size


def _headed(handed: Period, known: Known) -> Iterator[Finding]:
    """Ask for TRUST's witnesses by a handover alone: in a log that is not in place nobody adds their lines later."""
    trust = known.of(handed.trust.policy.log, handed.history.genesis.leaf)
    at = f"period {period_of(handed.history.origin)}: checkpoint"
    return of_head(trust, handed.head, at, covered=lambda: 0)


def _by_handover(handed: Period, genesis: Digest, kept: Sequence[Checkpoint], name: str) -> Iterator[Finding]:
    """Compare what was brought with a handover alone: smaller heads than its last cannot be judged by it."""
    head = handed.head.checkpoint
    if handed.history.genesis.leaf != genesis:
        yield _finding("genesis-untrusted", name, "its first leaf is not the one that is trusted")
    for one in kept:
        if one.size < head.size:
            yield _finding(
                UNJUDGED, name, f"its log is not here to judge the kept checkpoint of {one.size} by"
            )
        elif one.size > head.size:
            yield _finding("rolled-back", name, f"{one.size} leaves were known, it ended with {head.size}")
        elif one.root != head.root:
            yield _finding("forked", name, f"another history of the first {one.size} leaves was kept")


def _handed(members: dict[str, bytes], prefix: str, known: Known) -> Period:
    """Return a handover that holds by the rules for evidence, under the key that its own genesis names.

    TRUST's witnesses are asked about apart, so that a head without them is called by its own name.
    """
    if "checkpoint" not in members:
        raise EvidenceInvalidError("missing", where=f"{prefix}checkpoint")
    old = policy_history(periods.leaves_of(members))
    verifier = NoteVerifier.parse(old.log_key)
    trust = replace(known.of(verifier, old.genesis.leaf), policy=LogPolicy(log=verifier))
    handed = Period(members, trust, prefix=prefix)
    handed.check_head()
    handed.check_inclusion()
    handed.check_policies()
    handed.check_one_history()
    return handed


def _holds_all(handed: Period, reader: LogReader) -> None:
    """Raise where a handover leaves out who may do what: whoever was removed could have passed the log on."""
    for index, leaf in enumerate(bundled(reader, handed.head.checkpoint.size)):
        if leaf.endswith(STANDING_ENDS) and index not in handed.leaves:
            what = f"handover-altered: leaf {index} of the log is not in its handover"
            raise HandoverError(what, where=f"leaf {index}")


def _reader(place: Workspace, name: str) -> LogReader | None:
    folder = place.state / layout.PERIODS / name / posix_log.LOG
    return posix_log.open_reader(folder) if folder.is_dir() else packing.reader(place, name)


def _in_period(name: str, finding: Finding) -> Finding:
    place = f"period {name}: {finding.place}"
    return Finding(
        rule=finding.rule, name=finding.name, place=place, message=finding.message, grave=finding.grave
    )


def _name(error: Error) -> str:
    name = error.what.partition(":")[0]
    said = name.startswith(("period-", "handover-", "policy-")) and " " not in name
    return name if said else finding_of(HANDOVERS, error=error)


def _finding(name: str, period: str, message: str, *, grave: bool = True) -> Finding:
    return Finding(rule=RULE, name=name, place=f"period {period}", message=message, grave=grave)
