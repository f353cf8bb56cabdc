"""Capacity documents: what they may say, and that every finding stands at its place."""

from pathlib import Path
from typing import Any

import pytest

from itmp import capacity
from itmp.capacity import KINDS
from itmp.documents import DocumentError, parse, resolve_inputs
from itmp.plan.sources import KnobNeed

EXAMPLES = Path(__file__).parents[3] / "runbooks" / "capacity"
HEAD = """itmp: capacity-adjustment/v1
name: wide
title: Widen
owner: team
environment: lab
risk: low
"""
ADJUST = """adjust:
  - id: web
    knob: autoscaling-group
    name: web-asg
    to: 8
"""


def document(body: str = ADJUST) -> Any:
    return parse("d.yml", (HEAD + body).encode(), KINDS)


def problems(body: str) -> str:
    with pytest.raises(DocumentError) as caught:
        document(body)
    return "\n".join(map(str, caught.value.problems))


def test_the_smallest_document() -> None:
    made = document()
    assert (made.stack, made.undo, made.on_failure) == ("aws-capacity", "previous", "stop")
    assert made.adjust[0].limits.max == 100_000


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.yml")), ids=lambda path: path.name)
def test_the_examples_are_valid(file: Path) -> None:
    made = parse(file.name, file.read_bytes(), KINDS)
    capacity.needs(made, resolve_inputs(made.inputs, {}))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("to: 8", "to: -1", "greater than or equal to 0"),
        ("to: 8", "to: 0", "0 switches it off"),
        ("to: 8", "to: 100001", "less than or equal to 100000"),
        ("to: 8", "to: eight", "whole number"),
        ("to: 8", "to: true", "whole number"),
        ("to: 8", "to: 8\n    limits: {max: 7}", "8 is outside the limits 0 to 7"),
        ("to: 8", "to: 8\n    limits: {min: 9}", "8 is outside the limits 9 to 100000"),
        ("to: 8", "to: 8\n    limits: {min: 9, max: 3}", "min is above max"),
        ("to: 8", "to: 8\n    limits: {max_step: 0}", "greater than or equal to 1"),
        ("to: 8", "to: 8\n    from: {min: 5, max: 3}", "min is above max"),
        ("to: 8", "to: 8\n    from: {min: 5}", "max"),
        ("autoscaling-group", "autoscale-group", "autoscaling-group"),
        ("web-asg", "prod/web", "without a slash"),
        ("autoscaling-group", "ecs-service", "cluster/service"),
        ("web-asg", "a/b/c", "pattern"),
        ("web-asg", "'${present.x}'", "pattern"),
        ("to: 8", "to: 8\n    size: 3", "unknown key 'size'"),
        ("to: 8", 'to: "${inputs.size}"', "no input 'size'"),
    ],
)
def test_what_is_wrong_is_said_at_its_place(old: str, new: str, message: str) -> None:
    found = problems(ADJUST.replace(old, new))
    assert message in found
    assert "d.yml:" in found


def test_doubles_are_refused() -> None:
    again = ADJUST + ADJUST.partition("\n")[2]
    assert "the id 'web' occurs twice" in problems(again)
    assert "'web-asg' is adjusted twice" in problems(again.replace("id: web", "id: db", 1))


def test_undo_on_failure_needs_an_undo() -> None:
    assert "nothing to undo" in problems(ADJUST + "on_failure: undo\nundo: none\n")


def test_zero_with_leave_is_fine() -> None:
    assert document(ADJUST.replace("to: 8", "to: 0\n    allow_zero: true")).adjust[0].to == 0


@pytest.mark.parametrize("program", ["../x", "a/b", ".x", "-x", "A"])
def test_a_program_is_a_plain_name(program: str) -> None:
    assert "stack" in problems(f"stack: '{program}'\n" + ADJUST) or "pattern" in problems(
        f"stack: '{program}'\n" + ADJUST
    )


INPUT = "inputs:\n  size: {type: integer, default: 8}\n" + ADJUST.replace(
    "to: 8", 'to: "${inputs.size}"\n    limits: {max: 9}'
)


def test_an_input_is_checked_against_the_limits_once_it_is_known() -> None:
    made = document(INPUT)
    assert capacity.needs(made, {"size": 9}).stacks[0].config["knobs"][0]["to"] == 9
    with pytest.raises(DocumentError, match="10 is outside the limits 0 to 9"):
        capacity.needs(made, {"size": 10})


def test_needs_name_the_knob_and_leave_its_value_to_the_world() -> None:
    (need,) = capacity.needs(document(), {}).stacks
    assert need.knobs == (KnobNeed(knob="aws:autoscaling:Group", id="web-asg", field="desired"),)
    assert (need.program, need.stack, need.mark) == ("aws-capacity", "wide", "d.yml:8:3")
    assert need.config["knobs"] == [
        {
            "id": "web",
            "knob": "aws:autoscaling:Group",
            "name": "web-asg",
            "arn": "${arn:aws:autoscaling:Group:web-asg}",
            "to": 8,
            "low": "${present:aws:autoscaling:Group:web-asg:desired}",
            "high": "${present:aws:autoscaling:Group:web-asg:desired}",
            "allow_zero": False,
        }
    ]


def test_a_range_stands_instead_of_the_present_value() -> None:
    (need,) = capacity.needs(document(ADJUST + "    from: {min: 2, max: 6}\n"), {}).stacks
    assert (need.config["knobs"][0]["low"], need.config["knobs"][0]["high"]) == (2, 6)
