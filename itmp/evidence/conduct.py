"""What was done, judged event by event: rules 10 to 15 and 20 of `itmp.evidence.verify`.

Rules kept here: the gate is asked again at every permit and every intent, with the record and the policy as
they stood then and the log's own time; what a permit claims must be what the gate grants; whatever an
executor writes must lie inside plan and permit. The starting state and the external record cannot be
recomputed and are taken as asserted.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from itmp import canonical
from itmp.audit import Event, Health, Leaf
from itmp.calendars import Window, format_time
from itmp.canonical import Digest
from itmp.change import (
    Admission,
    ChangeRecord,
    ExternalState,
    Folding,
    GateInput,
    Given,
    Judgement,
    PermitRecord,
    PolicyHistory,
    Refusal,
    World,
    hosts_digest,
    judge,
    permit_body,
    steps_digest,
    time_of,
)
from itmp.change.policy import SYNCHRONISED
from itmp.errors import EvidenceInvalidError
from itmp.evidence.asked import UNKNOWN, Asked
from itmp.evidence.ends import account
from itmp.evidence.order import Order, Settled
from itmp.evidence.rules import RuleBrokenError
from itmp.evidence.words import answer_problem, intent_problem, undo_problem, wait_problem
from itmp.evidence.work import FAILURES, STATES, Work, place_of, work_digest
from itmp.plan import LeafStep, Plan, PulumiStep, all_steps, targets


class Conduct:
    """Takes the change's events in order; raises `RuleBrokenError` at the first that breaks a rule."""

    def __init__(
        self,
        plan: Plan,
        history: PolicyHistory,
        blobs: Mapping[Digest, bytes],
        healths: Mapping[int, Health],
    ) -> None:
        self._plan, self._history, self._blobs, self._healths = plan, history, blobs, healths
        self._folding = Folding(history, manifest=plan.manifest, blob=self._blob)
        self._steps = {step.id: step for step in all_steps(plan.manifest)}
        self._starts: dict[str, Given] = {}
        self._asked = Asked(plan.manifest)
        self._used: set[str] = set()
        self._begun: dict[str, PermitRecord] = {}
        self._ended: set[str] = set()
        self._answered: set[str] = set()
        self._work: dict[str, Work] = {}
        self._settled: set[Settled] = set()
        self._order = Order(plan.manifest)
        self.running: list[str] = []
        self.admissions: list[tuple[PermitRecord, Admission]] = []

    def take(self, leaf: Leaf) -> None:
        """Judge one event against everything before it, then add it."""
        event, where = leaf.event, f"leaf {leaf.index}"
        match event.type:
            case "permit.issued":
                self._permit(leaf, event, where)
            case "run.started" | "run.resumed":
                self._start(event, where)
            case "slice.intended":
                self._intent(leaf, event, where)
            case "action.intended":
                self._operation(leaf, event, where)
            case "action.finished" | "check.finished" | "action.reconciled" | "ask.answered":
                self._result(leaf, event, where)
            case "slice.finished":
                self._slice_end(event, where)
            case "run.stopped" | "run.finished" if event.run not in self._begun:
                raise RuleBrokenError(11, f"the end of run {event.run}, which never began", where=where)
        self._folding.take(leaf)

    def end(self) -> ChangeRecord:
        """Judge what must be true of the whole and return the record; rules 14 and 15.

        A run that goes on while the change is open is no lie; it is named in `running`.
        """
        record = self._folding.record()
        for run in record.runs:
            if run.active and not record.closed:
                self.running.append(run.id)
            elif run.started:
                account(self._plan, run)
        return record

    # Rule 10

    def _permit(self, leaf: Leaf, event: Event, where: str) -> None:
        try:
            body = permit_body(event)
        except EvidenceInvalidError as error:
            raise RuleBrokenError(10, error.what, where=where) from error
        record, now, mode = self._folding.record(), time_of(leaf), body["mode"]
        starts = [given for given in record.starts if given.leaf in body["statements"] and given.act == mode]
        if len(starts) != 1:
            raise RuleBrokenError(10, "a permit that rests on no valid start statement", where=where)
        answer = self._judge(mode, record, leaf.index, now, starts[0].leaf)
        if not isinstance(answer, Admission):
            raise RuleBrokenError(10, f"a permit that the gate refuses: {_why(answer)}", where=where)
        self._compare(body, event, answer, where)
        demanded = mode != "undo" and self._history.until(leaf.index).latest.policy.clock_demanded
        if demanded and body["binaries"].get("clock") != SYNCHRONISED:
            raise RuleBrokenError(
                10, "the policy demands a synchronised clock, and the permit names none", where=where
            )
        permit = PermitRecord(index=leaf.index, leaf=leaf.hash, at=now, run=event.run, mode=mode, body=body)
        self._starts[permit.leaf] = starts[0]
        self.admissions.append((permit, answer))

    def _compare(self, body: Mapping[str, Any], event: Event, granted: Admission, where: str) -> None:
        full, limit = targets(self._plan.manifest), tuple(body.get("limit") or ())
        hosts = limit or (full if body.get("hosts") == hosts_digest(full) else ())
        expected = {
            "schema": "itmp-permit/v1",
            "change": event.change,
            "plan": self._plan.digest,
            "run": event.run,
            "hosts": hosts_digest(hosts),
            "steps": steps_digest(self._plan.manifest),
            "policy": granted.policy,
            "statements": list(granted.statements),
        }
        for name, value in expected.items():
            if body.get(name) != value:
                raise RuleBrokenError(10, f"the permit's {name} is not what the gate grants", where=where)
        if not set(hosts) <= set(granted.hosts):
            raise RuleBrokenError(10, "the permit covers hosts that the gate does not grant", where=where)
        if not str(body.get("not_after", "")) <= format_time(granted.not_after.replace(microsecond=0)):
            raise RuleBrokenError(10, "the permit lasts longer than the gate grants", where=where)

    def _judge(
        self, mode: Any, record: ChangeRecord, index: int, now: datetime, start: Digest | None
    ) -> Judgement:
        asked = GateInput(
            mode=mode,
            plan=self._plan,
            record=record,
            history=self._history.until(index),
            health=self._healths[index],
            now=now,
            start=start,
            world=_asserted(self._plan, record, now),
        )
        return judge(asked)

    # Rule 11

    def _start(self, event: Event, where: str) -> None:
        named = (event.data or {}).get("permit")
        permit = next(
            (item for item, _ in self.admissions if item.leaf == named and item.run == event.run), None
        )
        if permit is None or permit.leaf in self._used:
            raise RuleBrokenError(
                11, f"run {event.run} begins under no permit, or under a used one", where=where
            )
        if (event.type == "run.resumed") != (permit.mode == "resume"):
            raise RuleBrokenError(11, f"{event.type} under a permit to {permit.mode}", where=where)
        self._used.add(permit.leaf)
        self._begun[event.run] = permit
        granted = next(granted for item, granted in self.admissions if item.leaf == permit.leaf)
        limit = self._starts[permit.leaf].line("limit")
        if unsigned := self._asked.begin(event, limit, granted.hosts):
            raise RuleBrokenError(11, unsigned, where=where)
        for work in self._work.values():  # what a slice that was cut off had recorded
            if work.slice not in self._ended and work.place[0] == event.run:
                self._order.end(work.key, work.failures, run=event.run)

    # Rule 12

    def _intent(self, leaf: Leaf, event: Event, where: str) -> None:
        data, permit = event.data or {}, self._begun.get(event.run)
        if permit is None or data.get("permit") != permit.leaf:
            raise RuleBrokenError(12, "an intent outside the permit of its run", where=where)
        step, hosts = self._steps.get(event.step), self._names(data, "hosts", where)
        phase, key = event.phase or "do", str(data.get("slice", ""))
        unknown = self._order.problem(key, event.step, phase, hosts)
        if step is None or unknown:
            raise RuleBrokenError(12, unknown, where=where)
        if not set(hosts) <= self._covered(permit):
            raise RuleBrokenError(12, "an intent on hosts that the permit does not cover", where=where)
        if data.get("work") != work_digest(step, hosts):
            raise RuleBrokenError(12, "the intent's work is not that of the plan", where=where)
        again = sorted(host for host in hosts if (event.run, step.id, host) in self._settled)
        if again and phase == "do" and not step.always:
            raise RuleBrokenError(
                12, f"{step.id} on {again[0]:.80} was already done in this run", where=where
            )
        if disorder := self._asked.again(event.run, step, phase, hosts):
            raise RuleBrokenError(12, disorder, where=where)
        if disorder := self._order.begin(
            key, hosts, run=event.run, permit=permit.leaf,
            passed=bool(data.get("passed")), retried=self._asked.retried(event.run),
        ):  # fmt: skip
            raise RuleBrokenError(12, disorder, where=where)
        self._settled -= self._order.passed_again(key, hosts, run=event.run, settled=self._settled)
        self._still_admitted(leaf, step, phase, permit)
        if phase == "do":
            _hold(intent_problem(self._plan.manifest, self._folding.record(), leaf, step), where)
        else:
            _hold(undo_problem(event), where)
        self._work[leaf.hash] = work = Work(self._plan, step, hosts, leaf=leaf)
        if work.lasts:
            self._asked.remember(work.place, dict.fromkeys(hosts, UNKNOWN))  # until something is said of them

    def _still_admitted(self, leaf: Leaf, step: LeafStep, phase: str, permit: PermitRecord) -> None:
        exempt = phase == "undo" or step.always  # a revoked approval strands no drained host
        now = time_of(leaf)
        if not exempt and format_time(now.replace(microsecond=0)) > str(permit.body["not_after"]):
            raise RuleBrokenError(12, "an intent after its permit has ended", where=f"leaf {leaf.index}")
        mode, start = "always" if exempt else "slice", self._starts[permit.leaf].leaf
        answer = self._judge(mode, self._folding.record(), leaf.index, now, start)
        if isinstance(answer, Refusal):
            raise RuleBrokenError(
                12, f"an intent that the gate refuses: {_why(answer)}", where=f"leaf {leaf.index}"
            )

    def _covered(self, permit: PermitRecord) -> set[str]:
        return set(permit.body["limit"] or targets(self._plan.manifest))

    def _operation(self, leaf: Leaf, event: Event, where: str) -> None:
        work, target = self._work.get(event.intent), event.target or {}
        if work is None or event.intent in self._ended or place_of(event) != work.place:
            raise RuleBrokenError(12, "an operation without the open intent of its slice", where=where)
        if (target.get("id"), event.action) not in work.operations:
            raise RuleBrokenError(12, f"operation {event.action} on a resource outside the plan", where=where)
        self._work[leaf.hash] = work.one(target["id"], event.action)

    # Rule 13

    def _result(self, leaf: Leaf, event: Event, where: str) -> None:
        work, target = self._work.get(event.intent), (event.target or {}).get("id", "")
        if work is None:
            raise RuleBrokenError(13, "a result without an earlier intent", where=where)
        if not (target in work.targets or _elsewhere(event, work)) or event.run != work.place[0]:
            raise RuleBrokenError(13, f"a result on {target!r:.80}, outside its intent", where=where)
        if event.type == "action.reconciled":
            if "text" not in (event.data or {}) and not work.probed(target):
                raise RuleBrokenError(13, f"nobody and no probe reconciled {target!r:.80}", where=where)
            self._reconciled(event, work, target)
            return
        if place_of(event) != work.place:
            raise RuleBrokenError(13, "a result of another step than its intent", where=where)
        if work.slice in self._ended:
            raise RuleBrokenError(13, "a result after the end of its slice", where=where)
        self._fitting(leaf, event, work, where)
        if work.single and event.intent in self._answered:
            raise RuleBrokenError(13, "an intent that is answered twice", where=where)
        if target not in work.targets:
            return  # nothing was done there, and its slice says nothing of it
        self._answered.add(event.intent)
        work.outcomes.setdefault(target, set()).add(event.outcome)
        if work.lasts and event.outcome in FAILURES:
            self._asked.remember(work.place, {target: event.outcome})

    def _reconciled(self, event: Event, work: Work, target: str) -> None:
        self._asked.remember(work.place, {target: event.outcome})
        self._order.end(work.key, [event.outcome], run=event.run)
        self._order.lift(event.run)
        one = (event.run, work.place[1], target)
        if event.outcome == "ok" and work.place[2] == "do" and not self._order.reopened(
            work.key, target, run=event.run, settled=self._settled | {one}
        ):  # fmt: skip
            self._settled.add(one)

    def _fitting(self, leaf: Leaf, event: Event, work: Work, where: str) -> None:
        """Require that the result is of its step's kind; rule 20 for those of questions and waits."""
        kind = "ask.answered" if work.question else "check.finished" if work.checks else "action.finished"
        if event.type != kind and (event.outcome != "denied" or "ask.answered" in {kind, event.type}):
            raise RuleBrokenError(13, f"a {event.type} of another kind of step", where=where)
        if work.passed:
            raise RuleBrokenError(20, "a result of a slice that was passed over", where=where)
        if work.question is not None:
            _hold(answer_problem(self._folding.record(), event, work), where)
        if work.waits:
            _hold(wait_problem(leaf, work), where)
        if event.type == "action.finished" and event.outcome != "denied" and not work.allows(event):
            raise RuleBrokenError(13, f"action {event.action} is not in the plan", where=where)

    # Rule 14

    def _slice_end(self, event: Event, where: str) -> None:
        work = self._work.get(event.intent)
        if work is None or event.intent in self._ended:
            raise RuleBrokenError(14, "the end of a slice that was not open", where=where)
        states = self._read(event.data or {}, "hosts", where)
        known = isinstance(states, dict) and all(str(state) in STATES for state in states.values())
        if not known or set(states) != work.targets:
            raise RuleBrokenError(14, "a slice whose end does not name each of its targets once", where=where)
        for target, state in states.items():
            if place_of(event) != work.place or not work.bears(target, state):
                raise RuleBrokenError(
                    14, f"{target!r:.80} is said to be {state}, against its results", where=where
                )
        self._ended.add(event.intent)
        self._asked.remember(work.place, states)
        self._order.end(work.key, states.values(), run=event.run)
        if place_of(event)[2] == "do" and not work.passed:
            done = (host for host, state in states.items() if state in {"ok", "changed", "skipped"})
            self._settled |= {(event.run, event.step, host) for host in done}

    # Reading

    def _names(self, data: Mapping[str, Any], name: str, where: str) -> tuple[str, ...]:
        value = self._read(data, name, where)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise RuleBrokenError(12, f"no list of {name}", where=where)
        if len(set(value)) != len(value):
            raise RuleBrokenError(12, f"{name} that stand twice", where=where)
        return tuple(value)

    def _read(self, data: Mapping[str, Any], name: str, where: str) -> Any:
        if name in data:
            return data[name]
        content = self._blobs.get(Digest(str(data.get(f"{name}_blob"))))
        if content is None:
            raise RuleBrokenError(1, f"the blob of its {name} is not in the file", where=where)
        return canonical.loads(content)

    def _blob(self, digest: Digest) -> bytes:
        if digest not in self._blobs:
            raise RuleBrokenError(
                1, "this blob is not in the file", where=f"blobs/{digest.removeprefix('sha256:')}"
            )
        return self._blobs[digest]


def _elsewhere(event: Event, work: Work) -> bool:
    """Whether an event tells of what a slice wanted to do elsewhere and was not let do."""
    return (
        event.outcome == "denied" and event.type in {"action.finished", "check.finished"} and not work.single
    )


def _hold(problem: str, where: str) -> None:
    """Rule 20: raise unless there is no problem."""
    if problem:
        raise RuleBrokenError(20, problem, where=where)


def _asserted(plan: Plan, record: ChangeRecord, now: datetime) -> World:
    """The world exactly as the plan found it, and an external record that says yes: both only asserted."""
    inventory, reference = plan.manifest.inventory, record.request.external if record.request else ""
    steps = [step for step in (*plan.manifest.steps, *plan.manifest.undo) if isinstance(step, PulumiStep)]
    return World(
        hosts=inventory.hosts if inventory else None,
        present={(v.knob, v.id, v.field): v.value for step in steps for v in step.present},
        external=ExternalState(
            reference=reference,
            implement=True,
            state="asserted",
            window=Window(start=now, end=datetime.max.replace(tzinfo=now.tzinfo)),
        ),
    )


def _why(answer: Judgement) -> str:
    return (
        f"check {answer.first.n}, {answer.first.why}"
        if isinstance(answer, Refusal)
        else "it was not asked fully"
    )
