"""Capacity adjustments with the real engine and provider against the cloud double, through the run loop."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pulumi_rig import TEXT, Stacks, outcomes, part, states, urn

from itmp.errors import InvalidInputError
from itmp.execution.doors import Room
from itmp.testing.cloud import Cloud
from itmp.testing.flaky import FlakyProxy
from itmp.testing.rig import Rig

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("pulumi")]


@pytest.fixture(scope="module")
def moto() -> Iterator[Cloud]:
    with Cloud() as cloud:
        yield cloud


@pytest.fixture
def cloud(moto: Cloud, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    moto.reset()
    moto.group("web-asg", desired=4, floor=1, ceiling=10)
    moto.service("prod", "api", desired=2)
    for name, value in moto.environ.items():
        monkeypatch.setenv(name, value)
    return moto


@pytest.fixture
def stacks(cloud: Cloud, tmp_path: Path) -> Stacks:
    return Stacks(tmp_path, cloud.endpoint)


def test_there_and_back(stacks: Stacks, cloud: Cloud) -> None:
    rig = Rig(stacks.plan())
    assert rig.plan.digest == stacks.plan().digest  # planning changes nothing, and is repeatable
    assert (cloud.desired("web-asg"), cloud.count("prod", "api")) == (4, 2)

    summary = stacks.run(rig)
    assert (summary.exit_code, states(summary)) == (0, {"web": "changed", "api": "changed"})
    assert (cloud.desired("web-asg"), cloud.count("prod", "api")) == (8, 5)
    kinds = [event.type for event in rig.journal.events if event.type.startswith("action.")]
    assert kinds == ["action.intended"] * 2 + ["action.finished"] * 2
    assert probed(stacks, rig, "web") == {"web": "done"}

    undone = stacks.undo(rig)
    assert undone.exit_code in {0, 20}
    assert (cloud.desired("web-asg"), cloud.count("prod", "api")) == (4, 2)


def probed(stacks: Stacks, rig: Rig, *names: str) -> dict[str, str]:
    """Return what a prober says of the resources with these names."""
    urns = {urn(rig.plan, name): name for name in names}
    room = Room(folder=stacks.folder, token="token", run="RUN-1")
    found = stacks.runner.probe(rig.plan, part(rig.plan), tuple(urns), room=room)
    return {urns[one]: answer for one, answer in found.items()}


def test_a_world_that_moved_is_refused_before_any_effect(stacks: Stacks, cloud: Cloud) -> None:
    rig = Rig(stacks.plan())
    cloud.set_count("prod", "api", 3)
    summary = stacks.run(rig)
    assert (summary.exit_code, states(summary)) == (12, {"web": "not_reached", "api": "not_reached"})
    assert not [event for event in rig.journal.events if event.type.startswith("action.")]
    assert (cloud.desired("web-asg"), cloud.count("prod", "api")) == (4, 3)
    assert probed(stacks, rig, "api", "web") == {"api": "cannot_know", "web": "not_done"}


def test_limits_of_the_group_hold_when_planning_and_when_running(stacks: Stacks, cloud: Cloud) -> None:
    with pytest.raises(InvalidInputError, match=r"desired 11 is outside its own limits 1\.\.10"):
        stacks.plan(size="11")
    rig = Rig(stacks.plan(size="10"))
    cloud.set_limits("web-asg", 1, 9)
    summary = stacks.run(rig)
    assert summary.exit_code == 12
    assert (cloud.desired("web-asg"), cloud.count("prod", "api")) == (4, 2)


@pytest.mark.parametrize("done", [False, pytest.param(True, marks=pytest.mark.long)])
def test_half_of_it_fails_and_a_resume_completes_it(
    cloud: Cloud, tmp_path: Path, *, done: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FlakyProxy(cloud.endpoint) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        stacks = Stacks(tmp_path, proxy.endpoint)
        rig = Rig(stacks.plan())
        proxy.break_call("UpdateService", done=done)
        summary = stacks.run(rig)
        expected = "changed" if done else "failed"
        assert states(summary) == {"web": "changed", "api": expected}
        assert (cloud.desired("web-asg"), cloud.count("prod", "api")) == (8, 5 if done else 2)
        assert outcomes(rig) == {"web": "changed", "api": expected}
        proxy.mend()
        if not done:
            again = stacks.resume(rig)
            assert (again.exit_code, cloud.count("prod", "api")) == (0, 5)


@pytest.mark.long
def test_a_knob_that_leaves_the_document_is_left_as_it_is(stacks: Stacks, cloud: Cloud) -> None:
    assert stacks.run(Rig(stacks.plan())).exit_code == 0
    plan = stacks.plan(
        "\n".join(line for line in TEXT.splitlines() if "ecs-service" not in line) + "\n", size="6"
    )
    assert plan.manifest.notes == ("api leaves the stack; the resource itself stays as it is",)
    summary = stacks.run(Rig(plan))
    assert (summary.exit_code, states(summary)) == (0, {"web": "changed", "api": "ok"})
    assert (cloud.desired("web-asg"), cloud.count("prod", "api")) == (6, 5)


def test_a_program_that_fails_or_is_missing_is_named(stacks: Stacks) -> None:
    with pytest.raises(InvalidInputError, match="no program stacks/nope") as caught:
        stacks.plan(f"{TEXT}stack: nope\n")
    assert "aws-capacity" in str(caught.value)
