"""The order of one turn: guard, ask, guard again, call, confirm."""

from typing import Any

import pytest

from itmp.adapters.actions import ActionRefusedError
from itmp.adapters.aws import GROUP
from itmp.adapters.pulumi.kinds import KINDS
from itmp.errors import NotFoundError, RefusedError, StaleError
from itmp.provider.knobs import Knob
from itmp.provider.turn import HalfDoneError, look, turn
from itmp.testing.knobs import MemoryCloud

ASG = KINDS["itmp:aws:AutoScalingGroupCapacity"]
PAUSES = (0.0, 0.0, 0.0)


class Rig:
    def __init__(self, **inputs: Any) -> None:
        self.cloud = MemoryCloud()
        arn = self.cloud.add(GROUP, "web", 4, floor=1, ceiling=10)
        self.inputs = {"group": "web", "arn": arn, "desired": 8, "expected": {"low": 4, "high": 4}, **inputs}
        self.asked = 0

    def ask(self) -> None:
        self.asked += 1

    def turn(self, ask: Any = None) -> None:
        knob = Knob.parse(ASG, self.inputs)
        turn(self.cloud, knob, self.inputs, ask=ask or self.ask, pauses=PAUSES)

    @property
    def value(self) -> int:
        return self.cloud.knobs[GROUP, "web"].value


def test_asks_once_and_sets_the_value() -> None:
    rig = Rig()
    rig.turn()
    assert (rig.asked, rig.value, rig.cloud.writes) == (1, 8, [(GROUP, "web", 8)])


def test_a_preview_only_guards() -> None:
    rig = Rig()
    turn(rig.cloud, Knob.parse(ASG, rig.inputs), rig.inputs, ask=None)
    assert rig.cloud.writes == []


def test_a_refusal_means_no_call() -> None:
    rig = Rig()

    def refuse() -> None:
        raise ActionRefusedError("no")

    with pytest.raises(ActionRefusedError):
        rig.turn(refuse)
    assert rig.cloud.writes == []


def test_nobody_is_asked_for_a_call_that_the_guards_forbid() -> None:
    rig = Rig(desired=50)
    with pytest.raises(RefusedError):
        rig.turn()
    assert (rig.asked, rig.cloud.writes) == (0, [])


def test_a_value_that_moves_while_the_executor_thinks_is_refused() -> None:
    rig = Rig()
    with pytest.raises(StaleError, match="desired is 6"):
        rig.turn(lambda: rig.cloud.write(GROUP, "web", 6))
    assert rig.value == 6


def test_a_target_that_is_reached_needs_no_call() -> None:
    rig = Rig(desired=4)
    rig.turn()
    assert rig.cloud.writes == []


def test_a_lagging_reading_is_waited_for() -> None:
    rig = Rig()
    rig.cloud.lag = 2
    rig.turn()
    assert rig.value == 8


def test_a_call_that_is_never_confirmed_is_half_done() -> None:
    rig = Rig()
    rig.cloud.lag = 99
    with pytest.raises(HalfDoneError, match="set to 8 and reads 4") as caught:
        rig.turn()
    assert (caught.value.resource, caught.value.inputs["desired"]) == ("web", 4)


@pytest.mark.parametrize(("failure", "value"), [("refuse_writes", 4), ("lose_writes", 8)])
def test_a_call_that_failed_may_have_happened(failure: str, value: int) -> None:
    rig = Rig()
    setattr(rig.cloud, failure, True)
    with pytest.raises(HalfDoneError) as caught:
        rig.turn()
    assert (rig.value, caught.value.resource, caught.value.inputs) == (value, "web", rig.inputs)


def test_a_resource_that_is_gone() -> None:
    rig = Rig(group="gone")
    with pytest.raises(NotFoundError):
        rig.turn()
    assert look(rig.cloud, ASG, "gone") is None
    assert (found := look(rig.cloud, ASG, "web")) is not None
    assert found.value == 4
