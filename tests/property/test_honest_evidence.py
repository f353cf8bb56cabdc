"""Whatever plan, failures, deaths, retries, skips and answers: evidence of what an honest executor did is not broken."""

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from itmp.change import Permit, Refusal
from itmp.errors import Error
from itmp.evidence import Trust, verify
from itmp.execution import Author, Reprise, RunStory, Wiring, execute, resume, undo
from itmp.execution.doors import Answer, Room, Slice
from itmp.plan import Plan
from itmp.testing.runners import Fuse, Killed, ScriptedProber, ScriptedRunner, World
from itmp.testing.small_plans import ansible, ask, check, hosts, plan, rolling
from itmp.testing.story import EXECUTOR, Story

THREE = hosts(3)


class House:
    """An approved change over a plan, and a world to run it in; answers come at the second look."""

    def __init__(
        self, made: Plan, script: Mapping[tuple[str, str], Iterable[Any]], answers: Mapping[str, str]
    ) -> None:
        self.story = Story(plan=made)
        self.story.open()
        self.story.act("approve", "bob")
        self.world, self.fuse = World(), Fuse()
        self._script = {key: list(endings) for key, endings in script.items()}
        self._answers = answers

    def wiring(self, permit: Permit) -> Wiring:
        runner = ScriptedRunner(self.world, script=self._script, fuse=self.fuse)
        runner._script = self._script  # what an attempt has used is used for the next
        return Wiring(
            journal=self.story.log,
            runners=dict.fromkeys(("ansible", "check"), runner),
            recheck=self.recheck,
            patience=self,
            room=Room(folder=Path("/nowhere"), token="token", run=permit.run),
            progress=self,
            stopping=bool,
            ids=self.story.id,
            now=self.story.clock.now,
            author=Author(actor=EXECUTOR, on_behalf_of="alice@example.com"),
        )

    def answer(self, part: Slice) -> Answer | None:
        given_ = self.story.record.runs[-1].answers.get(part.key)
        if given_ is None:
            value = self._answers.get(part.key, "true")
            self.story.act("answer", "alice", run="run-1", step=part.key, value=value)
            return None
        return Answer(value=given_.statement.fields["value"], leaf=given_.leaf, signer=given_.signer)

    def sleep(self, seconds: float) -> None:
        del seconds

    def recheck(self, part: Slice, *, exempt: bool) -> None:
        del part
        answer = self.story.ask("always" if exempt else "slice")
        if isinstance(answer, Refusal):
            raise answer.to_error(self.story.change)

    def on_event(self, event: object, /) -> None:
        del event

    def run(self) -> None:
        permit = self.story.permit()
        with contextlib.suppress(Killed):
            execute(permit, self.story.plan, wiring=self.wiring(permit))

    def resume(self, retry: Iterable[str], skip: Iterable[str]) -> None:
        reprise = Reprise(retry=frozenset(retry), skip=frozenset(skip), reason="so")
        line = ",".join([*(f"!{host}" for host in sorted(skip)), *(f"+{state}" for state in sorted(retry))])
        permit = self.story.permit(mode="resume", limit=line or "-")
        prober = ScriptedProber(self.world, blind=THREE, fuse=self.fuse)  # the plans name no probes
        with contextlib.suppress(Killed):
            resume(
                permit,
                self.story.plan,
                wiring=self.wiring(permit),
                story=self.told(),
                prober=prober,
                reprise=reprise,
            )

    def undo(self) -> None:
        permit = self.story.permit(mode="undo")
        with contextlib.suppress(Killed, Error):
            undo(permit, self.story.plan, wiring=self.wiring(permit), story=self.told())

    def told(self) -> RunStory:
        leaves = self.story.log.of_change(self.story.change)
        return RunStory.from_leaves(leaves, plan=self.story.plan, blob=self.story.log.blob, run="run-1")

    def state(self) -> str:
        return self.story.record.runs[-1].state

    def verdict(self) -> tuple[int, str]:
        report = verify(self.story.evidence(), Trust.from_files(self.story.trust()))
        return report.exit_code, f"{report.broken.n}: {report.broken.why}" if report.broken else ""


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
        *([ask("sure", on_failure=draw(reaction))] if draw(st.booleans()) else []),
        rolling(
            THREE,
            inner,
            size=draw(st.integers(1, 2)),
            max_failures=draw(st.integers(0, 1)),
            on_failure=draw(reaction),
        ),
        ansible("between", THREE, tasks=1, on_failure=draw(reaction)),
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


endings = st.lists(st.sampled_from(["failed", "unreachable", "silent", None]), min_size=1, max_size=2)
scripts = st.dictionaries(
    st.tuples(
        st.sampled_from(["first", "drain", "tier", "healthy", "undrain", "between", "late", "last"]),
        st.sampled_from(THREE),
    ),
    endings,
    min_size=1,
    max_size=5,
)
attempts = st.lists(
    st.tuples(
        st.one_of(st.none(), st.integers(0, 25)),
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
    st.dictionaries(st.sampled_from(["go@1", "sure"]), st.just("false")),
    attempts,
    st.booleans(),
)
def test_evidence_of_an_honest_executor_is_not_broken(
    made: Plan, script: Any, answers: dict[str, str], taken: Any, then: str
) -> None:
    house = House(made, script, answers)
    house.run()
    for at, retry, skip in taken:
        if house.state() not in {"running", "stopped", "failed", "unknown"}:
            break
        house.fuse = Fuse(at)
        house.resume(retry, skip)
    if then and made.manifest.undo and house.state() != "undone":
        house.fuse = Fuse()
        house.undo()
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
