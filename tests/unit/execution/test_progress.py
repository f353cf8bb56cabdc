import json

import pytest

from itmp.execution.progress import (
    ActionFinished,
    ActionStarted,
    HostChanged,
    RunEvent,
    RunFinished,
    RunStands,
    RunStarted,
    RunStopped,
    SliceFinished,
    SliceStarted,
    to_json,
)
from itmp.testing.rig import Rig
from itmp.testing.small_plans import ansible, hosts, plan, rolling

TWO = hosts(2)


def test_a_run_tells_what_it_does_in_order() -> None:
    rig = Rig(plan([ansible("one", TWO, tasks=1)]), script={("one", "web2"): ["failed"]})
    rig.execute()
    assert [type(event) for event in rig.told] == [
        RunStarted,
        SliceStarted,
        *(ActionStarted, ActionFinished, HostChanged) * 2,
        SliceFinished,
        RunStands,
        RunFinished,
    ]
    changed = [event for event in rig.told if isinstance(event, HostChanged)]
    assert [(event.host, event.state) for event in changed] == [("web1", "changed"), ("web2", "failed")]
    assert rig.told[-1].exit_code == 13


def test_nothing_is_told_before_it_is_true() -> None:
    rig = Rig(plan([ansible("one", TWO, tasks=1)]))
    seen: list[tuple[str, int]] = []
    rig.listener = lambda event: seen.append((event.event, rig.journal.durable))
    rig.execute()
    durable = dict(reversed(seen))
    assert durable["slice.started"] == 3  # permit, run.started, slice.intended
    assert durable["slice.finished"] == 6


def test_every_event_is_one_json_object_that_names_its_kind() -> None:
    rig = Rig(plan([ansible("one", TWO)]))
    rig.stopping = lambda: len(rig.world.effects) == 1
    rig.execute()
    lines = [json.loads(json.dumps(to_json(event))) for event in rig.told]
    assert [line["event"] for line in lines] == [
        "run.started", "slice.started", "action.started", "action.finished", "host.changed",
        "slice.finished", "run.stands", "run.stopped", "run.finished",
    ]  # fmt: skip
    assert any(isinstance(event, RunStopped) and event.why == "stopped on request" for event in rig.told)


def test_a_view_that_fails_ends_the_watching_and_not_the_run() -> None:
    rig = Rig(plan([ansible("one", TWO)]))
    heard: list[RunEvent] = []

    def listen(event: RunEvent) -> None:
        heard.append(event)
        if len(heard) == 3:
            raise BrokenPipeError

    rig.listener = listen
    assert rig.execute().exit_code == 0
    assert len(heard) == 3


def stands(rig: Rig) -> list[RunStands]:
    """What the newest attempt said of where it stands."""
    first = max(at for at, event in enumerate(rig.told) if isinstance(event, RunStarted))
    return [event for event in rig.told[first:] if isinstance(event, RunStands)]


def test_a_run_taken_up_says_what_earlier_attempts_settled_and_counted() -> None:
    three = hosts(3)
    script = {("one", "web1"): ["failed"]}
    rig = Rig(plan([rolling(three, [ansible("one", three, tasks=1)], size=1, max_failures=1)]), script=script)
    rig.stopping = lambda: "web2" in {effect.host for effect in rig.world.effects}
    rig.execute()
    assert [(one.done, one.failed, one.hosts) for one in stands(rig)] == [
        (1, ("web1",), {}),
        (2, ("web1",), {}),
    ]
    rig.stopping = lambda: False
    rig.resume()
    settled = {"web1": "failed", "web2": "changed", "web3": "not_reached"}
    assert [(one.done, one.failed, one.hosts) for one in stands(rig)] == [
        (2, ("web1",), settled),
        (3, ("web1",), {}),
    ]


def test_a_failure_that_its_step_goes_on_after_counts_for_nobody() -> None:
    steps = [ansible("one", TWO, on_failure="continue"), ansible("two", TWO)]
    rig = Rig(plan(steps), script={("one", "web1"): ["failed"]})
    rig.execute()
    assert [(one.done, one.failed) for one in stands(rig)] == [(1, ()), (2, ())]


def test_who_goes_on_without_a_host_no_longer_counts_it() -> None:
    rig = Rig(plan([rolling(TWO, [ansible("one", TWO)], size=1)]), script={("one", "web1"): ["failed"]})
    rig.execute()
    assert stands(rig)[-1].failed == ("web1",)
    rig.resume(skip=["web1"])
    assert [(one.failed, one.hosts) for one in stands(rig)] == [((), {"web2": "not_reached"}), ((), {})]


@pytest.mark.parametrize(
    ("reaction", "acted", "told"),
    [
        ("stop", ["web1", "web2", "web3"], (("web2",), ("web1",))),
        ("continue", ["web1", "web2"], (("web2",), ("web1",))),
    ],
)
def test_a_block_that_goes_on_past_its_failures_counts_who_was_excused_and_is_told_so(
    reaction: str, acted: list[str], told: tuple[tuple[str, ...], tuple[str, ...]]
) -> None:
    """Over its budget: two failures and one allowed. A block that stops has one that counts, and passes web3 too."""
    three = hosts(3)
    block = rolling(three, [ansible("one", three, tasks=1)], size=1, max_failures=1, on_failure=reaction)
    rig = Rig(plan([block]), script={("one", "web1"): ["failed"], ("one", "web2"): ["failed"]})
    rig.stopping = lambda: "web1" in {effect.host for effect in rig.world.effects}
    rig.execute()
    rig.stopping = lambda: False
    rig.resume(skip=["web1"])
    assert [effect.host for effect in rig.world.effects] == acted
    assert (stands(rig)[-1].failed, stands(rig)[-1].excused) == told
