"""A run that another process carries out: followed as it goes, by its events, and told from the log alone."""

import json

import pytest
from places import Place, rolling, wait_for

pytestmark = pytest.mark.fleet


def test_a_second_run_attaches_and_tells_the_same_events(place: Place) -> None:
    change = place.ready(rolling("one", "two", hosts="web1:web2", batches=(2,)))
    place.hold("web1", "two")
    first = place.start("run", change, "--key", "alice", "--stream")
    place.until("web1", "begin two")
    second = place.start("run", change, "--key", "alice", "--stream")
    shown = place.root.parent / f"out-{place.running.index(second)}"
    wait_for(lambda: "slice.started" in shown.read_text(), "the second to attach")
    third = place.start("logs", change, "--follow", "--json")
    follower = place.start("wait", change, "--for", "finished", "--json")
    place.let_go("web1", "two")
    outs = [[json.loads(line) for line in place.ended(one).out.splitlines()] for one in (first, second)]
    (*own, mine), (*told, theirs) = outs
    assert (mine["replayed"], theirs["replayed"]) == (False, True)
    assert theirs["hosts"] == mine["hosts"] == {"web1": "changed", "web2": "changed"}
    kinds = (
        "run.started",
        "slice.started",
        "action.finished",
        "slice.finished",
        "run.stands",
        "run.finished",
    )
    for kind in kinds:
        assert [one for one in told if one["event"] == kind] == [
            one for one in own if one["event"] == kind
        ], kind
    assert {one["event"] for one in told} == set(kinds)
    assert len(place.ended(third).json["entries"]) == len(
        [one for one in own if one["event"] == "action.finished"]
    )
    assert place.ended(follower).json["exit_code"] == 0


@pytest.mark.long
def test_who_follows_a_resume_hears_where_it_stands_as_the_run_tells_it(place: Place) -> None:
    """web1's failure has used the budget up in the first attempt; the second is told of it, and whoever follows."""
    change = place.stopped_half_way()
    place.hold("web3", "one")
    second = place.start("resume", change, "--key", "alice", "--stream")
    place.until("web3", "begin one")
    third = place.start("run", change, "--key", "alice", "--stream")
    shown = place.root.parent / f"out-{place.running.index(third)}"
    wait_for(lambda: "slice.started" in shown.read_text(), "the follower to attach")
    place.let_go("web3", "one")
    own, told = (
        [
            one
            for one in map(json.loads, place.ended(process).out.splitlines())
            if one.get("event") == "run.stands"
        ]
        for process in (second, third)
    )
    assert told == own
    assert [(one["done"], one["failed"]) for one in own] == [(2, ["web1"]), (3, ["web1"])]
    assert own[0]["hosts"] == {"web1": "failed", "web2": "changed", "web3": "not_reached"}
