"""The runbook document, `itmp: runbook/v1`.

Rules kept here: a step has exactly one kind, seen by its key; a step that cannot stand where it stands is refused
with the reason; every finding of the document is reported at once, at its place.
"""

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Annotated, Any, Final, Literal, TypeAlias, cast

from pydantic import BeforeValidator, Discriminator, Field, StringConstraints, Tag, WithJsonSchema
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError

from itmp.documents import Block, Document, Problem
from itmp.documents.checks import Check, Probe, check_findings
from itmp.documents.knobs import STACK_TIMEOUT
from itmp.documents.model import ExecutionEnvironment, Loc
from itmp.documents.scalars import (
    BatchSize,
    Duration,
    HostAddress,
    HostName,
    HostPattern,
    Line,
    Name,
    Templated,
    VariableName,
)
from itmp.documents.secrecy import holds_reference, is_reference, parse_reference
from itmp.errors import InvalidInputError
from itmp.plan.guarding import REACTIONS
from itmp.runbook.guarding import Stage, guard_findings, jump_findings
from itmp.runbook.stacks import Placed, StackBlock, stack_findings
from itmp.runbook.words import AskBlock, GuardText, PauseRule, WaitBlock

_KINDS: Final = ("playbook", "tasks", "check", "stack", "rolling", "ask", "wait")

CatalogName = Annotated[
    str,
    StringConstraints(
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$", max_length=120
    ),
]
TaskTag = Annotated[str, StringConstraints(pattern=r"^[^\s,{}]+$", max_length=120)]


class NewHost(Block):
    """A host that no inventory holds and that a play adds: where it will answer."""

    name: HostName
    address: HostAddress
    port: Annotated[int, Field(ge=1, le=65535)] = 22


class _Step(Block):
    """What all steps share."""

    id: Name | None = None
    title: Line | None = None
    on_failure: Name = "stop"
    when: GuardText | None = None


class _OnHosts(_Step):
    """A step that acts on hosts or asks them."""

    hosts: HostPattern | None = None
    always: bool = False


class _Acting(_OnHosts):
    """A step that runs Ansible."""

    vars: dict[VariableName, Any] = Field(default_factory=dict)
    delegates: tuple[HostName, ...] = ()
    adds: tuple[HostName | NewHost, ...] = ()
    probe: Probe | None = None
    per_slice: bool = False
    timeout: Templated[Duration] = 3600
    undo: "_OwnUndo | None" = None


class Misplaced(_Step):
    """A kind of step that cannot stand where it was written."""


class PlaybookStep(_Acting):
    """Run a playbook of the catalog."""

    playbook: CatalogName
    tags: tuple[TaskTag, ...] = ()
    skip_tags: tuple[TaskTag, ...] = ()


class TasksStep(_Acting):
    """Run tasks written in the runbook."""

    tasks: Annotated[tuple[dict[str, Any], ...], Field(min_length=1)]
    gather_facts: bool = False


class CheckStep(_OnHosts):
    """Ask until the answer is right or `within` has passed."""

    check: Check
    within: Templated[Duration] = 60


class StackStep(_Step):
    """Turn knobs of living resources through a stack, or set them back."""

    stack: StackBlock
    timeout: Templated[Duration] = STACK_TIMEOUT


class AskStep(_Step):
    """Ask people; the run waits for a signed answer."""

    ask: AskBlock


class WaitStep(_Step):
    """Let time pass."""

    wait: WaitBlock


class Rolling(Block):
    """Which hosts, in batches of which sizes, and how many may fail over the whole run."""

    hosts: HostPattern
    batches: Annotated[tuple[BatchSize, ...], Field(min_length=1)]
    max_failures: Templated[Annotated[int, Field(ge=0)]] = 0
    pause: PauseRule | None = None


def _kind(value: Any) -> str | None:
    keys = value if isinstance(value, dict) else ()
    return next((f"<{kind}>" for kind in _KINDS if kind in keys), None) or _meant(keys)


def _meant(keys: Iterable[str]) -> str | None:
    """Return the kind that a misspelled key means, so that the misspelling itself is what is reported."""
    near = (get_close_matches(str(key), _KINDS, n=1, cutoff=0.8) for key in keys)
    return next((f"<{found[0]}>" for found in near if found), None)


def _undo_kind(value: Any) -> str | None:
    kind = _kind(value)
    return {"<rolling>": "<nested>", "<ask>": "<forward>", "<wait>": "<forward>"}.get(str(kind), kind)


def _inner_kind(value: Any) -> str | None:
    kind = _kind(value)
    return {"<rolling>": "<nested>", "<stack>": "<whole>", "<ask>": "<asked>"}.get(str(kind), kind)


def _refuse_forward(_value: Any) -> Any:
    raise PydanticCustomError("forward", "undo neither asks nor waits: nothing may hold it up")


def _refuse_asked(_value: Any) -> Any:
    message = "a question cannot stand inside rolling; to ask between batches write pause in the block's head"
    raise PydanticCustomError("asked", message)


def _refuse_nested(_value: Any) -> Any:
    raise PydanticCustomError("nested", "rolling cannot stand here")


def _refuse_whole(_value: Any) -> Any:
    message = "a stack cannot stand inside rolling: it is updated as a whole, before the block or after it"
    raise PydanticCustomError("whole", message)


_NO_KIND: Final = f"a step has one of the keys {', '.join(_KINDS)}"
_ForwardStep = Annotated[SkipJsonSchema[Misplaced], BeforeValidator(_refuse_forward), Tag("<forward>")]
_AskedStep = Annotated[SkipJsonSchema[Misplaced], BeforeValidator(_refuse_asked), Tag("<asked>")]
_NestedStep = Annotated[SkipJsonSchema[Misplaced], BeforeValidator(_refuse_nested), Tag("<nested>")]
_Playbook = Annotated[PlaybookStep, Tag("<playbook>")]
_Tasks = Annotated[TasksStep, Tag("<tasks>")]
_Check = Annotated[CheckStep, Tag("<check>")]
_Stack = Annotated[StackStep, Tag("<stack>")]
_Ask = Annotated[AskStep, Tag("<ask>")]
_Wait = Annotated[WaitStep, Tag("<wait>")]
_WholeStep = Annotated[SkipJsonSchema[Misplaced], BeforeValidator(_refuse_whole), Tag("<whole>")]
_InnerStep = Annotated[
    _Playbook | _Tasks | _Check | _Wait | _AskedStep | _NestedStep | _WholeStep,
    Discriminator(_inner_kind, custom_error_type="kind", custom_error_message=_NO_KIND),
]
_UndoStep = Annotated[
    _Playbook | _Tasks | _Check | _Stack | _ForwardStep | _NestedStep,
    Discriminator(_undo_kind, custom_error_type="kind", custom_error_message=_NO_KIND),
]


_OwnUndo = Annotated[
    _Playbook | _Tasks,
    Discriminator(
        _kind,
        custom_error_type="kind",
        custom_error_message="what takes a step back has one of the keys playbook, tasks",
    ),
]


class RollingStep(_Step):
    """Steps that each batch passes through together before the next batch starts."""

    rolling: Rolling
    steps: Annotated[tuple[_InnerStep, ...], Field(min_length=1)]


_AnyStep = Annotated[
    _Playbook | _Tasks | _Check | _Stack | _Ask | _Wait | Annotated[RollingStep, Tag("<rolling>")],
    Discriminator(_kind, custom_error_type="kind", custom_error_message=_NO_KIND),
]
HostStep: TypeAlias = PlaybookStep | TasksStep | CheckStep
FlatStep: TypeAlias = HostStep | StackStep | AskStep | WaitStep
AnyStep: TypeAlias = FlatStep | RollingStep


class Runbook(Document):
    """Steps over hosts and stacks, in order, and how to take them back."""

    itmp: Annotated[Literal["runbook/v1"], WithJsonSchema({"const": "runbook/v1"})]
    steps: Annotated[tuple[_AnyStep, ...], Field(min_length=1)]
    undo: tuple[_UndoStep, ...] = ()
    execution_environment: ExecutionEnvironment | None = None

    def placed(self) -> Iterator[tuple[Loc, FlatStep, RollingStep | None]]:
        """Yield each step that is no block, its place and the rolling block around it; undo steps last."""
        for index, step in enumerate(self.steps):
            if isinstance(step, RollingStep):
                for number, inner in enumerate(step.steps):
                    yield ("steps", index, "steps", number), cast("FlatStep", inner), step
            else:
                yield ("steps", index), step, None
        yield from self.own_undo()
        for index, back in enumerate(self.undo):
            yield ("undo", index), cast("FlatStep", back), None

    def own_undo(self) -> Iterator[tuple[Loc, "HostStep", RollingStep | None]]:
        """Yield what takes one step back, written inside it, in the order of undo: the last step first."""
        flat: list[tuple[Loc, object, RollingStep | None]] = []
        for index, one in enumerate(self.steps):
            if isinstance(one, RollingStep):
                places = [("steps", index, "steps", number) for number in range(len(one.steps))]
                flat.extend((loc, inner, one) for loc, inner in zip(places, one.steps, strict=True))
            else:
                flat.append((("steps", index), one, None))
        for loc, step, block in reversed(flat):
            if isinstance(step, PlaybookStep | TasksStep) and step.undo is not None:
                back = step.undo
                yield (*loc, "undo"), back.model_copy(update={"hosts": back.hosts or step.hosts}), block

    def stacks(self) -> tuple[Placed, ...]:
        """Return each stack update and its place, in the document's order."""
        return tuple(
            Placed(loc, self.step_id(loc), step.stack)
            for loc, step, _ in self.placed()
            if isinstance(step, StackStep)
        )

    def step_at(self, loc: Loc) -> AnyStep:
        """Return the step at `loc`."""
        if loc[0] == "undo":
            return cast("AnyStep", self.undo[int(loc[1])])
        step = self.steps[int(loc[1])]
        inner = isinstance(step, RollingStep) and len(loc) > 2  # noqa: PLR2004  # (steps, i, steps, j) lies inside a block
        return cast("AnyStep", step.steps[int(loc[3])] if inner and isinstance(step, RollingStep) else step)

    def pause_id(self, loc: Loc) -> str:
        """Return the id of the question between the batches of the block at `loc`."""
        return f"{self.step_id(loc)[:57]}-pause"

    def step_id(self, loc: Loc) -> str:
        """Return the id of the step at `loc`: its own, or `undo-1`, `rolling-1` and so on by position."""
        if loc[0] == "undo":
            return self.undo[int(loc[1])].id or f"undo-{int(loc[1]) + 1}"
        if loc[-1] == "undo":
            back = next(step for at, step, _ in self.own_undo() if at == loc)
            return back.id or f"undo-{self.step_id(loc[:-1])}"
        step = self.steps[int(loc[1])]
        if isinstance(step, RollingStep) and len(loc) > 2:  # noqa: PLR2004  # (steps, i, steps, j) lies inside a block
            return step.steps[int(loc[3])].id or ""
        earlier = [one for one in self.steps[: int(loc[1]) + 1] if isinstance(one, RollingStep)]
        return step.id or (f"rolling-{len(earlier)}" if isinstance(step, RollingStep) else "")

    def host_references(self, loc: Loc) -> bool:
        """Say whether `${host.…}` may stand at `loc`: inside http and tcp of checks, and in probes."""
        return "probe" in loc or ("check" in loc and bool({"http", "tcp"} & set(loc)))

    def findings(self) -> Iterator[Problem]:
        """Yield what is wrong beyond the types."""
        yield from super().findings()
        yield from self._id_findings()
        for loc, step, block in self.placed():
            if isinstance(step, HostStep):
                yield from self._step_findings(loc, step, block)
            if "undo" in loc and getattr(step, "undo", None) is not None:
                yield self.problem(
                    (*loc, "undo"), "what takes a step back is not itself taken back", "remove the key"
                )
            if "undo" in loc and (getattr(step, "always", False) or step.on_failure == "undo"):
                message = "an undo step has neither always nor on_failure: undo"
                yield self.problem(loc, message, "remove the key")
        yield from stack_findings(self, self.stacks())
        stages = [self._stage(("steps", index)) for index in range(len(self.steps))]
        back = [self._stage(("undo", index)) for index in range(len(self.undo))]
        yield from guard_findings(self, stages, back)
        yield from jump_findings(self, stages, back)
        if not self.undo and not list(self.own_undo()):
            for index, one in enumerate(self.steps):
                inner = one.steps if isinstance(one, RollingStep) else ()
                if "undo" in {one.on_failure, *(step.on_failure for step in inner)}:
                    yield self.problem(
                        ("steps", index), "on_failure: undo, but there is no undo", "write undo:"
                    )

    def _stage(self, loc: Loc) -> Stage:
        """Return the step at `loc` as guards and jumps see it."""
        step, inner = self.step_at(loc), tuple[Stage, ...]()
        if isinstance(step, RollingStep):
            inner = tuple(self._stage((*loc, "steps", number)) for number in range(len(step.steps)))
        answer = step.ask.kind if isinstance(step, AskStep) else None
        return Stage(loc, self.step_id(loc), step.when, step.on_failure, answer, inner)

    def _id_findings(self) -> Iterator[Problem]:
        places: list[Loc] = [("steps", i) for i, one in enumerate(self.steps) if isinstance(one, RollingStep)]
        seen: set[str] = set()
        for loc in [*places, *(loc for loc, _, _ in self.placed())]:
            name = self.step_id(loc)
            if not name:
                yield self.problem(loc, "the key 'id' is missing", "name the step: id: drain")
            elif name in REACTIONS:
                yield self.problem(
                    (*loc, "id"), f"a step cannot be called {name}: on_failure means something else by it"
                )
            elif name in seen:
                yield self.problem(
                    (*loc, "id"), f"the step id {name!r} occurs twice", "name each step differently"
                )
            seen.add(name)
        for loc in places:
            step = self.step_at(loc)
            if isinstance(step, RollingStep) and step.rolling.pause and self.pause_id(loc) in seen:
                yield self.problem(loc, f"the id {self.pause_id(loc)!r} belongs to the block's pause")

    def _step_findings(self, loc: Loc, step: HostStep, block: RollingStep | None) -> Iterator[Problem]:
        if isinstance(step, CheckStep):
            yield from check_findings(self, (*loc, "check"), step.check)
        else:
            yield from self._acting_findings(loc, step)
        if not isinstance(step, PlaybookStep) and step.hosts is None and block is None:
            yield self.problem(
                loc, "which hosts? this step needs the key 'hosts' outside rolling", "hosts: web"
            )

    def _acting_findings(self, loc: Loc, step: PlaybookStep | TasksStep) -> Iterator[Problem]:
        if step.probe is not None:
            yield from check_findings(self, (*loc, "probe"), step.probe)
        if step.adds and len(loc) > 2:  # noqa: PLR2004  # as in step_id
            message = "adds cannot stand inside rolling: a batch is frozen"
            yield self.problem((*loc, "adds"), message, "move the step out of the block")
        for name, value in step.vars.items():
            if is_reference(value):
                yield from self._reference_problem((*loc, "vars", name), value["secret"])
            elif holds_reference(value):
                message = "a secret reference is the whole value of one variable"
                yield self.problem((*loc, "vars", name), message, f"write {name}: {{secret: env:NAME}}")
        yield from self.plaintext_findings(step.vars, (*loc, "vars"))
        if isinstance(step, TasksStep):
            yield from self._tasks_findings((*loc, "tasks"), step)

    def _reference_problem(self, loc: Loc, reference: Any) -> Iterator[Problem]:
        if isinstance(reference, str) and "${inputs." in reference and not self._bound:
            return
        try:
            parse_reference(reference)
        except InvalidInputError as error:
            yield self.problem((*loc, "secret"), error.what, error.do)

    def _tasks_findings(self, loc: Loc, step: TasksStep) -> Iterator[Problem]:
        for index, task in enumerate(step.tasks):
            if holds_reference(task):
                message = "a secret reference stands in the step's vars, not in a task"
                yield self.problem((*loc, index), message, "name a variable under vars: and use it here")
            yield from self.plaintext_findings(task, (*loc, index))
