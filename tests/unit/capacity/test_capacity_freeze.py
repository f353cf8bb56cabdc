"""From document and facts to a plan, and the plan's own undo."""

from typing import Any

import pytest

from itmp import capacity
from itmp.canonical import digest
from itmp.documents import DocumentError, parse, resolve_inputs
from itmp.plan import Plan, PulumiStep, Source, scope
from itmp.plan.model import Change
from itmp.plan.sources import Facts
from itmp.testing.stacks import FakeStackSources

TEXT = """itmp: capacity-adjustment/v1
name: wide
title: Widen
owner: team
environment: lab
risk: low
reviewed: {on: 2026-10-01, every: 90d}
inputs:
  size: {type: integer, default: 8}
adjust:
  - id: web
    knob: autoscaling-group
    name: web-asg
    to: "${inputs.size}"
    limits: {max_step: 6}
  - id: api
    knob: ecs-service
    name: prod/api
    to: 5
    from: {min: 1, max: 4}
"""
VALUES = {"web-asg": 4, "prod/api": 2}


def freeze(text: str = TEXT, values: dict[str, int] | None = None, **given: str) -> Plan:
    document = parse("d.yml", text.encode(), capacity.KINDS)
    inputs = resolve_inputs(document.inputs, given)
    facts = FakeStackSources(values=VALUES if values is None else values).gather(
        capacity.needs(document, inputs)
    )
    return capacity.freeze(document, inputs, facts, source=Source(path="d.yml", digest=digest(text.encode())))


def steps(plan: Plan) -> tuple[PulumiStep, PulumiStep]:
    (do,), (undo,) = plan.manifest.steps, plan.manifest.undo
    assert isinstance(do, PulumiStep)
    assert isinstance(undo, PulumiStep)
    return do, undo


def entry(step: PulumiStep, name: str) -> dict[str, Any]:
    (found,) = [knob for knob in step.config["knobs"] if knob["id"] == name]
    return {key: found[key] for key in ("to", "low", "high", "allow_zero")}


def test_same_document_and_facts_give_the_same_plan() -> None:
    assert freeze().digest == freeze().digest
    assert freeze().digest != freeze(size="9").digest
    assert freeze().digest != freeze(values={**VALUES, "web-asg": 5}).digest


def test_the_manifest_says_what_people_approve() -> None:
    plan = freeze()
    assert (plan.manifest.kind, plan.manifest.inputs, plan.manifest.inventory) == (
        "capacity-adjustment",
        {"size": 8},
        None,
    )
    assert plan.manifest.reviewed is not None
    assert scope(plan.manifest).resources == 2


def test_the_plan_rests_on_the_value_read_or_on_the_range() -> None:
    do, _ = steps(freeze())
    assert [(one.id, one.value, one.low, one.high) for one in do.present] == [
        ("web-asg", 4, 4, 4),
        ("prod/api", 2, 1, 4),
    ]


def test_the_undo_sets_back_what_was_read() -> None:
    do, undo = steps(freeze())
    assert (undo.stack, undo.program, undo.id) == (do.stack, do.program, "undo-adjust")
    assert entry(undo, "web") == {"to": 4, "low": 8, "high": 8, "allow_zero": False}
    assert entry(undo, "api") == {"to": 2, "low": 1, "high": 5, "allow_zero": False}
    changes = {one.name: (one.op, one.inputs) for one in undo.operations}
    assert changes["web"] == (
        "update",
        {"desired": Change(old=8, new=4), "group": Change(old="web-asg", new="web-asg")},
    )
    assert changes["api"][1]["desired_count"] == Change(old=5, new=2)


def test_the_undo_rests_on_either_value_since_a_run_may_stop_between() -> None:
    _, undo = steps(freeze())
    assert [(one.value, one.low, one.high) for one in undo.present] == [(4, 4, 8), (2, 1, 5)]


def test_going_back_to_zero_is_allowed_where_it_was_zero() -> None:
    _, undo = steps(freeze(values={"web-asg": 2, "prod/api": 1} | {"web-asg": 0}, size="3"))
    assert entry(undo, "web")["allow_zero"] is True


def test_a_target_that_is_there_already_leaves_nothing_to_undo() -> None:
    _, undo = steps(freeze(values={**VALUES, "web-asg": 8}))
    assert {one.name: one.op for one in undo.operations} == {"web": "same", "api": "update"}


def test_undo_none_freezes_no_undo() -> None:
    assert freeze(TEXT + "undo: none\n").manifest.undo == ()


def problems(**arguments: Any) -> str:
    with pytest.raises(DocumentError) as caught:
        freeze(**arguments)
    return str(caught.value)


def test_a_step_that_is_too_wide_is_refused_up_and_down() -> None:
    assert "a change of 7, from 4 to 11; the limit is 6" in problems(size="11")
    assert "a change of 7, from 10 to 3; the limit is 6" in problems(
        size="3", values={**VALUES, "web-asg": 10}
    )
    assert freeze(size="10")


def test_a_range_counts_from_its_far_end() -> None:
    text = TEXT.replace("from: {min: 1, max: 4}", "from: {min: 1, max: 4}\n    limits: {max_step: 3}")
    assert "a change of 4, from 1..4 to 5; the limit is 3" in problems(text=text)


def test_a_present_value_outside_the_range_is_refused() -> None:
    assert "prod/api is at 7, outside 1 to 4" in problems(values={**VALUES, "prod/api": 7})


def test_a_value_that_was_not_read_is_named_at_its_place() -> None:
    found = problems(values={"prod/api": 2})
    assert "the present value of 'web-asg' was not read" in found
    assert "d.yml:13:11" in found


def test_all_problems_are_reported_together() -> None:
    found = problems(values={"web-asg": 1, "prod/api": 9}, size="20")
    assert "limit is 6" in found
    assert "outside 1 to 4" in found


def test_missing_facts_are_a_problem() -> None:
    document = parse("d.yml", TEXT.encode(), capacity.KINDS)
    with pytest.raises(DocumentError, match="no facts"):
        capacity.freeze(document, {"size": 8}, Facts(), source=Source(path="d.yml", digest=digest(b"")))
