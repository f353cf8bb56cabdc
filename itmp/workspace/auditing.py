"""Verbs of the trail: verify, checkpoint, anchor, evidence (`entries` lists and shows events).

Rules kept here: nothing that is shown or proven is an index's word; verifying recomputes everything from the raw
entries and asks nothing of the code that wrote them; it is reading: it needs no private key, and changes no byte of the
log; a report names every finding with its rule, place and reason, also where the log cannot be opened.
"""

from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from itmp.adapters.posix_log.periods import names
from itmp.anchors import Coverage
from itmp.audit import Checkpoint, Finding, Log
from itmp.audit.merkle import EMPTY_ROOT
from itmp.canonical import Digest, digest, of_raw
from itmp.change.handover import period_of
from itmp.errors import (
    Error,
    EvidenceInvalidError,
    ForkError,
    InvalidInputError,
    LogUnavailableError,
    NotFoundError,
)
from itmp.workspace import alerting, anchoring, chain, changes, periods, unopened
from itmp.workspace.chain import verify_log
from itmp.workspace.place import Workspace
from itmp.workspace.planning import write_file
from itmp.workspace.strict import RULE as STRICT_RULE
from itmp.workspace.strict import asked
from itmp.workspace.trusted import BEHIND, Known, gathered, heads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from itmp.adapters.anchors.apart import Separated

DAMAGED: Final = 40
INCOMPLETE: Final = 41
FORK: Final = 42
_BROKEN: Final = (EvidenceInvalidError, ForkError, LogUnavailableError)
_UNREAD: Final = "the log cannot be read to its end"
FORKS: Final = frozenset({"forked", "rolled-back"})
LACKS: Final = frozenset({chain.UNJUDGED, BEHIND})
"""What is not wrong and not proven either: a kept head that nothing here can judge, a head without its witnesses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogReport:
    """What a whole log is: how long, its root, and everything found wrong with it.

    `older` names each period before and its size, oldest first; what is wrong there is among `findings`. `trusted` says
    what was brought to judge it by: empty where the log had to be taken at its own word. `size` and `root` are the
    newest signed head's; `unsigned` leaves came after it, which is named and no fault.
    """

    size: int
    root: Digest
    findings: tuple[Finding, ...]
    coverage: tuple[Coverage, ...] = ()
    older: tuple[tuple[str, int], ...] = ()
    trusted: tuple[str, ...] = ()
    unsigned: int = 0

    @property
    def exit_code(self) -> int:
        """0 when nothing grave was found, 42 for a fork or rollback, 41 where only something lacks, else 40.

        Entries that do not even give the root of the newest head are damaged, and prove no second history.
        """
        grave = {finding.name for finding in self.findings if finding.grave}
        if not grave:
            return 0
        if grave <= LACKS:
            return INCOMPLETE
        return FORK if grave & FORKS and "root-mismatch" not in grave else DAMAGED


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """An evidence file."""

    digest: Digest
    size: int


def audit_verify(
    place: Workspace, *, strict: bool = False, trust: Path | None = None, kept: Path | None = None
) -> LogReport:
    """Check the whole log of this workspace, and each period before it that is here, with what joins them.

    `strict` also asks stock ssh-keygen about every signature. `trust` is an auditor's folder (else the workspace's own
    `trust`, where it is there), `kept` the file of a checkpoint that somebody kept. Nothing is signed, written or
    finished; where the log cannot be opened, what is there of it is judged all the same (rule 17 says why).
    """
    place = place.for_reading()
    try:
        log = _opened(place)
        known = gathered(place, trust, kept)
        apart = partial(unopened.judged, place, trust=trust, kept=kept, what=_UNREAD)
        report = _judged(place, log, known, apart=lambda error: apart(error)[2], strict=strict)
    except _BROKEN as error:
        known, head, findings = unopened.judged(place, error, trust, kept)
        report = _report(head, findings, trusted=known.said)
    if place.keyed:
        _tell(place, report)
    return report


def _opened(place: Workspace) -> Log:
    """Open the log; a head record that is of another log is the log's fault here, and nobody's input."""
    try:
        return place.log
    except NotFoundError:
        raise
    except InvalidInputError as error:
        raise LogUnavailableError(error.what, where="the head record") from error


def _judged(
    place: Workspace,
    log: Log,
    known: Known,
    *,
    apart: "Callable[[Error], Iterable[Finding]]",
    strict: bool,
) -> LogReport:
    """Ask every question; `apart` judges the entries where the open log does not serve for it."""
    head, length = chain.decided(log), log.size()
    findings, coverage, older = list(known.findings), list[Coverage](), list[tuple[str, int]]()
    given = dict[str, bytes]()
    own = period_of(
        log.origin
    )  # its key may lie among those of ended periods already: a rotation was cut short
    ended = [periods.of_period(place, name) for name in names(place.state) if name != own]
    for ask in (
        lambda: _older(place, known, older),
        lambda: _entries(place, known, apart),
        lambda: (finding for one in (*ended, place) if strict for finding in asked(one)),
        lambda: _unfounded(place),
        lambda: _anchored(ended),
        lambda: _surveyed(place, coverage, given),
        lambda: _headed((*ended, place), known, given),
    ):
        findings += _found(ask, findings)
    return _report(
        head,
        tuple(dict.fromkeys(findings)),
        coverage=tuple(coverage),
        older=tuple(older),
        trusted=known.said,
        length=length,
    )


def _found(ask: "Callable[[], Iterable[Finding]]", before: "Sequence[Finding]") -> "Iterator[Finding]":
    """Yield what one question finds; what keeps it from an answer is found too, and keeps no other from its own."""
    try:
        yield from ask()
    except _BROKEN as error:
        yield unopened.finding(error, before, what=_UNREAD)


def _entries(
    place: Workspace, known: Known, apart: "Callable[[Error], Iterable[Finding]]"
) -> "Iterable[Finding]":
    try:
        return verify_log(place, known)
    except _BROKEN as error:
        return apart(error)


def _older(place: Workspace, known: Known, older: list[tuple[str, int]]) -> tuple[Finding, ...]:
    findings, found = chain.verify_older(place, known)
    older += found
    return findings


def _surveyed(place: Workspace, coverage: list[Coverage], given: dict[str, bytes]) -> tuple[Finding, ...]:
    findings, found, answered = anchoring.survey(place)
    coverage += found
    given.update(answered)
    return findings


def _report(
    head: Checkpoint | None, findings: "Sequence[Finding]", *, length: int = 0, **told: Any
) -> LogReport:
    size, root = (head.size, head.root) if head else (0, EMPTY_ROOT)
    return LogReport(
        size=size, root=of_raw(root), findings=tuple(findings), unsigned=max(0, length - size), **told
    )


def _tell(place: Workspace, report: LogReport) -> None:
    """Have somebody told, by whoever keeps the log; an auditor's copy tells nobody."""
    wrong = {0: (), INCOMPLETE: (), FORK: ("rolled-back",)}.get(report.exit_code, ("verify-failed",))
    alerting.settle(place, {"verify-failed", "rolled-back"}, still=wrong)
    for incident in wrong:
        alerting.tell(place, incident)


def _headed(places: "Sequence[Workspace]", known: Known, given: "Mapping[str, bytes]") -> "Iterator[Finding]":
    """Hold each period's newest head against TRUST; what witnesses `given` just now counts for the current one."""
    for one in places:
        try:
            yield from heads(one, known, {} if one.period else given)
        except Error:  # what keeps an ended period from being opened is told by its own rules
            if not one.period:
                raise


def _anchored(ended: "Sequence[Workspace]") -> "Iterator[Finding]":
    """Compare each period that has ended, and can be opened, with what anchors hold of it."""
    for one in ended:
        with suppress(Error):  # what keeps it from being opened is told by its own rules
            yield from anchoring.survey_ended(one)


def _unfounded(place: Workspace) -> list[Finding]:
    """Name contents that went, or were opened, by words that do not count."""
    from itmp.workspace.committed import unfounded  # noqa: PLC0415 - only verifying asks

    try:
        found, opened = unfounded(place)
    except Error as error:
        why = f"whether contents went by right cannot be judged: {error.what}"
        return [
            Finding(rule=STRICT_RULE, name="redaction-unjudged", place=error.where or "the log", message=why)
        ]
    return [
        Finding(
            rule=STRICT_RULE,
            name="redaction-unfounded",
            place=f"leaf {item.redaction.index if item.redaction else item.index}",
            message=f"{item.pointer} of leaf {item.index}: {item.redaction.unfounded if item.redaction else ''}",
        )
        for item in found
    ] + [
        Finding(
            rule=STRICT_RULE,
            name="read-unfounded",
            place=f"period {period_of(history.origin)}: leaf {one.index}",
            message=f"{one.pointer} of {one.leaf} was opened by a statement that does not count: {one.unfounded}",
        )
        for history, one in opened
    ]


def audit_checkpoint(place: Workspace) -> str:
    """Publish and return the newest signed checkpoint."""
    return place.log.checkpoint().note.decode()


def audit_anchor(place: Workspace) -> tuple[anchoring.Anchored, ...]:
    """Publish the newest head and have every configured anchor remember it; say what became of each."""
    place.log.checkpoint()
    return anchoring.anchor(place)


def audit_separate(user: str = "") -> "Separated":
    """As root: have another account keep heads, handed over by `user`; see `itmp.adapters.anchors.apart`."""
    from itmp.adapters.anchors.apart import separate  # noqa: PLC0415 - only this verb makes accounts

    return separate(user)


def log_vkey(place: Workspace) -> str:
    """Return the log's public key in the form of signed notes."""
    return place.log.vkey


def evidence(place: Workspace, name: str, output: Path, *, since: Path | None = None) -> Written:
    """Write one change's evidence; anyone can check it with `itmp-verify` or `verify.sh`."""
    from itmp.evidence import build  # noqa: PLC0415 - only this verb builds bundles

    place = periods.in_its_period(place, name)
    change = changes.resolve(place, name)
    if not place.period:
        anchoring.checkpoint(place)
    kept = since.read_bytes() if since else None
    data = build(place.log, change, since=kept, older=periods.handovers(place, since=kept))
    write_file(output, data)
    return Written(digest=digest(data), size=len(data))
