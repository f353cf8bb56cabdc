"""What one intent covers: targets, actions, operations, and which outcomes bear a state.

Rules kept here: everything follows from the plan and the intent's own leaf; nothing is taken from a result.
"""

from typing import Any, Final

from itmp import canonical
from itmp.audit import Event, Leaf
from itmp.canonical import Digest
from itmp.plan import (
    AnsibleStep,
    AskStep,
    CheckStep,
    HostStep,
    LeafStep,
    Plan,
    PulumiStep,
    WaitStep,
    word_target,
)

STATES: Final = frozenset({"ok", "changed", "failed", "unreachable", "skipped", "unknown", "not_reached"})
FAILURES: Final = frozenset({"failed", "denied", "unreachable"})
_FACTS: Final = frozenset(
    f"ansible.{place}.{name}" for place in ("builtin", "legacy") for name in ("setup", "gather_facts")
)
_STAGES: Final = {"replace": ("create-replacement", "delete-replaced")}


class Work:
    """What one intent covers: `slice` is the leaf of its slice, `single` that it takes one answer."""

    def __init__(self, plan: Plan, step: LeafStep, hosts: tuple[str, ...], *, leaf: Leaf) -> None:
        self.slice, self.single = leaf.hash, False
        self.place = place_of(leaf.event)
        self.outcomes: dict[str, set[str]] = {host: set() for host in hosts}
        self._step, self.operations = step, frozenset[tuple[str, str]]()
        self.targets = set(hosts)
        data = leaf.event.data or {}
        self.key, self.until = str(data.get("slice", "")), str(data.get("until", ""))
        self.passed = bool(data.get("passed"))
        if isinstance(step, AskStep | WaitStep):
            self.targets = {word_target(step)}
        self._files, self._planned = frozenset[str](), _planned(step)
        if isinstance(step, PulumiStep):
            done = [one for one in step.operations if one.op != "same"]
            self.targets = {one.urn for one in done}
            self.operations = frozenset(
                (one.urn, op) for one in step.operations for op in (one.op, "same", *_STAGES.get(one.op, ()))
            )
        if isinstance(step, AnsibleStep) and step.opaque:
            known = {task.path for task in step.expected}
            paths = (path for path in plan.manifest.artifacts if path.startswith("project/"))
            self._files = frozenset(paths) - known

    def one(self, urn: str, action: str) -> "Work":
        """The intent of one resource operation of this slice."""
        single = object.__new__(Work)
        single.key, single.until, single.passed = self.key, self.until, False
        single.slice, single.single, single._step, single._files = self.slice, True, self._step, self._files
        single._planned = self._planned
        single.targets, single.operations = {urn}, frozenset({(urn, action)})
        single.place, single.outcomes = self.place, {}
        return single

    @property
    def checks(self) -> bool:
        """Whether results of probes or waits, and not of actions, answer it."""
        return isinstance(self._step, CheckStep | WaitStep)

    @property
    def question(self) -> AskStep | None:
        """The question that it asks."""
        return self._step if isinstance(self._step, AskStep) else None

    @property
    def waits(self) -> bool:
        """Whether it only lets time pass."""
        return isinstance(self._step, WaitStep)

    @property
    def lasts(self) -> bool:
        """Whether it leaves something behind on its hosts when it is cut off: what only looks is done again."""
        return isinstance(self._step, AnsibleStep) and not self.passed

    @property
    def failures(self) -> frozenset[str]:
        """The failures that its results tell of, whether or not it ended."""
        seen = {outcome for outcomes in self.outcomes.values() for outcome in outcomes}
        return FAILURES & seen if self.lasts else frozenset()

    def probed(self, target: str) -> bool:
        """Whether the plan gives the executor a way to find out by itself what became of a target."""
        step = self._step
        return isinstance(step, PulumiStep) or (isinstance(step, HostStep) and target in step.probes)

    def bears(self, target: str, state: str) -> bool:
        """Whether the results of a host bear its state at the end of the slice.

        A stack's silent resources keep the state of an earlier slice, so only hosts are held to this; a slice
        that was cut off or lost may always say `failed` or `unknown`.
        """
        seen = self.outcomes.get(target, set())
        if self.passed:
            return state == "skipped" and not seen
        if isinstance(self._step, AskStep | WaitStep):
            return state == "unknown" or (seen == {state} if seen else state == "not_reached")
        if isinstance(self._step, PulumiStep) or state in {"failed", "unknown"}:
            return True
        return {
            "changed": "changed" in seen,
            "ok": bool(seen & {"ok", "failed", "denied", "unreachable"}) and "changed" not in seen,
            "skipped": seen == {"skipped"},
            "unreachable": "unreachable" in seen,
            "not_reached": not seen,
        }[state]

    def allows(self, event: Event) -> bool:
        """Whether the action is one of the plan's."""
        data = event.data or {}
        match self._step:
            case PulumiStep():
                return self.single and ((event.target or {}).get("id"), event.action) in self.operations
            case CheckStep() | AskStep() | WaitStep():
                return False
            case AnsibleStep() as step:
                path, delegate = str(data.get("path")), str(data.get("delegate", ""))
                place = (path, data["line"] if isinstance(data.get("line"), int) else -1, event.action)
                if delegate and delegate not in {*step.delegates, *self.targets}:
                    return False
                return place in self._planned or path in self._files


def _planned(step: LeafStep) -> frozenset[tuple[str, int, str]]:
    """Return where in the plan's files which action stands, fact gathering by each of its names."""
    expected = step.expected if isinstance(step, AnsibleStep) else ()
    facts = {(task.path, task.line, name) for task in expected if task.section == "facts" for name in _FACTS}
    return frozenset({(task.path, task.line, task.action) for task in expected} | facts)


def place_of(event: Event) -> tuple[str, str, str]:
    """The run, step and phase that an event speaks of."""
    return event.run, event.step, event.phase or "do"


def work_digest(step: LeafStep, hosts: tuple[str, ...]) -> Digest:
    """The digest of hosts and expected work, as the executor writes it into a slice's intent."""
    work: list[list[Any]]
    match step:
        case AnsibleStep():
            work = [[task.path, task.line, task.action] for task in step.expected]
        case PulumiStep():
            work = [[one.urn, one.op] for one in step.operations]
        case CheckStep():
            work = [[host, step.probes[host].kind] for host in hosts if host in step.probes]
        case AskStep():
            work = [["ask", step.question, step.answer, *step.choices]]
        case WaitStep():
            work = [["wait", step.seconds, step.until]]
    return canonical.digest(canonical.dumps({"hosts": list(hosts), "work": work}))
