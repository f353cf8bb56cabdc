import dataclasses

import pytest

from itmp.execution import ConformanceError, conform
from itmp.execution.conformance import Conformance
from itmp.execution.doors import Action, Slice
from itmp.plan.model import ExpectedTask
from itmp.testing.small_plans import ansible, check, hosts, plan, stack

WEB = hosts(2)
FACTS = ExpectedTask(
    path="project/restart.yml",
    line=1,
    action="ansible.builtin.gather_facts",
    name="Gathering Facts",
    section="facts",
)
STEP = ansible("restart", WEB, delegates=["lb1"], handlers=1)
STEP = dataclasses.replace(STEP, expected=(*STEP.expected, FACTS))
OPAQUE = dataclasses.replace(STEP, id="opaque", opaque=("project/roles/{{ role }}/tasks/main.yml",))
PLAN = plan(
    [STEP, OPAQUE, check("healthy", WEB), stack("grow", ["a"])], extra=["project/roles/web/tasks/main.yml"]
)
URN = "urn:pulumi:prod::shop::itmp:Knob::a"


def action(host: str = "web1", line: int = 2, **more: str) -> Action:
    fields = {"path": "project/restart.yml", "action": "ansible.builtin.command", **more}
    return Action(id="1", host=host, line=line, **fields)


def part(name: str, *names: str) -> Slice:
    step = next(step for step in PLAN.manifest.steps if step.id == name)
    return Slice(key=name, step=step, hosts=names)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wanted",
    [
        action(),
        action(line=101),  # a handler
        action(delegate="lb1"),
        action(line=1, action="ansible.builtin.gather_facts"),
        action(line=1, action="ansible.legacy.setup"),
    ],
)
def test_what_was_approved_may_happen(wanted) -> None:
    conform(PLAN, part("restart", "web1", "web2"), wanted)


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (action(host="db1"), "db1"),
        (action(host="lb1"), "lb1"),  # a delegate is no target
        (action(line=3), "restart.yml"),
        (action(path="project/other.yml"), "other.yml"),
        (action(action="ansible.builtin.shell"), "ansible.builtin.shell"),
        (action(delegate="db1"), "db1"),
        (action(path="project/roles/web/tasks/main.yml"), "main.yml"),  # nothing here is opaque
        (action(path=""), "not approved"),
    ],
)
def test_what_was_not_approved_is_refused_by_name(wanted, names) -> None:
    with pytest.raises(ConformanceError, match=names) as caught:
        conform(PLAN, part("restart", "web1", "web2"), wanted)
    assert caught.value.exit_code == 15


def test_a_host_of_the_plan_outside_the_batch_is_refused() -> None:
    with pytest.raises(ConformanceError, match="web2"):
        conform(PLAN, part("restart", "web1"), action(host="web2"))


def test_an_opaque_include_reaches_artifacts_of_the_plan_and_nothing_else() -> None:
    opaque = part("opaque", *WEB)
    conform(PLAN, opaque, action(path="project/roles/web/tasks/main.yml", action="any.thing.goes", line=9))
    for path in (
        "project/roles/db/tasks/main.yml",
        "inventory.json",
        "program/__main__.py",
        "project/restart.yml",
    ):
        with pytest.raises(ConformanceError):
            conform(PLAN, opaque, action(path=path, action="any.thing.goes", line=9))


@pytest.mark.parametrize(("urn", "op", "fits"), [(URN, "update", True), (URN, "same", True), (URN, "delete", False), (URN + "x", "update", False), (URN + "x", "same", False)])  # fmt: skip
def test_a_stack_does_only_the_operations_that_were_approved(urn, op, fits) -> None:
    wanted = Action(id=urn, host=urn, action=op)
    if fits:
        conform(PLAN, part("grow"), wanted)
    else:
        with pytest.raises(ConformanceError):
            conform(PLAN, part("grow"), wanted)


def test_a_check_asks_only_its_own_hosts() -> None:
    conform(PLAN, part("healthy", *WEB), Action(id="1", host="web1", action="itmp.check.http"))
    with pytest.raises(ConformanceError):
        conform(PLAN, part("healthy", "web1"), Action(id="1", host="web2", action="itmp.check.http"))


def said(*wanted: Action) -> str:
    """Return what the refusal of the last action says; those before it conform."""
    rules = Conformance(PLAN, part("restart", "web1", "web2"))
    for one in wanted[:-1]:
        rules.check(one)
    with pytest.raises(ConformanceError) as caught:
        rules.check(wanted[-1])
    return f"{caught.value.what} {caught.value.do}"


def test_a_refusal_names_the_line_after_which_the_plan_was_left() -> None:
    assert ", after project/restart.yml:2 " in said(action(), action(line=3))
    assert ", before project/restart.yml:1 " in said(action(host="web2"), action(line=3))
    assert ", before project/restart.yml:1 " in said(action(host="fresh"))


def test_a_step_without_tasks_of_its_own_was_left_before_its_playbook() -> None:
    handlers = tuple(task for task in STEP.expected if task.section == "handler")
    step = dataclasses.replace(STEP, expected=handlers)
    with pytest.raises(ConformanceError, match=r", before project/restart\.yml\n"):
        conform(plan([step]), Slice(key="restart", step=step, hosts=WEB), action())


@pytest.mark.parametrize("path", ["project/restart.yml", "project/roles/web/tasks/main.yml"])
def test_what_a_runner_finds_outside_the_plan_is_refused_from_every_file(path) -> None:
    for name in ("restart", "opaque"):
        rules = Conformance(PLAN, part(name, *WEB))
        with pytest.raises(ConformanceError, match=r"a local connection for 'web1' at .*, before") as caught:
            rules.check(action(path=path, outside="a local connection for 'web1'"))
        assert "the inventory must say so" in str(caught.value.do)


def test_a_task_that_was_asked_for_before_is_left_at_its_own_line() -> None:
    outside = said(action(), action(outside="a connection to 10.0.0.9 port 22 for 'web1'"))
    assert " for 'web1' at project/restart.yml:2 It was not done. Where" in outside


def test_what_lies_outside_over_a_delegate_is_refused_even_where_that_delegate_is_declared() -> None:
    assert "a connection to 10.0.0.9" in said(action(delegate="lb1", outside="a connection to 10.0.0.9"))
    assert "under `delegates:`" in said(action(delegate="db1", outside="delegation to 'db1'"))


def test_a_refusal_says_what_to_declare() -> None:
    assert "under `delegates:` of step restart" in said(action(delegate="db1"))
    assert "at project/restart.yml:2" in said(action(delegate="db1"))
    assert "under `adds:` of step restart" in said(action(host="fresh"))
