"""One stack update as the executor sees it: compare, intend, answer the provider, conclude.

Rules kept here: nothing is answered with yes but an approved target whose intent is durable, once each; an
operation's result rests on the engine's events, on whether the provider asked, and on our own reading of
the value, and where these do not settle it the result is `unknown`. An operation that was intended and
never begun is `not_reached`.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from itmp.adapters.actions import ActionServer
from itmp.adapters.pulumi.kinds import KINDS
from itmp.adapters.pulumi.operations import differences, normalise, targets
from itmp.adapters.pulumi.session import EngineError, Report
from itmp.errors import Error, RefusedError, StaleError, UnknownOutcomeError
from itmp.execution.doors import Action, ActionResult, Observer, Outcome
from itmp.plan import Operation, PulumiStep

Values: TypeAlias = Mapping[tuple[str, str], int]
"""(knob, resource id) → the present value."""

_ENDED: Final = frozenset({"done", "failed"})
_UNCOUNTED: Final = frozenset({"refresh", "read"})
_TARGETED: Final = frozenset({"create", "update", "replace", "same"})
_AGAIN: Final = "Plan again and compare: itmp plan FILE; itmp diff OLD NEW."


class Answers:
    """Answers the provider: an observer whose only yes is an approved target, once."""

    def __init__(self) -> None:
        self.allowed: dict[str, Mapping[str, int]] = {}
        self.asked: set[str] = set()

    def before(self, action: Action) -> None:
        """Return when the call may be made."""
        if action.host not in self.allowed or dict(action.after) != self.allowed[action.host]:
            raise RefusedError(
                f"the provider asked for {action.action} {dict(action.after)}", where=action.host, do=_AGAIN
            )
        if action.host in self.asked:
            raise RefusedError("the provider asked twice for one operation", where=action.host)
        self.asked.add(action.host)

    def after(self, result: ActionResult) -> None:
        """Nothing: results rest on the engine's events and on our own reading."""


@dataclass(slots=True, kw_only=True)
class Update:
    """`again` says that a part of it may have been carried out before (a resume or an undo)."""

    step: PulumiStep
    again: bool
    observer: Observer
    scratch: Path
    _fresh: dict[str, Operation] = field(default_factory=dict)
    answers: Answers = field(default_factory=Answers)

    @property
    def plan_file(self) -> Path:
        """Where the engine's own plan of the fresh preview goes."""
        return self.scratch / "plan.json"

    def actions(self) -> ActionServer:
        """Return the socket on which the provider asks."""
        return ActionServer(self.scratch, token=secrets.token_hex(16), observer=self.answers)

    def check_present(self, values: Values) -> None:
        """Raise `StaleError` naming every present value that the plan does not rest on."""
        aims = targets(self.step.operations)
        moved = []
        for value in self.step.present:
            key = (value.knob, value.id)
            now = values[key]
            if not value.low <= now <= value.high and not (self.again and now == aims.get(key)):
                span = str(value.low) if value.low == value.high else f"{value.low} to {value.high}"
                moved.append(f"{value.knob} {value.id}: {value.field} is {now}, the plan rests on {span}")
        if moved:
            raise StaleError("; ".join(moved), where=self.step.id, do=_AGAIN)

    def compare(self, report: Report, values: Values) -> None:
        """Raise `StaleError` unless the fresh preview shows the approved operations."""
        self.check_present(values)
        if not report.ok:
            known = any(line["urn"] for line in report.diagnostics if line["severity"] == "error")
            kind = StaleError if known else EngineError
            raise kind(f"a fresh preview fails: {report.why()}", where=self.step.id, do=_AGAIN)
        fresh = normalise(report.steps, values)
        found = differences(self.step.operations, fresh, again=self.again)
        if found:
            raise StaleError(
                f"a fresh preview shows other operations: {'; '.join(found)}", where=self.step.id, do=_AGAIN
            )
        self._fresh = {operation.urn: operation for operation in fresh}

    def intend(self) -> None:
        """Write the intent of every operation; on a refusal say of each that nothing was done."""
        for operation in self._operations():
            try:
                self.observer.before(_action(operation))
            except Error:
                for urn in self.answers.allowed:
                    self._tell(self._planned(urn), "not_reached", "stopped before the update started")
                raise
            self.answers.allowed[operation.urn] = _aim(operation)

    def _operations(self) -> tuple[Operation, ...]:
        return tuple(operation for operation in self.step.operations if operation.op != "same")

    def _planned(self, urn: str) -> Operation:
        return next(operation for operation in self.step.operations if operation.urn == urn)

    def finish(self, report: Report | None, values: Values) -> None:
        """Write one result per operation; raise `UnknownOutcomeError` when events and summary disagree."""
        for operation in self._operations():
            outcome, message = self._conclude(operation, report, values)
            self._tell(operation, outcome, message)
        if report and report.ok and report.summary is not None and _counted(report) != report.summary:
            raise UnknownOutcomeError(
                f"the engine's events count {_counted(report)}, its summary says {report.summary}",
                where=self.step.id,
                do="Read the present values and reconcile.",
            )

    def _tell(self, operation: Operation, outcome: Outcome, message: str) -> None:
        self.observer.after(
            ActionResult(
                id=operation.urn,
                host=operation.urn,
                action=operation.op,
                outcome=outcome,
                name=operation.name,
                message=message,
            )
        )

    def _conclude(self, operation: Operation, report: Report | None, values: Values) -> tuple[Outcome, str]:
        stage, op = _ending(report, operation.urn)
        asked = operation.urn in self.answers.asked
        if operation.type not in KINDS or operation.op not in _TARGETED:
            return _conclude_plain(stage, operation, report)
        (key, target), *_ = targets([operation]).items()
        now = values.get(key)
        reads = "its value could not be read" if now is None else f"reads {now}"
        if stage == "done" and (asked or op == "same") and now == target:
            return ("changed", reads) if asked else ("ok", f"{reads} already")
        if not asked and stage != "done" and report is not None:
            return ("failed", report.why(operation.urn)) if stage == "failed" else ("not_reached", "")
        if not asked and stage == "" and report is None:
            return "not_reached", "the engine ended before the provider asked"
        if stage in _ENDED and asked and report is not None and now is not None:
            return _conclude_read(stage, target=target, now=now, why=report.why(operation.urn))
        return "unknown", f"the provider asked, the engine did not say how it ended; {reads}"


def _conclude_read(stage: str, *, target: int, now: int, why: str) -> tuple[Outcome, str]:
    if now == target:  # the call failed to be confirmed, and took effect all the same
        return "changed", f"reads {now}; the engine said: {why}"
    if stage == "failed":
        return "failed", f"{why} (reads {now})"
    return "failed", f"the engine says it is done, but it reads {now} instead of {target}"


def _conclude_plain(stage: str, operation: Operation, report: Report | None) -> tuple[Outcome, str]:
    if stage == "done":
        if operation.op == "delete" and operation.type in KINDS:
            return "ok", "no longer kept by this stack; the resource is left as it is"
        return "changed", ""
    if report is None:
        return "unknown", "the engine did not say how it ended"
    return ("failed", report.why(operation.urn)) if stage == "failed" else ("not_reached", "")


def _ending(report: Report | None, urn: str) -> tuple[str, str]:
    """Return the last ("done", "failed" or "") and operation that the engine reported of a resource."""
    found = ("", "")
    for step in report.steps if report else ():
        if step["urn"] == urn and step["stage"] in _ENDED and step["op"] not in _UNCOUNTED:
            found = (step["stage"], step["op"])
    return found


def _counted(report: Report) -> dict[str, int]:
    counts: dict[str, int] = {}
    for step in report.steps:
        if step["stage"] == "pre" and step["op"] not in _UNCOUNTED and not _provider(step["type"]):
            counts[step["op"]] = counts.get(step["op"], 0) + 1
    return counts


def _provider(resource_type: str) -> bool:
    """Whether the engine leaves a resource out of its summary."""
    return resource_type.startswith("pulumi:providers:")


def _action(operation: Operation) -> Action:
    return Action(
        id=operation.urn,
        host=operation.urn,
        action=operation.op,
        name=operation.name,
        before={name: change.old for name, change in operation.inputs.items()},
        after={name: change.new for name, change in operation.inputs.items()},
    )


def _aim(operation: Operation) -> Mapping[str, int]:
    kind = KINDS.get(operation.type)
    if kind is None or kind.target not in operation.inputs:
        return {}
    return {kind.target: operation.inputs[kind.target].new}


__all__ = ["Answers", "Update", "Values"]
