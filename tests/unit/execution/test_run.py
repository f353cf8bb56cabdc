"""A run from its permit to its summary: order, budget, `always`, refusals, stops, and what the log then says."""

import pytest

from itmp.errors import InvalidInputError, LogUnavailableError, RefusedError, RejectedError, ToolMissingError
from itmp.execution import ConformanceError, execute
from itmp.execution.doors import Action, ActionResult
from itmp.execution.progress import HostChanged
from itmp.execution.states import RunState, StepState
from itmp.plan.model import AnsibleStep
from itmp.testing.rig import CHANGE, NOON, Rig
from itmp.testing.runners import Fuse, Killed, ScriptedRunner
from itmp.testing.small_plans import ansible, check, hosts, plan, rolling, stack

FOUR = hosts(4)
URN = "urn:pulumi:prod::shop::itmp:Knob::"


def blocks(names=FOUR, **more) -> list[AnsibleStep]:
    return [
        ansible("drain", names, tasks=1),
        ansible("restart", names, tasks=1, **more),
        ansible("undrain", names, tasks=1, always=True),
    ]


def slices(rig: Rig) -> list[str]:
    """Return the slices in the order of their intents, with their hosts."""
    return [
        f"{e.data['slice']} {' '.join(e.data['hosts'])}".strip()
        for e in rig.journal.events
        if e.type == "slice.intended"
    ]


def kinds(rig: Rig) -> list[str]:
    return [e.type for e in rig.journal.events]


def test_batch_by_batch_through_all_steps_then_the_steps_outside() -> None:
    rig = Rig(plan([ansible("before", FOUR, tasks=1), rolling(FOUR, blocks()), stack("grow", ["a"])]))
    summary = rig.execute()
    assert slices(rig) == [
        "before web1 web2 web3 web4",
        "drain@1 web1 web2",
        "restart@1 web1 web2",
        "undrain@1 web1 web2",
        "drain@2 web3 web4",
        "restart@2 web3 web4",
        "undrain@2 web3 web4",
        "grow",
    ]
    assert (summary.state, summary.exit_code) == (RunState.SUCCEEDED, 0)
    assert summary.hosts == dict.fromkeys(FOUR, "changed")
    assert summary.resources == {f"{URN}a": "changed"}
    assert set(summary.steps.values()) == {StepState.SUCCEEDED}


def test_a_failed_host_drops_out_of_its_batch_except_for_always_and_the_budget_lets_the_run_go_on() -> None:
    rig = Rig(plan([rolling(FOUR, blocks(), max_failures=1)]), script={("drain", "web1"): ["failed"]})
    summary = rig.execute()
    assert slices(rig) == [
        "drain@1 web1 web2",
        "restart@1 web2",
        "undrain@1 web1 web2",
        "drain@2 web3 web4",
        "restart@2 web3 web4",
        "undrain@2 web3 web4",
    ]
    assert summary.hosts == {"web1": "failed", "web2": "changed", "web3": "changed", "web4": "changed"}
    assert (summary.state, summary.exit_code) == (RunState.FAILED, 13)


def test_beyond_the_budget_only_always_steps_of_the_begun_batch_run() -> None:
    rig = Rig(plan([rolling(FOUR, blocks()), ansible("after", FOUR)]), script={("drain", "web1"): ["failed"]})
    summary = rig.execute()
    assert slices(rig) == ["drain@1 web1 web2", "undrain@1 web1 web2"]
    assert summary.hosts == {
        "web1": "failed",
        "web2": "not_reached",
        "web3": "not_reached",
        "web4": "not_reached",
    }
    assert summary.exit_code == 13
    assert any("0 allowed" in note for note in summary.notes)


def test_failures_count_over_the_whole_run() -> None:
    script = {("restart", "web1"): ["failed"], ("restart", "web3"): ["unreachable"]}
    rig = Rig(plan([rolling(FOUR, blocks(), size=1, max_failures=1)]), script=script)
    summary = rig.execute()
    assert slices(rig)[-3:] == ["drain@3 web3", "restart@3 web3", "undrain@3 web3"]
    assert summary.hosts == {
        "web1": "failed",
        "web2": "changed",
        "web3": "unreachable",
        "web4": "not_reached",
    }


def test_a_block_that_may_fail_is_left_and_the_run_goes_on_without_its_failed_hosts() -> None:
    block = rolling(FOUR, blocks(), on_failure="continue")
    rig = Rig(plan([block, ansible("after", FOUR, tasks=1)]), script={("drain", "web1"): ["failed"]})
    rig.execute()
    assert slices(rig) == ["drain@1 web1 web2", "undrain@1 web1 web2", "after web2 web3 web4"]


def test_a_step_that_may_fail_drops_nobody_and_costs_no_budget() -> None:
    rig = Rig(plan([rolling(FOUR, blocks(on_failure="continue"))]), script={("restart", "web1"): ["failed"]})
    summary = rig.execute()
    assert len(slices(rig)) == 6
    assert (summary.hosts["web1"], summary.exit_code) == ("failed", 13)


def test_outside_rolling_the_first_failure_stops_the_run_but_not_its_always_steps() -> None:
    steps = [ansible("one", FOUR), ansible("two", FOUR), ansible("end", FOUR, always=True)]
    rig = Rig(plan(steps), script={("one", "web1"): ["failed"]})
    rig.execute()
    assert [line.split()[0] for line in slices(rig)] == ["one", "end"]


def test_undo_runs_where_something_was_begun_and_the_run_ends_undone() -> None:
    steps = [rolling(FOUR, blocks(), on_failure="undo"), stack("grow", ["a"])]
    undo = [ansible("back", FOUR, tasks=1), stack("shrink", ["a"])]
    rig = Rig(plan(steps, undo=undo), script={("restart", "web1"): ["failed"]})
    summary = rig.execute()
    assert slices(rig)[-2:] == ["undrain@1 web1 web2", "undo:back web1 web2"]  # no stack was begun
    assert (summary.state, summary.exit_code) == (RunState.UNDONE, 20)
    assert summary.steps["restart@1"] is StepState.UNDONE
    assert summary.steps["restart@2"] is StepState.PENDING
    assert {e.phase for e in rig.journal.events if e.step == "back"} == {"undo"}
    finished = rig.journal.events[-1]
    assert (finished.type, finished.outcome, finished.data["state"]) == ("run.finished", "failed", "undone")


def test_an_undo_that_fails_is_not_called_undone() -> None:
    rig = Rig(
        plan([ansible("one", FOUR, on_failure="undo")], undo=[ansible("back", FOUR)]),
        script={("one", "web1"): ["failed"], ("back", "web2"): ["failed"]},
    )
    summary = rig.execute()
    assert (summary.state, summary.exit_code) == (RunState.FAILED, 13)
    assert summary.steps["one"] is StepState.UNDO_FAILED


def test_an_undo_of_which_one_part_fails_is_not_called_undone_either() -> None:
    undo = [ansible("back", FOUR), ansible("clean", FOUR)]
    for broken in ("back", "clean"):
        script = {("one", "web1"): ["failed"], (broken, "web2"): ["failed"]}
        rig = Rig(plan([ansible("one", FOUR, on_failure="undo")], undo=undo), script=script)
        assert rig.execute().state is RunState.FAILED
        assert len(slices(rig)) == 3


def test_undo_does_not_start_over_an_unknown_outcome() -> None:
    rig = Rig(
        plan([ansible("one", FOUR, on_failure="undo")], undo=[ansible("back", FOUR)]),
        script={("one", "web1"): ["failed"], ("one", "web2"): ["hang"]},
    )
    summary = rig.execute()
    assert (summary.state, summary.exit_code) == (RunState.UNKNOWN, 14)
    assert summary.hosts["web2"] == "unknown"
    assert "undo:back" not in " ".join(slices(rig))
    assert any("web2" in note for note in summary.notes)


@pytest.mark.parametrize("ending", ["silent", "hang", "unknown", "unreachable"])
def test_whoever_did_not_succeed_takes_part_in_nothing_more(ending) -> None:
    rig = Rig(plan([rolling(FOUR, blocks(), max_failures=4)]), script={("drain", "web1"): [ending]})
    rig.execute()
    assert "restart@1 web2" in slices(rig)


def test_a_limit_narrows_and_the_others_are_skipped_with_the_reason() -> None:
    rig = Rig(plan([rolling(FOUR, blocks())]))
    summary = rig.execute(limit=["web2", "web3"])
    assert slices(rig)[0] == "drain@1 web2"
    assert summary.hosts == {"web1": "skipped", "web2": "changed", "web3": "changed", "web4": "skipped"}
    assert set(summary.reasons) == {"web1", "web4"}
    assert (summary.exit_code, summary.state) == (0, RunState.SUCCEEDED)


def test_the_permit_limits_even_without_an_option_and_an_option_never_widens_it() -> None:
    for limit in (None, FOUR):
        rig = Rig(plan([rolling(FOUR, blocks())]))
        rig.execute(hosts=["web1"], limit=limit)
        assert slices(rig) == ["drain@1 web1", "restart@1 web1", "undrain@1 web1"]


def test_a_limit_with_a_stranger_is_refused_before_anything_happens() -> None:
    rig = Rig(plan([rolling(FOUR, blocks())]))
    with pytest.raises(InvalidInputError, match="db1"):
        rig.execute(limit=["web1", "db1"])
    assert kinds(rig) == ["permit.issued"]


def test_a_permit_is_good_for_one_run_of_its_own_plan_run_and_mode() -> None:
    rig, other = Rig(plan([ansible("one", FOUR)])), Rig(plan([ansible("two", FOUR)]))
    permit = rig.permit()
    execute(permit, rig.plan, wiring=rig.wiring())
    before = len(rig.journal.leaves)
    for target, wiring in (
        (rig.plan, rig.wiring()),
        (other.plan, rig.wiring()),
        (rig.plan, rig.wiring("RUN-9")),
    ):
        with pytest.raises(RefusedError):
            execute(permit, target, wiring=wiring)
    with pytest.raises(RefusedError):
        execute(rig.permit("resume"), rig.plan, wiring=rig.wiring())
    assert len(rig.journal.leaves) == before + 1  # that last permit


def test_a_missing_runner_is_found_before_anything_happens() -> None:
    rig = Rig(plan([ansible("one", FOUR), stack("grow", ["a"])]))
    rig.kinds = ("ansible",)
    with pytest.raises(ToolMissingError, match="pulumi"):
        rig.execute()
    assert kinds(rig) == ["permit.issued"]


def test_the_gate_is_asked_again_before_each_slice_and_for_always_only_about_the_log() -> None:
    rig = Rig(plan([rolling(FOUR, blocks())]))
    rig.execute()
    assert rig.rechecked == [
        ("drain@1", False), ("restart@1", False), ("undrain@1", True),
        ("drain@2", False), ("restart@2", False), ("undrain@2", True),
    ]  # fmt: skip


def test_a_revoked_approval_stops_the_run_and_strands_no_drained_host() -> None:
    rig = Rig(plan([rolling(FOUR, blocks()), ansible("after", FOUR)]))

    def recheck(part, exempt) -> None:
        if part.key == "restart@1" and not exempt:
            raise RejectedError("an approval was revoked")

    rig.recheck = recheck
    summary = rig.execute()
    assert slices(rig) == ["drain@1 web1 web2", "undrain@1 web1 web2"]
    assert (summary.state, summary.exit_code) == (RunState.STOPPED, 18)
    assert summary.hosts == dict.fromkeys(FOUR, "not_reached")
    assert "run.stopped" in kinds(rig)


def test_a_log_that_is_no_longer_healthy_stops_even_always_steps() -> None:
    rig = Rig(plan([rolling(FOUR, blocks())]))

    def recheck(part, exempt) -> None:
        del exempt
        if part.key != "drain@1":
            raise LogUnavailableError("the log was rolled back")

    rig.recheck = recheck
    summary = rig.execute()
    assert slices(rig) == ["drain@1 web1 web2"]
    assert summary.exit_code == 16
    assert kinds(rig)[-1] == "slice.finished"


def test_the_permit_runs_out_between_slices_but_not_for_always() -> None:
    rig = Rig(plan([rolling(FOUR, blocks())]))

    def recheck(part, exempt) -> None:
        del exempt
        if part.key == "drain@1":
            rig.now = NOON.replace(hour=16)

    rig.recheck = recheck
    summary = rig.execute()
    assert slices(rig) == ["drain@1 web1 web2", "undrain@1 web1 web2"]
    assert summary.exit_code == 11


def test_what_lands_between_check_and_intent_is_checked_again_and_stops_nobody() -> None:
    rig = Rig(plan([ansible("one", FOUR, tasks=1)]))
    seen: list[int] = []

    def recheck(part, exempt) -> None:
        del part, exempt
        seen.append(len(rig.journal.leaves))
        if len(seen) < 3:
            rig.stranger()

    rig.recheck = recheck
    assert rig.execute().exit_code == 0
    assert len(seen) == 3
    assert kinds(rig).count("slice.intended") == 1


def test_a_revocation_that_lands_after_the_check_is_never_overlooked() -> None:
    rig = Rig(plan([ansible("one", FOUR, tasks=1)]))

    def recheck(part, exempt) -> None:
        del part, exempt
        if any(e.type == "change.refused" for e in rig.journal.events):
            raise RejectedError("revoked")
        rig.stranger()

    rig.recheck = recheck
    summary = rig.execute()
    assert summary.exit_code == 18
    assert not rig.world.effects


def test_a_change_that_never_rests_is_busy() -> None:
    rig = Rig(plan([ansible("one", FOUR, tasks=1)]))
    rig.recheck = lambda *_: rig.stranger()
    assert rig.execute().exit_code == 19
    assert not rig.world.effects


def test_a_stop_takes_effect_between_two_actions_and_always_still_runs() -> None:
    rig = Rig(
        plan(
            [
                rolling(
                    FOUR, [ansible("drain", FOUR, tasks=1), ansible("restart", FOUR, tasks=3), *blocks()[2:]]
                )
            ]
        )
    )
    rig.stopping = lambda: len(rig.world.effects) >= 3
    summary = rig.execute()
    assert [(e.slice, e.host) for e in rig.world.effects] == [
        ("drain@1", "web1"), ("drain@1", "web2"), ("restart@1", "web1"), ("undrain@1", "web1"), ("undrain@1", "web2"),
    ]  # fmt: skip
    assert summary.hosts == {
        "web1": "failed",
        "web2": "not_reached",
        "web3": "not_reached",
        "web4": "not_reached",
    }
    assert (summary.state, summary.exit_code) == (RunState.STOPPED, 13)
    assert kinds(rig).count("run.stopped") == 1


def test_a_stop_before_the_first_slice_runs_nothing() -> None:
    rig = Rig(plan([ansible("one", FOUR), ansible("end", FOUR, always=True)]))
    rig.stopping = lambda: True
    assert rig.execute().hosts == dict.fromkeys(FOUR, "not_reached")
    assert slices(rig) == []


def stray(**more: str) -> Action:
    fields = {"host": "web1", "action": "ansible.builtin.command", "path": "project/drain.yml", **more}
    return Action(id="stray", line=1, **fields)


@pytest.mark.parametrize(
    "wrong", [{"host": "web4"}, {"action": "ansible.builtin.shell"}, {"delegate": "db1"}]
)
def test_an_action_outside_the_plan_never_happens_and_the_refusal_is_in_the_log(wrong) -> None:
    rig = Rig(
        plan([rolling(FOUR, blocks())]),
        runner=lambda world, fuse: ScriptedRunner(world, strays={"drain": stray(**wrong)}, fuse=fuse),
    )
    summary = rig.execute()
    assert isinstance(summary.cause, ConformanceError)
    assert (summary.state, summary.exit_code) == (RunState.STOPPED, 15)
    assert [e.slice for e in rig.world.effects] == ["undrain@1", "undrain@1"]
    stopped = [e for e in rig.journal.events if e.type == "run.stopped"]
    assert len(stopped) == 1
    assert next(iter(wrong.values())) in stopped[0].data["why"]
    (denied,) = [e for e in rig.journal.events if e.outcome == "denied"]
    (intent,) = [leaf.hash for leaf in rig.journal.leaves if leaf.event.type == "slice.intended"][:1]
    assert (denied.target["id"], denied.intent) == (wrong.get("host", "web1"), intent)
    assert denied.data["message"] in stopped[0].data["why"]
    assert set(summary.hosts) == set(FOUR)
    assert {event.host for event in rig.told if isinstance(event, HostChanged)} <= {"web1", "web2"}


def test_a_refused_action_is_the_first_thing_said_even_where_an_outcome_is_unknown() -> None:
    rig = Rig(
        plan([rolling(FOUR, blocks(), max_failures=4)]),
        runner=lambda world, fuse: ScriptedRunner(
            world, script={("drain", "web1"): ["hang"]}, strays={"restart": stray(host="db1")}, fuse=fuse
        ),
    )
    summary = rig.execute()
    assert (summary.state, summary.exit_code) == (RunState.UNKNOWN, 15)


class Unasked(ScriptedRunner):
    """Reports, after its first slice, something that it never asked for."""

    def __init__(self, world, report) -> None:
        super().__init__(world)
        self._report = report

    def run(self, permit, plan, part, *, room, observer) -> None:
        super().run(permit, plan, part, room=room, observer=observer)
        if part.key == "drain@1":
            observer.after(ActionResult(**{"id": "new", "outcome": "changed", "line": 1, **self._report}))


@pytest.mark.parametrize(
    ("report", "code"),
    [
        ({"host": "web1", "action": "ansible.builtin.shell", "path": "project/drain.yml"}, 15),
        ({"host": "db1", "action": "ansible.builtin.command", "path": "project/drain.yml"}, 15),
        ({"host": "web1", "action": "ansible.builtin.command", "path": "project/drain.yml"}, 0),
        ({"host": "web1", "action": "ansible.builtin.shell", "path": "project/drain.yml", "outcome": "skipped"}, 0),
        # asked for, but carried out on another host than the one named then
        ({"id": "drain@1/1/web1", "host": "web1", "action": "ansible.builtin.command", "path": "project/drain.yml", "delegate": "db1"}, 15),
    ],
)  # fmt: skip
def test_a_result_that_nobody_asked_for_is_held_against_the_plan(report, code) -> None:
    rig = Rig(plan([rolling(FOUR, blocks())]), runner=lambda world, _: Unasked(world, report))
    summary = rig.execute()
    assert summary.exit_code == code
    assert isinstance(summary.cause, ConformanceError) == (code == 15)


def test_a_runner_that_breaks_down_leaves_the_hosts_it_had_begun_unknown() -> None:
    rig = Rig(
        plan([rolling(FOUR, blocks(), max_failures=4)]),
        runner=lambda world, fuse: ScriptedRunner(world, breaks={"restart": 1}, fuse=fuse),
    )
    summary = rig.execute()
    assert summary.hosts == {
        "web1": "unknown",
        "web2": "not_reached",
        "web3": "not_reached",
        "web4": "not_reached",
    }
    assert (summary.state, summary.exit_code) == (RunState.UNKNOWN, 14)
    assert slices(rig)[-1] == "undrain@1 web1 web2"


def test_a_stack_writes_each_operations_intent_before_it_and_the_result_names_it() -> None:
    rig = Rig(plan([stack("grow", ["a", "b"])]))
    summary = rig.execute()
    intents = {leaf.hash: leaf.event for leaf in rig.journal.leaves if leaf.event.type == "action.intended"}
    results = [e for e in rig.journal.events if e.type == "action.finished"]
    assert [intents[e.intent].target["id"] for e in results] == [f"{URN}a", f"{URN}b"]
    assert all(e.data == {"inputs": {"desired": [1, 2]}} for e in intents.values())
    assert {e.target["kind"] for e in results} == {"resource"}
    assert summary.resources == {f"{URN}a": "changed", f"{URN}b": "changed"}
    assert summary.hosts == {}


def test_an_operation_whose_intent_cannot_be_written_does_not_happen() -> None:
    rig = Rig(plan([stack("grow", ["a", "b"])]))
    rig.arm(Fuse())
    rig.execute()
    node = rig.fuse.nodes.index("append action.intended")
    for at in (node, node + 1):
        rig = Rig(plan([stack("grow", ["a", "b"])]))
        rig.arm(Fuse(at, lambda: LogUnavailableError("no room left")))
        summary = rig.execute()
        assert summary.exit_code == 16
        assert not rig.world.effects
        assert set(summary.resources.values()) == {"unknown"}


def test_a_result_that_cannot_be_written_lets_the_slice_finish_and_then_everything_stops() -> None:
    rig = Rig(plan([rolling(FOUR, blocks())]))
    rig.arm(Fuse())
    rig.execute()
    node = rig.fuse.nodes.index("append action.finished")
    rig = Rig(plan([rolling(FOUR, blocks())]))
    rig.arm(Fuse(node, lambda: LogUnavailableError("no room left")))
    summary = rig.execute()
    assert {(e.slice, e.host) for e in rig.world.effects} == {("drain@1", "web1"), ("drain@1", "web2")}
    assert summary.hosts == {
        "web1": "unknown",
        "web2": "unknown",
        "web3": "not_reached",
        "web4": "not_reached",
    }
    assert (summary.exit_code, kinds(rig)[-1]) == (16, "slice.intended")


def test_a_barrier_that_cannot_be_written_leaves_its_slice_unknown() -> None:
    for place in ("append slice.finished", "appended slice.finished"):
        rig = Rig(plan([rolling(FOUR, blocks())]))
        rig.arm(Fuse())
        rig.execute()
        node = rig.fuse.nodes.index(place)
        rig = Rig(plan([rolling(FOUR, blocks())]))
        rig.arm(Fuse(node, lambda: LogUnavailableError("no room left")))
        summary = rig.execute()
        assert summary.hosts == {
            "web1": "unknown",
            "web2": "unknown",
            "web3": "not_reached",
            "web4": "not_reached",
        }
        assert (summary.exit_code, {e.slice for e in rig.world.effects}) == (16, {"drain@1"})


def test_a_run_whose_end_cannot_be_written_says_so() -> None:
    rig = Rig(plan([ansible("one", FOUR, tasks=1)]))
    rig.arm(Fuse())
    rig.execute()
    node = rig.fuse.nodes.index("append run.finished")
    rig = Rig(plan([ansible("one", FOUR, tasks=1)]))
    rig.arm(Fuse(node, lambda: LogUnavailableError("no room left")))
    summary = rig.execute()
    assert (summary.exit_code, summary.hosts) == (16, dict.fromkeys(FOUR, "changed"))


def test_a_kill_passes_through_untouched() -> None:
    rig = Rig(plan([ansible("one", FOUR)]))
    rig.arm(Fuse(5))
    with pytest.raises(Killed):
        rig.execute()
    assert kinds(rig)[-1] == "slice.intended"


def test_checks_are_asked_per_host_and_recorded_as_checks() -> None:
    rig = Rig(plan([check("healthy", FOUR)]), script={("healthy", "web2"): ["failed"]})
    summary = rig.execute()
    found = {e.target["id"]: e.outcome for e in rig.journal.events if e.type == "check.finished"}
    assert found == {"web1": "ok", "web2": "failed", "web3": "ok", "web4": "ok"}
    assert summary.hosts["web2"] == "failed"


def test_every_event_names_change_plan_run_and_on_whose_behalf() -> None:
    rig = Rig(plan([ansible("one", FOUR)]))
    rig.execute()
    for event in rig.journal.events[1:]:
        assert (event.change, event.plan, event.run) == (CHANGE, rig.plan.digest, "RUN-1")
        assert event.on_behalf_of == "alice@example.com"
