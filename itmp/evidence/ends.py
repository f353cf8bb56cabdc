"""How a run says that it ended, held against its slices: rule 15 of `itmp.evidence.verify`.

Rules kept here: a host ends no better than its worst slice; a success means that every slice of the plan was
done on each host that it counts, and that nothing was taken back. What a later slice or a reconciliation says
replaces what was said before of the same step and host.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from itmp.change import RunRecord
from itmp.plan import Manifest, PulumiStep, slices

_DONE: Final = (
    "changed",
    "ok",
    "skipped",
)  # the strongest claim first: a host that was changed anywhere was changed


def against_slices(manifest: Manifest, run: RunRecord) -> Iterator[str]:
    """Yield what the run's end says against its slices: one sentence for each host, and for the whole."""
    said, succeeded = _said(run), run.state == "succeeded"
    if succeeded and any(part.phase == "undo" for part in run.slices):
        yield "it is said to have succeeded, and was undone"
    for host, end in run.hosts.items():
        if end not in {"ok", "changed"}:
            continue
        states = [said.get((step, host)) for step in _steps_of(manifest, host)]
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


def _steps_of(manifest: Manifest, host: str) -> list[str]:
    parts = slices(manifest, "do")
    return [part.step.id for part in parts if not isinstance(part.step, PulumiStep) and host in part.hosts]
