import json

from itmp.execution.progress import (
    ActionFinished,
    ActionStarted,
    HostChanged,
    RunEvent,
    RunFinished,
    RunStarted,
    RunStopped,
    SliceFinished,
    SliceStarted,
    to_json,
)
from itmp.testing.rig import Rig
from itmp.testing.small_plans import ansible, hosts, plan

TWO = hosts(2)


def test_a_run_tells_what_it_does_in_order() -> None:
    rig = Rig(plan([ansible("one", TWO, tasks=1)]), script={("one", "web2"): ["failed"]})
    rig.execute()
    assert [type(event) for event in rig.told] == [
        RunStarted,
        SliceStarted,
        *(ActionStarted, ActionFinished, HostChanged) * 2,
        SliceFinished,
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
        "slice.finished", "run.stopped", "run.finished",
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
