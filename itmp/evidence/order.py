"""The order in which slices may begin: that of the plan (part of rule 12 of `itmp.evidence.verify`).

Rules kept here:
- A slice is one of the plan's by its own key: step, batch and hosts belong together.
- Under one permit slices begin in the plan's order, each once: batch after batch, undo last and in its own order.
- Over a whole run no host goes back: what begins on it comes later in the plan than what began on it before, or is the
  same again. There are three ways back: to the beginning of a batch that was closed, by an `always` step, before the
  host had passed it; where the plan itself goes on past a failure (`on_failure: continue`, or a step's id), to that
  failure and on from there; and to exactly those slices that were passed over. The last two are open once a person has
  signed to try a failure again or an unknown outcome was reconciled, or where something had not even been reached.
- Once the undo of a run has begun, nothing of it is done any more; an undo step runs only on hosts where something was
  begun, and where it takes one step back, where that one was. What was passed over was not begun.
Steps that are left out are not judged here: a success that did not do them all breaks rule 15.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from itmp.plan import AnsibleStep, LeafStep, Manifest, RollingStep, slices

_OPENS_NOTHING: Final = "check"
_HALTS: Final = frozenset({"stop", "undo"})
_BAD: Final = frozenset({"failed", "unreachable", "unknown", "not_reached"})
Settled: TypeAlias = tuple[str, str, str]
"""Run, step and host of what has been done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a slice stands: `at` counts over both phases; `batch` is its block and number, where it has one.

    `lenient` says that the plan goes on past its failures: by its own `on_failure` or that of its block.
    """

    at: int
    step: LeafStep
    hosts: frozenset[str]
    phase: str
    batch: tuple[str, int] | None
    lenient: bool


class Order:
    """Follows the slices of a change's runs as they begin."""

    def __init__(self, manifest: Manifest) -> None:
        self._places = dict(_places(manifest))
        self._permits: dict[str, int] = {}
        self._undoing: set[str] = set()
        self._hosts: dict[tuple[str, str, str], Place] = {}
        self._begun: dict[tuple[str, str], dict[str, None]] = {}
        self._closed: dict[tuple[str, str], Place] = {}
        self._led: dict[str, int] = {}
        self._over: dict[str, set[int]] = {}
        self._failed: dict[str, int] = {}
        self._lifted: set[str] = set()

    def problem(self, key: str, step: str, phase: str, hosts: Collection[str]) -> str:
        """Say why no slice of the plan is called so; empty when one is."""
        place = self._places.get(key)
        if place is None or (place.step.id, place.phase) != (step, phase) or not set(hosts) <= place.hosts:
            return f"slice {key!r:.80} of step {step!r:.80} on these hosts is not in the plan"
        return ""

    def begin(
        self, key: str, hosts: Collection[str], *, run: str, permit: str, passed: bool, retried: bool
    ) -> str:
        """Take the begin of a slice; say which order it breaks, empty for none.

        `passed` says that it is passed over, `retried` that a person signed under this permit to try failures again.
        """
        place = self._places[key]
        if place.at <= self._permits.get(permit, -1):
            return f"slice {key} begins after a later one"
        if place.phase == "undo":
            self._undoing.add(run)
        elif run in self._undoing:
            return f"slice {key} begins after the undo of its run"
        if missing := self._never_begun(place, run, hosts):
            return f"{key} takes back on {missing:.80} what was never begun there"
        if retried:  # also for later attempts: what was to be tried again may not have been reached
            self.lift(run)
        led_past = place.at >= self._led.get(run, place.at + 1) or place.at in self._over.get(run, ())
        back = sorted(host for host in hosts if not self._onward(place, run, host))
        if back and not (place.phase == "do" and led_past and run in self._lifted):
            return f"{back[0]:.80} goes back to {key}"
        self._permits[permit] = place.at
        if passed:  # its reason may be gone when a failure is tried again: the run then comes back to it
            self._over.setdefault(run, set()).add(place.at)
        self._note(place, run, hosts, passed=passed)
        return ""

    def end(self, key: str, states: Collection[str], *, run: str) -> None:
        """Take the end of a slice: where the plan leads past its failures, a run may come back to it."""
        place, bad = self._places[key], _BAD & set(states)
        if place.phase != "do" or not bad:
            return
        same = [other.at for other in self._places.values() if place.batch and other.batch == place.batch]
        self._failed[run] = min([*same, place.at, self._failed.get(run, place.at)])
        if place.lenient:  # hosts that had failed before may take part again, too
            self._led[run] = min(self._failed[run], self._led.get(run, place.at))
            if "not_reached" in bad:
                self.lift(run)  # nothing was done there: nobody needs to sign that it is done now

    def lift(self, run: str) -> None:
        """Take that what was bad in a run may be so no more: it is known now, or to be tried again."""
        self._lifted.add(run)

    def passed_again(
        self, key: str, hosts: Collection[str], *, run: str, settled: set[Settled]
    ) -> set[Settled]:
        """Return what of `settled` may be done again, because `key` closes a batch that hosts have not passed."""
        place = self._places[key]
        if not place.step.always or place.batch is None:
            return set()
        batch = [other for other in self._places.values() if other.batch == place.batch]
        stuck = {host for host in hosts if self._stuck(place, run, host, settled)}
        ids = {other.step.id for other in batch if not other.step.always}
        return {one for one in settled if one[0] == run and one[1] in ids and one[2] in stuck}

    def reopened(self, key: str, host: str, *, run: str, settled: set[Settled]) -> bool:
        """Whether the batch of `key` was closed before `host` had passed it, and so is passed again."""
        batch, closing = self._places[key].batch, self._closed.get((run, host))
        return closing is not None and closing.batch == batch and self._stuck(closing, run, host, settled)

    def _stuck(self, closing: Place, run: str, host: str, settled: set[Settled]) -> bool:
        """Whether anything that opens the batch of `closing` before it is not done on `host`."""
        return any(
            other.batch == closing.batch and other.at < closing.at and host in other.hosts
            and not other.step.always and other.step.kind != _OPENS_NOTHING
            and (run, other.step.id, host) not in settled
            for other in self._places.values()
        )  # fmt: skip

    def _never_begun(self, place: Place, run: str, hosts: Collection[str]) -> str:
        named = place.step.undoes if isinstance(place.step, AnsibleStep) else ""
        for host in sorted(hosts) if place.phase == "undo" else ():
            begun = self._begun.get((run, host), {})
            if not begun or (named and named not in begun):
                return host
        return ""

    def _onward(self, place: Place, run: str, host: str) -> bool:
        before = self._hosts.get((run, place.phase, host))
        if before is None or place.step.always or place.at >= before.at:
            return True
        closing = self._closed.get((run, host))
        return closing is not None and place.batch == before.batch == closing.batch

    def _note(self, place: Place, run: str, hosts: Collection[str], *, passed: bool) -> None:
        for host in hosts:
            if place.phase == "do" and not passed:
                self._begun.setdefault((run, host), {})[place.step.id] = None
            if not place.step.always:
                self._hosts[run, place.phase, host] = place
                self._closed.pop((run, host), None)
            elif place.batch is not None:
                self._closed[run, host] = place


def _places(manifest: Manifest) -> Iterator[tuple[str, Place]]:
    blocks = {
        inner.id: step for step in manifest.steps if isinstance(step, RollingStep) for inner in step.steps
    }
    at = 0
    for phase in ("do", "undo"):
        for part in slices(manifest, phase):
            key = part.step.id if phase == "do" else f"undo:{part.step.id}"
            block = blocks.get(part.step.id) if part.batch else None
            batch = (block.id, part.batch) if block else None
            reactions = {part.step.on_failure, *((block.on_failure,) if block else ())}
            yield (
                f"{key}@{part.batch}" if part.batch else key,
                Place(
                    at=at,
                    step=part.step,
                    hosts=frozenset(part.hosts),
                    phase=phase,
                    batch=batch,
                    lenient=not reactions <= _HALTS,
                ),
            )
            at += 1
