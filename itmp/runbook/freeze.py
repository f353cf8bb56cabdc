"""Document and facts become a plan.

Rules kept here: pure and deterministic, so the same document, inputs and facts give the same bytes; whatever
the facts leave open (a pattern that matches no host, an address that is missing) is a problem at the place
in the document.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar, cast

from itmp.documents import DocumentError, Problem, bind
from itmp.documents.model import Loc
from itmp.plan import model as plan
from itmp.plan.bundle import Plan
from itmp.plan.freezing import batch_hosts, freeze_document
from itmp.plan.probing import check_hosts, probe_hosts
from itmp.plan.sources import Facts, PlayFacts
from itmp.plan.stacks import freeze_stack, reach_problems, set_back, stack_notes
from itmp.runbook.model import (
    AskStep,
    CheckStep,
    HostStep,
    PlaybookStep,
    RollingStep,
    Runbook,
    StackStep,
    TasksStep,
    WaitStep,
)
from itmp.runbook.needs import new_hosts, pattern_of, plain_vars, play_need, secret_vars, stack_turn
from itmp.runbook.stacks import taken_back

P = TypeVar("P", bound=plan.Probe)
_GRACE: Final = 300
"""Seconds that a command check may take beyond its `within`: connecting to many hosts takes time too."""


def freeze(document: Runbook, inputs: Mapping[str, Any], facts: Facts, *, source: plan.Source) -> Plan:
    """Return the plan; raise `DocumentError` naming every place that the facts do not fit.

    `inputs` as `resolve_inputs` gives them, `facts` as gathered for `needs(document, inputs)`, `source` the
    document's path in the workspace and the digest of its bytes.
    """
    bound = bind(document, inputs)
    freezer = _Freezer(bound, facts)
    steps, undo = freezer.steps(), freezer.undo()
    if freezer.problems:
        raise DocumentError(freezer.problems)
    notes = tuple(note for stack in facts.stacks.values() for note in stack_notes(stack))
    return freeze_document(
        "runbook",
        bound,
        inputs,
        facts,
        source=source,
        steps=steps,
        undo=undo,
        notes=notes,
        guards=_guards(bound),
    )


@dataclass(slots=True)
class _Freezer:
    """Freezes step by step and keeps every problem met on the way."""

    document: Runbook
    facts: Facts
    problems: list[Problem] = field(default_factory=list)
    stacks: dict[str, plan.PulumiStep] = field(default_factory=dict)

    def steps(self) -> tuple[plan.Step, ...]:
        made = [self._step(("steps", index), step) for index, step in enumerate(self.document.steps)]
        return tuple(step for step in made if step)

    def undo(self) -> tuple[plan.LeafStep, ...]:
        """Return the undo steps; the steps are frozen already."""
        own = [self._takes_back(loc, step, block) for loc, step, block in self.document.own_undo()]
        made: list[plan.LeafStep | None] = [
            self._back(("undo", index), step)
            if isinstance(step, StackStep)
            else self._leaf(("undo", index), cast("HostStep", step))
            for index, step in enumerate(self.document.undo)
        ]
        return tuple(step for step in [*own, *made] if step)

    def _takes_back(self, loc: Loc, step: HostStep, block: RollingStep | None) -> plan.AnsibleStep | None:
        """Return the undo step that is written inside the step at `loc[:-1]`: once over all of that step's hosts."""
        around = self._pattern((*loc, "hosts"), block.rolling.hosts) if block else None
        made = self._leaf(loc, step, block, around)
        return (
            replace(made, undoes=self.document.step_id(loc[:-1]))
            if isinstance(made, plan.AnsibleStep)
            else None
        )

    def _step(self, loc: Loc, step: object) -> plan.Step | None:
        match step:
            case RollingStep():
                return self._rolling(loc, step)
            case StackStep():
                return self._stack(loc, step)
            case AskStep():
                return self._ask(loc, step)
            case WaitStep():
                return self._wait(loc, step)
            case _:
                return self._leaf(loc, cast("HostStep", step))

    def _stack(self, loc: Loc, step: StackStep) -> plan.PulumiStep | None:
        turn = stack_turn(self.document, loc, step)
        made = freeze_stack(turn, self.facts.stacks.get(turn.step), self.problems) if turn else None
        if made:
            self.stacks[made.id] = made
        return made

    def _back(self, loc: Loc, step: StackStep) -> plan.PulumiStep | None:
        """Return the undo step at `loc`: built from what it takes back, if that is a step of this runbook."""
        name, placed = self.document.step_id(loc), self.document.stacks()
        do = next(taken_back(placed, one) for one in placed if one.loc == loc)
        if do is None:
            return self._stack(loc, step)
        if do.step not in self.stacks:
            return None  # why is among the problems
        turn = stack_turn(self.document, loc, step)
        to = {one.id: one.to for one in turn.adjust} if turn else None
        title = turn.name if turn else step.title or ""
        made = set_back(self.stacks[do.step], step=name, title=title, to=to)
        self.problems += reach_problems(turn, made.present) if turn else ()
        return replace(made, timeout=step.timeout, on_failure=step.on_failure)

    def _rolling(self, loc: Loc, step: RollingStep) -> plan.RollingStep | None:
        hosts = self._pattern((*loc, "rolling", "hosts"), step.rolling.hosts)
        made: list[plan.AnsibleStep | plan.CheckStep | plan.AskStep | plan.WaitStep | None] = [
            self._wait((*loc, "steps", i), one)
            if isinstance(one, WaitStep)
            else self._leaf((*loc, "steps", i), cast("HostStep", one), step, hosts)
            for i, one in enumerate(step.steps)
        ]
        if not hosts or not all(made):
            return None
        batches = batch_hosts(hosts, step.rolling.batches)
        made += [self._pause(loc, step, len(batches))]
        return plan.RollingStep(
            id=self.document.step_id(loc),
            title=step.title or f"Rolling over {step.rolling.hosts}",
            hosts=hosts,
            batches=batches,
            max_failures=step.rolling.max_failures,
            steps=tuple(one for one in made if one),
            on_failure=step.on_failure,
        )

    def _pause(self, loc: Loc, step: RollingStep, batches: int) -> plan.AskStep | None:
        """Return the question between batches; `None` without one, or where no batch follows another."""
        rule = step.rolling.pause
        every = range(1, batches)
        after = tuple(n for n in every if n in rule.after or not rule.after) if rule else ()
        if rule is None or not after:
            return None
        return plan.AskStep(
            id=self.document.pause_id(loc),
            title=rule.question,
            question=rule.question,
            answer="boolean",
            roles=rule.roles,
            after=after,
        )

    def _ask(self, loc: Loc, step: AskStep) -> plan.AskStep:
        kind, choices = (
            ("choice", step.ask.answer) if isinstance(step.ask.answer, tuple) else (step.ask.answer, ())
        )
        return plan.AskStep(
            id=self.document.step_id(loc),
            title=step.title or step.ask.question,
            question=step.ask.question,
            answer=cast("plan.AnswerType", kind),
            choices=choices,
            roles=step.ask.roles,
            anew=True,
            on_failure=step.on_failure,
        )

    def _wait(self, loc: Loc, step: WaitStep) -> plan.WaitStep:
        wait = step.wait
        words = f"Wait until {wait.until}" if wait.until else f"Wait {wait.for_} s"
        return plan.WaitStep(
            id=self.document.step_id(loc),
            title=step.title or words,
            seconds=int(wait.for_ or 0),
            until=wait.until or "",
            on_failure=step.on_failure,
        )

    def _pattern(self, loc: Loc, pattern: str) -> tuple[str, ...]:
        known = self.facts.inventory.patterns if self.facts.inventory else {}
        hosts = known.get(pattern, ())
        if not hosts:
            self._problem(
                loc, f"the pattern {pattern!r:.80} matches no host of the inventory", "see: itmp hosts list"
            )
        return hosts

    def _leaf(
        self,
        loc: Loc,
        step: HostStep,
        block: RollingStep | None = None,
        around: tuple[str, ...] | None = None,
    ) -> plan.AnsibleStep | plan.CheckStep | None:
        if isinstance(step, CheckStep) and step.check.command is None:
            return self._check(loc, step, block, around)
        need = play_need(self.document, loc, step, block)
        play = self.facts.plays.get(need.id) if need else None
        if need is None or play is None:
            self._problem(loc, "no facts were gathered for this step", "this is a defect of itmp; report it")
            return None
        hosts = _within(play.hosts, around)
        if not hosts:
            wanted = f"within {need.pattern!r:.80} " if need.pattern else ""
            self._problem(
                loc, f"this step {wanted}acts on no host", "compare hosts: of the playbook with the inventory"
            )
            return None
        return self._ansible(loc, step, play, hosts)

    def _ansible(self, loc: Loc, step: HostStep, play: PlayFacts, hosts: tuple[str, ...]) -> plan.AnsibleStep:
        name = self.document.step_id(loc)
        acting = {} if isinstance(step, CheckStep) else self._acting(loc, step, play, hosts)
        return plan.AnsibleStep(
            id=name,
            title=step.title or (f"Run {step.playbook}" if isinstance(step, PlaybookStep) else f"Run {name}"),
            playbook=play.playbook,
            hosts=hosts,
            expected=play.expected,
            opaque=play.opaque,
            outside=play.outside,
            always=step.always,
            on_failure=step.on_failure,
            **{"delegates": play.delegates, "timeout": _timeout(step), **acting},
        )

    def _acting(
        self, loc: Loc, step: PlaybookStep | TasksStep, play: PlayFacts, hosts: tuple[str, ...]
    ) -> Mapping[str, Any]:
        return {
            "delegates": tuple(dict.fromkeys((*step.delegates, *play.delegates))),
            "adds": new_hosts(step),
            "tags": step.tags if isinstance(step, PlaybookStep) else (),
            "skip_tags": step.skip_tags if isinstance(step, PlaybookStep) else (),
            "vars": plain_vars(step),
            "secrets": secret_vars(step),
            "probes": self._possible((*loc, "probe"), probe_hosts(step.probe, hosts, self.facts))
            if step.probe
            else {},
        }

    def _check(
        self, loc: Loc, step: CheckStep, block: RollingStep | None, around: tuple[str, ...] | None
    ) -> plan.CheckStep | None:
        place = (*loc, "hosts") if step.hosts else loc
        named = self._pattern(place, pattern_of(step, block))
        hosts = _within(named, around)
        if named and not hosts:
            self._problem(place, "this step asks no host of the block around it", "compare the host patterns")
            return None
        name = self.document.step_id(loc)
        return plan.CheckStep(
            id=name,
            title=step.title or f"Check {name}",
            hosts=hosts,
            probes=self._possible((*loc, "check"), check_hosts(step.check, hosts, self.facts)),
            within=step.within,
            always=step.always,
            on_failure=step.on_failure,
        )

    def _possible(self, loc: Loc, made: tuple[Mapping[str, P], Iterable[str]]) -> Mapping[str, P]:
        probes, problems = made
        for message in problems:
            self._problem(loc, message, "give the host an address in the inventory")
        return probes

    def _problem(self, loc: Loc, message: str, suggestion: str = "") -> None:
        self.problems.append(self.document.problem(loc, message, suggestion))


def _guards(document: Runbook) -> Mapping[str, str]:
    """Return the guard of each step that has one, by the step's id."""
    blocks: list[Loc] = [("steps", i) for i, one in enumerate(document.steps) if isinstance(one, RollingStep)]
    places = [*blocks, *(loc for loc, _, _ in document.placed())]
    found = {document.step_id(loc): document.step_at(loc).when for loc in places}
    return {name: source for name, source in found.items() if source is not None}


def _timeout(step: HostStep) -> int:
    return step.within + _GRACE if isinstance(step, CheckStep) else step.timeout


def _within(hosts: tuple[str, ...], around: tuple[str, ...] | None) -> tuple[str, ...]:
    """Return the `hosts` that lie in `around`, in its order; without one, `hosts` as they are."""
    if around is None:
        return hosts
    chosen = frozenset(hosts)
    return tuple(host for host in around if host in chosen)
