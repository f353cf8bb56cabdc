"""The story that evidence tells, for a reader, and the limits of what was proven."""

from collections.abc import Iterable

from itmp.change import ChangeRecord, Given, PermitRecord, PolicyHistory, Reading, RunRecord
from itmp.evidence.conduct import Conduct
from itmp.evidence.moments import Moment, interval
from itmp.evidence.period import Period
from itmp.evidence.report import Deed, RunTold, Told
from itmp.evidence.stamps import Bounds
from itmp.evidence.trust import Trust
from itmp.plan import Plan

_NONE = Bounds()


def tell(
    history: PolicyHistory,
    record: ChangeRecord,
    plan: Plan | None,
    conduct: Conduct | None,
    moments: tuple[Moment, ...] = (),
) -> Told:
    """Return the story of a change whose record has been judged; `moments` are what others say of its heads."""
    request = record.request
    reading = history.latest.policy.read(plan.manifest) if plan else Reading(environment="", risk="high")
    if conduct and conduct.admissions:
        reading = conduct.admissions[-1][1].reading
    return Told(
        change=record.id,
        type=request.type if request else "",
        title=plan.manifest.title if plan else "",
        plan=request.plan if request else "",
        reason=request.given.line("reason") if request else "",
        external=request.external if request else "",
        environment=reading.environment,
        risk=reading.risk if plan else "",
        state=record.state,
        deeds=tuple(_deed(given, moments) for given in sorted(_given(record), key=lambda given: given.index)),
        runs=tuple(_run(run, conduct) for run in record.runs),
        refusals=record.refusals,
        ignored=tuple(f"leaf {finding.index}: {finding.why}" for finding in record.findings),
    )


def assurance(
    trust: Trust,
    history: PolicyHistory,
    conduct: Conduct | None,
    *,
    whole: bool = False,
    bounds: Bounds = _NONE,
) -> tuple[str, ...]:
    """Return the limits of what was proven, one sentence each; `whole` says that the whole log was read."""
    lines = list(_assurance(trust, history, conduct, bounds))
    return tuple(
        lines if whole else [*lines, "completeness against the log's owner needs the whole log: --log"]
    )


def _assurance(
    trust: Trust, history: PolicyHistory, conduct: Conduct | None, bounds: Bounds
) -> Iterable[str]:
    if trust.policy.witnessed:
        yield "assurance: witnessed: others cosigned the checkpoint, so it was not made for you alone"
    else:
        yield "assurance: self-attested: nobody but the log's owner has signed the checkpoint"
    if not bounds.timed:
        yield "time asserted by executor: no cosignature or time stamp bounds it"
    yield from bounds.lines
    if history.single_root:
        yield f"single root: {history.genesis.by[0]} alone enrolled this log"
    if "checkpoint" not in trust.brought:
        why = (
            "TRUST holds none"
            if trust.later is None
            else "TRUST's is of a period that this file does not reach"
        )
        yield f"no kept checkpoint: {why}, so a fork made before today would not show"
    if trust.tsa is None:
        yield "no tsa.pem: TRUST holds no time stamp authority, so no time stamp could be judged"
    if any(admission.alone for _, admission in conduct.admissions) if conduct else False:
        yield "quorum 0: by the policy one person acted alone"
    yield from dict.fromkeys(_custody(permit) for permit, _ in conduct.admissions) if conduct else ()
    yield "starting state and external record: asserted by executor, they cannot be recomputed later"


def told_of(passed: Period, *, read: frozenset[str]) -> Iterable[str]:
    """Say that a log before the change's was walked through, and on whose word its policy versions are all.

    Whoever holds that log's key and was removed by one of them could have left it out: a log keeps no list of its
    policies that others have signed. What shows it is the log itself (`read`), or a version that the auditor knows.
    """
    name, history = passed.history.origin, passed.history
    yield f"handed over: {name} was walked through from TRUST's genesis"
    if name in read:
        return
    known = max(passed.trust.versions.get(name, {}), default=None)
    after = "" if known is None else f" after leaf {known}, which TRUST knows,"
    yield (
        f"policy completeness (rule 21): that {name} had no policy version{after} but the {len(history.versions)} shown"
        f" rests on its own key alone: bring it with --log, or its newest version in TRUST/versions"
    )


def known_of(periods: Iterable[Period]) -> Iterable[str]:
    """Return the newest policy version of each log, as an auditor keeps it."""
    for period in periods:
        newest = period.history.latest
        yield f"to keep in TRUST/versions: {period.history.origin} {newest.index} {newest.leaf}"


def _custody(permit: PermitRecord) -> str:
    """Say what kept the run's child processes from the log's key, as the executor asserts in the permit."""
    means = str(permit.body["binaries"].get("custody", "none"))
    if means == "none":
        return "custody: none: the run's own child processes could open the log and its key"
    return f"custody: {means}: the log and its key were closed to the run's child processes, by the executor's word"


def _given(record: ChangeRecord) -> Iterable[Given]:
    if record.request:
        yield record.request.given
    yield from (vote.given for vote in record.votes)
    yield from (revocation.given for revocation in record.revocations)
    yield from (*record.starts, *record.stops)
    yield from (given for given in (record.canceled, record.reviewed, record.closed) if given)


def _deed(given: Given, moments: tuple[Moment, ...]) -> Deed:
    made = interval(given.index, given.statement.seen[0], moments)
    return Deed(act=given.act, who=given.signer, role=given.role, at=given.at, made=made)


def _run(run: RunRecord, conduct: Conduct | None) -> RunTold:
    admitted = [granted for permit, granted in conduct.admissions if permit.run == run.id] if conduct else []
    return RunTold(
        id=run.id,
        by=tuple(dict.fromkeys(granted.runner for granted in admitted)),
        modes=tuple(permit.mode for permit in run.permits),
        state=run.state,
        hosts=run.hosts,
        quorum=min((granted.quorum for granted in admitted), default=0),
        reconciled={host: state for part in run.slices for host, state in part.reconciled.items()},
    )
