"""The shipped fakes keep the doors' contract, and fail in both ways."""

from pathlib import Path

import pytest

from itmp.errors import Error
from itmp.execution.doors import Room, Slice
from itmp.testing.rig import Rig
from itmp.testing.runners import Fuse, Killed, ScriptedObserver, ScriptedProber, ScriptedRunner, World
from itmp.testing.small_plans import ansible, hosts, plan

TWO = hosts(2)
PLAN = plan([ansible("one", TWO)])
PART = Slice(key="one", step=PLAN.manifest.steps[0], hosts=TWO)  # type: ignore[arg-type]


def run(runner: ScriptedRunner, observer: ScriptedObserver) -> None:
    rig = Rig(PLAN)
    runner.run(rig.permit(), PLAN, PART, room=rig.wiring().room, observer=observer)


def test_each_action_is_asked_for_and_each_has_one_result() -> None:
    world, observer = World(), ScriptedObserver()
    run(ScriptedRunner(world), observer)
    assert [action.id for action in observer.before_] == [result.id for result in observer.after_]
    assert len(world.effects) == 4


def test_a_refused_action_does_not_happen_and_nothing_follows() -> None:
    world, observer = World(), ScriptedObserver(refuse=["one/1/web2"])
    with pytest.raises(Error, match="refused"):
        run(ScriptedRunner(world), observer)
    assert [(e.host, e.line) for e in world.effects] == [("web1", 1)]


def test_an_observer_can_fail_after_it_has_noted() -> None:
    observer = ScriptedObserver(lose=["one/1/web1"])
    with pytest.raises(Error, match="noted"):
        run(ScriptedRunner(World()), observer)
    assert [result.id for result in observer.after_] == ["one/1/web1"]


@pytest.mark.parametrize(("node", "effects"), [(0, 0), (1, 1)])
def test_a_runner_can_die_before_an_effect_and_after_it(node, effects) -> None:
    world = World()
    with pytest.raises(Killed):
        run(ScriptedRunner(world, fuse=Fuse(node)), ScriptedObserver())
    assert (len(world.effects), world.left_over) == (effects, ["one"])


def test_a_prober_sees_what_really_happened() -> None:
    world = World()
    prober = ScriptedProber(world, blind=["web2"])
    room = Room(folder=Path("/nowhere"), token="token", run="run")
    assert prober.probe(PLAN, PART, ("web1",), room=room) == {"web1": "not_done"}
    run(ScriptedRunner(world), ScriptedObserver())
    found = prober.probe(PLAN, PART, ("web1", "web2"), room=room)
    assert found == {"web1": "done", "web2": "cannot_know"}
