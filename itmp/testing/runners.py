"""Scripted stand-ins for what a run acts through: they keep the doors' contracts and fail as told.

Rules kept here: a `World` remembers every effect, so a test can ask what really happened and compare it with
what the log says. A `Fuse` blows at the n-th node it passes, before or after an effect, so that each effect
can fail in both ways: not done, and done but reported failed. `Killed` is no `Exception`: nothing catches it.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from itmp.change import Permit
from itmp.errors import Error
from itmp.execution.doors import Action, ActionResult, Observer, Outcome, Room, Slice, Verdict
from itmp.plan import AnsibleStep, AskStep, CheckStep, Plan, PulumiStep, WaitStep, all_steps


class Killed(BaseException):
    """The process died here."""


class BrokeDownError(Error):
    """The runner broke down."""


class Fuse:
    """Blows once, at node `at` (from 0; `None`: never), with what `blow` makes. `nodes` names all passed."""

    def __init__(self, at: int | None = None, blow: Callable[[], BaseException] = Killed) -> None:
        self.nodes: list[str] = []
        self._at, self._blow = at, blow

    def node(self, name: str) -> None:
        """Pass one node, or blow there."""
        self.nodes.append(name)
        if len(self.nodes) - 1 == self._at:
            raise self._blow()


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """One thing that really happened; `at` is how many leaves were durable then."""

    slice: str
    host: str
    action: str
    line: int
    at: int
    delegate: str = ""


@dataclass(slots=True)
class World:
    """What really happened, in order; `left_over` are slices in which a runner died.

    `durable` says how many leaves the log would keep in a power cut; without one, none.
    """

    effects: list[Effect] = field(default_factory=list)
    left_over: list[str] = field(default_factory=list)
    swept: list[str] = field(default_factory=list)
    durable: Callable[[], int] = int

    def happen(self, part: Slice, action: Action) -> None:
        """Let `action` happen."""
        self.effects.append(
            Effect(
                slice=part.key,
                host=action.host,
                action=action.action,
                line=action.line,
                at=self.durable(),
                delegate=action.delegate,
            )
        )

    def of(self, key: str, host: str) -> list[Effect]:
        """Return the effects of one slice on one host."""
        return [effect for effect in self.effects if (effect.slice, effect.host) == (key, host)]


Ending = Literal["failed", "unreachable", "silent", "hang", "skipped", "unknown", "rescued", "ignored"]


class ScriptedRunner:
    """A `Runner` for every kind of step: task by task over all hosts, each host in the tasks' order.

    `script` maps (step id, host or urn) to how it ends there, one ending per attempt and fine after the last:
    `failed` and `unreachable` at its first action, `silent` never answers, `hang` asks for its last action
    and never reports it, `ignored` fails and goes on. `strays` are actions to attempt first in each slice of
    a step; `breaks` maps a step's id to how many actions go well before the runner breaks down.
    """

    def __init__(
        self,
        world: World,
        *,
        script: Mapping[tuple[str, str], Iterable[Ending | None]] | None = None,
        strays: Mapping[str, Action] | None = None,
        breaks: Mapping[str, int] | None = None,
        fuse: Fuse | None = None,
    ) -> None:
        self._world, self._fuse = world, fuse or Fuse()
        self._script = {key: list(endings) for key, endings in (script or {}).items()}
        self._strays, self._breaks = dict(strays or {}), dict(breaks or {})

    def run(self, permit: Permit, plan: Plan, part: Slice, *, room: Room, observer: Observer) -> None:
        """Carry out `part` as scripted."""
        if permit.plan != plan.digest or permit.run != room.run:
            raise Error("called with a permit that is not this run's")
        try:
            self._run(part, observer)
        except Killed:
            self._world.left_over.append(part.key)
            raise

    def sweep(self, plan: Plan, part: Slice, *, room: Room) -> tuple[str, ...]:  # noqa: ARG002 -- the door's signature
        """End what was left over of `part`."""
        self._fuse.node(f"sweep {part.key}")
        found = tuple(f"{room.token} {key}" for key in self._world.left_over if key == part.key)
        self._world.left_over = [key for key in self._world.left_over if key != part.key]
        self._world.swept.append(part.key)
        return found

    def _run(self, part: Slice, observer: Observer) -> None:
        endings = {target: self._ending(part, target) for target in _targets(part)}
        if stray := self._strays.get(part.step.id):
            observer.before(stray)
            self._world.happen(part, stray)
        left = self._breaks.pop(part.step.id, None)
        out: set[str] = {target for target, ending in endings.items() if ending == "silent"}
        for action, last in _actions(part):
            if action.host in out or (
                isinstance(part.step, PulumiStep) and self._world.of(part.key, action.host)
            ):
                continue  # an engine passes what is already there in silence
            if left == 0:
                raise BrokeDownError("the runner broke down")
            left = None if left is None else left - 1
            if not self._act(part, action, endings[action.host], observer, last=last):
                out.add(action.host)

    def _act(
        self, part: Slice, action: Action, ending: Ending | None, observer: Observer, *, last: bool
    ) -> bool:
        """Perform one action; return whether its host goes on."""
        observer.before(action)
        self._fuse.node(f"before {action.id}")
        outcome = _outcome(part, ending)
        if outcome not in {"skipped", "unreachable"}:
            self._world.happen(part, action)
        self._fuse.node(f"after {action.id}")
        if ending == "hang" and last:
            return False
        observer.after(_result(action, outcome, ignored=ending == "ignored"))
        return ending not in {"failed", "unreachable"}

    def _ending(self, part: Slice, target: str) -> Ending | None:
        endings = self._script.get((part.step.id, target))
        return endings.pop(0) if endings else None


class ScriptedProber:
    """A `Prober` that looks into the `World`; about targets in `blind` nothing can be known."""

    def __init__(self, world: World, *, blind: Iterable[str] = (), fuse: Fuse | None = None) -> None:
        self._world, self._blind, self._fuse = world, frozenset(blind), fuse or Fuse()

    def probe(
        self,
        plan: Plan,
        part: Slice,
        targets: tuple[str, ...],
        *,
        room: Room,  # noqa: ARG002 -- the door's signature
    ) -> dict[str, Verdict]:
        """Answer `done` when every action of `part` has happened on a target, and nothing before it since."""
        return {host: self._answer(plan, part, host) for host in targets}

    def _answer(self, plan: Plan, part: Slice, host: str) -> Verdict:
        self._fuse.node(f"probe {part.key} {host}")
        if host in self._blind:
            return "cannot_know"
        wanted = {(action.action, action.line) for action, _ in _actions(part) if action.host == host}
        there = {(effect.action, effect.line) for effect in self._lasting(plan, part, host)}
        return "done" if wanted <= there else "not_done"

    def _lasting(self, plan: Plan, part: Slice, host: str) -> list[Effect]:
        """Return the effects of `part` on `host` since a step before it was last carried out there."""
        ids = [step.id for step in all_steps(plan.manifest)]
        lasting: list[Effect] = []
        for effect in self._world.effects:
            name, _, batch = effect.slice.partition("@")
            if effect.slice == part.key and effect.host == host:
                lasting.append(effect)
            elif effect.host == host and batch and part.key.endswith(f"@{batch}"):
                earlier = ids.index(name) < ids.index(part.step.id) and effect.action != "check"
                lasting = [] if earlier else lasting
        return lasting


class ScriptedObserver:
    """An `Observer` that notes everything; it refuses `refuse` ids and fails after noting `lose` ids."""

    def __init__(self, *, refuse: Iterable[str] = (), lose: Iterable[str] = ()) -> None:
        self.before_: list[Action] = []
        self.after_: list[ActionResult] = []
        self._refuse, self._lose = frozenset(refuse), frozenset(lose)

    def before(self, action: Action) -> None:
        """Note `action`, or refuse it."""
        if action.id in self._refuse:
            raise Error(f"refused: {action.id}")
        self.before_.append(action)

    def after(self, result: ActionResult) -> None:
        """Note `result`."""
        self.after_.append(result)
        if result.id in self._lose:
            raise Error(f"noted, and yet failed: {result.id}")


def _targets(part: Slice) -> list[str]:
    return list(dict.fromkeys(action.host for action, _ in _actions(part)))


def _actions(part: Slice) -> list[tuple[Action, bool]]:
    """Return every action of a slice in order, and whether it is its target's last."""
    match part.step:
        case AnsibleStep(expected=expected):
            tasks = [task for task in expected if task.section == "task"]
            return [
                (
                    Action(
                        id=f"{part.key}/{task.line}/{host}",
                        host=host,
                        action=task.action,
                        path=task.path,
                        line=task.line,
                        name=task.name,
                    ),
                    task is tasks[-1],
                )
                for task in tasks
                for host in part.hosts
            ]
        case CheckStep():
            return [(Action(id=f"{part.key}/{host}", host=host, action="check"), True) for host in part.hosts]
        case PulumiStep(operations=operations):
            return [
                (
                    Action(
                        id=one.urn,
                        host=one.urn,
                        action=one.op,
                        before={name: change.old for name, change in one.inputs.items()},
                        after={name: change.new for name, change in one.inputs.items()},
                    ),
                    True,
                )
                for one in operations
                if one.op != "same"
            ]
        case AskStep() | WaitStep():
            return []  # the run itself asks and waits


def _outcome(part: Slice, ending: Ending | None) -> Outcome:
    match ending:
        case "failed" | "ignored":
            return "failed"
        case "unreachable" | "skipped" | "unknown":
            return ending
        case _:
            return "ok" if isinstance(part.step, CheckStep) else "changed"


def _result(action: Action, outcome: Outcome, *, ignored: bool) -> ActionResult:
    return ActionResult(
        id=action.id,
        host=action.host,
        action=action.action,
        outcome=outcome,
        path=action.path,
        line=action.line,
        name=action.name,
        message=f"{action.name or action.action} {outcome}",
        data={"ignored": True} if ignored else {},
    )
