"""Several processes at once: one run, every vote, every event, nothing lost and nothing twice."""

import json
from collections import Counter

import pytest
import yaml
from places import WEB, Place, rolling, wait_for

from itmp.errors import InvalidInputError
from itmp.workspace import Workspace
from itmp.workspace.events import watcher
from itmp.workspace.following import attach

pytestmark = pytest.mark.fleet


def test_a_second_run_attaches_to_the_first_and_runs_nothing(place: Place) -> None:
    change = place.ready(rolling("one", batches=(3,)))
    place.hold("web2", "one")
    first = place.start("run", change, "--key", "alice", "--json")
    place.until("web2", "begin one")
    second = place.start("run", change, "--key", "alice", "--json")
    wait = place.start("wait", change, "--for", "finished", "--json")
    resumed = place.itmp("resume", change, "--key", "alice", expect=19)
    assert "another process" in resumed.err
    assert second.poll() is None
    place.let_go("web2", "one")
    results = [place.ended(process).json for process in (first, second, wait)]
    assert [result["exit_code"] for result in results] == [0, 0, 0]
    assert [result["replayed"] for result in results[:2]] == [False, True]
    assert results[0]["run"] == results[1]["run"] == results[2]["run"]
    assert Counter(place.types(change))["run.started"] == 1
    assert place.journals() == {host: ["begin one", "end one"] for host in WEB}


def test_a_run_on_other_hosts_is_not_followed(place: Place) -> None:
    change = place.ready(rolling("one", batches=(3,)))
    place.hold("web2", "one")
    first = place.start("run", change, "--key", "alice", "--json", "--limit", "web2")
    place.until("web2", "begin one")
    for limit in ("web1", "web*"):
        refused = place.itmp("run", change, "--key", "alice", "--limit", limit, expect=2)
        assert f"another process runs {change} on web2 alone" in refused.err
    words = ("run", change, "--key", "alice", "--stream")
    attached = [place.start(*words, *more) for more in (("--limit", "*2"), ())]
    outs = [place.root.parent / f"out-{place.running.index(one)}" for one in attached]
    wait_for(lambda: all("slice.started" in out.read_text() for out in outs), "both to attach")
    place.let_go("web2", "one")
    run = place.ended(first).json["run"]
    for process in attached:
        result = json.loads(place.ended(process).out.splitlines()[-1])
        assert (result["run"], result["exit_code"], result["replayed"]) == (run, 0, True)
        assert "it ran on web2 alone" in result["notes"]
    late = Workspace.here(place.root), change, watcher(None)  # its process still held the change then
    assert attach(*late, wanted=lambda _: ("web2",)).replayed
    with pytest.raises(InvalidInputError, match="on web2 alone"):
        attach(*late, wanted=lambda _: ("web1",))
    assert [len(place.journal(host)) for host in WEB] == [0, 2, 0]


def test_many_started_at_the_same_moment_are_one_run(place: Place) -> None:
    change = place.ready(rolling("one", batches=(3,)))
    started = [place.start("run", change, "--key", "alice", "--json") for _ in range(4)]
    results = [place.ended(process).json for process in started]
    assert {result["exit_code"] for result in results} <= {0, 19}, results
    assert sum(result["exit_code"] == 0 and not result["replayed"] for result in results) == 1
    types = Counter(place.types(change))
    assert types["run.started"] == types["permit.issued"] == types["run.finished"] == 1
    assert place.journals() == {host: ["begin one", "end one"] for host in WEB}
    assert place.sound()


def test_two_approvers_at_the_same_moment_both_count(place: Place) -> None:
    change = place.propose(rolling("one").replace("risk: moderate", "risk: high"))
    racing = [place.start("approve", change, "--key", name, "--yes") for name in ("bob", "carol")]
    assert [place.ended(process).rc for process in racing] == [0, 0]
    assert Counter(place.types(change))["change.approved"] == 2
    assert place.json("change", "show", change)["state"] == "scheduled"
    assert place.sound()


def test_many_writers_lose_and_double_nothing(place: Place) -> None:
    place.write("r.yml", rolling("one"))
    place.itmp("plan", "r.yml", "-o", "r.plan.tar", expect=0)
    words = ("change", "open", "r.plan.tar", "--key", "alice", "--json")
    writers = [place.start(*words, "--reason", f"r{n}", "--external", f"EXT-{n}") for n in range(6)]
    opened = [place.ended(process).json for process in writers]
    assert [one["exit_code"] for one in opened] == [0] * 6
    changes = {one["change"] for one in opened}
    assert len(changes) == 6
    assert Counter(leaf.event.type for leaf in place.leaves())["change.opened"] == 6
    listed = {row["change"] for row in place.json("change", "list")["changes"]}
    assert listed == changes
    assert place.sound()


def test_the_same_plan_opened_twice_at_once_is_one_change(place: Place) -> None:
    place.write("r.yml", rolling("one"))
    place.itmp("plan", "r.yml", "-o", "r.plan.tar", expect=0)
    words = ("change", "open", "r.plan.tar", "--key", "alice", "--json", "--reason", "same")
    first = place.json(*words[:-3], "--reason", "same")
    again = place.json(*words[:-3], "--reason", "same")
    assert first["change"] == again["change"]
    assert Counter(leaf.event.type for leaf in place.leaves())["change.opened"] == 1
    other = place.json(*words[:-3], "--reason", "same", "--external", "EXT-1")
    assert other["change"] != first["change"]
    wait_for(lambda: len(place.leaves()) >= 3, "both changes")


def two_changes(place: Place) -> tuple[str, str]:
    """Approve two changes that share web2: the first holds it in the middle of an action."""
    first = place.ready(rolling("one", batches=(3,), hosts="web1:web2"))
    second = place.ready(rolling("two", batches=(3,), hosts="web2:web3"))
    place.hold("web2", "one")
    return first, second


def test_a_host_has_one_change_at_a_time_and_the_other_one_is_told_whose(place: Place) -> None:
    first, second = two_changes(place)
    running = place.start("run", first, "--key", "alice", "--json")
    place.until("web2", "begin one")
    refused = place.itmp("run", second, "--key", "alice", expect=19)
    assert f"web2 is held by {first}" in refused.err
    event = next(leaf.event for leaf in place.leaves(second) if leaf.event.type == "change.refused")
    assert event.data["held"]["target"] == "web2"
    assert (event.data["held"]["change"], event.data["exit_code"]) == (first, 19)
    assert place.journal("web3") == []
    waiting = place.start("run", second, "--key", "alice", "--json", "--wait", "4m")
    wait_for(lambda: len(place.types(second)) > 4, "the second start")
    place.let_go("web2", "one")
    assert [place.ended(process).json["exit_code"] for process in (running, waiting)] == [0, 0]
    assert place.journal("web2") == ["begin one", "end one", "begin two", "end two"]


def test_a_killed_run_holds_no_host_any_more(place: Place) -> None:
    first, second = two_changes(place)
    running = place.start("run", first, "--key", "alice")
    place.until("web2", "begin one")
    running.kill()
    running.wait()
    place.run(second)
    assert place.journal("web3") == ["begin two", "end two"]
    place.let_go("web2", "one")


@pytest.mark.long
def test_a_machine_that_two_inventories_name_differently_has_one_change_at_a_time(place: Place) -> None:
    first = place.ready(rolling("one", hosts="web2"))
    tree = yaml.safe_load((place.root / "inventories/hosts.yml").read_text())
    same = {"admin2": tree["all"]["hosts"]["web2"], "admin3": tree["all"]["hosts"]["web3"]}
    place.write(
        "inventories/admin.yml", yaml.safe_dump({"all": {**tree["all"], "hosts": same, "children": {}}})
    )
    found = (place.root / "itmp.yml").read_text()
    place.write("itmp.yml", found.replace("inventories/hosts.yml", "inventories/admin.yml"))
    second, third = (place.ready(rolling("two", hosts=host)) for host in ("admin2", "admin3"))
    place.hold("web2", "one")
    running = place.start("run", first, "--key", "alice", "--json")
    place.until("web2", "begin one")
    refused = place.itmp("run", second, "--key", "alice", expect=19)
    port = place.fleet.host("web2").port
    assert f"admin2 (127.0.0.1:{port}) is held by {first} as web2" in refused.err
    place.run(third)  # at the same address, behind another port
    place.let_go("web2", "one")
    assert place.ended(running).json["exit_code"] == 0
    place.run(second)
    assert place.journal("web2") == ["begin one", "end one", "begin two", "end two"]
