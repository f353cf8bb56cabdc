"""Every place where a control did less than usual: each is allowed by the policy, and each is named.

Rules kept here:
1. one person alone: a run that its own requester or approver started, or an approval of one's own request, that
   counted because the policy says so in writing;
2. nobody else asked: a permit that rests on no approval at all;
3. an emergency change, whatever became of it, and whether it was reviewed;
4. a freeze that was open for the change's type, or for an undo, while it ran: by the policy that stood when each permit
   and each slice was admitted, and over all the time that each attempt was under way;
5. a person's word in place of a recorded outcome, or hosts that a person left out of a run;
6. a log that one person alone founded;
7. hosts that a permit let a run reach without a check of their keys, as the policy of the time allowed;
8. a run whose own child processes could open the log and its key: its permit says that nothing kept them from it, or
   does not say what did.
Nothing is judged: what is right is the auditor's question.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import Final

from itmp.audit import Leaf
from itmp.change import Given, PermitRecord, PolicyHistory, time_of
from itmp.change import Policy as _Policy
from itmp.change.handover import period_of
from itmp.change.record import Mode, ResultRecord
from itmp.inquiry.cases import UNKNOWN, Attempt, Case
from itmp.plan import Manifest, targets
from itmp.signing import Statement

KINDS: Final = (
    "one-person",
    "own-approval",
    "no-approval",
    "emergency",
    "opened-freeze",
    "reconciled",
    "skipped",
    "single-root",
    "unpinned-hosts",
    "no-custody",
)
_NAMED: Final = 5
_RAN: Final[Mapping[Mode, str]] = {"run": "ran", "resume": "was taken up", "undo": "was undone"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Exceptional:
    """One exception: what (`kind`, one of `KINDS`), in which change (empty: the log), who, when, at which leaf.

    `period` is that of the log whose leaf it is.
    """

    kind: str
    change: str
    who: str
    at: datetime
    index: int
    why: str
    period: str = ""


def exceptions(
    cases: Iterable[Case], history: PolicyHistory, leaves: Iterable[Leaf], founded: datetime
) -> tuple[Exceptional, ...]:
    """Return every exception, in the log's order. `leaves` are those of the cases, for rule 5."""
    return gathered((exceptions_of(case, history) for case in cases), history, leaves, founded)


def gathered(
    told: Iterable[Iterable[Exceptional]], history: PolicyHistory, leaves: Iterable[Leaf], founded: datetime
) -> tuple[Exceptional, ...]:
    """Return the same from what `exceptions_of` told of each case."""
    found = [item for items in told for item in items]
    found += [item for leaf in leaves for item in _of_leaf(leaf)]
    if history.single_root:
        who = history.genesis.by[0]
        found.append(
            Exceptional(
                kind="single-root", change="", who=who, at=founded, index=0, why="one person founded the log"
            )
        )
    period = period_of(history.origin)
    return tuple(replace(item, period=period) for item in sorted(found, key=lambda item: item.index))


def exceptions_of(case: Case, history: PolicyHistory) -> tuple[Exceptional, ...]:
    """Return those of one case, rule 6 and the hosts left out of rule 5 apart."""
    return tuple(_of_case(case, history))


def _of_case(case: Case, history: PolicyHistory) -> Iterator[Exceptional]:
    request = case.record.request
    if request is None:
        return
    if request.type == "emergency":
        reviewed = "reviewed" if case.record.reviewed else "not reviewed"
        yield _exceptional("emergency", case, request.given, f"{request.given.line('reason')} ({reviewed})")
    for permit in case.record.permits:
        yield from _of_permit(case, permit, history.at(permit.index).policy)
    for attempt in (attempt for run in case.runs for attempt in run.attempts):
        yield from _of_attempt(case, attempt, history)
        yield from _of_overrides(case, attempt, history.at(attempt.permit.index).policy)
    for part in (part for run in case.record.runs for part in run.slices):
        yield from (_of_word(case, result) for result in part.results if _is_word(result))


def _of_permit(case: Case, permit: PermitRecord, policy: _Policy) -> Iterator[Exceptional]:
    """Rules 1 and 2: compare who requested, approved and started."""
    request = case.record.request
    starter = next(filter(None, map(case.record.start_of, permit.body.get("statements", ()))), None)
    if request is None or starter is None:
        return
    counted = [vote for vote in case.record.votes if vote.approves and vote.given.index < permit.index]
    voters = {vote.given.signer for vote in counted}
    written = policy.separation_for(_environment(case, policy))
    because = written.because if written else "the policy asks for no other person here"
    if not voters:
        yield _exceptional("no-approval", case, starter, f"{permit.mode} without any approval: {because}")
    elif starter.signer in voters and written and written.approver_runs:
        yield _exceptional(
            "one-person", case, starter, f"approved it and started the {permit.mode}: {because}"
        )
    if request.requester in voters and written and written.requester_approves:
        own = next(vote.given for vote in counted if vote.given.signer == request.requester)
        yield _exceptional("own-approval", case, own, f"approved the own request: {because}")


def _of_attempt(case: Case, attempt: Attempt, history: PolicyHistory) -> Iterator[Exceptional]:
    """Rule 4: the freezes that an attempt passed, each at the first moment."""
    passed: dict[str, datetime] = {}
    for _, parts in groupby(attempt.parts, lambda part: history.at(part[0]).index):
        (index, begin, until), *more = parts
        span = (begin, more[-1][2] if more else until)
        for name, at in _opened(case, attempt, history.at(index).policy, span):
            passed.setdefault(name, at)
    for name, at in passed.items():
        yield _admitted(
            "opened-freeze", case, attempt, f"{_RAN[attempt.permit.mode]} in the freeze {name}", at
        )


def _opened(
    case: Case, attempt: Attempt, policy: _Policy, span: tuple[datetime, datetime]
) -> Iterator[tuple[str, datetime]]:
    """Yield the freezes of `policy` that were open for this attempt and touch [from, to], and when they do first.

    An undo asks for no freeze. Without the plan's bytes its environment is unknown, and any freeze may be meant.
    """
    request, undoing = case.record.request, attempt.permit.mode == "undo"
    touched = [item for item in policy.document.freezes if span[0] < item.end and span[1] >= item.start]
    environment = _environment(case, policy) if touched else UNKNOWN
    for freeze in touched:
        concerned = environment == UNKNOWN or {"all", environment} & set(freeze.environments)
        if concerned and (undoing or (request and request.type in freeze.except_types)):
            yield freeze.name, max(span[0], freeze.window.start)


def _environment(case: Case, policy: _Policy) -> str:
    """Return the environment as `policy` reads the plan: a later version may read it otherwise than at the request."""
    return UNKNOWN if case.manifest is None else policy.read(case.manifest).environment


def _of_overrides(case: Case, attempt: Attempt, policy: _Policy) -> Iterator[Exceptional]:
    """Rules 7 and 8: what a permit let pass. An undo is not asked about keys, so that it may reach any host."""
    because = "limits.unpinned_hosts: allow" if policy.unpinned_hosts else "an undo is not asked for them"
    if case.manifest is None and policy.unpinned_hosts:
        yield _admitted(
            "unpinned-hosts", case, attempt, f"may have reached some, its plan is gone: {because}"
        )
    elif hosts := _unpinned(case.manifest, attempt.permit):
        named = ", ".join(hosts[:_NAMED]) + (f" and {len(hosts) - _NAMED} more" if hosts[_NAMED:] else "")
        yield _admitted("unpinned-hosts", case, attempt, f"host keys not checked: {named}: {because}")
    custody = attempt.permit.body["binaries"].get("custody")
    if custody is None or custody == "none":
        why = f"custody: {custody or 'not said'}: its child processes could open the log and its key"
        yield _admitted("no-custody", case, attempt, why)


def _unpinned(manifest: Manifest | None, permit: PermitRecord) -> tuple[str, ...]:
    """Return the hosts without a checked key that a permit covers, and those that its steps may delegate to."""
    if manifest is None or manifest.inventory is None:
        return ()
    away = set(targets(manifest)).difference(permit.body["limit"]) if permit.body["limit"] else set[str]()
    return tuple(name for name in manifest.inventory.unpinned if name not in away)


def _admitted(kind: str, case: Case, attempt: Attempt, why: str, at: datetime | None = None) -> Exceptional:
    permit = attempt.permit
    return Exceptional(
        kind=kind, change=case.id, who=attempt.by, at=at or permit.at, index=permit.index, why=why
    )


def _is_word(result: ResultRecord) -> bool:
    """Whether a person said it: of the other types of result nobody signs one, whatever their data are called."""
    return result.type == "action.reconciled" and "text" in result.data


def _of_word(case: Case, result: ResultRecord) -> Exceptional:
    """Rule 5: a person said what became of a target."""
    fields = Statement.parse(str(result.data["text"])).fields
    why = f"{fields['host']} is {result.outcome}: {fields['reason']}"
    at = next(at for leaf, at in case.times if leaf == result.leaf)
    return Exceptional(
        kind="reconciled", change=case.id, who=fields["signer"], at=at, index=result.index, why=why
    )


def _of_leaf(leaf: Leaf) -> Iterator[Exceptional]:
    """Rule 5: a person left hosts out."""
    event, data = leaf.event, leaf.event.data or {}
    if event.type == "run.resumed" and data.get("skip"):
        why = f"left out {_hosts(data['skip'])}: {data.get('reason', '')}"
        yield Exceptional(
            kind="skipped",
            change=event.change,
            who=event.on_behalf_of,
            at=time_of(leaf),
            index=leaf.index,
            why=why,
        )


def _hosts(skip: object) -> str:
    """Return the hosts that a leaf names; one that names none that could be read is an exception all the more."""
    if not isinstance(skip, list) or not all(isinstance(name, str) for name in skip):
        return "hosts that could not be read"
    return ", ".join(skip)


def _exceptional(kind: str, case: Case, given: Given, why: str) -> Exceptional:
    return Exceptional(kind=kind, change=case.id, who=given.signer, at=given.at, index=given.index, why=why)
