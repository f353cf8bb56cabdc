"""What became of every target: one state each, none forgotten.

Rules kept here: silence is a state. A target that was asked about but never answered is `unknown`; one that
was never asked about is `not_reached`, because a runner acts only after it has asked. A target that fell
silent when its runner broke down is `unknown`; one that we cut off between two actions `failed`, and all it
did is in the log. What was started in the background is `unknown` until a later action found its end.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from itmp.execution.doors import Action, ActionResult
from itmp.plan import AnsibleStep, LeafStep

HostState: TypeAlias = Literal["ok", "changed", "failed", "unreachable", "skipped", "unknown", "not_reached"]
Ending: TypeAlias = Literal["returned", "cut", "lost", "unlogged"]
"""How a slice's effect ended: the runner returned; we stopped it between actions; it broke down; the log
failed."""

_WORST_FIRST: Final[tuple[HostState, ...]] = (
    "unknown",
    "failed",
    "unreachable",
    "not_reached",
    "changed",
    "ok",
    "skipped",
)
_RANK: Final = {state: rank for rank, state in enumerate(_WORST_FIRST)}
STATES: Final = frozenset(_WORST_FIRST)
GOOD: Final[frozenset[HostState]] = frozenset({"ok", "changed", "skipped"})


def combine(states: Iterable[HostState]) -> HostState:
    """Return the one state that stands for several of the same target; `not_reached` when there is none.

    The worst one wins. A target that got through some slices and never reached another is `not_reached`: the
    plan is not carried out there.
    """
    return min(states, key=_RANK.__getitem__, default="not_reached")


def account(targets: Iterable[str], slices: Iterable[Mapping[str, HostState]]) -> dict[str, HostState]:
    """Return one state for each of `targets`, from what each slice says about its own."""
    gathered: dict[str, list[HostState]] = {target: [] for target in targets}
    for states in slices:
        for target, state in states.items():
            if target in gathered:
                gathered[target].append(state)
    return {target: combine(states) for target, states in gathered.items()}


@dataclass(slots=True)
class _Seen:
    """What one target did within a slice."""

    waiting: set[str] = field(default_factory=set)
    outcomes: set[str] = field(default_factory=set)
    background: set[str] = field(default_factory=set)
    trouble: HostState | None = None


class Tally:
    """Follows one slice, action by action, and says at its end what became of each target."""

    def __init__(self, step: LeafStep) -> None:
        expected = step.expected if isinstance(step, AnsibleStep) else ()
        self._sections = {(task.path, task.line): task.section for task in expected}
        self._seen: dict[str, _Seen] = {}

    def before(self, action: Action) -> None:
        """Note that `action` may now happen."""
        self._seen.setdefault(action.host, _Seen()).waiting.add(action.id)

    def after(self, result: ActionResult) -> None:
        """Note what happened."""
        seen = self._seen.setdefault(result.host, _Seen())
        seen.waiting.discard(result.id)
        started = _names(result.data.get("started"))
        seen.background = (seen.background | started) - _names(result.data.get("ended"))
        if not started:
            seen.outcomes.add(result.outcome)
        seen.trouble = self._trouble(seen.trouble, result)

    def asked(self) -> bool:
        """Whether any action was asked about."""
        return bool(self._seen)

    def states(self, targets: Iterable[str], ending: Ending) -> dict[str, HostState]:
        """Return one state for each of `targets`."""
        return {target: self.state(target, ending) for target in targets}

    def state(self, target: str, ending: Ending = "returned") -> HostState:
        """Return what became of one target."""
        seen = self._seen.get(target)
        if ending == "unlogged":
            return "unknown"
        if seen is None or (not (seen.waiting | seen.background) and seen.outcomes <= {"not_reached"}):
            return "not_reached"
        if seen.waiting or seen.background or "unknown" in seen.outcomes:
            return "unknown"
        if seen.trouble:
            return seen.trouble
        if ending == "returned":
            return _quiet(seen.outcomes)
        return "failed" if ending == "cut" else "unknown"

    def _trouble(self, so_far: HostState | None, result: ActionResult) -> HostState | None:
        excused = result.data.get("ignored") is True or result.data.get("rescued") is True
        if result.outcome in {"failed", "denied", "unreachable"} and not excused:
            return "unreachable" if result.outcome == "unreachable" else "failed"
        # Ansible gives a failed host nothing more but handlers and `always`. A later task or rescue there
        # proves that its failure was ignored or rescued; a task of unknown place proves nothing.
        section = self._sections.get((result.path, result.line))
        return None if section in {"task", "rescue"} else so_far


def _names(value: object) -> set[str]:
    return set(map(str, value)) if isinstance(value, list | tuple) else set()


def _quiet(outcomes: set[str]) -> HostState:
    if "changed" in outcomes:
        return "changed"
    if outcomes & {
        "ok",
        "failed",
        "denied",
        "unreachable",
    }:  # of which those that failed were ignored or rescued
        return "ok"
    return "skipped"
