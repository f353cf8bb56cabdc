"""Answers, waits and guards that a lying owner of the log writes, and the rule that names them: 20, or 12 to 14."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from itmp.audit import Receipt
from itmp.change import team_policy
from itmp.evidence import Report, Trust, verify
from itmp.execution.doors import Slice
from itmp.execution.record import work_digest
from itmp.plan import AnsibleStep, LeafStep, Plan, all_steps
from itmp.testing.people import Person
from itmp.testing.small_plans import ansible, ask, hosts, plan, rolling, wait
from itmp.testing.story import Story

TWO = hosts(2)
ROLES = {"alice": ("sre", "owner"), "bob": ("approver", "owner"), "carol": ("approver",), "dave": ("sre",)}


def policy() -> bytes:
    """A policy in which approvers may answer too: the plan below asks an sre."""
    people = {f"{name}@example.com": Person(f"{name}@example.com", "story") for name in ROLES}
    signers = {name: (one.public.line, ROLES[name.partition("@")[0]]) for name, one in people.items()}
    return team_policy(signers).replace(b"[approve, reject, revoke]", b"[approve, reject, revoke, answer]")


class Told(Story):
    """A run with a question, a wait and guarded steps, told leaf by leaf; the test bends what it wants bent."""

    def __init__(self, made: Plan | None = None) -> None:
        super().__init__(
            plan=made
            or plan(
                [
                    ask("confirm", roles=["sre"], on_failure="repair"),
                    wait("soak", seconds=60),
                    ansible("rest", TWO, tasks=1),
                    ansible("repair", TWO, tasks=1),
                    ansible("last", TWO, tasks=1),
                ],
                guards={"last": "steps.confirm.answer"},
            ),
            roles=ROLES,
            policy=policy(),
        )
        self.open()
        self.act("approve", "bob")
        self.running = self.permit()
        self.say(self.running, "run.started", data={"permit": self.running.leaf})

    def step(self, name: str) -> LeafStep:
        return next(step for step in all_steps(self.plan.manifest) if step.id == name)

    def begin(self, name: str, *names: str, **data: Any) -> Receipt:
        step, permit = self.step(name), self.running
        work = work_digest(Slice(key=name, step=step, hosts=names))
        told = {"slice": name, "hosts": list(names), "work": work, "permit": permit.leaf, **data}
        return self.say(permit, "slice.intended", step=name, phase="do", data=told)

    def end(self, name: str, intent: Receipt, **states: str) -> None:
        found = {key.replace("_is_", ":"): state for key, state in states.items()}
        data = {"slice": name, "hosts": found}
        self.say(self.running, "slice.finished", step=name, phase="do", intent=intent.hash, data=data)

    def says(self, value: str = "true", who: str = "alice", **lies: str) -> Receipt:
        lines = {"run": "run-1", "step": "confirm", "value": value} | lies
        return self.act("answer", who, **lines)

    def settle(
        self, intent: Receipt, statement: str, value: str = "true", outcome: str = "ok", state: str = ""
    ) -> None:
        self.say(
            self.running,
            "ask.answered",
            step="confirm",
            phase="do",
            intent=intent.hash,
            action="itmp.ask",
            target={"kind": "ask", "id": "ask:confirm"},
            outcome=outcome,
            data={"value": value, "statement": statement},
        )
        self.end("confirm", intent, ask_is_confirm=state or outcome)

    def soak(self, until: int = 60, after: int = 60) -> None:
        """Wait: the intent says `until` seconds from now, the end comes `after` seconds later."""
        moment = self.clock.now().replace(microsecond=0) + timedelta(seconds=until + 1)
        intent = self.begin("soak", until=moment.strftime("%Y-%m-%dT%H:%M:%SZ"))
        self.clock.time += timedelta(seconds=after + 1)
        self.say(
            self.running,
            "check.finished",
            step="soak",
            phase="do",
            intent=intent.hash,
            action="itmp.wait",
            target={"kind": "wait", "id": "wait:soak"},
            outcome="ok",
            data={"message": ""},
        )
        self.end("soak", intent, wait_is_soak="ok")

    def steps(self) -> tuple[AnsibleStep, ...]:
        return tuple(step for step in all_steps(self.plan.manifest) if isinstance(step, AnsibleStep))

    def work(self, name: str) -> None:
        """Carry an Ansible step out."""
        step = next(step for step in self.steps() if step.id == name)
        self.slice(self.running, step)

    def over(self, name: str) -> None:
        """Pass a step over."""
        intent = self.begin(name, *TWO, passed="because")
        self.end(name, intent, **dict.fromkeys(TWO, "skipped"))

    def taken_up(self, *retry: str) -> None:
        """Stop the run here and go on under a new permit, trying hosts in the states `retry` again."""
        data = {"state": "stopped", "hosts": dict.fromkeys(TWO, "not_reached")}
        self.say(self.running, "run.finished", outcome="failed", data=data)
        self.running = self.permit(mode="resume", limit=",".join(f"+{one}" for one in retry) or "-")
        asked = {"retry": list(retry)} if retry else {}
        self.say(self.running, "run.resumed", data={"permit": self.running.leaf, **asked})

    def judge(self, *, state: str = "succeeded") -> Report:
        end = dict.fromkeys(TWO, "changed")
        kind = "ok" if state == "succeeded" else "failed"
        self.say(self.running, "run.finished", outcome=kind, data={"state": state, "hosts": end})
        self.close()
        return verify(self.evidence(), Trust.from_files(self.trust()))

    def rest(self, *, last: Callable[[str], None] | None = None) -> None:
        """Tell the honest rest after an answer `true`."""
        self.soak()
        self.work("rest")
        self.work("repair")
        (last or self.work)("last")


def asked() -> tuple[Told, Receipt]:
    story = Told()
    return story, story.begin("confirm")


def test_an_honest_run_holds() -> None:
    story, intent = asked()
    story.settle(intent, story.says().hash)
    story.rest()
    report = story.judge()
    assert report.exit_code == 0, report.broken


def test_an_honest_no_leads_forward_and_passes_over() -> None:
    story, intent = asked()
    story.settle(intent, story.says("false").hash, "false", "failed")
    passed = story.begin("soak", passed="because")
    story.end("soak", passed, wait_is_soak="skipped")
    story.over("rest")
    story.work("repair")
    story.over("last")
    report = story.judge()
    assert report.exit_code == 0, report.broken


def forged(story: Told, intent: Receipt) -> None:
    story.settle(intent, intent.hash)  # no statement at all


def wrong_role(story: Told, intent: Receipt) -> None:
    story.settle(intent, story.says(who="bob", role="approver").hash)


def role_without_the_act(story: Told, intent: Receipt) -> None:
    story.settle(intent, story.says(role="owner").hash)


def of_another_run(story: Told, intent: Receipt) -> None:
    story.settle(intent, story.says(run="run-2").hash)


def of_another_change(story: Told, intent: Receipt) -> None:
    story.settle(intent, story.says(change="CHG-0123456789").hash)


def of_another_question(story: Told, intent: Receipt) -> None:
    story.settle(intent, story.says(step="soak").hash)


def no_such_value(story: Told, intent: Receipt) -> None:
    story.settle(intent, story.says("yes").hash, "yes")


def expired(story: Told, intent: Receipt) -> None:
    story.settle(intent, story.says(valid="2026-11-20T05:00:00Z 2026-11-20T06:00:00Z").hash)


def other_value(story: Told, intent: Receipt) -> None:
    story.settle(intent, story.says("false").hash, "true")


def no_called_ok(story: Told, intent: Receipt) -> None:
    story.settle(intent, story.says("false").hash, "false", "ok")


def second_answer(story: Told, intent: Receipt) -> None:
    story.says("false")
    story.settle(intent, story.says("true", who="dave").hash)


def after_the_fact(story: Told, intent: Receipt) -> None:
    story.settle(intent, "sha256:" + "1" * 64)
    story.says()


@pytest.mark.parametrize(
    "lie",
    [
        forged, wrong_role, role_without_the_act, of_another_run, of_another_change, of_another_question,
        no_such_value, expired, other_value, no_called_ok, second_answer, after_the_fact,
    ],
    ids=lambda lie: lie.__name__,
)  # fmt: skip
def test_an_answer_that_does_not_count_settles_nothing(lie: Callable[[Told, Receipt], None]) -> None:
    story, intent = asked()
    lie(story, intent)
    story.rest()
    report = story.judge()
    assert report.exit_code == 40
    assert report.broken
    assert report.broken.n == 20, report.broken


def test_an_answer_given_before_it_was_asked_does_not_count() -> None:
    story = Told()
    early = story.says()
    story.settle(story.begin("confirm"), early.hash)
    story.rest()
    report = story.judge()
    assert report.broken
    assert report.broken.n == 20


def test_a_question_that_ends_without_its_answer_is_named() -> None:
    story, intent = asked()
    story.end("confirm", intent, ask_is_confirm="ok")
    story.rest()
    report = story.judge()
    assert report.broken
    assert report.broken.n == 14


@pytest.mark.parametrize(("until", "after"), [(10, 10), (60, 20)], ids=["said shorter", "ended early"])
def test_a_wait_that_was_cut_short_is_named(until: int, after: int) -> None:
    story, intent = asked()
    story.settle(intent, story.says().hash)
    story.soak(until, after)
    story.work("rest")
    story.work("repair")
    story.work("last")
    report = story.judge()
    assert report.broken
    assert report.broken.n == 20


def test_a_wait_whose_end_moved_is_named() -> None:
    story, intent = asked()
    story.settle(intent, story.says().hash)
    story.begin("soak", until="2026-11-23T05:00:00Z")
    story.taken_up()
    story.rest()
    report = story.judge()
    assert report.broken
    assert report.broken.n == 20


def test_a_step_that_ran_against_its_guard_is_named() -> None:
    story, intent = asked()
    story.settle(intent, story.says("false").hash, "false", "failed")
    passed = story.begin("soak", passed="because")
    story.end("soak", passed, wait_is_soak="skipped")
    story.over("rest")
    story.work("repair")
    story.work("last")
    report = story.judge()
    assert report.broken
    assert report.broken.n == 20


def test_a_step_that_a_failure_leads_past_did_not_run() -> None:
    story, intent = asked()
    story.settle(intent, story.says("false").hash, "false", "failed")
    story.rest(last=story.over)
    report = story.judge()
    assert report.broken
    assert report.broken.n == 20


def test_a_step_that_was_passed_over_for_nothing_is_named() -> None:
    story, intent = asked()
    story.settle(intent, story.says().hash)
    story.rest(last=story.over)
    report = story.judge()
    assert report.broken
    assert report.broken.n == 20


def test_a_result_of_a_slice_that_was_passed_over_is_named() -> None:
    story, intent = asked()
    story.settle(intent, story.says("false").hash, "false", "failed")
    passed = story.begin("soak", passed="because")
    story.end("soak", passed, wait_is_soak="skipped")
    hidden = story.begin("rest", *TWO, passed="because")
    story.result(story.running, next(s for s in story.steps() if s.id == "rest"), hidden.hash, "web1")
    story.end("rest", hidden, **dict.fromkeys(TWO, "skipped"))
    report = story.judge()
    assert report.broken
    assert report.broken.n == 20


def test_a_question_under_a_key_that_the_plan_does_not_have_is_named() -> None:
    story = Told()
    step, permit = story.step("confirm"), story.running
    data = {
        "slice": "confirm@7",
        "hosts": [],
        "work": work_digest(Slice(key="confirm@7", step=step, hosts=())),
        "permit": permit.leaf,
    }
    story.say(permit, "slice.intended", step="confirm", phase="do", data=data)
    report = story.judge(state="failed")
    assert report.broken
    assert report.broken.n == 12


def test_work_that_did_not_wait_for_the_answer_is_named() -> None:
    story, _ = asked()
    story.work("repair")
    report = story.judge(state="failed")
    assert report.broken
    assert report.broken.n == 20
    assert "before confirm was settled" in report.broken.why


def test_work_without_the_question_is_named() -> None:
    story = Told()
    story.work("rest")
    report = story.judge(state="failed")
    assert report.broken
    assert report.broken.n == 20


def test_a_batch_that_did_not_wait_for_the_word_is_named() -> None:
    story = Told(
        plan(
            [
                rolling(
                    TWO,
                    [ansible("tier", TWO, tasks=1), ask("go", after=[1])],
                    size=1,
                    on_failure="continue",
                )
            ]
        )
    )
    for batch, host in enumerate(TWO, 1):
        intent = story.begin("tier", host, slice=f"tier@{batch}")
        story.result(story.running, story.steps()[0], intent.hash, host)
        story.end("tier", intent, **{host: "changed"})
    report = story.judge()
    assert report.broken
    assert report.broken.n == 20
    assert "before go@1 was settled" in report.broken.why


def tried_again(*, anew: bool) -> Told:
    """A run in which what stands before a question failed, and is tried again after the answer."""
    steps = [
        ansible("one", TWO, tasks=1, on_failure="continue"),
        ask("confirm", roles=["sre"], anew=anew),
        ansible("rest", TWO, tasks=1),
    ]
    told = Told(plan(steps))
    one, rest = told.steps()
    told.slice(told.running, one, outcome="failed")
    told.settle(told.begin("confirm"), told.says().hash)
    told.slice(told.running, rest, outcome="failed")
    told.taken_up("failed")
    told.work("one")
    return told


@pytest.mark.parametrize(("anew", "again"), [(True, True), (True, False), (False, False)])
def test_a_question_outside_a_block_may_be_asked_again(anew: bool, again: object) -> None:  # noqa: FBT001 -- a case
    """Whether it had to be no leaf tells: nothing may have been left to do when what stands before it began again."""
    told = tried_again(anew=anew)
    if again:
        intent = told.begin("confirm")
        told.settle(intent, told.says().hash)
    told.work("rest")
    report = told.judge()
    assert report.exit_code == 0, report


def test_the_yes_from_before_answers_no_question_that_is_asked_again() -> None:
    told = tried_again(anew=True)
    first = next(leaf for leaf in told.log.of_change(told.change) if leaf.event.type == "ask.answered")
    told.settle(told.begin("confirm"), str((first.event.data or {})["statement"]))
    told.work("rest")
    report = told.judge()
    assert report.broken
    assert report.broken.n == 20


def test_what_was_passed_over_cannot_be_taken_back() -> None:
    made = plan(
        [
            ask("confirm", on_failure="last"),
            ansible("rest", TWO, tasks=1),
            ansible("last", ("web3",), tasks=1),
        ],
        undo=[ansible("back", TWO, tasks=1)],
    )
    story = Told(made)
    intent = story.begin("confirm")
    story.settle(intent, story.says("false").hash, "false", "failed")
    story.over("rest")
    back = next(step for step in all_steps(made.manifest) if step.id == "back")
    assert isinstance(back, AnsibleStep)
    story.slice(story.running, back, phase="undo")
    report = story.judge(state="failed")
    assert report.broken
    assert report.broken.n == 12


def test_an_undo_step_is_never_passed_over() -> None:
    story = Told(plan([ansible("rest", TWO, tasks=1)], undo=[ansible("back", TWO, tasks=1)]))
    story.work("rest")
    back, permit = story.step("back"), story.running
    work = work_digest(Slice(key="undo:back", step=back, hosts=TWO))
    told = {
        "slice": "undo:back",
        "hosts": list(TWO),
        "work": work,
        "permit": permit.leaf,
        "passed": "because",
    }
    story.say(permit, "slice.intended", step="back", phase="undo", data=told)
    report = story.judge(state="failed")
    assert report.broken
    assert report.broken.n == 20
    assert "undo step" in report.broken.why


class Paused(Told):
    """A block of two batches with a pause between them and a wait in each, told leaf by leaf."""

    def __init__(self, max_failures: int = 0) -> None:
        inner = [
            ansible("tier", TWO, tasks=1),
            wait("settle", seconds=60),
            ansible("after", TWO, tasks=1),
            ask("go", after=[1], roles=["sre"]),
        ]
        super().__init__(plan([rolling(TWO, inner, size=1, max_failures=max_failures)]))

    def on(self, name: str, host: str, outcome: str = "changed") -> None:
        step = next(one for one in self.steps() if one.id == name)
        intent = self.intend(self.running, step, [host])
        self.result(self.running, step, intent.hash, host, outcome=outcome)
        key = f"{name}@{TWO.index(host) + 1}"
        data = {"slice": key, "hosts": {host: outcome}}
        self.say(self.running, "slice.finished", step=name, phase="do", intent=intent.hash, data=data)

    def word(self, name: str, key: str, **data: Any) -> Receipt:
        step, permit = self.step(name), self.running
        work = work_digest(Slice(key=key, step=step, hosts=()))
        told = {"slice": key, "hosts": [], "work": work, "permit": permit.leaf, **data}
        return self.say(permit, "slice.intended", step=name, phase="do", data=told)

    def settle_down(self, batch: int) -> None:
        key = f"settle@{batch}"
        moment = self.clock.now().replace(microsecond=0) + timedelta(seconds=61)
        intent = self.word("settle", key, until=moment.strftime("%Y-%m-%dT%H:%M:%SZ"))
        self.clock.time += timedelta(seconds=61)
        self.say(
            self.running, "check.finished", step="settle", phase="do", intent=intent.hash, action="itmp.wait",
            target={"kind": "wait", "id": "wait:settle"}, outcome="ok", data={"message": ""},
        )  # fmt: skip
        self.over_with("settle", key, intent, "wait:settle")

    def ask_to_go(self, *, statement: str = "") -> str:
        intent = self.word("go", "go@1")
        given = statement or self.says(step="go@1").hash
        self.say(
            self.running, "ask.answered", step="go", phase="do", intent=intent.hash, action="itmp.ask",
            target={"kind": "ask", "id": "ask:go"}, outcome="ok", data={"value": "true", "statement": given},
        )  # fmt: skip
        self.over_with("go", "go@1", intent, "ask:go")
        return given

    def over_with(self, name: str, key: str, intent: Receipt, target: str) -> None:
        data = {"slice": key, "hosts": {target: "ok"}}
        self.say(self.running, "slice.finished", step=name, phase="do", intent=intent.hash, data=data)

    def batch(self, number: int, *, ends: bool = True) -> None:
        host = TWO[number - 1]
        self.on("tier", host)
        self.settle_down(number)
        if ends:
            self.on("after", host)

    def half(self) -> str:
        """Tell a run that is taken up again in the middle of its second batch; return the answer's statement."""
        self.batch(1)
        given = self.ask_to_go()
        self.batch(2, ends=False)
        self.taken_up()
        return given


def test_a_pause_that_is_asked_again_holds() -> None:
    story = Paused()
    story.half()
    story.ask_to_go()
    story.on("after", TWO[1])
    report = story.judge()
    assert report.exit_code == 0, report.broken


def test_going_on_inside_a_batch_without_asking_again_is_named() -> None:
    story = Paused()
    story.half()
    story.on("after", TWO[1])
    report = story.judge()
    assert report.broken
    assert report.broken.n == 20
    assert "asked again" in report.broken.why


def test_an_answer_that_was_used_answers_nothing_again() -> None:
    story = Paused()
    story.ask_to_go(statement=story.half())
    story.on("after", TWO[1])
    report = story.judge()
    assert report.broken
    assert report.broken.n == 20


def test_a_wait_may_not_begin_anew_where_nothing_was_begun_again() -> None:
    story = Paused()
    story.half()
    story.ask_to_go()
    story.settle_down(2)
    story.on("after", TWO[1])
    report = story.judge()
    assert report.broken
    assert report.broken.n == 20


def answered_and_dead(value: str) -> tuple[Paused, str]:
    """Tell a run that died with its pause answered, after a failure in its first batch; what failed is tried again."""
    story = Paused(max_failures=1)
    story.batch(1, ends=False)
    story.on("after", TWO[0], "failed")
    story.word("go", "go@1")
    given = story.says(value, step="go@1").hash
    story.taken_up("failed")
    story.on("after", TWO[0])
    return story, given


def test_a_yes_that_is_given_anew_after_what_it_rests_on_ran_again_holds() -> None:
    story, _ = answered_and_dead("true")
    story.ask_to_go()
    story.batch(2)
    report = story.judge()
    assert report.exit_code == 0, report.broken


def test_a_yes_from_before_what_it_rests_on_ran_again_answers_nothing() -> None:
    story, given = answered_and_dead("true")
    story.ask_to_go(statement=given)
    story.batch(2)
    report = story.judge()
    assert report.broken
    assert report.broken.n == 20
    assert report.broken.why.endswith("no answer that counts stands before it")


def test_trying_again_after_a_no_is_named_although_the_question_never_ended() -> None:
    story, _ = answered_and_dead("false")
    report = story.judge(state="failed")
    assert report.broken
    assert report.broken.n == 20
    assert report.broken.why.endswith("after@1 began although the answer to go@1 was no")


def test_going_on_while_a_question_that_was_asked_again_stands_open_is_named() -> None:
    story = Paused()
    story.half()
    story.word("go", "go@1")
    story.taken_up()
    story.on("after", TWO[1])
    report = story.judge()
    assert report.broken
    assert report.broken.n == 20
    assert report.broken.why.endswith("after@2 began before go@1 was settled")
