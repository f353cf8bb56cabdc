"""What the log tells about a run: which slices were begun, and what became of each target there.

Rules kept here: an intent without its end leaves `unknown`, never a guess. Only three things are known of
such a slice: a host that failed stays failed; a resource whose own intent was never written was not reached,
because that intent is durable before the operation; a check, a question and a wait change nothing and come again
(a wait with the end that its newest intent wrote). Later leaves win.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from itmp import canonical
from itmp.audit import Leaf
from itmp.audit.event import Event
from itmp.canonical import Digest
from itmp.documents.guards import Value
from itmp.errors import EvidenceInvalidError
from itmp.execution.accounting import STATES, HostState, Tally
from itmp.execution.doors import Action, ActionResult
from itmp.execution.owed import Owed, pending
from itmp.execution.units import Unit, order
from itmp.plan import AnsibleStep, AskStep, CheckStep, Plan, PulumiStep, WaitStep, answer_value

Blob = Callable[[Digest], bytes]
_RESULTS: Final = frozenset({"action.finished", "check.finished"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A begun slice. `open`: it never ended; `stopped`: a person's request ended it half-way.

    `intents` maps a target to the leaf of its newest intent, `at` to that intent's place in the order of
    intents. `until` is when a wait ends, `passed` why nothing was done.
    """

    key: str
    states: Mapping[str, HostState]
    intents: Mapping[str, Digest]
    at: Mapping[str, int]
    open: bool
    stopped: bool = False
    until: str = ""
    passed: str = ""

    def with_state(self, target: str, state: HostState) -> "Begun":
        """Return it with another state for one target."""
        return replace(self, states={**self.states, target: state})


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStory:
    """A run as its leaves tell it. `slices` maps a slice's key to what is known of it, oldest first.

    `state` is empty before the run started, `running` after, else its final state. `owed` maps a slice's key and
    a host to the handlers that were notified there and did not get through; `handlers` are lines about them, and
    about those of which it is not known whether they were notified. `answers` maps a question to its answer.
    """

    slices: Mapping[str, Begun] = field(default_factory=dict)
    state: str = ""
    owed: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    handlers: tuple[str, ...] = ()
    answers: Mapping[str, Value] = field(default_factory=dict)

    @classmethod
    def from_leaves(cls, leaves: Iterable[Leaf], *, plan: Plan, blob: Blob, run: str = "") -> "RunStory":
        """Read the events of `run` (empty: of every run) among `leaves`, which are in the log's order.

        `blob` gives host lists that were too long for a leaf. Raises `EvidenceInvalidError` when the leaves
        tell of slices that `plan` does not have.
        """
        draft = _Draft({unit.key: unit for unit in order(plan.manifest)}, blob)
        for leaf in leaves:
            event = leaf.event
            if not run or event.run == run:
                draft.take(leaf.hash, event)
        return draft.story()

    def unknown(self) -> tuple[tuple[str, str], ...]:
        """Return (slice key, target) of every outcome that is not known."""
        return tuple(
            (begun.key, target)
            for begun in self.slices.values()
            for target, state in begun.states.items()
            if state == "unknown"
        )

    def with_state(self, key: str, target: str, state: HostState) -> "RunStory":
        """Return the story in which one outcome is known."""
        return replace(self, slices={**self.slices, key: self.slices[key].with_state(target, state)})


class _Episode:
    """One intent of a slice and everything that answers it."""

    def __init__(self, unit: Unit, targets: tuple[str, ...], data: Mapping[str, Any]) -> None:
        self.unit, self.targets = unit, targets
        self.until, self.passed = str(data.get("until", "")), str(data.get("passed", ""))
        self.ended: Mapping[str, HostState] | None = None
        self.stopped = False
        self.known: dict[str, HostState] = {}
        self._tally = Tally(unit.step)

    def intend(self, event: Event, leaf: Digest) -> None:
        target = (event.target or {}).get("id", "")
        self._tally.before(Action(id=leaf, host=target, action=event.action))

    def finish(self, event: Event) -> None:
        host, data = (event.target or {}).get("id", ""), event.data or {}
        path, line = str(data.get("path", "")), data.get("line", 0)
        more = data.get("more")
        self._tally.after(
            ActionResult(
                id=event.intent,
                host=host,
                action=event.action,
                outcome=event.outcome,  # type: ignore[arg-type]  # the event's schema knows only these
                path=path,
                line=line,
                data=more if isinstance(more, dict) else {},
            )
        )

    def end(self, states: Mapping[str, HostState], event: Event) -> None:
        self.ended, self.stopped = states, (event.data or {}).get("stopped") is True

    def states(self) -> dict[str, HostState]:
        found = {target: self._state(target) for target in self.targets}
        return {**found, **{target: state for target, state in self.known.items() if target in found}}

    def _state(self, target: str) -> HostState:
        if self.ended is not None:
            return self.ended.get(target, "not_reached")
        if self.passed:
            return "not_reached"
        seen = self._tally.state(target)
        match self.unit.step:
            case AnsibleStep():
                return seen if seen in {"failed", "unreachable"} else "unknown"
            case PulumiStep():
                return seen
            case CheckStep() | AskStep() | WaitStep():
                return "not_reached"


class _Draft:
    """The story while it is read."""

    def __init__(self, units: Mapping[str, Unit], blob: Blob) -> None:
        self._units, self._blob = units, blob
        self._episodes: dict[str, _Episode] = {}
        self._actions: dict[str, _Episode] = {}
        self._owed = Owed()
        self._state = ""
        self._answers: dict[str, Value] = {}

    def take(self, leaf: Digest, event: Event) -> None:
        match event.type:
            case "run.started" | "run.resumed":
                self._state = "running"
            case "run.finished":
                self._state = str((event.data or {}).get("state", ""))
            case "slice.intended":
                self._episodes[leaf] = self._begin(event)
            case "action.intended" if event.intent in self._episodes:
                self._actions[leaf] = self._episodes[event.intent]
                self._actions[leaf].intend(event, leaf)
            case "slice.finished" if event.intent in self._episodes:
                ended = self._episodes[event.intent]
                ended.end(self._states(event), event)
                self._owed.end(ended.unit.key, event.intent, ended.states())
            case "action.reconciled":
                self._reconcile(event)
            case "ask.answered" if event.intent in self._episodes:
                self._answer(self._episodes[event.intent], event)
            case kind if kind in _RESULTS:
                if episode := self._actions.get(event.intent) or self._episodes.get(event.intent):
                    episode.finish(event)
                    self._owed.finish(episode.unit.key, event)

    def story(self) -> RunStory:
        slices: dict[str, Begun] = {}
        for place, (leaf, episode) in enumerate(self._episodes.items()):
            before = slices.get(episode.unit.key)
            states = episode.states()
            slices[episode.unit.key] = Begun(
                key=episode.unit.key,
                states={**(before.states if before else {}), **states},
                intents={**(before.intents if before else {}), **dict.fromkeys(states, Digest(leaf))},
                at={**(before.at if before else {}), **dict.fromkeys(states, place)},
                open=episode.ended is None,
                stopped=episode.stopped,
                until=episode.until or (before.until if before else ""),
                passed=episode.passed if episode.ended is not None else "",
            )
        owed = self._owed.all()
        lines = tuple(pending(owed, slices, self._units))
        return RunStory(slices=slices, state=self._state, owed=owed, handlers=lines, answers=self._answers)

    def _answer(self, episode: _Episode, event: Event) -> None:
        step = episode.unit.step
        value = (
            answer_value(step, str((event.data or {}).get("value", "")))
            if isinstance(step, AskStep)
            else None
        )
        if value is not None:
            self._answers[step.id] = value

    def _begin(self, event: Event) -> _Episode:
        unit = self._units.get(str((event.data or {}).get("slice", "")))
        hosts = self._read(event, "hosts")
        if unit is None or not isinstance(hosts, list) or not set(hosts) <= set(unit.hosts):
            raise EvidenceInvalidError(
                "the log tells of a slice that this plan does not have",
                where=f"{event.change} {event.run} {event.step}",
                do="The plan given is not the one that ran, or the log is damaged: run `itmp audit verify`.",
            )
        return _Episode(unit, unit.targets if unit.whole else tuple(hosts), event.data or {})

    def _states(self, event: Event) -> dict[str, HostState]:
        states = self._read(event, "hosts")
        if not isinstance(states, dict) or not set(states.values()) <= STATES:
            raise EvidenceInvalidError(
                "a slice that ended in states unknown here", where=f"{event.run} {event.step}"
            )
        return states

    def _reconcile(self, event: Event) -> None:
        target = (event.target or {}).get("id", "")
        named = self._actions.get(event.intent) or self._episodes.get(event.intent)
        for episode in [named] if named else self._episodes.values():
            if (
                target in episode.targets
                and event.outcome in STATES
                and episode.states()[target] == "unknown"
            ):
                episode.known[target] = event.outcome
                self._owed.settle(episode.unit.key, target, event.outcome)

    def _read(self, event: Event, name: str) -> Any:
        data = event.data or {}
        if name in data:
            return data[name]
        wanted = canonical.parse_digest(data.get(f"{name}_blob", ""))
        content = self._blob(wanted)
        if canonical.digest(content) != wanted:
            raise EvidenceInvalidError("a blob holds other bytes than its name says", where=wanted)
        return canonical.loads(content)
