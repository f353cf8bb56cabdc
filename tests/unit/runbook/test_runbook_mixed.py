"""Runs of runbooks over hosts and stacks together: order, undo across both, and one account of everything."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from itmp.execution.states import RunState
from itmp.plan import Plan
from itmp.testing.rig import Rig
from itmp.testing.runbooks import HEAD, compile_runbook, small_world
from itmp.testing.runners import BrokeDownError, Fuse, Killed, ScriptedRunner, World
from itmp.testing.stacks import BothSources, FakeStackSources

WIDEN = "{id: widen, stack: {name: web, adjust: [{id: web, knob: autoscaling-group, name: web-asg, to: 8}]}, on_failure: undo}"
API = "{id: api, stack: {name: api, adjust: [{id: api, knob: ecs-service, name: prod/api, to: 5}]}, on_failure: undo}"
TOUCH = "{id: touch, playbook: touch, on_failure: undo}"
UNDO = ("{id: restore, playbook: touch}", "{id: narrow, stack: {previous: widen}}")
NARROW_API = "{id: less, stack: {previous: api}}"
WEB = "urn:pulumi:web::aws-capacity::itmp:aws:AutoScalingGroupCapacity::web"
SERVICE = "urn:pulumi:api::aws-capacity::itmp:aws:EcsServiceCount::api"


def plan(steps: Iterable[str] = (WIDEN, TOUCH), undo: Iterable[str] = UNDO) -> Plan:
    text = f"{HEAD}steps: [{', '.join(steps)}]\nundo: [{', '.join(undo)}]\n"
    stacks = FakeStackSources(values={"web-asg": 4, "prod/api": 2, "spare": 1})
    return compile_runbook(text.encode(), sources=BothSources(hosts=small_world(2), stacks=stacks))


def rig(made: Plan | None = None, **script: Any) -> Rig:
    """Return a rig; `touch={"web1": "failed"}` says how a step ends there, at its first attempt."""
    endings = {
        (step, target): [ending] for step, targets in script.items() for target, ending in targets.items()
    }
    return Rig(made or plan(), script=endings)


def work(rig: Rig) -> list[str]:
    """Return the slices that were intended, in order."""
    return [
        " ".join([str((event.data or {})["slice"]), *(event.data or {})["hosts"]])
        for event in rig.journal.events
        if event.type == "slice.intended"
    ]


def test_the_documents_order_holds_and_everything_is_accounted_for():
    one = rig(plan((WIDEN, TOUCH, API)))
    summary = one.execute()
    assert work(one) == ["widen", "touch web1 web2", "api"]
    assert [effect.host for effect in one.world.effects] == [WEB, "web1", "web2", SERVICE]
    assert (summary.exit_code, summary.state) == (0, RunState.SUCCEEDED)
    assert summary.hosts == {"web1": "changed", "web2": "changed"}
    assert summary.resources == {WEB: "changed", SERVICE: "changed"}


def test_a_host_that_fails_takes_back_both_in_the_order_of_undo():
    one = rig(touch={"web2": "failed"})
    summary = one.execute()
    assert work(one) == ["widen", "touch web1 web2", "undo:restore web1 web2", "undo:narrow"]
    assert (summary.exit_code, summary.state) == (20, RunState.UNDONE)
    assert summary.hosts == {"web1": "changed", "web2": "failed"}
    assert summary.resources == {WEB: "changed"}


def test_a_resource_that_fails_keeps_the_hosts_untouched():
    one = rig(widen={WEB: "failed"})
    summary = one.execute()
    assert work(one) == ["widen", "undo:narrow"]
    assert summary.hosts == {"web1": "not_reached", "web2": "not_reached"}
    assert (summary.exit_code, summary.state) == (20, RunState.UNDONE)


def test_a_stack_whose_turn_never_came_is_not_set_back():
    steps, undo = (WIDEN, TOUCH, API), (*UNDO, NARROW_API)
    one = rig(plan(steps, undo), touch={"web1": "failed"})
    assert one.execute().exit_code == 20
    assert work(one) == ["widen", "touch web1 web2", "undo:restore web1 web2", "undo:narrow"]
    one = rig(plan((TOUCH, WIDEN)), touch={"web1": "failed"})
    assert one.execute().exit_code == 20
    assert work(one) == ["touch web1 web2", "undo:restore web1 web2"]


def breaking(step: str, after: int) -> Mapping[str, Any]:
    """Return what makes a runner break down in `step` after so many actions."""
    return {"runner": lambda world, fuse: ScriptedRunner(world, breaks={step: after}, fuse=fuse)}


def test_an_update_that_never_began_leaves_nothing_to_undo():
    one = Rig(plan(), **breaking("widen", 0))
    summary = one.execute()
    assert work(one) == ["widen"]
    assert isinstance(summary.cause, BrokeDownError)
    assert summary.state is RunState.STOPPED
    assert summary.resources == {WEB: "not_reached"}
    one = Rig(plan((TOUCH, WIDEN)), **breaking("widen", 0))
    assert one.execute().state is RunState.UNDONE
    assert work(one) == ["touch web1 web2", "widen", "undo:restore web1 web2"]


def test_nothing_is_undone_while_an_outcome_is_unknown_in_either_world():
    one = rig(touch={"web1": "hang"})
    summary = one.execute()
    assert work(one) == ["widen", "touch web1 web2"]
    assert (summary.exit_code, summary.hosts["web1"], summary.resources[WEB]) == (14, "unknown", "changed")
    one = rig(widen={WEB: "hang"})
    summary = one.execute()
    assert work(one) == ["widen"]
    assert (summary.exit_code, summary.resources[WEB]) == (14, "unknown")


def test_undo_on_request_takes_back_both_once():
    one = rig()
    one.execute()
    summary = one.undo()
    assert work(one)[2:] == ["undo:restore web1 web2", "undo:narrow"]
    assert (summary.exit_code, summary.state) == (0, RunState.UNDONE)
    one.undo()
    assert len(work(one)) == 4


def test_an_undo_of_some_hosts_leaves_stacks_as_they_are():
    one = rig()
    one.execute()
    summary = one.undo(hosts=["web2"])
    assert work(one)[2:] == ["undo:restore web2"]
    left = "narrow: left as it is, since only hosts were named"
    assert left in summary.notes
    assert left not in one.undo().notes
    assert work(one)[3:] == ["undo:restore web1", "undo:narrow"]


def test_a_limit_picks_hosts_and_never_cuts_a_stack():
    one = rig()
    summary = one.execute(limit=["web2"])
    assert work(one) == ["widen", "touch web2"]
    assert (summary.hosts, summary.resources) == ({"web1": "skipped", "web2": "changed"}, {WEB: "changed"})


def test_an_undo_that_no_step_has_an_update_for_comes_where_anything_was_begun():
    spare = "{id: more, stack: {name: spare, adjust: [{id: s, knob: autoscaling-group, name: spare, to: 3}]}}"
    one = rig(plan((TOUCH, API), (spare,)), touch={"web1": "failed"})
    assert one.execute().exit_code == 20
    assert work(one) == ["touch web1 web2", "undo:more"]
    one = Rig(plan((TOUCH,), (spare,)), **breaking("touch", 0))
    one.execute()
    assert work(one) == ["touch web1 web2"]


def test_a_run_killed_at_any_node_is_taken_up_through_both_worlds():
    length = len(sound(Fuse()).fuse.nodes)
    assert length > 20
    for at in range(length):
        one = sound(Fuse(at))
        one.arm(Fuse())
        summary = one.resume()
        assert summary.exit_code == 0, at
        assert {*summary.hosts.values(), *summary.resources.values()} <= {"ok", "changed"}, at
        assert {effect.host for effect in one.world.effects} >= {WEB, "web1", "web2", SERVICE}, at
        assert len(one.world.of("widen", WEB)) == 1, at
        require_order(one.world)


def sound(fuse: Fuse) -> Rig:
    """Return a rig whose run was killed where `fuse` blows."""
    one = rig(plan((WIDEN, TOUCH, API)))
    one.arm(fuse)
    with suppress(Killed):
        one.execute()
    return one


def require_order(world: World) -> None:
    """Require that no host was touched before the group was wide, and the service came last."""
    hosts = [effect.host for effect in world.effects]
    assert hosts.index(WEB) < min(hosts.index("web1"), hosts.index("web2"))
    assert hosts.index(SERVICE) > max(hosts.index("web1"), hosts.index("web2"))
