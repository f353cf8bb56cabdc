"""Normalised operations, and whether a fresh preview is still the approved one."""

from typing import Any

import pytest

from itmp import canonical
from itmp.adapters.aws import GROUP
from itmp.adapters.pulumi.operations import differences, normalise, targets
from itmp.plan.model import Change, Operation

TYPE = "itmp:aws:AutoScalingGroupCapacity"
KNOB = {
    "group": "web-asg",
    "arn": "arn:1",
    "desired": 8,
    "expected": {"low": 4, "high": 4},
    "allow_zero": False,
}
PRESENT = {(GROUP, "web-asg"): 4}


def urn(name: str, kind: str = TYPE) -> str:
    return f"urn:pulumi:s::p::{kind}::{name}"


def step(op: str, *, name: str = "web", old: Any = None, new: Any = None, **other: Any) -> dict[str, Any]:
    kind = other.pop("type", TYPE)
    return {"stage": "pre", "op": op, "urn": urn(name, kind), "type": kind, "old": old, "new": new, **other}


def one(*steps: dict[str, Any]) -> Operation:
    (operation,) = normalise(steps, PRESENT)
    return operation


def test_bookkeeping_refreshes_and_second_reports_are_no_operations() -> None:
    steps = [
        step("create", type="pulumi:pulumi:Stack", new={}),
        step("create", type="pulumi:providers:itmp", new={}),
        step("refresh", old=KNOB, new=KNOB),
        step("create", new=KNOB),
        step("create", new=KNOB, stage="done"),
    ]
    assert [operation.op for operation in normalise(steps, PRESENT)] == ["create"]


def test_the_first_adoption_shows_the_old_value_that_we_read() -> None:
    operation = one(step("create", new=KNOB))
    assert operation.inputs == {
        "desired": Change(old=4, new=8),
        "group": Change(old="web-asg", new="web-asg"),
    }


def test_an_update_shows_target_and_identity_but_no_guards() -> None:
    old = {**KNOB, "desired": 4, "expected": {"low": 1, "high": 1}}
    assert one(step("update", old=old, new=KNOB)).inputs == one(step("create", new=KNOB)).inputs


def test_another_arn_is_shown() -> None:
    operation = one(step("replace", old=KNOB, new={**KNOB, "arn": "arn:2"}))
    assert operation.inputs["arn"] == Change(old="arn:1", new="arn:2")


def test_a_replacement_is_one_operation() -> None:
    steps = [
        step(op, old=KNOB, new={**KNOB, "group": "db"})
        for op in ("create-replacement", "replace", "delete-replaced")
    ]
    assert [operation.op for operation in normalise(steps, PRESENT)] == ["replace"]


def test_foreign_resources_show_what_changes_without_floats() -> None:
    foreign = "random:index:Id"
    operation = one(
        step("update", type=foreign, old={"a": 1, "b": 2.0}, new={"a": 1, "b": 2.5, "c": {"d": 3.0}})
    )
    assert operation.inputs == {"b": Change(old=2, new="2.5"), "c": Change(old=None, new={"d": 3})}
    canonical.dumps({name: [change.old, change.new] for name, change in operation.inputs.items()})


def test_operations_are_sorted_so_that_the_engines_order_does_not_matter() -> None:
    steps = [step("create", name=name, new=KNOB) for name in ("b", "a", "c")]
    assert normalise(steps, PRESENT) == normalise(reversed(steps), PRESENT)


def test_targets_are_named_by_knob_and_resource() -> None:
    assert targets([one(step("create", new=KNOB))]) == {(GROUP, "web-asg"): 8}


def operation(
    op: str = "update", *, old: Any = 4, new: Any = 8, name: str = "web", group: str = "web-asg"
) -> Operation:
    inputs = {"desired": Change(old=old, new=new), "group": Change(old=group, new=group)}
    return Operation(urn=urn(name), op=op, type=TYPE, name=name, inputs=inputs)


def test_the_same_preview_has_no_differences() -> None:
    assert differences([operation()], [operation()], again=False) == ()


def test_a_present_value_within_the_approved_range_is_judged_elsewhere() -> None:
    assert differences([operation(old=4)], [operation(old=5)], again=False) == ()


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize(
    "fresh",
    [
        [operation(new=9)],
        [operation(group="db-asg")],
        [operation(), operation(name="extra")],
        [operation("delete")],
        [operation("replace")],
        [operation("import")],
        [],
    ],
)
def test_anything_else_than_approved_differs_even_on_a_resume(fresh: list[Operation], *, again: bool) -> None:
    assert differences([operation()], fresh, again=again)


@pytest.mark.parametrize("op", ["create", "same"])
def test_after_a_partial_run_an_operation_may_have_become_another_one(op: str) -> None:
    fresh = operation(op, old=8 if op == "same" else 4)
    assert differences([operation()], [fresh], again=False)
    assert differences([operation()], [fresh], again=True) == ()


def test_a_delete_that_is_done_is_fine_on_a_resume_only() -> None:
    gone = Operation(urn=urn("old"), op="delete", type=TYPE, name="old", inputs={})
    assert differences([gone], [], again=True) == ()
    assert differences([gone], [], again=False)


def test_a_foreign_operation_is_never_settled() -> None:
    planned = Operation(
        urn="u::x", op="update", type="random:index:Id", name="x", inputs={"a": Change(old=1, new=2)}
    )
    fresh = Operation(urn="u::x", op="same", type="random:index:Id", name="x", inputs={})
    assert differences([planned], [fresh], again=True)


def test_a_foreign_input_with_another_old_value_differs() -> None:
    planned = Operation(
        urn="u::x", op="update", type="random:index:Id", name="x", inputs={"a": Change(old=1, new=2)}
    )
    fresh = Operation(
        urn="u::x", op="update", type="random:index:Id", name="x", inputs={"a": Change(old=3, new=2)}
    )
    assert differences([planned], [fresh], again=False)


def test_differences_are_told_in_words() -> None:
    (text,) = differences([operation()], [operation(new=9)], again=False)
    assert text == "web: update desired 4 → 9, approved was update desired 4 → 8"
