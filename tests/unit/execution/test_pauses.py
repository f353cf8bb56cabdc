"""What a yes and a no at a pause are worth after a death, over the real log and the real record."""

from typing import Any

import pytest

from itmp.audit import Leaf
from itmp.errors import InvalidInputError
from itmp.execution.doors import Slice
from itmp.plan import Plan
from itmp.testing.house import House
from itmp.testing.runners import Fuse, Killed
from itmp.testing.small_plans import ansible, ask, check, hosts, plan, rolling, wait

THREE = hosts(3)
RETRY = ("failed",)


def paused(*, after: tuple[int, ...] = (1, 2), **more: Any) -> Plan:
    inner = [
        ansible("drain", THREE, tasks=1),
        check("healthy", THREE),
        ansible("undrain", THREE, tasks=1, always=True),
        ask("go", after=after),
    ]
    block = rolling(THREE, inner, size=1, **{"max_failures": 1, **more})
    return plan([block, ansible("last", THREE, tasks=1)])


def intents(house: House) -> list[str]:
    """Return what was intended, in order."""
    return [str(data(leaf)["slice"]) for leaf in leaves(house) if leaf.event.type == "slice.intended"]


def leaves(house: House) -> tuple[Leaf, ...]:
    return house.story.log.of_change(house.story.change)


def data(leaf: Leaf) -> dict[str, Any]:
    return dict(leaf.event.data or {})


def later(house: House, key: str) -> list[str]:
    """Return what was intended after the first intent of `key`, without checks and what closes batches."""
    found = intents(house)
    after = found[found.index(key) + 1 :]
    return [one for one in after if one.startswith(("drain", "go", "last"))]


def dies_with(house: House, key: str, value: str) -> None:
    """Have the question answered, and the run die before it has looked again."""

    def looked(part: Slice) -> None:
        if part.key != key:
            house.say(part.key, "true")
            return
        house.say(key, value)
        raise Killed

    house.looked = looked


def asked_anew(house: House, **answers: str) -> list[str]:
    """Let questions be answered as they come; return those that were looked at in vain first."""
    seen: list[str] = []

    def looked(part: Slice) -> None:
        seen.append(part.key)
        house.say(part.key, answers.get(part.key.replace("@", "_at_"), "true"))

    house.looked = looked
    return seen


FAILS = {("drain", "web1"): ["failed", "changed"]}


def test_a_yes_is_past_when_what_stands_before_its_pause_runs_again() -> None:
    house = House(paused(), FAILS)
    dies_with(house, "go@1", "true")
    assert house.run() is None
    assert intents(house)[-1] == "go@1"
    assert house.run_record.answers.keys() == {"go@1"}

    seen = asked_anew(house)
    done = house.resume(RETRY)
    assert done is not None
    assert done.exit_code == 0
    assert seen == ["go@1", "go@2"], "the yes was about a world that is no more"
    assert later(house, "go@1") == ["drain@1", "go@1", "drain@2", "go@2", "drain@3", "last"]
    assert house.verdict()[0] == 41, house.verdict()  # only: not closed


def test_a_yes_stands_when_nothing_ran_before_it_was_taken_up() -> None:
    house = House(paused())
    dies_with(house, "go@1", "true")
    house.run()
    seen = asked_anew(house)
    done = house.resume()
    assert done is not None
    assert (done.exit_code, seen) == (0, ["go@2"])
    assert house.verdict()[0] == 41, house.verdict()


def test_a_yes_to_a_later_pause_is_past_when_an_earlier_batch_runs_again() -> None:
    house = House(paused(), FAILS)
    dies_with(house, "go@2", "true")
    house.run()
    assert later(house, "go@1") == ["drain@2", "go@2"]
    seen = asked_anew(house)
    done = house.resume(RETRY)
    assert done is not None
    assert done.exit_code == 0
    assert seen == ["go@2"], "the batch that go@1 let begin has nothing left to do"
    assert later(house, "go@2") == ["drain@1", "go@2", "drain@3", "last"]
    assert house.verdict()[0] == 41, house.verdict()


def test_a_yes_is_past_when_a_check_before_its_pause_is_tried_again() -> None:
    house = House(paused(), {("healthy", "web1"): ["failed", "ok"]})
    dies_with(house, "go@1", "true")
    house.run()
    seen = asked_anew(house)
    done = house.resume(RETRY)
    assert done is not None
    assert seen == ["go@1", "go@2"]
    assert house.verdict()[0] == 41, house.verdict()


def test_nobody_can_answer_while_what_the_pause_rests_on_runs_again() -> None:
    house = House(paused(), FAILS)
    house.looked = lambda _: (_ for _ in ()).throw(Killed())
    house.run()
    assert house.run_record.asks == {"go@1"}

    told: list[frozenset[str]] = []

    def meanwhile(event: Any) -> None:
        if event.event == "slice.started" and event.slice == "drain@1":
            told.append(house.run_record.asks)
            house.say("go@1", "true")

    house.listener = meanwhile
    seen = asked_anew(house)
    done = house.resume(RETRY)
    assert done is not None
    assert told == [frozenset()], "it is asked when its turn comes"
    assert seen == ["go@1", "go@2"]
    assert [finding.why for finding in house.story.record.findings] == [
        "statement.recorded: alice@example.com answered go@1, which was not asked"
    ]


def test_a_pause_that_lets_several_batches_begin_is_asked_again_before_the_last_of_them() -> None:
    house = House(paused(after=(1,)), {**FAILS, ("drain", "web3"): ["failed", "changed"]})
    seen = asked_anew(house)
    house.run()
    done = house.resume(RETRY)
    assert done is not None
    assert done.exit_code == 0
    assert seen == ["go@1", "go@1"]
    assert later(house, "drain@3") == ["drain@1", "go@1", "drain@3", "last"]
    assert house.verdict()[0] == 41, house.verdict()


def between_look_and_stop(house: House, key: str, value: str) -> None:
    """Have the question answered after the run has looked for the last time and before it ends the slice."""
    looked: list[str] = []

    def looks(part: Slice) -> None:
        looked.append(part.key)
        if part.key != key:
            house.say(part.key, "true")

    def stopping() -> bool:
        if looked[-1:] != [key]:
            return False
        house.say(key, value)
        return True

    house.looked, house.stopping = looks, stopping


@pytest.mark.parametrize(("value", "code", "then"), [("false", 13, []), ("true", 0, ["drain@2"])])
def test_an_answer_between_the_last_look_and_the_stop_is_honoured(
    value: str, code: int, then: list[str]
) -> None:
    house = House(paused())
    between_look_and_stop(house, "go@1", value)
    stopped = house.run()
    assert stopped is not None
    assert (stopped.exit_code, stopped.state.value) == (13, "stopped")

    house.stopping = bool
    seen = asked_anew(house)
    done = house.resume()
    assert done is not None
    assert (done.exit_code, done.state.value) == (code, "failed" if code else "succeeded")
    assert "go@1" not in seen
    assert later(house, "go@1")[1:2] == then
    assert house.verdict()[0] == 41, house.verdict()


@pytest.mark.parametrize("how", [dies_with, between_look_and_stop])
def test_a_no_stops_before_anything_is_tried_again(how: Any) -> None:
    house = House(paused(), FAILS)
    how(house, "go@1", "false")
    house.run()
    house.stopping = bool
    seen = asked_anew(house)
    done = house.resume(RETRY)
    assert done is not None
    assert (done.exit_code, done.state.value, seen) == (13, "failed", [])
    assert later(house, "go@1") == ["go@1"]
    assert house.verdict()[0] == 41, house.verdict()


def test_a_no_stands_when_a_resume_tries_what_failed_again() -> None:
    house = House(paused(), FAILS, {"go@1": "false"})
    house.run()
    seen = asked_anew(house)
    for retry in (RETRY, ()):
        done = house.resume(retry)
        assert done is not None
        assert (done.exit_code, done.state.value) == (13, "failed")
    assert (seen, later(house, "go@1")) == ([], [])
    assert house.verdict()[0] == 41, house.verdict()


def test_a_no_stops_although_nobody_is_left_whom_it_lets_begin() -> None:
    house = House(paused(after=(1,)))
    dies_with(house, "go@1", "false")
    house.run()
    done = house.resume(skip=THREE[1:])
    assert done is not None
    assert (done.exit_code, done.state.value) == (13, "failed")
    assert later(house, "go@1") == ["go@1"]
    assert house.verdict()[0] == 41, house.verdict()


def test_a_no_where_the_plan_goes_on_closes_its_block_alone() -> None:
    house = House(paused(on_failure="continue"), FAILS)
    dies_with(house, "go@1", "false")
    house.run()
    done = house.resume(RETRY)
    assert done is not None
    assert later(house, "go@1") == ["go@1", "last"]
    assert house.verdict()[0] == 41, house.verdict()


def test_a_question_that_nobody_is_left_for_needs_no_answer() -> None:
    house = House(paused(after=(1,)))
    house.looked = lambda _: (_ for _ in ()).throw(Killed())
    house.run()
    seen = asked_anew(house)
    done = house.resume(skip=THREE[1:])
    assert done is not None
    assert (done.exit_code, seen) == (0, [])
    assert house.verdict()[0] == 41, house.verdict()


@pytest.mark.parametrize("at", range(10))
def test_a_pause_of_a_block_that_was_passed_over_is_asked_before_its_next_batch_begins(at: int) -> None:
    two = hosts(2)
    inner = [ansible("drain", two, tasks=1), ansible("tier", two, tasks=1), ask("go", after=(1,))]
    steps = [ansible("first", two, tasks=1, on_failure="continue"), rolling(two, inner, size=1)]
    guards = {"rolling": 'steps.first.outcome == "succeeded"'}
    house = House(plan(steps, guards=guards), {("first", "web1"): ["failed"]})
    house.run()
    house.fuse = Fuse(at)
    house.resume(RETRY)
    house.fuse = Fuse()
    house.reconcile("ok")
    house.resume()
    assert house.verdict() == (41, "")
    begun = [
        str(data(one)["slice"])
        for one in leaves(house)
        if one.event.type == "slice.intended" and not data(one).get("passed")
    ]
    assert begun.index("go@1") < begun.index("drain@2")


@pytest.mark.parametrize("behind", ["drain", "settle", "undrain"])
def test_a_pause_that_is_not_the_end_of_its_batch_is_refused(behind: str) -> None:
    steps = {
        "drain": ansible("drain", THREE, tasks=1),
        "settle": wait("settle", seconds=1),
        "undrain": ansible("undrain", THREE, tasks=1, always=True),
    }
    inner = [ansible("tier", THREE, tasks=1), ask("go", after=(1,)), steps[behind]]
    with pytest.raises(InvalidInputError, match="'go' is asked before the end of its batch"):
        plan([rolling(THREE, inner, size=1)])


def outside(*, anew: bool = True, **more: Any) -> Plan:
    steps = [
        ansible("one", THREE, tasks=1, on_failure="continue"),
        ask("go", anew=anew, **more),
        ansible("two", THREE, tasks=1),
    ]
    return plan(steps)


def test_a_question_outside_a_block_is_asked_again_where_what_stands_before_it_is_tried_again() -> None:
    house = House(outside(), {("one", "web1"): ["failed", "changed"], ("two", "web2"): ["failed", "changed"]})
    first = house.run()
    assert first is not None
    assert (first.exit_code, intents(house)) == (13, ["one", "go", "two"])
    seen = asked_anew(house)
    done = house.resume(RETRY)
    assert done is not None
    assert (done.exit_code, seen) == (0, ["go"]), "the yes was about a world that is no more"
    assert intents(house)[3:] == ["one", "go", "two"]
    assert house.verdict()[0] == 41, house.verdict()


def test_a_question_of_a_plan_without_that_rule_keeps_its_yes_and_its_evidence_holds() -> None:
    script = {("one", "web1"): ["failed", "changed"], ("two", "web2"): ["failed", "changed"]}
    house = House(outside(anew=False), script)
    house.run()
    seen = asked_anew(house)
    done = house.resume(RETRY)
    assert done is not None
    assert (done.exit_code, seen) == (0, [])
    assert intents(house)[3:] == ["one", "two"]
    assert house.verdict()[0] == 41, house.verdict()


@pytest.mark.parametrize(
    ("script", "way"),
    [
        ({("two", "web2"): ["failed", "changed"]}, ["two"]),  # nothing before it is tried again
        ({("one", "web1"): ["failed", "changed"]}, ["one"]),  # nothing after it is left to do
    ],
)
def test_a_yes_outside_a_block_stands_where_nothing_rests_on_it_anew(
    script: dict[tuple[str, str], list[str]], way: list[str]
) -> None:
    house = House(outside(), script)
    house.run()
    seen = asked_anew(house)
    done = house.resume(RETRY)
    assert done is not None
    assert (done.exit_code, seen, intents(house)[3:]) == (0, [], way)
    assert house.verdict()[0] == 41, house.verdict()


def test_a_yes_outside_a_block_is_past_also_where_the_attempt_that_began_again_died() -> None:
    house = House(outside(), {("one", "web1"): ["failed", "changed"], ("two", "web2"): ["failed", "changed"]})
    house.run()
    house.looked = lambda _: (_ for _ in ()).throw(Killed())
    assert house.resume(RETRY) is None
    assert intents(house)[3:] == ["one", "go"]
    assert house.run_record.asks == {"go"}
    seen = asked_anew(house)
    done = house.resume(RETRY)
    assert done is not None
    assert (done.exit_code, seen) == (0, ["go"])
    assert house.verdict()[0] == 41, house.verdict()


def test_a_yes_outside_a_block_is_past_where_an_attempt_was_stopped_before_it_asked_again() -> None:
    house = House(outside(), {("one", "web1"): ["failed", "changed"], ("two", "web2"): ["failed", "changed"]})
    house.run()
    stops: list[bool] = []
    house.stopping = lambda: bool(stops)
    house.listener = lambda event: stops.append(True) if event.event == "slice.finished" else None
    house.resume(RETRY)
    assert intents(house)[3:] == ["one"]
    house.stopping, house.listener = bool, id
    seen = asked_anew(house)
    done = house.resume(RETRY)
    assert done is not None
    assert (done.exit_code, seen, intents(house)[4:]) == (0, ["go"], ["go", "two"])
    assert house.verdict()[0] == 41, house.verdict()


def test_a_yes_that_came_after_the_crash_is_past_where_what_stands_before_it_runs_again() -> None:
    house = House(outside(), {("one", "web1"): ["failed", "changed"]})
    dies_with(house, "go", "true")
    assert house.run() is None
    assert house.run_record.answers.keys() == {"go"}
    seen = asked_anew(house)
    done = house.resume(RETRY)
    assert done is not None
    assert (done.exit_code, seen, intents(house)[2:]) == (0, ["go"], ["one", "go", "two"])
    assert house.verdict()[0] == 41, house.verdict()


def test_a_no_to_the_question_that_was_asked_again_ends_the_run() -> None:
    house = House(outside(), {("one", "web1"): ["failed", "changed"], ("two", "web2"): ["failed", "changed"]})
    house.run()
    asked_anew(house, go="false")
    done = house.resume(RETRY)
    assert done is not None
    assert (done.exit_code, intents(house)[3:]) == (13, ["one", "go"])
    assert house.verdict()[0] == 41, house.verdict()


def test_a_block_before_a_question_outside_is_what_its_yes_rests_on_too() -> None:
    inner = [ansible("drain", THREE, tasks=1), ansible("undrain", THREE, tasks=1, always=True)]
    steps = [
        rolling(THREE, inner, size=1, max_failures=1),
        ask("go", anew=True),
        ansible("last", THREE, tasks=1),
    ]
    house = House(plan(steps), {("drain", "web1"): ["failed", "changed"]})
    house.run()
    seen = asked_anew(house)
    done = house.resume(RETRY)
    assert done is not None
    assert (done.exit_code, seen) == (0, ["go"])
    assert later(house, "go") == ["last", "drain@1", "go", "last"]
    assert house.verdict()[0] == 41, house.verdict()
