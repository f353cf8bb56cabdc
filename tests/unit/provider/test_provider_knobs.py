"""Guards of one knob: what the inputs may be, what is a difference, and when a call may be made."""

from typing import Any

import pytest

from itmp.adapters.aws import GROUP, Capacity
from itmp.adapters.pulumi.kinds import KINDS, kind_of
from itmp.errors import InvalidInputError, RefusedError, StaleError
from itmp.provider.knobs import Knob, check, difference, guard

ASG = KINDS["itmp:aws:AutoScalingGroupCapacity"]
ECS = KINDS["itmp:aws:EcsServiceCount"]
INPUTS: dict[str, Any] = {"group": "web", "arn": "arn:1", "desired": 8, "expected": {"low": 4, "high": 6}}
NOW = Capacity(value=4, floor=1, ceiling=10, arn="arn:1")


def knob(**other: Any) -> Knob:
    return Knob.parse(ASG, {**INPUTS, **other})


def now(value: int, *, floor: int = 1, ceiling: int | None = 10, arn: str = "arn:1") -> Capacity:
    return Capacity(value=value, floor=floor, ceiling=ceiling, arn=arn)


def test_valid_inputs_have_no_failures() -> None:
    assert check(ASG, INPUTS) == ()
    assert knob().resource == "web"


def test_a_service_is_named_by_cluster_and_service() -> None:
    inputs = {k: v for k, v in INPUTS.items() if k not in {"group", "desired"}}
    made = Knob.parse(ECS, {**inputs, "cluster": "prod", "service": "api", "desired_count": 3})
    assert (made.kind.knob, made.resource, made.target) == ("aws:ecs:Service", "prod/api", 3)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"desired": -1}, "desired"),
        ({"desired": 0}, "desired"),
        ({"desired": 0, "allow_zero": "yes"}, "allow_zero"),
        ({"desired": 4.5}, "desired"),
        ({"desired": True}, "desired"),
        ({"desired": "8"}, "desired"),
        ({"desired": None}, "desired"),
        ({"group": ""}, "group"),
        ({"group": "a/b"}, "group"),
        ({"group": 7}, "group"),
        ({"arn": ""}, "arn"),
        ({"expected": None}, "expected"),
        ({"expected": {"low": 1}}, "expected"),
        ({"expected": {"low": 5, "high": 4}}, "expected"),
        ({"expected": {"low": -1, "high": 4}}, "expected"),
        ({"expected": {"low": 1, "high": 4, "more": 1}}, "expected"),
        ({"min": 0}, "min"),
    ],
)
def test_bad_inputs_are_named(change: dict[str, Any], name: str) -> None:
    assert name in {failed for failed, _ in check(ASG, {**INPUTS, **change})}
    with pytest.raises(InvalidInputError, match=name):
        knob(**change)


def test_every_failure_is_reported_at_once() -> None:
    assert {name for name, _ in check(ASG, {})} == {"group", "arn", "desired", "expected"}


def test_zero_needs_leave() -> None:
    assert check(ASG, {**INPUTS, "desired": 0, "allow_zero": True}) == ()


def test_guards_are_no_difference() -> None:
    new = {**INPUTS, "expected": {"low": 8, "high": 8}, "allow_zero": True}
    assert difference(ASG, INPUTS, new) == {}


def test_a_target_is_an_update_and_an_identity_a_replacement() -> None:
    assert difference(ASG, INPUTS, {**INPUTS, "desired": 9}) == {"desired": False}
    assert difference(ASG, INPUTS, {**INPUTS, "group": "db"}) == {"group": True}
    assert difference(ASG, INPUTS, {**INPUTS, "arn": "arn:2"}) == {"arn": True}


@pytest.mark.parametrize("value", [4, 5, 6])
def test_a_call_is_needed_from_anywhere_in_the_range(value: int) -> None:
    assert guard(knob(), now(value)) is True


def test_no_call_is_needed_at_the_target() -> None:
    assert guard(knob(), now(8)) is False


@pytest.mark.parametrize("value", [3, 7, 9, 0])
def test_a_moved_value_is_refused(value: int) -> None:
    with pytest.raises(StaleError, match=f"desired is {value}, expected 4..6"):
        guard(knob(), now(value))


@pytest.mark.parametrize(("target", "ceiling"), [(11, 10), (50, 4), (100_000, 99_999)])
def test_a_target_above_the_groups_maximum_is_refused(target: int, ceiling: int) -> None:
    with pytest.raises(RefusedError, match="outside its own limits"):
        guard(knob(desired=target), now(4, ceiling=ceiling))


def test_a_target_below_the_groups_minimum_is_refused() -> None:
    with pytest.raises(RefusedError, match="outside its own limits"):
        guard(knob(desired=1), now(4, floor=2))


def test_limits_hold_even_where_the_value_is_the_target_already() -> None:
    with pytest.raises(RefusedError):
        guard(knob(desired=50), now(50, ceiling=10))


def test_another_resource_of_the_same_name_is_refused() -> None:
    with pytest.raises(StaleError, match="arn:2"):
        guard(knob(), now(4, arn="arn:2"))


def test_an_unknown_type_is_refused_by_name() -> None:
    with pytest.raises(InvalidInputError, match="aws:s3:Bucket"):
        kind_of("aws:s3:Bucket")
    assert kind_of("itmp:aws:AutoScalingGroupCapacity").knob == GROUP
