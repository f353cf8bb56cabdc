"""How a run says that it ended, held against its slices: rules 14 and 15 of `itmp.evidence.verify`.

Rules kept here: a host ends no better than its worst slice; a success means that every slice of the plan was
done on each host that it counts, and that nothing was taken back. What a later slice or a reconciliation says
replaces what was said before of the same step and host. A check that was cut off changed nothing, so that hosts of it
which somebody signed to go on without leave nothing open.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from itmp.change import RunRecord, SliceRecord
from itmp.evidence.rules import RuleBrokenError
from itmp.evidence.work import STATES
from itmp.plan import CheckStep, Manifest, Plan, PulumiStep, all_steps, questions, slices, targets

_TOUCHED: Final = frozenset({"ok", "changed", "failed", "unreachable", "unknown"})
_DONE: Final = (
    "changed",
    "ok",
    "skipped",
)  # the strongest claim first: a host that was changed anywhere was changed


def account(plan: Plan, run: RunRecord) -> None:
    """Rules 14 and 15 for one run that began."""
    where = f"run {run.id}"
    if run.active:
        raise RuleBrokenError(15, "the run never ended: its hosts are not accounted for", where=where)
    all_hosts = set(targets(plan.manifest))
    must = {host for part in run.slices for host in part.hosts}
    if run.permits[0].mode == "run":
        must |= set(targets(plan.manifest, "do"))
    if not must <= set(run.hosts) <= all_hosts or not set(run.hosts.values()) <= STATES:
        raise RuleBrokenError(15, "not every targeted host ends in exactly one known state", where=where)
    touched = {host for part in run.slices for host in part.hosts}
    claimed = {host for host, state in run.hosts.items() if state in _TOUCHED and state != "unreachable"}
    if not claimed <= touched:
        raise RuleBrokenError(
            15, f"{min(claimed - touched)} has an outcome and was never intended", where=where
        )
    if run.state == "succeeded":
        # Nothing began for which a pause had to be answered (rule 20): one that nobody was left for needs no end.
        pauses = {key for key, step in questions(plan.manifest).items() if step.after}
        checks = {step.id for step in all_steps(plan.manifest) if isinstance(step, CheckStep)}
        away = all_hosts - set(run.permits[-1].body["limit"] or all_hosts)
        for at, part in enumerate(run.slices):
            if part.key not in pauses:
                _settled(part, run.slices[at + 1 :], where, away if part.step in checks else ())
    for problem in _against_slices(plan.manifest, run):
        raise RuleBrokenError(15, problem, where=where)


def _settled(part: SliceRecord, later: tuple[SliceRecord, ...], where: str, away: Collection[str]) -> None:
    if part.finished is not None:
        return
    again = {
        host
        for other in later
        if (other.step, other.phase) == (part.step, part.phase)
        for host in other.hosts
    }
    left = set(part.hosts) - again - set(part.reconciled) - set(away)
    if left or (
        not part.hosts and not part.reconciled and not any(other.step == part.step for other in later)
    ):
        raise RuleBrokenError(14, f"slice {part.key} never ended, and yet the run succeeded", where=where)


def _against_slices(manifest: Manifest, run: RunRecord) -> Iterator[str]:
    """Yield what the run's end says against its slices: one sentence for each host, and for the whole."""
    said, succeeded, steps = _said(run), run.state == "succeeded", _steps(manifest)
    if succeeded and any(part.phase == "undo" for part in run.slices):
        yield "it is said to have succeeded, and was undone"
    for host, end in run.hosts.items():
        if end not in {"ok", "changed"}:
            continue
        states = [said.get((step, host)) for step in steps.get(host, ())]
        reached = [state for state in states if state is not None]
        bad = sorted(set(reached) - {*_DONE, "not_reached"})
        if bad:
            yield f"{host} is said to be {end}, and was {bad[0]} in a slice"
        elif succeeded and (None in states or "not_reached" in states):
            yield f"{host} is said to be {end}, and a slice of the plan was not done on it"
        elif succeeded and states and end != next(state for state in _DONE if state in states):
            yield f"{host} is said to be {end}, against its slices"


def _said(run: RunRecord) -> Mapping[tuple[str, str], str]:
    """Return the last word on each step and host of the do phase."""
    last: dict[tuple[str, str], str] = {}
    for part in run.slices:
        if part.phase == "do":
            states = {**(part.finished or {}), **part.reconciled}
            last |= {(part.step, host): state for host, state in states.items()}
    return last


def _steps(manifest: Manifest) -> Mapping[str, list[str]]:
    """Return the steps of the do phase on each host, by its name."""
    found: dict[str, list[str]] = {}
    for part in slices(manifest, "do"):
        for host in () if isinstance(part.step, PulumiStep) else part.hosts:
            found.setdefault(host, []).append(part.step.id)
    return found
