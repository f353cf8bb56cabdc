"""What the executor concludes from the engine's report, the provider's asking and its own reading."""

from pathlib import Path
from typing import Any

import pytest

from itmp.adapters.aws import GROUP
from itmp.adapters.pulumi.session import EngineError, Report
from itmp.adapters.pulumi.update import Update
from itmp.errors import Error, RefusedError, StaleError, UnknownOutcomeError
from itmp.execution.doors import Action
from itmp.plan.model import Change, Operation, Present, PulumiStep
from itmp.testing.runners import ScriptedObserver

TYPE = "itmp:aws:AutoScalingGroupCapacity"
KEY = (GROUP, "web-asg")


def urn(name: str = "web") -> str:
    return f"urn:pulumi:s::p::{TYPE}::{name}"


def planned(name: str = "web", op: str = "update") -> Operation:
    inputs = {"desired": Change(old=4, new=8), "group": Change(old=f"{name}-asg", new=f"{name}-asg")}
    return Operation(urn=urn(name), op=op, type=TYPE, name=name, inputs=inputs)


def report(*steps: tuple[str, str, str], ok: bool = True, summary: Any = "count", why: str = "") -> Report:
    made = tuple(
        {
            "stage": stage,
            "op": op,
            "urn": urn(name),
            "type": TYPE,
            "old": {"group": f"{name}-asg", "arn": "a", "desired": 4},
            "new": {"group": f"{name}-asg", "arn": "a", "desired": 8},
        }
        for stage, op, name in steps
    )
    counts: dict[str, int] = {}
    for stage, op, _ in steps:
        counts[op] = counts.get(op, 0) + (stage == "pre")
    diagnostics = ({"urn": urn(), "severity": "error", "message": why},) if why else ()
    return Report(
        ok=ok,
        error="",
        steps=made,
        diagnostics=diagnostics,
        summary=counts if summary == "count" else summary,
    )


class Rig:
    def __init__(
        self, folder: Path, *operations: Operation, again: bool = False, refuse: tuple[str, ...] = ()
    ) -> None:
        operations = operations or (planned(),)
        present = tuple(
            Present(knob=GROUP, id=f"{one.name}-asg", field="desired", value=4, low=4, high=4)
            for one in operations
        )
        step = PulumiStep(
            id="adjust",
            title="t",
            program="program/p",
            stack="s",
            config={},
            operations=operations,
            present=present,
        )
        self.observer = ScriptedObserver(refuse=refuse)
        self.update = Update(step=step, again=again, observer=self.observer, scratch=folder)

    def ask(self, name: str = "web", **after: int) -> None:
        action = Action(id=urn(name), host=urn(name), action="update", after=after or {"desired": 8})
        self.update.answers.before(action)

    def finish(self, found: Report | None, value: int | None = 8) -> list[tuple[str, str]]:
        values = {} if value is None else {KEY: value}
        self.update.finish(found, values)
        return [(result.name, result.outcome) for result in self.observer.after_]


PRE, DONE, FAILED = ("pre", "update", "web"), ("done", "update", "web"), ("failed", "update", "web")


def test_a_moved_value_is_stale_before_anything_else(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    with pytest.raises(StaleError, match="desired is 6, the plan rests on 4"):
        rig.update.check_present({KEY: 6})
    rig.update.check_present({KEY: 4})


def test_the_target_is_a_fine_start_on_a_resume_only(tmp_path: Path) -> None:
    Rig(tmp_path, again=True).update.check_present({KEY: 8})
    with pytest.raises(StaleError):
        Rig(tmp_path).update.check_present({KEY: 8})
    with pytest.raises(StaleError):
        Rig(tmp_path, again=True).update.check_present({KEY: 7})


def test_a_preview_with_other_operations_is_stale(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.update.compare(report(PRE), {KEY: 4})
    with pytest.raises(StaleError, match="other operations"):
        rig.update.compare(report(PRE, ("pre", "create", "extra")), {KEY: 4})


def test_a_failing_preview_is_stale_when_a_resource_says_why(tmp_path: Path) -> None:
    with pytest.raises(StaleError, match="expected 4"):
        Rig(tmp_path).update.compare(report(ok=False, why="Preview failed: expected 4..4"), {KEY: 4})
    with pytest.raises(EngineError):
        Rig(tmp_path).update.compare(report(ok=False), {KEY: 4})


def test_every_intent_comes_before_the_update(tmp_path: Path) -> None:
    rig = Rig(tmp_path, planned("web"), planned("db"), planned("idle", "same"))
    rig.update.intend()
    assert [action.name for action in rig.observer.before_] == ["web", "db"]
    assert rig.observer.before_[0].before == {"desired": 4, "group": "web-asg"}


def test_a_refused_intent_says_that_the_others_were_not_reached(tmp_path: Path) -> None:
    rig = Rig(tmp_path, planned("web"), planned("db"), refuse=(urn("db"),))
    with pytest.raises(Error, match="refused"):
        rig.update.intend()
    assert [(result.name, result.outcome) for result in rig.observer.after_] == [("web", "not_reached")]


def test_only_an_approved_target_with_an_intent_is_answered_once(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    with pytest.raises(RefusedError, match="asked for update"):
        rig.ask()
    rig.update.intend()
    with pytest.raises(RefusedError):
        rig.ask(desired=9)
    with pytest.raises(RefusedError):
        rig.ask("db")
    rig.ask()
    with pytest.raises(RefusedError, match="twice"):
        rig.ask()


@pytest.mark.parametrize(
    ("asked", "steps", "value", "outcome"),
    [
        (True, (PRE, DONE), 8, "changed"),
        (True, (PRE, DONE), 7, "failed"),
        (True, (PRE, DONE), None, "unknown"),
        (True, (PRE, FAILED), 4, "failed"),
        (True, (PRE, FAILED), 8, "changed"),
        (True, (PRE, FAILED), None, "unknown"),
        (True, (PRE,), 8, "unknown"),
        (False, (PRE, FAILED), 4, "failed"),
        (False, (PRE,), 4, "not_reached"),
        (False, (), 4, "not_reached"),
        (False, (PRE, DONE), 8, "unknown"),
        (False, (("pre", "same", "web"), ("done", "same", "web")), 8, "ok"),
    ],
)
def test_outcomes(tmp_path: Path, asked: bool, steps: Any, value: int | None, outcome: str) -> None:  # noqa: FBT001 -- a table's column
    rig = Rig(tmp_path)
    rig.update.intend()
    if asked:
        rig.ask()
    failed = any(stage == "failed" for stage, _, _ in steps)
    assert rig.finish(report(*steps, ok=not failed, why="why" if failed else ""), value) == [("web", outcome)]


@pytest.mark.parametrize(("asked", "outcome"), [(True, "unknown"), (False, "not_reached")])
def test_an_engine_that_was_lost(tmp_path: Path, asked: bool, outcome: str) -> None:  # noqa: FBT001 -- as above
    rig = Rig(tmp_path)
    rig.update.intend()
    if asked:
        rig.ask()
    assert rig.finish(None, 8) == [("web", outcome)]


def test_events_that_do_not_add_up_are_unknown(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.update.intend()
    rig.ask()
    with pytest.raises(UnknownOutcomeError, match="summary"):
        rig.finish(report(PRE, DONE, summary={"update": 2}))
    assert [result.outcome for result in rig.observer.after_] == ["changed"]


def test_a_resource_that_leaves_the_stack_is_left_as_it_is(tmp_path: Path) -> None:
    gone = Operation(urn=urn("old"), op="delete", type=TYPE, name="old", inputs={})
    rig = Rig(tmp_path, planned(), gone)
    rig.update.intend()
    rig.ask()
    found = rig.finish(report(PRE, DONE, ("pre", "delete", "old"), ("done", "delete", "old")))
    assert found == [("web", "changed"), ("old", "ok")]
