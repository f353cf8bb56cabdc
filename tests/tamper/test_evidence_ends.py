"""What a lying executor can write about the end of real work: each lie alone, signed with the log's own key."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from itmp.change import Permit
from itmp.evidence import Report, Trust, verify
from itmp.execution.doors import Slice
from itmp.execution.record import work_digest
from itmp.plan import Plan, RollingStep, all_steps
from itmp.plan.model import AnsibleStep
from itmp.testing.house import House
from itmp.testing.runners import Fuse
from itmp.testing.small_plans import ansible, rolling
from itmp.testing.small_plans import plan as made_of
from itmp.testing.story import Story, small_plan

BOTH = ("web1", "web2")


def failed(story: Story, permit: Permit) -> None:
    for step in story.steps():
        story.slice(permit, step, outcome="failed")


def half(story: Story, permit: Permit) -> None:
    story.slice(permit, story.steps()[0])


def unchanged(story: Story, permit: Permit) -> None:
    for step in story.steps():
        story.slice(permit, step, outcome="ok")


def twice(story: Story, permit: Permit) -> None:
    for step in (*story.steps(), story.steps()[0]):
        story.slice(permit, step)


def taken_back(story: Story, permit: Permit) -> None:
    for step in story.steps():
        story.slice(permit, step)
    [back] = [one for one in all_steps(story.plan.manifest) if one.id == "back"]
    assert isinstance(back, AnsibleStep)
    story.slice(permit, back, phase="undo")


def nobody_looked(story: Story, permit: Permit) -> None:
    first, second = story.steps()
    intent = story.intend(permit, first, BOTH)
    for host in BOTH:
        target = {"kind": "host", "id": host}
        fields = {"step": first.id, "intent": intent.hash, "target": target, "data": {"probe": "done"}}
        story.say(permit, "action.reconciled", outcome="changed", **fields)
    story.slice(permit, second)


def as_a_check(story: Story, permit: Permit) -> None:
    for step in story.steps():
        intent = story.intend(permit, step, BOTH)
        for host in BOTH:
            fields = {"intent": intent.hash, "target": {"kind": "host", "id": host}, "data": {}}
            story.say(permit, "check.finished", step=step.id, action="http", outcome="changed", **fields)
        ends = {"slice": step.id, "hosts": dict.fromkeys(BOTH, "changed")}
        story.say(permit, "slice.finished", step=step.id, intent=intent.hash, data=ends)


@pytest.mark.parametrize(
    ("lie", "rule"),
    [
        (failed, 15),
        (half, 15),
        (unchanged, 15),
        (twice, 12),
        (taken_back, 15),
        (nobody_looked, 13),
        (as_a_check, 13),
    ],
)
def test_a_success_that_its_events_do_not_bear(lie: Callable[[Story, Permit], None], rule: int) -> None:
    story, permit = begun()
    lie(story, permit)
    report = ended(story, permit, "succeeded", dict.fromkeys(BOTH, "changed"))
    assert report.broken
    assert (report.exit_code, report.broken.n) == (40, rule)


def test_a_failed_run_cannot_call_a_host_that_failed_changed() -> None:
    story, permit = begun()
    failed(story, permit)
    report = ended(story, permit, "failed", {"web1": "changed", "web2": "failed"})
    assert report.broken
    assert report.broken.n == 15


def test_work_that_failed_may_be_done_again() -> None:
    story, permit = begun()
    first, second = story.steps()
    story.slice(permit, first, outcome="failed")
    again = taken_up(story, permit, "failed", limit="+failed", retry=["failed"])
    for step in (first, second):
        story.slice(again, step)
    assert ended(story, again, "succeeded", dict.fromkeys(BOTH, "changed")).exit_code == 0


def taken_up(story: Story, permit: Permit, state: str, *, limit: str, **asked: list[str]) -> Permit:
    """End the run in `state`, all hosts with it, and take it up under a signed `limit`; the log says `asked`."""
    hosts = dict.fromkeys(BOTH, "failed")
    story.say(permit, "run.finished", outcome="failed", data={"state": state, "hosts": hosts})
    again = story.permit(mode="resume", limit=limit)
    story.say(again, "run.resumed", data={"permit": again.leaf, **asked})
    return again


@pytest.mark.parametrize(("outcome", "limit"), [("failed", "-"), ("unreachable", "+failed"), ("", "+failed")])
def test_what_a_slice_without_an_end_left_is_not_taken_up_unsigned(outcome: str, limit: str) -> None:
    story, permit = begun()
    first = story.steps()[0]
    intent = story.intend(permit, first, BOTH)
    if outcome:
        story.result(permit, first, intent.hash, "web1", outcome=outcome)
    again = taken_up(story, permit, "failed", limit=limit, **({} if limit == "-" else {"retry": ["failed"]}))
    story.slice(again, replace(first, hosts=("web1",)))
    report = ended(story, again, "failed", dict.fromkeys(BOTH, "failed"))
    assert report.broken
    assert report.broken.n == 12
    assert ("nobody signed" if outcome else "nobody has said") in report.broken.why


def test_work_that_was_cut_off_is_left_open_though_somebody_signed_to_go_on_without_its_host() -> None:
    step = ansible("one", BOTH, tasks=1)
    story, permit = begun(made_of([rolling(BOTH, [step], size=1)]))
    story.slice(permit, step, hosts=("web1",))
    story.intend(permit, step, ("web2",))
    again = taken_up(story, permit, "unknown", limit="!web2", skip=["web2"])
    report = ended(story, again, "succeeded", {"web1": "changed", "web2": "skipped"})
    assert report.broken
    assert (report.broken.n, "never ended" in report.broken.why) == (14, True), report.broken


def test_a_host_that_the_slice_of_another_was_denied_has_not_failed_in_its_own() -> None:
    step = ansible("one", BOTH, tasks=1)
    story, permit = begun(made_of([rolling(BOTH, [step], size=1)]))
    intent = story.intend(permit, step, ("web1",))
    story.result(permit, step, intent.hash, "web1")
    elsewhere = {"target": {"kind": "host", "id": "web2"}, "action": "ansible.builtin.shell", "data": {}}
    story.say(
        permit, "action.finished", step="one", phase="do", intent=intent.hash, outcome="denied", **elsewhere
    )
    ends = {"slice": "one@1", "hosts": {"web1": "failed"}}
    story.say(permit, "slice.finished", step="one", phase="do", intent=intent.hash, data=ends)
    again = taken_up(story, permit, "stopped", limit="-")
    story.slice(again, step, hosts=("web2",))
    assert ended(story, again, "failed", {"web1": "failed", "web2": "changed"}).exit_code == 0


def test_what_ended_unknown_is_not_done_again_before_somebody_has_said_what_became_of_it() -> None:
    story, permit = begun()
    first, second = story.steps()
    story.slice(permit, first, outcome="unknown")
    again = taken_up(story, permit, "unknown", limit="-")
    for step in (first, second):
        story.slice(again, step)
    report = ended(story, again, "succeeded", dict.fromkeys(BOTH, "changed"))
    assert report.broken
    assert (report.broken.n, "nobody has said" in report.broken.why) == (12, True)


def test_what_a_person_said_was_done_is_not_done_again() -> None:
    house = House(small_plan())
    house.fuse = Fuse(0)
    house.run()
    house.reconcile("ok")
    story = house.story
    permit = story.permit(mode="resume", limit="-")
    story.say(permit, "run.resumed", data={"permit": permit.leaf})
    for step in story.steps():
        story.slice(permit, step)
    report = ended(story, permit, "succeeded", dict.fromkeys(BOTH, "changed"))
    assert report.broken
    assert (report.broken.n, "already done" in report.broken.why) == (12, True)


def test_what_was_left_out_is_not_done_later_because_something_else_was_passed_over() -> None:
    steps = [ansible(name, BOTH, tasks=1) for name in ("first", "between", "drain", "upgrade")]
    story, permit = begun(made_of(steps, guards={"between": 'steps.first.outcome == "failed"'}))
    first, between, drain, upgrade = steps
    story.slice(permit, first)
    work = work_digest(Slice(key="between", step=between, hosts=BOTH))
    told = {"slice": "between", "hosts": list(BOTH), "work": work, "permit": permit.leaf}
    passed = story.say(permit, "slice.intended", step="between", phase="do", data={**told, "passed": "so"})
    ends = {"slice": "between", "hosts": dict.fromkeys(BOTH, "skipped")}
    story.say(permit, "slice.finished", step="between", phase="do", intent=passed.hash, data=ends)
    story.slice(permit, upgrade, outcome="failed")
    again = taken_up(story, permit, "failed", limit="+failed", retry=["failed"])
    for step in (drain, upgrade):
        story.slice(again, step)
    report = ended(story, again, "succeeded", dict.fromkeys(BOTH, "changed"))
    assert report.broken
    assert (report.broken.n, "goes back" in report.broken.why) == (12, True)


@pytest.mark.parametrize(
    ("limit", "asked", "rule"),
    [
        ("+failed", {}, 11),
        ("-", {"retry": ["failed"]}, 11),
        ("+unreachable", {"retry": ["failed"]}, 11),
        ("-", {}, 12),
    ],
)
def test_what_failed_is_tried_again_only_where_that_was_signed(
    limit: str, asked: dict[str, list[str]], rule: int
) -> None:
    story, permit = begun()
    first, second = story.steps()
    story.slice(permit, first, outcome="failed")
    again = taken_up(story, permit, "failed", limit=limit, **asked)
    for step in (first, second):
        story.slice(again, step)
    report = ended(story, again, "succeeded", dict.fromkeys(BOTH, "changed"))
    assert report.broken
    assert report.broken.n == rule


@pytest.mark.parametrize(
    ("limit", "skip", "code"),
    [("!web2", ["web2"], 0), ("!web2", [], 40), ("-", ["web2"], 40), ("!web1", ["web2"], 40)],
)
def test_a_host_is_gone_on_without_only_where_that_was_signed(limit: str, skip: list[str], code: int) -> None:
    story, permit = begun()
    again = taken_up(story, permit, "stopped", limit=limit, **({"skip": skip} if skip else {}))
    for step in story.steps():
        story.slice(again, step)
    done = [host for host in BOTH if again.covers(host)]
    hosts = {host: "changed" if host in done else "skipped" for host in BOTH}
    report = ended(story, again, "succeeded", hosts)
    assert report.exit_code == code
    assert code == 0 or (report.broken and report.broken.n == 11)


def backwards(story: Story, permit: Permit) -> None:
    for step in reversed(story.steps()):
        story.slice(permit, step)


def back_to_an_earlier_step(story: Story, permit: Permit) -> None:
    first, second = story.steps()
    story.intend(permit, second, ["web1"])
    again = taken_up(story, permit, "stopped", limit="-")
    story.intend(again, first, ["web1"])


def on_after_the_undo(story: Story, permit: Permit) -> None:
    first, second = story.steps()
    story.slice(permit, first)
    [back] = [one for one in all_steps(story.plan.manifest) if one.id == "back"]
    assert isinstance(back, AnsibleStep)
    story.slice(permit, back, phase="undo")
    again = taken_up(story, permit, "stopped", limit="-")
    story.slice(again, second)


def taking_back_what_was_never_begun(story: Story, permit: Permit) -> None:
    [back] = [one for one in all_steps(story.plan.manifest) if one.id == "back"]
    assert isinstance(back, AnsibleStep)
    story.slice(permit, back, phase="undo")


def under_the_name_of_another_slice(story: Story, permit: Permit) -> None:
    first, second = story.steps()
    fields = {"step": first.id, "data": {"slice": second.id, "hosts": list(BOTH), "permit": permit.leaf}}
    story.say(permit, "slice.intended", **fields)


@pytest.mark.parametrize(
    "lie",
    [
        backwards,
        back_to_an_earlier_step,
        on_after_the_undo,
        taking_back_what_was_never_begun,
        under_the_name_of_another_slice,
    ],
)
def test_slices_begin_in_the_order_of_the_plan(lie: Callable[[Story, Permit], None]) -> None:
    story, permit = begun()
    lie(story, permit)
    report = ended(story, permit, "failed", dict.fromkeys(BOTH, "failed"))
    assert report.broken
    assert report.broken.n == 12


def in_batches(*batches: tuple[str, ...]) -> tuple[Story, Permit, list[AnsibleStep]]:
    """A run in `batches` (one): drain and restart both hosts, and put them back whatever happens."""
    made = small_plan()
    drain, restart = (step for step in made.manifest.steps if isinstance(step, AnsibleStep))
    steps = (drain, restart, replace(drain, id="undrain", title="undrain", always=True))
    tier = RollingStep(
        id="tier",
        title="tier",
        hosts=BOTH,
        batches=batches or (BOTH,),
        max_failures=0,
        steps=steps,
        on_failure="stop",
    )
    manifest = replace(made.manifest, steps=(tier,))
    story, permit = begun(Plan.build(manifest, {path: made.artifact(path) for path in manifest.artifacts}))
    return story, permit, list(steps)


def passage(story: Story, permit: Permit, steps: list[AnsibleStep], *outcomes: str) -> None:
    for step, outcome in zip(steps, outcomes, strict=True):
        story.slice(permit, step, outcome=outcome)


def test_a_batch_that_was_closed_before_it_was_passed_is_passed_again_from_its_beginning() -> None:
    story, permit, steps = in_batches()
    passage(story, permit, steps, "changed", "failed", "changed")
    again = taken_up(story, permit, "failed", limit="+failed", retry=["failed"])
    passage(story, again, steps, "changed", "changed", "changed")
    report = ended(story, again, "succeeded", dict.fromkeys(BOTH, "changed"))
    assert report.exit_code == 0, report.rules


def test_a_batch_does_not_begin_before_the_one_before_it() -> None:
    story, permit, steps = in_batches(("web1",), ("web2",))
    for hosts in (["web2"], ["web1"]):
        for step in steps:
            story.slice(permit, replace(step, hosts=tuple(hosts)))
    report = ended(story, permit, "failed", dict.fromkeys(BOTH, "failed"))
    assert report.broken
    assert report.broken.n == 12


def test_a_batch_that_was_passed_is_not_passed_again() -> None:
    story, permit, steps = in_batches()
    passage(story, permit, steps, "changed", "changed", "changed")
    again = taken_up(story, permit, "stopped", limit="-")
    passage(story, again, steps[:1], "changed")
    report = ended(story, again, "failed", dict.fromkeys(BOTH, "failed"))
    assert report.broken
    assert report.broken.n == 12


def begun(plan: Plan | None = None) -> tuple[Story, Permit]:
    story = Story(plan=plan)
    story.open()
    story.act("approve", "bob")
    permit = story.permit()
    story.say(permit, "run.started", data={"permit": permit.leaf})
    return story, permit


def ended(story: Story, permit: Permit, state: str, hosts: dict[str, str]) -> Report:
    story.say(permit, "run.finished", outcome="ok", data={"state": state, "hosts": hosts})
    story.close()
    return verify(story.evidence(), Trust.from_files(story.trust()))
