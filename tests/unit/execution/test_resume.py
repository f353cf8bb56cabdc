"""Taking up a run that died, stopped or failed; and undo on request."""

import contextlib
from dataclasses import replace

import pytest

from itmp.audit import Event
from itmp.errors import (
    BusyError,
    EvidenceInvalidError,
    InvalidInputError,
    LogUnavailableError,
    RefusedError,
    UnknownOutcomeError,
)
from itmp.execution import Reprise, RunStory, resume
from itmp.execution.doors import LeftOverError
from itmp.execution.progress import RunLooking, RunStands, SliceStarted
from itmp.execution.states import RunState, StepState
from itmp.plan.model import AnsibleStep
from itmp.testing.rig import CHANGE, Rig
from itmp.testing.runners import BrokeDownError, Fuse, Killed, ScriptedProber
from itmp.testing.small_plans import ansible, check, hosts, plan, rolling, stack

TWO = hosts(2)
URN = "urn:pulumi:prod::shop::itmp:Knob::"


def blocks(names=TWO) -> list[AnsibleStep]:
    return [
        ansible("drain", names, tasks=1),
        ansible("restart", names, tasks=2, handlers=1),
        ansible("undrain", names, tasks=1, always=True),
    ]


def killed(rig: Rig, node: str, nth: int = 0) -> Rig:
    """Run until the `nth` passing of a node whose name begins so, and die there."""
    probe = Rig(rig.plan, script=rig._script)
    fuse = probe.arm(Fuse())
    probe.execute()
    at = [place for place, name in enumerate(fuse.nodes) if name.startswith(node)][nth]
    rig.arm(Fuse(at))
    with contextlib.suppress(Killed):
        rig.execute()
    rig.arm(Fuse())
    return rig


def since(rig: Rig, kind: str) -> list[Event]:
    last = max(place for place, e in enumerate(rig.journal.events) if e.type == kind)
    return rig.journal.events[last:]


def slices(events: list[Event]) -> list[str]:
    return [
        f"{e.data['slice']} {' '.join(e.data['hosts'])}".strip() for e in events if e.type == "slice.intended"
    ]


def test_a_finished_run_taken_up_again_does_nothing_and_says_the_same() -> None:
    rig = Rig(plan([rolling(TWO, blocks())]))
    before = rig.execute()
    count = len(rig.world.effects)
    after = rig.resume()
    assert (after.hosts, after.exit_code, len(rig.world.effects)) == (before.hosts, 0, count)
    assert slices(since(rig, "run.resumed")) == []


def test_left_overs_are_ended_before_anything_is_asked_or_done() -> None:
    rig = killed(Rig(plan([rolling(TWO, blocks())])), "before restart@1/2/web1")
    assert rig.world.left_over == ["restart@1"]
    summary = rig.resume()
    assert rig.world.swept == ["restart@1"]
    assert rig.fuse.nodes.index("sweep restart@1") < rig.fuse.nodes.index("probe restart@1 web1")
    assert any("left over and ended" in note for note in summary.notes)
    assert summary.exit_code == 0


def test_what_a_probe_finds_done_is_not_repeated_and_what_it_finds_undone_is() -> None:
    rig = killed(Rig(plan([rolling(TWO, blocks())])), "before restart@1/2/web2")
    summary = rig.resume()
    events = since(rig, "run.resumed")
    found = {e.target["id"]: (e.outcome, e.data["probe"]) for e in events if e.type == "action.reconciled"}
    assert found == {"web1": ("ok", "done"), "web2": ("not_reached", "not_done")}
    assert slices(events) == ["restart@1 web2", "undrain@1 web1 web2"]
    assert summary.hosts == dict.fromkeys(TWO, "changed")


def test_what_a_probe_finds_out_is_told_before_the_first_slice() -> None:
    rig = killed(Rig(plan([ansible("one", TWO, tasks=1), ansible("two", TWO)])), "after one/1/web2")
    rig.told.clear()
    rig.resume()
    before = [event.hosts for event in rig.told if isinstance(event, RunStands) and event.hosts]
    assert before == [dict.fromkeys(TWO, "unknown"), dict.fromkeys(TWO, "ok")]
    kinds = [type(event) for event in rig.told]
    assert kinds.index(SliceStarted) > max(n for n in range(4) if kinds[n] is RunStands)


def test_what_cannot_be_known_needs_a_person_and_nothing_runs() -> None:
    rig = killed(Rig(plan([rolling(TWO, blocks())]), blind=["web1"]), "before restart@1/2/web2")
    effects = len(rig.world.effects)
    summary = rig.resume()
    assert isinstance(summary.cause, UnknownOutcomeError)
    assert f"itmp reconcile {CHANGE} web1" in summary.cause.do
    assert "web2" not in summary.cause.do
    assert (summary.exit_code, summary.state) == (14, RunState.UNKNOWN)
    assert summary.hosts["web1"] == "unknown"
    assert len(rig.world.effects) == effects
    assert rig.journal.events[-1].data["state"] == "unknown"


def reconcile(rig: Rig, host: str, outcome: str) -> None:
    begun = next(b for b in rig.story().slices.values() if b.states.get(host) == "unknown")
    rig.journal.append(
        Event(
            id=rig.id(),
            type="action.reconciled",
            actor={"kind": "human", "id": "alice@example.com"},
            change=CHANGE,
            run="RUN-1",
            target={"kind": "host", "id": host},
            intent=begun.intents[host],
            outcome=outcome,
            data={"text": "itmp-statement/v1\n", "signature": "…"},
        )
    )


@pytest.mark.parametrize(("word", "expected"), [("ok", 0), ("failed", 13)])
def test_a_persons_word_is_taken(word, expected) -> None:
    rig = killed(Rig(plan([rolling(TWO, blocks())]), blind=["web1"]), "before restart@1/2/web2")
    rig.resume()
    reconcile(rig, "web1", word)
    summary = rig.resume()
    assert summary.exit_code == expected
    assert not [e for e in rig.world.effects if e.slice == "restart@1" and e.host == "web1" and e.line == 3]


def test_a_host_can_be_gone_on_without() -> None:
    rig = killed(Rig(plan([rolling(TWO, blocks(), size=1)]), blind=["web1"]), "before restart@1/2/web1")
    rig.resume()
    summary = rig.resume(skip=["web1"])
    assert summary.hosts == {"web1": "unknown", "web2": "changed"}
    assert (summary.state, summary.exit_code) == (RunState.UNKNOWN, 14)
    assert [line.split()[0] for line in slices(since(rig, "run.resumed"))] == [
        "drain@2",
        "restart@2",
        "undrain@2",
    ]


def test_a_skipped_host_that_had_done_nothing_is_skipped_with_the_reason() -> None:
    rig = killed(Rig(plan([rolling(TWO, blocks(), size=1)])), "append slice.finished")
    summary = rig.resume(skip=["web2"])
    assert summary.hosts == {"web1": "changed", "web2": "skipped"}
    assert summary.reasons == {"web2": "skipped by a person"}


def test_a_failed_host_is_taken_up_only_on_request_and_then_passes_its_batch_again() -> None:
    rig = Rig(plan([rolling(TWO, blocks())]), script={("restart", "web1"): ["failed", None]})
    assert rig.execute().exit_code == 13
    assert rig.resume().exit_code == 13
    assert slices(since(rig, "run.resumed")) == []
    summary = rig.resume(retry=["failed"])
    # web2 had been drained and undrained without its restart: both pass the whole batch, drained again
    assert slices(since(rig, "run.resumed")) == ["drain@1 web1", "restart@1 web1", "undrain@1 web1"]
    assert summary.hosts == dict.fromkeys(TWO, "changed")


def test_a_host_whose_batch_was_closed_before_it_got_through_is_drained_again() -> None:
    rig = Rig(plan([rolling(TWO, blocks())]), script={("drain", "web1"): ["failed", None]})
    assert rig.execute().hosts == {"web1": "failed", "web2": "not_reached"}
    summary = rig.resume(retry=["failed"])
    assert slices(since(rig, "run.resumed")) == [
        "drain@1 web1 web2",
        "restart@1 web1 web2",
        "undrain@1 web1 web2",
    ]
    assert summary.exit_code == 0


def test_a_batch_that_failed_to_close_is_passed_from_its_beginning_each_time() -> None:
    script = {("restart", "web1"): ["failed", "failed", None], ("undrain", "web1"): ["failed", None]}
    rig = Rig(plan([rolling(TWO, blocks())]), script=script)
    rig.execute()
    whole = ["drain@1 web1", "restart@1 web1", "undrain@1 web1"]
    for code in (13, 0):
        assert rig.resume(retry=["failed"]).exit_code == code
        assert slices(since(rig, "run.resumed")) == whole


@pytest.mark.parametrize(("node", "left"), [(16, ["restart@1 web1 web2", "undrain@1 web1 web2"]), (36, ["undrain@1 web1 web2"])])  # fmt: skip
def test_a_batch_that_was_opened_again_and_died_goes_on_where_it_was(node, left) -> None:
    rig = Rig(plan([rolling(TWO, blocks())]), script={("drain", "web1"): ["failed", None]})
    rig.execute()
    rig._script.clear()
    fuse = rig.arm(Fuse(node))
    with contextlib.suppress(Killed):
        rig.resume(retry=["failed"])
    assert fuse.nodes[-3:] == ["append slice.finished", "appended slice.finished", "append slice.intended"]
    rig.arm(Fuse())
    assert rig.resume().exit_code == 0
    assert slices(since(rig, "run.resumed")) == left


def test_only_failed_and_unreachable_can_be_retried_and_only_hosts_of_the_plan_skipped() -> None:
    rig = Rig(plan([rolling(TWO, blocks())]))
    rig.execute()
    with pytest.raises(InvalidInputError, match="unknown"):
        rig.resume(retry=["unknown"])
    with pytest.raises(InvalidInputError, match="db1"):
        rig.resume(skip=["db1"])


def test_a_limit_excuses_no_failure_of_the_hosts_it_leaves_out() -> None:
    rig = Rig(plan([rolling(hosts(4), blocks(hosts(4)))]), script={("restart", "web1"): ["failed"]})
    rig.execute()
    summary = rig.resume(limit=["web3", "web4"])
    assert slices(since(rig, "run.resumed")) == []
    assert (summary.hosts["web1"], summary.exit_code) == ("failed", 13)
    assert rig.resume(skip=["web1"]).hosts["web4"] == "changed"


def test_a_stop_half_way_is_not_undone_and_goes_on_when_asked_to_retry() -> None:
    steps, undo = [ansible("one", TWO, tasks=2, on_failure="undo")], [ansible("back", TWO, tasks=1)]
    rig = Rig(plan(steps, undo=undo))
    rig.stopping = lambda: len(rig.world.effects) >= 1
    stopped = rig.execute()
    assert stopped.hosts == {"web1": "failed", "web2": "not_reached"}
    assert slices(since(rig, "run.started")) == ["one web1 web2"]
    rig.stopping = bool
    assert rig.resume().hosts["web2"] == "not_reached"
    assert slices(since(rig, "run.resumed")) == []
    assert rig.resume(retry=["failed"]).state is RunState.SUCCEEDED


def test_a_run_that_died_before_its_undo_undoes_first_thing_after() -> None:
    steps, undo = [ansible("one", TWO, tasks=1, on_failure="undo")], [ansible("back", TWO, tasks=1)]
    rig = killed(
        Rig(plan(steps, undo=undo), script={("one", "web1"): ["failed"]}), "append slice.intended", 1
    )
    summary = rig.resume()
    assert slices(since(rig, "run.resumed")) == ["undo:back web1 web2"]
    assert (summary.state, summary.exit_code) == (RunState.UNDONE, 20)


def test_once_undo_has_begun_there_is_no_way_forward() -> None:
    steps, undo = [ansible("one", TWO, tasks=1, on_failure="undo")], [ansible("back", TWO, tasks=1)]
    rig = killed(
        Rig(plan(steps, undo=undo), script={("one", "web1"): ["failed", None]}), "after undo:back/1/web1"
    )
    summary = rig.resume(retry=["failed"])
    assert slices(since(rig, "run.resumed")) == ["undo:back web2"]
    assert summary.state is RunState.UNDONE
    assert summary.hosts["web1"] == "failed"


def test_an_open_stack_is_known_operation_by_operation() -> None:
    rig = killed(Rig(plan([stack("grow", ["a", "b", "c"])])), f"before {URN}b")
    story = rig.story()
    assert story.slices["grow"].states == {
        f"{URN}a": "changed",
        f"{URN}b": "unknown",
        f"{URN}c": "not_reached",
    }
    summary = rig.resume()
    assert summary.resources == dict.fromkeys([f"{URN}a", f"{URN}b", f"{URN}c"], "changed")
    assert [e.host for e in rig.world.effects] == [f"{URN}a", f"{URN}b", f"{URN}c"]


def test_an_open_check_is_simply_asked_again() -> None:
    rig = killed(Rig(plan([check("healthy", TWO)])), "after healthy/web2")
    assert not rig.story().unknown()
    assert rig.resume().exit_code == 0


def test_a_host_that_failed_in_an_open_slice_stays_failed() -> None:
    rig = Rig(plan([ansible("one", TWO)]), script={("one", "web1"): ["failed"]})
    killed(rig, "before one/2/web2")
    assert rig.story().slices["one"].states == {"web1": "failed", "web2": "unknown"}


def result(rig: Rig, host: str, name: str, outcome: str, **more: object) -> None:
    """Write a result of `restart@1` on a host, as the callback tells it."""
    data = {"path": "project/restart.yml", "line": 1, "name": name, **({"more": more} if more else {})}
    rig.journal.append(
        Event(
            id=rig.id(),
            type="action.finished",
            actor={"kind": "executor", "id": "itmp"},
            change=CHANGE,
            run="RUN-1",
            step="restart",
            target={"kind": "host", "id": host},
            intent=rig.story().slices["restart@1"].intents[host],
            outcome=outcome,
            data=data,
        )
    )


OWED = "pending handlers: web1: nginx : reload (restart@1)"


def notified() -> Rig:
    """A run that died after a change on web1 had notified a handler, and before that ran."""
    rig = killed(Rig(plan([rolling(TWO, blocks())]), blind=["web1"]), "before restart@1/2/web1")
    result(rig, "web1", "Write", "changed", notified=["nginx : reload"])
    return rig


def test_a_notified_handler_is_owed_until_it_runs_and_the_others_are_named_as_not_known() -> None:
    rig = notified()
    assert rig.story().owed == {("restart@1", "web1"): ("nginx : reload",)}
    unsure = [f"not known whether notified: {host}: restart 101 (restart@1)" for host in TWO]
    assert rig.story().handlers == (OWED, *unsure)
    assert f"when this was taken up: {OWED}" in rig.resume().notes
    result(rig, "web1", "nginx : reload", "failed")
    assert rig.story().owed
    result(rig, "web1", "nginx : reload", "changed")
    assert not rig.story().owed


@pytest.mark.parametrize("ending", ["hang", "unreachable"])
def test_what_a_host_that_fell_silent_had_notified_is_not_known_although_its_slice_ended(ending) -> None:
    rig = Rig(plan([rolling(TWO, blocks())]), script={("restart", "web1"): [ending]})
    rig.execute()
    assert rig.story().handlers == ("not known whether notified: web1: restart 101 (restart@1)",)


def test_what_is_owed_runs_when_its_step_runs_there_again() -> None:
    rig = notified()
    rig.resume()
    reconcile(rig, "web1", "failed")
    rig.resume(retry=["failed"])
    again = [e.data.get("owed") for e in since(rig, "run.resumed") if e.type == "slice.intended"]
    assert {"web1": ["nginx : reload"]} in again
    assert OWED in rig.story().handlers  # until its own result is there
    result(rig, "web1", "nginx : reload", "changed")
    assert not rig.story().handlers


def test_a_person_who_says_ok_says_it_of_the_handlers_too() -> None:
    rig = notified()
    rig.resume()
    reconcile(rig, "web1", "ok")
    assert not rig.story().owed


def test_a_probe_does_not_settle_a_host_that_is_owed_a_handler() -> None:
    rig = killed(Rig(plan([rolling(TWO, blocks())])), "before restart@1/2/web2")
    result(rig, "web1", "Write", "changed", notified=["restart 101"])
    summary = rig.resume()
    assert isinstance(summary.cause, UnknownOutcomeError)
    assert "web1 in restart@1" in summary.cause.what
    assert summary.exit_code == 14


def test_a_story_of_another_plan_is_refused() -> None:
    rig = Rig(plan([ansible("one", TWO)]))
    rig.execute()
    other = plan([ansible("two", TWO)])
    with pytest.raises(EvidenceInvalidError, match="does not have"):
        RunStory.from_leaves(rig.journal.of_change(CHANGE), plan=other, blob=rig.journal.blob)


def test_a_log_that_fails_while_resuming_is_said_and_nothing_runs() -> None:
    rig = killed(Rig(plan([rolling(TWO, blocks())])), "before restart@1/2/web2")
    effects = len(rig.world.effects)
    rig.arm(Fuse(7, lambda: LogUnavailableError("no room left")))
    summary = rig.resume()
    assert rig.fuse.nodes[-1] == "append action.reconciled"
    assert summary.exit_code == 16
    assert summary.hosts == dict.fromkeys(TWO, "unknown")
    assert len(rig.world.effects) == effects


def test_a_sweep_that_fails_stops_the_resume_because_something_may_still_be_acting() -> None:
    rig = killed(Rig(plan([rolling(TWO, blocks())])), "before restart@1/2/web2")
    effects = len(rig.world.effects)
    rig.arm(Fuse(4, lambda: BrokeDownError("cannot look there")))
    summary = rig.resume()
    assert rig.fuse.nodes[4] == "sweep restart@1"
    assert isinstance(summary.cause, BrokeDownError)
    assert summary.exit_code == 14
    assert len(rig.world.effects) == effects


def test_a_probe_that_fails_has_found_out_nothing() -> None:
    rig = killed(Rig(plan([rolling(TWO, blocks())])), "before restart@1/2/web2")
    rig.arm(Fuse(5, lambda: BrokeDownError("no answer")))
    summary = rig.resume()
    assert rig.fuse.nodes[5] == "probe restart@1 web1"
    assert isinstance(summary.cause, UnknownOutcomeError)


def test_undo_on_request_reaches_only_what_was_begun_and_asked_for() -> None:
    four = hosts(4)
    steps, undo = (
        [rolling(four, [ansible("one", four, tasks=1)])],
        [ansible("back", four, tasks=1), stack("shrink", ["a"])],
    )
    rig = Rig(plan(steps, undo=undo), script={("one", "web1"): ["failed"]})
    rig.execute()
    summary = rig.undo(hosts=["web1"])
    assert slices(since(rig, "run.started")) == ["undo:back web1"]
    assert (summary.state, summary.exit_code) == (RunState.UNDONE, 0)
    assert summary.hosts["web3"] == "skipped"
    assert "shrink: left as it is, since only hosts were named" in summary.notes
    summary = rig.undo()
    assert slices(since(rig, "run.started")) == ["undo:back web2", "undo:shrink"]
    assert summary.exit_code == 0


def test_an_undo_that_failed_can_be_asked_for_again() -> None:
    steps, undo = [ansible("one", TWO, tasks=1)], [ansible("back", TWO, tasks=1)]
    rig = Rig(plan(steps, undo=undo), script={("back", "web1"): ["failed", None]})
    rig.execute()
    assert rig.undo().exit_code == 13
    summary = rig.undo()
    assert slices(since(rig, "run.started")) == ["undo:back web1"]
    assert (summary.exit_code, summary.steps["one"]) == (0, StepState.UNDONE)


def test_there_must_be_something_to_undo() -> None:
    without = Rig(plan([ansible("one", TWO)]))
    without.execute()
    never = Rig(plan([ansible("one", TWO)], undo=[ansible("back", TWO)]))
    for rig in (without, never):
        with pytest.raises(InvalidInputError, match="nothing to undo"):
            rig.undo()


def test_left_overs_are_ended_before_an_undo_too() -> None:
    rig = killed(Rig(plan([ansible("one", TWO)], undo=[ansible("back", TWO)])), "before one/2/web1")
    assert rig.world.left_over == ["one"]
    assert rig.undo().exit_code == 14  # taken back, and still nobody knows what "one" had done
    assert rig.world.swept == ["one"]
    assert len(rig.world.of("undo:back", "web1")) == 2
    nodes = rig.fuse.nodes
    assert nodes.index("sweep one") < next(
        at for at, name in enumerate(nodes) if name.startswith("before undo:back")
    )


def test_an_undo_does_not_begin_while_something_may_still_be_done() -> None:
    rig = killed(Rig(plan([ansible("one", TWO)], undo=[ansible("back", TWO)])), "before one/2/web1")
    rig.arm(Fuse(4, lambda: BrokeDownError("still running there")))
    summary = rig.undo()
    assert rig.fuse.nodes[4] == "sweep one"
    assert isinstance(summary.cause, BrokeDownError)
    assert not rig.world.of("undo:back", "web1")


def test_a_slice_whose_runner_was_lost_is_swept_although_it_ended() -> None:
    rig = Rig(plan([ansible("one", TWO)]), script={("one", "web1"): ["hang"]})
    assert rig.execute().exit_code == 14
    rig.world.left_over.append("one")
    rig.resume()
    assert rig.world.swept == ["one"]


def test_what_may_go_on_where_a_connection_was_lost_is_swept_before_it_is_tried_again() -> None:
    rig = Rig(plan([ansible("one", TWO)]), script={("one", "web1"): ["unreachable"]})
    assert rig.execute().exit_code == 13
    rig.world.left_over.append("one")
    rig.arm(Fuse(4, lambda: BusyError("still running there")))
    stopped = rig.resume(retry=["unreachable"])
    assert rig.fuse.nodes[4] == "sweep one"
    assert isinstance(stopped.cause, BusyError)
    assert not rig.world.of("one", "web1")
    rig.arm(Fuse(4, lambda: BusyError("still running there")))
    assert "one: still running there" in rig.resume().notes  # nothing is tried there: it is only named
    rig.arm(Fuse())
    assert "one: left over and ended: token one" in rig.resume(retry=["unreachable"]).notes


def test_what_takes_one_step_back_runs_only_where_that_step_was_begun_and_the_last_step_goes_first() -> None:
    one, two = ansible("one", TWO), ansible("two", TWO)
    back = [replace(ansible(f"undo-{step.id}", TWO), undoes=step.id) for step in (two, one)]
    rig = Rig(plan([rolling(TWO, [one, two], size=1)], undo=[*back, ansible("last", TWO)]))
    rig = killed(rig, "append slice.intended", nth=2)  # web1 has done both, web2 is about to begin
    assert rig.undo().exit_code == 0
    began = ["undo:undo-two web1", "undo:undo-one web1", "undo:last web1"]
    assert slices(rig.journal.events)[2:] == began


def test_a_host_that_had_only_begun_the_first_step_gets_only_that_taken_back() -> None:
    one, two = ansible("one", TWO), ansible("two", TWO)
    back = [replace(ansible(f"undo-{step.id}", TWO), undoes=step.id) for step in (two, one)]
    rig = Rig(plan([one, two], undo=back), script={("one", "web2"): ["failed"]})
    assert rig.execute().exit_code == 13  # so that two was begun nowhere
    rig.undo()
    assert [line for line in slices(rig.journal.events) if "undo:" in line] == ["undo:undo-one web1 web2"]


def test_a_skip_that_the_permit_does_not_bear_is_refused_before_anything() -> None:
    rig = killed(Rig(plan([rolling(TWO, blocks(), size=1)])), "append slice.finished")
    with pytest.raises(RefusedError, match="which is to be skipped"):
        resume(
            rig.permit("resume"),
            rig.plan,
            wiring=rig.wiring(),
            story=rig.story(),
            prober=ScriptedProber(rig.world),
            reprise=Reprise(skip=frozenset({"web2"})),
        )
    assert rig.journal.events[-1].type == "permit.issued"


def test_an_undo_does_not_begin_where_a_connection_was_lost_and_its_work_goes_on() -> None:
    two = plan([ansible("one", TWO)], undo=[ansible("back", TWO)])
    rig = Rig(two, script={("one", "web1"): ["unreachable"]})
    rig.execute()
    rig.arm(Fuse(4, lambda: BusyError("still running there")))
    summary = rig.undo()
    assert rig.fuse.nodes[4] == "sweep one"
    assert isinstance(summary.cause, BusyError)
    assert not rig.world.of("undo:back", "web1")


def test_a_service_that_stays_on_a_host_that_is_done_blocks_no_other_ones_retry() -> None:
    """Only hosts that fell silent are asked, and only those that are to be tried again are waited for."""
    three = hosts(3)
    script = {("one", "web2"): ["unreachable"], ("one", "web3"): ["unreachable"]}
    rig = Rig(plan([ansible("one", three)]), script=script)
    rig.execute()
    rig.arm(Fuse(4, lambda: LeftOverError("a service", hosts=("web3",))))
    summary = rig.resume(retry=["unreachable"], skip=["web3"])
    assert rig.fuse.nodes[4] == "sweep one"
    looking = [event for event in rig.told if isinstance(event, RunLooking)]
    assert looking[-1].hosts == ("web2", "web3")
    assert slices(since(rig, "run.resumed")) == ["one web2"]
    assert "one: a service" in summary.notes


@pytest.mark.parametrize("busy", ["web2", "lb1"])
def test_what_goes_on_where_it_is_tried_again_or_at_a_delegate_stops_the_retry(busy: str) -> None:
    rig = Rig(plan([ansible("one", TWO)]), script={("one", "web2"): ["unreachable"]})
    rig.execute()
    rig.arm(Fuse(4, lambda: LeftOverError("still running", hosts=(busy,))))
    assert isinstance(rig.resume(retry=["unreachable"]).cause, LeftOverError)
    assert not rig.world.of("one", "web2")
