"""What is about to happen must be what was approved.

Rules kept here, for each action, before it happens:
1. its target belongs to the slice, a delegate was declared, and the runner has not found by itself that it lies
   outside the plan (a connection that leads elsewhere, a task that waits for a person, a file of tasks that is no
   longer as it was laid out): from whatever file the action comes;
2. Ansible: (path, line, action) is in the step's expected work. Only where the plan says that a dynamic
   include is opaque may a task come from another artifact of the plan, and never from a file whose tasks are
   all known;
3. Pulumi: the operation on that resource is one of the plan's.
The first rule that is broken raises `ConformanceError`, which says after which approved line the plan was left, or
before which one where the host had not acted yet in the slice, and what to declare where a declaration would have
allowed it.
"""

from typing import Final, assert_never

from itmp.errors import RefusedError
from itmp.execution.doors import Action, Slice
from itmp.plan import AnsibleStep, AskStep, CheckStep, LeafStep, Plan, PulumiStep, WaitStep, word_target

_AGAIN: Final = "Then plan and approve again."
_COMPARE: Final = "Compare `itmp show` with the playbook, correct it, plan and approve again."
_WAY: Final = f"Where that host is meant to be reached like this, the inventory must say so. {_AGAIN}"
_PROJECT: Final = "project/"
# How one planned operation of the engine is reported while it is carried out.
_STAGES: Final = {"replace": frozenset({"replace", "create-replacement", "delete-replaced"})}
# Implicit fact gathering is written nowhere; the engine names it in either way.
_FACTS: Final = frozenset(
    f"ansible.{collection}.{name}"
    for collection in ("builtin", "legacy")
    for name in ("setup", "gather_facts")
)


class ConformanceError(RefusedError):
    """Something outside the approved plan was about to happen; the slice was stopped before it."""


class Conformance:
    """The rules of one slice, indexed once because every action meets them."""

    def __init__(self, plan: Plan, part: Slice) -> None:
        step: LeafStep = part.step
        self._part = part
        self._last: dict[str, str] = {}
        self._first = ""
        self._targets = frozenset(targets(part))
        self._delegates = self._targets
        self._work: frozenset[tuple[str, int, str]] = frozenset()
        self._files: frozenset[str] = frozenset()
        self._unknown: frozenset[str] = frozenset()
        self._operations: frozenset[tuple[str, str]] = frozenset()
        match step:
            case AnsibleStep():
                self._index(plan, step)
            case PulumiStep():
                self._operations = frozenset(
                    (operation.urn, op)
                    for operation in step.operations
                    for op in (*_STAGES.get(operation.op, ()), operation.op, "same")
                )
            case CheckStep():
                self._targets &= frozenset(step.probes)
            case AskStep() | WaitStep():
                pass  # the run itself asks and waits: no runner acts for them
            case _:
                assert_never(step)

    def _index(self, plan: Plan, step: AnsibleStep) -> None:
        self._delegates |= frozenset(step.delegates)
        begin = [f"{task.path}:{task.line}" for task in step.expected if task.section != "handler"]
        self._first = (*begin, step.playbook)[0]
        facts = [task for task in step.expected if task.section == "facts"]
        self._work = frozenset((task.path, task.line, task.action) for task in step.expected) | frozenset(
            (task.path, task.line, action) for task in facts for action in _FACTS
        )
        self._files = frozenset(task.path for task in step.expected)
        if step.opaque:
            self._unknown = (
                frozenset(p for p in plan.manifest.artifacts if p.startswith(_PROJECT)) - self._files
            )

    def check(self, action: Action) -> None:
        """Return when `action` conforms; raise `ConformanceError` when it does not."""
        step = self._part.step
        if action.host not in self._targets:
            do = f"Where a task adds it (add_host), list it under `adds:` of step {step.id}. {_AGAIN}"
            self._refuse(action, f"{action.host!r:.120} is not a target of {self._part.key}", do)
        if isinstance(step, PulumiStep):
            if (action.host, action.action) not in self._operations:
                self._refuse(action, f"operation {action.action!r:.60} on it was not approved", _COMPARE)
        elif action.delegate and action.delegate not in self._delegates:
            do = f"List it under `delegates:` of step {step.id}. {_AGAIN}"
            self._refuse(action, f"delegation to {action.delegate!r:.120} was not declared", do)
        elif action.outside:
            do = f"{action.do[:300]} {_AGAIN}" if action.do else _WAY
            self._refuse(action, action.outside[:300], do)
        elif isinstance(step, AnsibleStep):
            if not self._expected(action):
                what = f"{action.action!r:.120} at {action.path!r:.200}:{action.line} was not approved"
                self._refuse(action, what, _COMPARE)
            self._last[action.host] = f"{action.path}:{action.line}"

    def _expected(self, action: Action) -> bool:
        return (action.path, action.line, action.action) in self._work or action.path in self._unknown

    def _refuse(self, action: Action, why: str, do: str) -> None:
        at = f" at {action.path}:{action.line}" if action.path and do != _COMPARE else ""
        raise ConformanceError(
            f"outside the approved plan: {why}{at[:300]}{self._left(action)[:300]}",
            where=f"{self._part.key} on {action.host}"[:300],
            do=f"It was not done. {do}",
        )

    def _left(self, action: Action) -> str:
        last = self._last.get(action.host)
        if last == f"{action.path}:{action.line}":  # it had been asked for before its connection was known
            return ""
        return f", after {last}" if last else f", before {self._first}" if self._first else ""


def conform(plan: Plan, part: Slice, action: Action) -> None:
    """Return when `action` of slice `part` is what `plan` says; raise `ConformanceError` when it is not."""
    Conformance(plan, part).check(action)


def targets(part: Slice) -> tuple[str, ...]:
    """Return what a slice acts on: its hosts, the resources that its operations would change, or its question."""
    if isinstance(part.step, AskStep | WaitStep):
        return (word_target(part.step),)
    if isinstance(part.step, PulumiStep):
        return tuple(operation.urn for operation in part.step.operations if operation.op != "same")
    return part.hosts
