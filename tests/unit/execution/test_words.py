"""Questions, waits, pauses, guards and jumps: what the run does, over the log in memory."""

from datetime import timedelta

import pytest

from itmp.errors import LogUnavailableError
from itmp.execution import RunSummary
from itmp.plan import Plan
from itmp.testing.rig import NOON, Rig
from itmp.testing.runners import Fuse, Killed
from itmp.testing.small_plans import ansible, ask, check, hosts, plan, rolling, wait

TWO = hosts(2)
THREE = hosts(3)


def intents(rig: Rig) -> list[str]:
    """Return the slices that were intended, in order; those passed over with a minus before them."""
    found = [event for event in rig.journal.events if event.type == "slice.intended"]
    return [("-" if (e.data or {}).get("passed") else "") + str((e.data or {})["slice"]) for e in found]


def written(rig: Rig, kind: str) -> list[tuple[str, str]]:
    return [(event.step, event.outcome) for event in rig.journal.events if event.type == kind]


def answered(rig: Rig, **answers: str) -> RunSummary:
    rig.answers = {key.replace("_at_", "@"): value for key, value in answers.items()}
    return rig.execute()


def branches(on_failure: str = "continue") -> Plan:
    return plan(
        [
            ask("confirm", on_failure=on_failure),
            ansible("yes", TWO, tasks=1),
            ansible("no", TWO, tasks=1),
            ansible("last", TWO, tasks=1),
        ],
        undo=[ansible("back", TWO, tasks=1)],
        guards={"yes": "steps.confirm.answer == true", "no": 'steps.confirm.outcome == "failed"'},
    )


@pytest.mark.parametrize(
    ("value", "way"),
    [("true", ["confirm", "yes", "-no", "last"]), ("false", ["confirm", "-yes", "no", "last"])],
)
def test_an_answer_chooses_the_branch(value: str, way: list[str]) -> None:
    rig = Rig(branches())
    summary = answered(rig, confirm=value)
    assert intents(rig) == way
    assert (summary.exit_code, summary.hosts) == (0, dict.fromkeys(TWO, "changed"))
    assert written(rig, "ask.answered") == [("confirm", "ok" if value == "true" else "failed")]


def test_no_is_a_failure_where_the_plan_reacts_to_one() -> None:
    rig = Rig(plan([ansible("a", TWO, tasks=1), ask("confirm")]))
    summary = answered(rig, confirm="false")
    assert (summary.exit_code, summary.state.value) == (13, "failed")
    assert summary.hosts == dict.fromkeys(TWO, "changed")
    assert "the answer was no" in summary.notes[0]


def test_no_takes_back_what_was_done() -> None:
    steps = [ansible("a", TWO, tasks=1), ask("confirm", on_failure="undo")]
    rig = Rig(plan(steps, undo=[ansible("back", TWO, tasks=1)]))
    assert answered(rig, confirm="false").exit_code == 20
    assert intents(rig) == ["a", "confirm", "undo:back"]


def test_hosts_that_were_only_passed_over_are_not_undone() -> None:
    steps = [
        ansible("a", THREE[:1], tasks=1),
        ask("confirm", on_failure="continue"),
        ansible("b", THREE, tasks=1),
    ]
    made = plan(
        [*steps, ask("sure", on_failure="undo")],
        undo=[ansible("back", THREE, tasks=1)],
        guards={"b": "steps.confirm.answer"},
    )
    rig = Rig(made)
    assert answered(rig, confirm="false", sure="false").exit_code == 20
    (back,) = [e for e in rig.journal.events if e.type == "slice.intended" and e.phase == "undo"]
    assert (back.data or {})["hosts"] == ["web1"]


def test_a_question_waits_and_a_stop_settles_nothing() -> None:
    rig = Rig(branches())
    looks: list[int] = []
    rig.asleep = lambda: looks.append(1)
    rig.stopping = lambda: len(looks) > 3
    summary = rig.execute()
    assert (summary.exit_code, summary.state.value) == (13, "stopped")
    assert len(looks) == 4
    assert intents(rig) == ["confirm"]
    assert written(rig, "ask.answered") == []

    rig.stopping, rig.answers = (lambda: False), {"confirm": "true"}
    assert rig.resume().exit_code == 0
    assert intents(rig) == ["confirm", "confirm", "yes", "-no", "last"]


def test_a_question_outlives_no_permit() -> None:
    steps = [ansible("a", TWO, tasks=1), ask("confirm", on_failure="undo")]
    rig = Rig(plan(steps, undo=[ansible("back", TWO, tasks=1)]))
    summary = rig.execute()
    assert (summary.exit_code, summary.state.value) == (11, "stopped")
    assert rig.now >= NOON + timedelta(hours=4)
    assert intents(rig) == ["a", "confirm"], "nobody said no, so nothing is undone"


def test_an_answer_that_came_while_nobody_ran_is_taken_up() -> None:
    rig = Rig(branches())
    rig.arm(Fuse(5))  # the intent is durable
    with pytest.raises(Killed):
        rig.execute()
    rig.arm(Fuse())
    rig.answers = {"confirm": "false"}
    assert rig.resume().exit_code == 0
    assert intents(rig) == ["confirm", "confirm", "-yes", "no", "last"]


def test_a_wait_ends_when_its_first_intent_said() -> None:
    rig = Rig(plan([wait("soak", seconds=600), ansible("a", TWO, tasks=1)]))
    looks: list[int] = []
    rig.asleep = lambda: looks.append(1)
    rig.stopping = lambda: len(looks) == 100
    assert rig.execute().exit_code == 13
    rig.now += timedelta(seconds=300)
    rig.stopping = lambda: False
    assert rig.resume().exit_code == 0
    ends = [
        (e.data or {})["until"] for e in rig.journal.events if e.step == "soak" and e.type == "slice.intended"
    ]
    assert ends == ["2026-11-22T12:10:00Z"] * 2
    assert rig.now == NOON + timedelta(seconds=600)


def test_a_wait_that_outlasts_the_permit_does_not_begin() -> None:
    rig = Rig(plan([wait("soak", until="2026-11-22T17:00:00Z"), ansible("a", TWO, tasks=1)]))
    summary = rig.execute()
    assert (summary.exit_code, rig.now, intents(rig)) == (11, NOON, [])
    assert "would outlast the permit" in str(summary.cause)


def paused(**more: object) -> Plan:
    inner = [
        ansible("drain", THREE, tasks=1),
        check("healthy", THREE),
        ansible("undrain", THREE, tasks=1, always=True),
        ask("go", after=[1, 2]),
    ]
    return plan([rolling(THREE, inner, size=1, **more), ansible("last", THREE, tasks=1)])  # type: ignore[arg-type]


def test_each_batch_waits_for_a_word() -> None:
    rig = Rig(paused())
    assert answered(rig, go_at_1="true", go_at_2="true").exit_code == 0
    assert [key for key in intents(rig) if key.startswith(("drain", "go"))] == [
        "drain@1", "go@1", "drain@2", "go@2", "drain@3",
    ]  # fmt: skip


def test_no_between_batches_closes_the_block_and_its_reaction_decides() -> None:
    rig = Rig(paused())
    summary = answered(rig, go_at_1="false")
    assert intents(rig) == ["drain@1", "healthy@1", "undrain@1", "go@1"]
    assert (summary.exit_code, summary.hosts["web2"]) == (13, "not_reached")
    rig = Rig(paused(on_failure="continue"))
    answered(rig, go_at_1="true", go_at_2="false")
    assert intents(rig)[-2:] == ["go@2", "last"]


def test_a_pause_asks_only_for_hosts_that_still_come() -> None:
    rig = Rig(paused())
    summary = rig.execute(limit=["web1"])
    assert "go@1" not in intents(rig)
    assert summary.exit_code == 0


def test_a_wait_inside_rolling_passes_with_each_batch_that_has_a_host_left() -> None:
    inner = [ansible("a", TWO, tasks=1), wait("soak", seconds=60)]
    rig = Rig(plan([rolling(TWO, inner, size=1, max_failures=1)]), script={("a", "web1"): ["failed"]})
    assert rig.execute().exit_code == 13
    assert intents(rig) == ["a@1", "a@2", "soak@2"]


def jumping(**guards: str) -> Plan:
    steps = [
        ansible("risky", TWO, tasks=1, on_failure="repair"),
        ansible("between", TWO, tasks=1),
        ansible("put-back", TWO, tasks=1, always=True),
        ansible("repair", TWO, tasks=1),
    ]
    return plan(steps, guards=guards)


def test_a_failure_leads_forward_and_failed_hosts_take_part_again() -> None:
    rig = Rig(jumping(), script={("risky", "web1"): ["failed"]})
    summary = rig.execute()
    assert intents(rig) == ["risky", "-between", "put-back", "repair"]
    (repair,) = [e for e in rig.journal.events if e.step == "repair" and e.type == "slice.intended"]
    assert (repair.data or {})["hosts"] == list(TWO)
    assert (summary.exit_code, summary.hosts) == (13, {"web1": "failed", "web2": "changed"})


def test_a_retry_that_succeeds_takes_the_way_that_was_jumped_over() -> None:
    rig = Rig(
        jumping(repair='steps.risky.outcome == "failed"'), script={("risky", "web1"): ["failed", "changed"]}
    )
    rig.execute()
    assert rig.resume(retry=["failed"]).exit_code == 0
    assert intents(rig) == ["risky", "-between", "put-back", "repair", "risky", "between"]


def test_a_block_beyond_its_budget_leads_forward() -> None:
    block = rolling(TWO, [ansible("a", TWO, tasks=1)], size=1, on_failure="repair")
    rig = Rig(
        plan([block, ansible("between", TWO, tasks=1), ansible("repair", TWO, tasks=1)]),
        script={("a", "web1"): ["failed"]},
    )
    rig.execute()
    assert intents(rig) == ["a@1", "-between", "repair"]
    (repair,) = [e for e in rig.journal.events if e.step == "repair" and e.type == "slice.intended"]
    assert (repair.data or {})["hosts"] == list(TWO), "the host that failed takes part again"


def test_a_guarded_block_is_passed_over_batch_by_batch() -> None:
    block = rolling(TWO, [ansible("a", TWO, tasks=1)], size=1)
    rig = Rig(
        plan([ask("confirm", on_failure="continue"), block], guards={"rolling": "steps.confirm.answer"})
    )
    summary = answered(rig, confirm="false")
    assert (intents(rig), summary.exit_code) == (["confirm", "-a@1", "-a@2"], 0)
    assert summary.hosts == dict.fromkeys(TWO, "skipped")


def test_the_log_failing_while_it_waits_ends_everything() -> None:
    rig = Rig(branches())
    rig.asleep = lambda: setattr(rig, "answers", {"confirm": "true"})
    rig.arm(Fuse(6, lambda: LogUnavailableError("full")))  # the answer itself
    summary = rig.execute()
    assert summary.exit_code == 16
    assert intents(rig) == ["confirm"]


def test_a_pause_is_asked_again_when_the_batch_after_it_is_entered_again() -> None:
    rig = Rig(paused(), script={("drain", "web2"): ["failed", "changed"]})
    answered(rig, go_at_1="true", go_at_2="true")
    assert intents(rig)[-3:] == ["go@1", "drain@2", "undrain@2"]
    assert rig.resume(retry=["failed"]).exit_code == 0
    later = intents(rig)[6:]
    assert later[:2] == ["go@1", "drain@2"], "what was answered was about the world before"
    assert [key for key in later if key.startswith("go")] == ["go@1", "go@2"]


def test_a_pause_that_was_answered_after_the_crash_is_not_asked_a_third_time() -> None:
    rig = Rig(paused(), script={("drain", "web2"): ["failed", "changed"]})
    answered(rig, go_at_1="true", go_at_2="true")

    def die(event: object) -> None:
        if getattr(event, "event", "") == "slice.finished" and getattr(event, "slice", "") == "go@1":
            raise Killed

    rig.listener = die
    with pytest.raises(Killed):
        rig.resume(retry=["failed"])
    assert intents(rig)[-1] == "go@1"
    rig.listener = id
    assert rig.resume(retry=["failed"]).exit_code == 0
    assert intents(rig).count("go@1") == 2


def test_a_pause_before_a_batch_that_is_done_is_not_asked_again() -> None:
    rig = Rig(paused(), script={("drain", "web3"): ["failed", "changed"]})
    answered(rig, go_at_1="true", go_at_2="true")
    assert rig.resume(retry=["failed"]).exit_code == 0
    keys = [key for key in intents(rig) if key.startswith("go")]
    assert keys == ["go@1", "go@2", "go@2"]


def test_a_pause_before_a_batch_with_nothing_left_stays_answered() -> None:
    rig = Rig(paused(max_failures=1), script={("drain", "web1"): ["failed", "changed"]})
    rig.answers = {"go@1": "true"}
    stops: list[int] = []
    rig.asleep = lambda: stops.append(1)
    rig.stopping = lambda: bool(stops)
    assert rig.execute().exit_code == 13  # stopped while it asks go@2
    rig.stopping, rig.answers = (lambda: False), {"go@1": "true", "go@2": "true"}
    assert rig.resume(retry=["failed"]).exit_code == 0
    later = intents(rig)[intents(rig).index("go@2") + 1 :]
    assert [key for key in later if key.startswith(("drain", "go"))] == ["drain@1", "go@2", "drain@3"]


def test_a_wait_begins_anew_where_its_batch_is_passed_again() -> None:
    inner = [
        ansible("drain", TWO, tasks=1),
        wait("settle", seconds=60),
        ansible("b", TWO, tasks=1),
        ansible("undrain", TWO, tasks=1, always=True),
    ]
    rig = Rig(plan([rolling(TWO, inner, size=1)]), script={("b", "web1"): ["failed", "changed"]})
    assert rig.execute().exit_code == 13
    rig.now += timedelta(seconds=600)
    assert rig.resume(retry=["failed"]).exit_code == 0
    assert intents(rig)[:8] == [
        "drain@1", "settle@1", "b@1", "undrain@1", "drain@1", "settle@1", "b@1", "undrain@1",
    ]  # fmt: skip
    first, again = [
        (event.data or {})["until"]
        for event in rig.journal.events
        if event.type == "slice.intended" and (event.data or {})["slice"] == "settle@1"
    ]
    assert again > first


def test_an_answer_whose_slice_never_ended_is_taken_up_with_the_question() -> None:
    rig = Rig(branches())
    rig.answers = {"confirm": "true"}
    rig.arm(Fuse(7))  # the answer is in the log, and the end of its slice is not
    with pytest.raises(Killed):
        rig.execute()
    assert written(rig, "ask.answered") == [("confirm", "ok")]
    assert not written(rig, "slice.finished")
    rig.arm(Fuse())
    assert rig.resume().exit_code == 0
    assert intents(rig) == ["confirm", "confirm", "yes", "-no", "last"]


def test_a_pause_comes_again_where_an_earlier_host_runs_again_after_the_answer() -> None:
    rig = Rig(paused(max_failures=1), script={("drain", "web1"): ["failed", "changed"]})
    rig.answers = {"go@1": "true"}
    told: list[str] = []
    rig.listener = lambda event: told.append(
        getattr(event, "slice", "") if event.event == "slice.finished" else ""
    )
    rig.stopping = lambda: "go@1" in told
    assert rig.execute().exit_code == 13  # stopped once go@1 was answered
    assert intents(rig)[-1] == "go@1"
    rig.stopping, rig.answers = (lambda: False), {"go@1": "true", "go@2": "true"}
    assert rig.resume(retry=["failed"]).exit_code == 0
    later = intents(rig)[intents(rig).index("go@1") + 1 :]
    assert [key for key in later if key.startswith(("drain", "go"))] == [
        "drain@1", "go@1", "drain@2", "go@2", "drain@3",
    ]  # fmt: skip
