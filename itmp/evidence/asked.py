"""What a resume does besides going on, held against the `limit` that a person signed for it (rules 11 and 12).

Rules kept here: the hosts that a resume goes on without are exactly those of the run that its signed limit takes away;
the states that it tries again are exactly those that the limit says; a host on which a step failed gets that step again
only under a limit that says so, unless the step itself says `on_failure: continue`; one that passes its batch again
under such a limit passes all of it, also where a later attempt carries that on. A host of which it is not known
what a step did there gets it again from nobody, before a person or a probe has said. What was recorded counts whether
or not the slice was ended: one that was cut off leaves its failures, and what it began and nobody knows of.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from itmp.audit import Event
from itmp.change import retries
from itmp.plan import LeafStep, Manifest, RollingStep

UNKNOWN: Final = "unknown"
_BAD: Final = {"failed": "failed", "unreachable": "unreachable", "denied": "failed", UNKNOWN: UNKNOWN}


class Asked:
    """Follows the beginnings, slices and reconciliations of a change's runs."""

    def __init__(self, manifest: Manifest) -> None:
        self._blocks = {
            inner.id: [one.id for one in block.steps]
            for block in manifest.steps
            if isinstance(block, RollingStep)
            for inner in block.steps
        }
        self._reach: dict[str, frozenset[str]] = {}
        self._signed: dict[str, frozenset[str]] = {}
        self._bad: dict[tuple[str, str, str], str] = {}

    def begin(self, event: Event, limit: str, granted: Iterable[str]) -> str:
        """Take the beginning of a run on `granted` hosts; say what nobody signed, empty for nothing."""
        run, data, hosts = event.run, event.data or {}, frozenset(granted)
        reach = self._reach.setdefault(run, hosts)
        signed = self._signed[run] = retries(limit)
        if event.type != "run.resumed":
            return ""
        if other := sorted((_texts(data.get("skip")) & reach) ^ (reach - hosts)):
            return f"run {run} goes on without {other[0]:.80} in the log or in what was signed, not in both"
        if other := sorted(_texts(data.get("retry")) ^ signed):
            return f"run {run} tries {other[0]:.80} hosts again in the log or in what was signed, not in both"
        return ""

    def retried(self, run: str) -> bool:
        """Whether a person signed, for the present attempt, that some states are tried again."""
        return bool(self._signed.get(run))

    def again(self, run: str, step: LeafStep, phase: str, hosts: Collection[str]) -> str:
        """Take the intent of a slice; say which host it takes up that nobody signed to try again."""
        for host in hosts if phase == "do" else ():
            state = self._bad.get((run, step.id, host), "")
            if state == UNKNOWN:
                return f"{step.id} on {host:.80} is done again, and nobody has said what became of it there"
            free = step.always or step.on_failure == "continue"
            if state and not free and state not in self._signed.get(run, frozenset()):
                return f"{step.id} on {host:.80}, which was {state}, is tried again, and nobody signed that"
            self._pass_again(run, step.id, host)
        return ""

    def _pass_again(self, run: str, step: str, host: str) -> None:
        """Take that a host begins a step of its batch: the failures there that are to be tried again are history."""
        signed = self._signed.get(run, frozenset())
        for key in ((run, one, host) for one in self._blocks.get(step, ())):
            if self._bad.get(key, "") in signed:
                del self._bad[key]

    def remember(self, place: tuple[str, str, str], states: Mapping[str, str]) -> None:
        """Take what became of hosts in a slice, so far or at its end, or by a person's or a probe's word."""
        run, step, phase = place
        if phase == "do":
            found = {host: _BAD.get(state, "") for host, state in states.items()}
            self._bad |= {(run, step, host): state for host, state in found.items()}


def _texts(value: Any) -> frozenset[str]:
    return frozenset(map(str, value)) if isinstance(value, list) else frozenset()
