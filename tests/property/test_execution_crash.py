"""A run that dies anywhere, as often as you like, ends truthfully once it is taken up again."""

import contextlib
import itertools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itmp.audit import Event
from itmp.errors import Error, LogUnavailableError, RejectedError
from itmp.execution import RunSummary
from itmp.execution.doors import Slice
from itmp.execution.states import RunState
from itmp.plan import Plan, PulumiStep, all_steps, targets
from itmp.testing.rig import Rig
from itmp.testing.runners import Effect, Fuse, Killed
from itmp.testing.small_plans import ansible, check, hosts, plan, rolling, stack

FLEET = hosts(3)
STATES = {"ok", "changed", "failed", "unreachable", "skipped", "unknown", "not_reached"}


def house() -> Plan:
    """Two batches, an `always` step, a check, a stack, and an undo."""
    pair = FLEET[:2]
    inner = [
        ansible("drain", pair, tasks=1),
        ansible("restart", pair),
        check("healthy", pair),
        ansible("undrain", pair, tasks=1, always=True),
    ]
    steps = [rolling(pair, inner, size=1, on_failure="undo"), stack("grow", ["a"], on_failure="undo")]
    return plan(steps, undo=[ansible("back", pair, tasks=1), stack("shrink", ["a"])])


PLAN = house()


def attempt(rig: Rig) -> RunSummary | None:
    """Run, or take up what there is; `None` when it died or could not begin."""
    begun = any(event.type in {"run.started", "run.resumed"} for event in rig.journal.events)
    with contextlib.suppress(Killed, LogUnavailableError):
        return rig.resume() if begun else rig.execute()
    return None


def finish(rig: Rig) -> RunSummary:
    """Take the run up, undisturbed, until it has ended."""
    rig.arm(Fuse())
    for _ in range(4):
        summary = attempt(rig)
        if summary is not None and summary.cause is None:
            return summary
    raise AssertionError(f"it never ended: {summary}")


def check_story(rig: Rig) -> None:
    """Read log and world as a stranger would: nothing here uses the code under test."""
    events, leaves = rig.journal.events, rig.journal.leaves
    index = {leaf.hash: leaf.index for leaf in leaves}
    started = [e for e in events if e.type in {"run.started", "run.resumed"}]
    permits = [e.data["permit"] for e in started]
    assert len(permits) == len(set(permits)), "a permit was used twice"
    issued = {leaf.hash for leaf, event in zip(leaves, events, strict=True) if event.type == "permit.issued"}
    assert all(permit in issued for permit in permits)
    ended = Counter(e.intent for e in events if e.type == "slice.finished")
    assert all(count == 1 for count in ended.values())
    for leaf, event in zip(leaves, events, strict=True):
        if event.type in {
            "action.intended",
            "action.finished",
            "check.finished",
            "slice.finished",
            "action.reconciled",
        }:
            assert index[event.intent] < leaf.index, "a result before its intent"
            assert events[index[event.intent]].type in {"slice.intended", "action.intended"}
        if event.type == "slice.intended":
            assert event.data["permit"] in permits
    check_effects(rig)
    check_hosts(rig)


def check_effects(rig: Rig) -> None:
    """No effect without an earlier durable intent that covers it; none twice unless somebody asked."""
    events = rig.journal.events
    last: dict[tuple[str, str, int], int] = {}
    effects = rig.world.effects
    for place, effect in enumerate(effects):
        assert any(covers(e, effect) for e in events[: effect.at]), f"{effect} without a durable intent"
        key = (effect.slice, effect.host, effect.line)
        if key in last and effect.action != "check":
            between = effects[last[key] : place]
            asked = any(says_not_done(e, effect) for e in events[between[0].at : effect.at])
            retried = any(says_failed(e, effect) for e in events[: effect.at])
            assert asked or retried or reopened(rig, between, effect), f"{effect} twice, and nobody asked"
        last[key] = place


def covers(event: Event, effect: Effect) -> bool:
    if event.type == "slice.intended":
        return event.data["slice"] == effect.slice and effect.host in event.data["hosts"]
    return event.type == "action.intended" and event.target["id"] == effect.host


def says_not_done(event: Event, effect: Effect) -> bool:
    return (
        event.type == "action.reconciled"
        and event.target["id"] == effect.host
        and event.data["probe"] == "not_done"
    )


def says_failed(event: Event, effect: Effect) -> bool:
    return (
        event.type == "slice.finished"
        and event.data["slice"] == effect.slice
        and event.data["hosts"].get(effect.host) in {"failed", "unreachable"}
    )


def reopened(rig: Rig, between: list[Effect], effect: Effect) -> bool:
    """Whether `always` had closed the host's batch before the host had passed it: it passes the batch again."""
    name, _, batch = effect.slice.partition("@")
    if name != "undrain":
        return any(e.slice == f"undrain@{batch}" and e.host == effect.host for e in between)
    return any(
        e.type == "slice.intended"
        and e.step != name
        and e.data["slice"].endswith(f"@{batch}")
        and effect.host in e.data["hosts"]
        for e in rig.journal.events[between[0].at : effect.at]
    )


def check_hosts(rig: Rig) -> None:
    """The last word on the run has exactly one state for every target."""
    finished = [e for e in rig.journal.events if e.type == "run.finished"]
    if finished:
        assert set(finished[-1].data["hosts"]) == set(targets(rig.plan.manifest, "do"))
        assert set(finished[-1].data["hosts"].values()) <= STATES


def complete(rig: Rig) -> None:
    """Every task of the plan has happened on every target."""
    for step in all_steps(rig.plan.manifest)[:-2]:
        seen = [e for e in rig.world.effects if e.slice.partition("@")[0] == step.id]
        wanted = (
            {(operation.urn, 0) for operation in step.operations}
            if isinstance(step, PulumiStep)
            else {(host, task.line) for host in step.hosts for task in getattr(step, "expected", ())}
        )
        assert wanted <= {(e.host, e.line) for e in seen}


def nodes_of_a_whole_run() -> list[str]:
    rig = Rig(PLAN)
    fuse = rig.arm(Fuse())
    assert rig.execute().exit_code == 0
    return fuse.nodes


NODES = nodes_of_a_whole_run()


@pytest.mark.parametrize("power_cut", [False, True])
def test_killed_at_every_node_and_resumed_it_does_everything_once(*, power_cut: bool) -> None:
    for node, name in enumerate(NODES):
        rig = Rig(PLAN)
        rig.arm(Fuse(node))
        assert attempt(rig) is None, name
        if power_cut:
            rig.journal.power_cut()
        summary = finish(rig)
        check_story(rig)
        complete(rig)
        assert (summary.state, summary.exit_code) == (RunState.SUCCEEDED, 0), name
        assert not rig.world.left_over, name


@pytest.mark.parametrize("power_cut", [False, True])
def test_the_log_failing_at_every_append_stops_the_run_and_nothing_is_lost(*, power_cut: bool) -> None:
    for node, name in enumerate(NODES):
        if not name.startswith("append"):
            continue
        rig = Rig(PLAN)
        rig.arm(Fuse(node, lambda: LogUnavailableError("no room left")))
        before = len(rig.world.effects)
        summary = attempt(rig)
        if summary is None:
            assert len(rig.world.effects) == before, name
        else:
            assert summary.exit_code == 16, name
            assert set(summary.hosts) == set(targets(PLAN.manifest)), name
        if power_cut:
            rig.journal.power_cut()
        summary = finish(rig)
        check_story(rig)
        complete(rig)
        assert summary.exit_code == 0, name


ENDINGS = st.sampled_from([None, None, "failed", "unreachable", "silent", "hang", "unknown", "ignored"])
TARGETS = [("drain", h) for h in FLEET] + [("restart", h) for h in FLEET] + [("healthy", h) for h in FLEET]


@st.composite
def runs(draw: st.DrawFn) -> Rig:
    reaction = st.sampled_from(["stop", "continue", "undo"])
    inner = [
        ansible("drain", FLEET, tasks=1, on_failure=draw(reaction)),
        ansible("restart", FLEET, handlers=1),
        check("healthy", FLEET),
        ansible("undrain", FLEET, tasks=1, always=True),
    ]
    block = rolling(
        FLEET,
        inner,
        size=draw(st.integers(1, 3)),
        max_failures=draw(st.integers(0, 3)),
        on_failure=draw(reaction),
    )
    steps = [
        block,
        stack("grow", ["a", "b"], on_failure=draw(reaction)),
        ansible("note", FLEET, always=draw(st.booleans())),
    ]
    undo = [ansible("back", FLEET, tasks=1), stack("shrink", ["a"])][: draw(st.integers(0, 2))]
    script = draw(
        st.dictionaries(st.sampled_from(TARGETS), st.lists(ENDINGS, min_size=1, max_size=2), max_size=3)
    )
    return Rig(plan(steps, undo=undo), script=script)


TROUBLE = st.tuples(st.sampled_from(["kill", "log", "stop", "gate"]), st.integers(0, 90), st.booleans())


def disturb(rig: Rig, kind: str, number: int) -> None:
    """Let the `number`th node be the last, or the log fail there, or a stop or a refusal come in about then."""
    count = itertools.count()
    blow = {"kill": Killed, "log": lambda: LogUnavailableError("no room left")}.get(kind)
    rig.arm(Fuse(number, blow) if blow else Fuse())
    rig.stopping = (lambda: next(count) >= number // 3) if kind == "stop" else bool
    rig.recheck = (
        (lambda _, exempt: refuse(exempt=exempt, now=next(count) >= number // 9)) if kind == "gate" else fine
    )


def refuse(*, exempt: bool, now: bool) -> None:
    if now and not exempt:
        raise RejectedError("revoked")


def fine(part: Slice, exempt: bool) -> None:  # noqa: FBT001 -- the rig calls it so
    del part, exempt


@settings(max_examples=60, deadline=None)
@given(runs(), st.lists(TROUBLE, max_size=3), st.sampled_from([(), ("failed",), ("failed", "unreachable")]))
def test_whatever_fails_and_dies_the_story_is_true_and_every_host_accounted(
    rig: Rig, troubles, retry
) -> None:
    for kind, number, power_cut in troubles:
        disturb(rig, kind, number)
        with contextlib.suppress(Error):
            attempt(rig)
        if power_cut:
            rig.journal.power_cut()
    disturb(rig, "none", 0)
    finish(rig)
    if retry:
        rig.resume(retry=retry)
    summary = finish(rig)
    check_story(rig)
    assert set(summary.hosts) == set(FLEET)
    assert set(summary.hosts.values()) <= STATES
    assert set(summary.resources) == {
        o.urn for s in all_steps(rig.plan.manifest) if s.id == "grow" for o in s.operations
    }
    expected = {RunState.SUCCEEDED: 0, RunState.FAILED: 13, RunState.UNKNOWN: 14, RunState.UNDONE: 20}
    assert summary.exit_code == expected[summary.state]
    good = all(
        state in {"ok", "changed", "skipped"}
        for state in (*summary.hosts.values(), *summary.resources.values())
    )
    assert (summary.exit_code == 0) == (good and summary.state is not RunState.UNDONE)
