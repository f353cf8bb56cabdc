"""Whatever plan, failures, deaths, words, retries and skips: evidence of what an honest executor did is not broken."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itmp.execution.progress import ActionFinished, RunEvent
from itmp.plan import Plan
from itmp.testing.house import House
from itmp.testing.runners import Fuse, Killed
from itmp.testing.small_plans import ansible, ask, check, hosts, plan, rolling

THREE = hosts(3)


reaction = st.sampled_from(["stop", "continue", "late", "undo"])
GUARDS = ['steps.first.outcome == "succeeded"', 'steps.first.outcome == "failed"', "steps.sure.answer", None]


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    inner = [
        ansible("drain", THREE, tasks=1, on_failure=draw(st.sampled_from(["stop", "continue"]))),
        ansible("tier", THREE, tasks=1),
        *([check("healthy", THREE)] if draw(st.booleans()) else []),
        *([ansible("undrain", THREE, tasks=1, always=True)] if draw(st.booleans()) else []),
        *([ask("go", after=[1])] if draw(st.booleans()) else []),
    ]
    steps = [
        ansible("first", THREE, tasks=1, on_failure=draw(reaction)),
        *([ask("sure", on_failure=draw(reaction), anew=draw(st.booleans()))] if draw(st.booleans()) else []),
        rolling(
            THREE,
            inner,
            size=draw(st.integers(1, 2)),
            max_failures=draw(st.integers(0, 1)),
            on_failure=draw(reaction),
        ),
        ansible("between", THREE, tasks=1, on_failure=draw(reaction)),
        *([ask("still", anew=True)] if draw(st.booleans()) else []),
        ansible("late", THREE, tasks=1),
        ansible("last", THREE, tasks=1, always=draw(st.booleans())),
    ]
    guards = {}
    sure = any(step.id == "sure" for step in steps)
    for name in ("rolling", "between", "late"):
        guard = draw(st.sampled_from(GUARDS))
        if guard and (sure or "sure" not in guard):
            guards[name] = guard
    back = [ansible("back", THREE, tasks=1)] if draw(st.booleans()) else []
    return plan(steps, undo=back, guards=guards)


endings = st.lists(
    st.sampled_from(["failed", "unreachable", "silent", "unknown", "hang", None]), min_size=1, max_size=2
)
scripts = st.dictionaries(
    st.tuples(
        st.sampled_from(["first", "drain", "tier", "healthy", "undrain", "between", "late", "last"]),
        st.sampled_from(THREE),
    ),
    endings,
    min_size=1,
    max_size=5,
)
fuses = st.one_of(st.none(), st.integers(0, 25))
attempts = st.lists(
    st.tuples(
        st.sampled_from(["ok", "failed", ""]),
        fuses,
        st.sets(st.sampled_from(["failed", "unreachable"])),
        st.sets(st.sampled_from(THREE), max_size=1),
    ),
    min_size=1,
    max_size=3,
)


@settings(deadline=None, max_examples=10)
@given(
    plans(),
    scripts,
    st.dictionaries(st.sampled_from(["go@1", "sure", "still"]), st.just("false")),
    st.tuples(fuses, attempts, st.booleans()),
)
def test_evidence_of_an_honest_executor_is_not_broken(
    made: Plan, script: Any, answers: dict[str, str], fates: Any
) -> None:
    house = House(made, script, answers)
    dies, taken, then = fates
    house.fuse = Fuse(dies)
    house.run()
    for word, at, retry, skip in taken:
        if house.state() not in {"running", "stopped", "failed", "unknown"}:
            break
        if word:
            house.reconcile(word)
        house.fuse = Fuse(at)
        house.resume(retry, skip)
    if then and made.manifest.undo and house.state() != "undone":
        house.fuse = Fuse()
        house.undo()
    whole, skimmed = house.story.told_twice()
    assert skimmed == whole
    code, why = house.verdict()
    assert code != 40, why


def step(name: str, **more: Any) -> Any:
    return ansible(name, THREE, tasks=1, **more)


def block(*inner: Any, name: str = "rolling", size: int = 1, **more: Any) -> Any:
    return rolling(THREE, inner, size=size, id=name, **more)


REST = (step("between"), step("late"))
FIRST = {("first", "web2"): ["failed"]}
TIER = {("tier", "web2"): ["failed"]}
RETRY, SKIP = ("failed",), ("web2",)


@pytest.mark.parametrize(
    ("steps", "guards", "script", "retry", "skip"),
    [
        ([step("first", on_failure="continue"), *REST], {}, FIRST, RETRY, ()),
        ([step("first", on_failure="late"), *REST], {}, FIRST, RETRY, ()),
        ([step("first", on_failure="late"), *REST], {}, FIRST, (), SKIP),
        ([step("first", on_failure="late"), *REST], {}, {("first", "web2"): ["silent"]}, (), ()),
        ([block(step("tier"), on_failure="late"), *REST], {}, TIER, RETRY, ()),
        ([block(step("tier"), on_failure="late"), *REST], {}, TIER, (), SKIP),
        ([block(step("tier"), on_failure="continue"), *REST], {}, TIER, RETRY, ()),
        ([block(step("tier"), on_failure="continue"), *REST], {}, TIER, (), SKIP),
        (
            [block(step("drain"), step("tier"), step("undrain", always=True), on_failure="late"), *REST],
            {}, TIER, RETRY, (),
        ),
        (
            [block(step("tier"), step("undrain", always=True), max_failures=1, on_failure="late"), *REST],
            {}, TIER | {("undrain", "web2"): ["failed"]}, (), (),
        ),
        (
            [block(step("drain", on_failure="continue"), step("tier"), on_failure="late"), *REST],
            {}, {("drain", "web2"): ["failed"]}, (), (),
        ),
        (
            [
                block(step("drain"), name="one", size=3, max_failures=1),
                block(step("tier"), size=3, max_failures=1, on_failure="late"),
                *REST,
            ],
            {}, TIER | {("drain", "web1"): ["failed"]}, (), (),
        ),
        (
            [step("first", on_failure="continue"), *REST],
            {"between": 'steps.first.outcome == "succeeded"'}, FIRST, RETRY, (),
        ),
    ],
)  # fmt: skip
def test_evidence_of_a_run_that_failure_led_on_and_that_was_taken_up_is_not_broken(
    steps: list[Any], guards: dict[str, str], script: Any, retry: tuple[str, ...], skip: tuple[str, ...]
) -> None:
    house = House(plan(steps, guards=guards), script, {})
    house.run()
    house.resume(retry, skip)
    code, why = house.verdict()
    assert code == 41, why  # incomplete: the change is not closed


def test_going_on_without_a_host_does_not_lead_back_to_what_its_failure_led_past() -> None:
    house = House(plan([step("first", on_failure="late"), *REST]), FIRST, {})
    house.run()
    house.resume((), SKIP)
    assert "between" not in {effect.slice for effect in house.world.effects}


def test_going_on_without_a_host_lifts_the_halt_of_its_failure() -> None:
    house = House(plan([block(step("tier")), *REST]), TIER, {})
    house.run()
    house.resume((), SKIP)
    assert house.world.of("late", "web1")
    assert house.verdict()[0] == 41


def told_after(made: Plan, script: Any, *attempts: tuple[set[str], set[str]]) -> tuple[int, str]:
    """Return the verdict on a run that was taken up so often: states tried again, hosts skipped."""
    house = House(made, script, {})
    house.run()
    for retry, skip in attempts:
        house.resume(retry, skip)
    return house.verdict()


def guarded(word: str, *, on_failure: str) -> Plan:
    first = ansible("first", THREE, tasks=1, on_failure=on_failure)
    block = rolling(THREE, [ansible("drain", THREE, tasks=1), ansible("tier", THREE, tasks=1)], size=1)
    steps = [first, block, ansible("last", THREE, tasks=1)]
    return plan(steps, guards={"rolling": f'steps.first.outcome == "{word}"'})


def test_what_a_guard_passed_over_may_come_after_later_steps_once_its_reason_is_gone() -> None:
    script = {("first", "web1"): ["failed"]}
    made = guarded("succeeded", on_failure="stop")
    code, why = told_after(made, script, (set(), {"web1"}), ({"failed"}, set()))
    assert code != 40, why


def test_a_batch_that_has_begun_goes_on_whatever_its_guard_says_when_it_is_tried_again() -> None:
    script = {("first", "web1"): ["failed"], ("drain", "web1"): ["failed"]}
    code, why = told_after(guarded("failed", on_failure="continue"), script, ({"failed"}, set()))
    assert code != 40, why


def test_a_failure_that_leads_on_takes_no_host_back_to_where_it_was_out() -> None:
    block = rolling(
        THREE,
        [ansible("drain", THREE, tasks=1), ansible("tier", THREE, tasks=1)],
        size=1,
        max_failures=1,
        on_failure="continue",
    )
    between, late = ansible("between", THREE, tasks=1, on_failure="late"), ansible("late", THREE, tasks=1)
    made = plan([block, between, late])
    script = {("drain", "web2"): ["failed"], ("between", "web1"): ["failed"]}
    house = House(made, script, {})
    house.run()
    before = len(house.run_record.slices)
    house.resume(set(), set())
    assert len(house.run_record.slices) == before
    code, why = house.verdict()
    assert code != 40, why


@pytest.mark.parametrize("at", range(4))
def test_what_was_cut_off_and_reconciled_as_failed_may_be_tried_again_after_going_on(at: int) -> None:
    house = House(plan([step("first", on_failure="continue"), step("last")]), {}, {})
    house.fuse = Fuse(at)
    house.run()
    house.fuse = Fuse()
    house.reconcile("failed")
    house.resume()
    house.resume(RETRY)
    code, why = house.verdict()
    assert code == 41, why


def test_a_failure_that_was_recorded_before_a_death_may_be_tried_again_after_going_on() -> None:
    one = hosts(1)
    first, last = ansible("first", one, tasks=1, on_failure="continue"), ansible("last", one, tasks=1)
    house = House(plan([first, last]), {("first", "web1"): ["failed"]}, {})

    def dies(event: RunEvent) -> None:
        if isinstance(event, ActionFinished):
            raise Killed

    house.listener = dies
    house.run()
    house.listener = id
    house.resume()
    house.resume(RETRY)
    code, why = house.verdict()
    assert code == 41, why


def test_a_failure_that_a_person_went_on_without_counts_for_the_budget_of_a_later_block() -> None:
    led = block(step("drain"), step("tier"), max_failures=1, on_failure="late")
    made = plan([step("first"), led, *REST])
    house = House(made, FIRST | {("drain", "web1"): ["failed"]}, {})
    house.run()
    house.resume((), SKIP)
    assert "between" not in {effect.slice for effect in house.world.effects}
    code, why = house.verdict()
    assert code == 41, why


@pytest.mark.parametrize("at", range(6))
def test_a_batch_that_is_passed_again_as_signed_is_passed_to_its_end_by_later_attempts(at: int) -> None:
    inner = [step("drain"), check("healthy", THREE), step("tier"), step("undrain", always=True)]
    house = House(plan([block(*inner)]), {("healthy", "web1"): ["failed"]}, {})
    house.run()
    house.fuse = Fuse(at)
    house.resume(RETRY)
    house.fuse = Fuse()
    if house.state() != "succeeded":
        house.reconcile("ok")
        house.resume()
    code, why = house.verdict()
    assert code == 41, why


@pytest.mark.parametrize("at", range(2, 18))
def test_going_on_without_the_hosts_of_a_check_that_was_cut_off_leaves_it_open(at: int) -> None:
    house = House(plan([block(step("drain"), check("healthy", THREE), step("tier"))]))
    house.fuse = Fuse(at)
    house.run()
    house.reconcile("ok")
    house.fuse = Fuse()
    house.resume((), ("web2", "web3"))
    assert house.state() == "succeeded"
    assert house.run_record.hosts["web3"] == ("changed" if at > 15 else "skipped")
    code, why = house.verdict()
    assert code == 41, why
