from dataclasses import replace

import pytest

from itmp.documents.text import hidden
from itmp.plan import AnsibleStep, Change, Operation, Plan, Present, PulumiStep, Section, diff, show
from itmp.testing.runbooks import HEAD, compile_runbook, small_world

TEXT = (
    HEAD
    + """\
reviewed: {on: 2026-10-01, every: 90d}
inputs: {seconds: {type: integer, default: 2}}
steps:
  - rolling: {hosts: web, batches: [1, 25%], max_failures: 1}
    id: tier
    steps:
      - {id: drain, playbook: drain, vars: {seconds: "${inputs.seconds}", token: {secret: "env:TOKEN"}}}
      - {id: healthy, check: {http: {url: "http://${host.address}/h", contains: up}}, within: 5s}
undo:
  - {id: back, playbook: touch}
"""
)


@pytest.fixture(scope="module")
def plan() -> Plan:
    world = small_world()
    return compile_runbook(
        TEXT.encode(),
        sources=replace(
            world, opaque={"drain": ("include_tasks: '{{ x }}.yml'",)}, outside={"drain": ("/etc/passwd",)}
        ),
    )


def section(plan: Plan, key: str) -> Section:
    return next(one for one in show(plan) if one.key == key)


def text(plan: Plan, key: str) -> str:
    return "\n".join(" | ".join(row) for row in section(plan, key).rows)


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("plan", "scope | env=lab hosts=8 resources=0"),
        ("plan", "2026-10-01, counts until 2026-12-30"),
        ("inputs", "seconds | 2"),
        ("order", "tier | Rolling over web | 8 in batches of 1 + 2 + 2 + 2 + 1 | rolling | stop"),
        ("hosts", "web1 | 10.0.0.1 | 22 | web, all | drain, healthy, back"),
        ("hosts", "lb1 | 10.0.0.9 | 22 | lb, all | delegate only"),
        ("delegates", "drain | lb1"),
        ("variables", "drain | seconds | 2"),
        ("variables", "drain | token | secret, read at run time from env:TOKEN"),
        ("tasks", "ansible.builtin.command"),
        ("tasks", "cannot be trusted"),
        ("checks", 'healthy | web1 | GET http://10.0.0.1/h answers 200 and holds "up", within 5 s'),
        ("undo", "back | Run touch | 8"),
        ("limits", "stops after more than 1 failed hosts of 8"),
        ("limits", "up to 2 may have failed when it stops"),
        ("outside", "drain | /etc/passwd"),
        ("unknown", "included while it runs: include_tasks"),
        ("unknown", "the values behind 1 secret references"),
        ("unknown", "a preview cannot tell"),
    ],
)
def test_the_approver_sees_it(plan: Plan, key: str, says: str):
    assert says in text(plan, key)


def test_resource_operations_show_old_and_new(plan: Plan):
    work = (
        Operation(
            urn="urn:a", op="update", type="Group", name="web", inputs={"desired": Change(old=3, new=6)}
        ),
        Operation(
            urn="urn:b", op="create", type="Group", name="db", inputs={"desired": Change(old=None, new=1)}
        ),
    )
    present = (Present(knob="aws:autoscaling:Group", id="web", field="desired", value=3, low=2, high=4),)
    step = PulumiStep(
        id="up",
        title="Up",
        program="program/x",
        stack="s",
        config={"n": 1},
        operations=work,
        present=present,
        secrets={"key": "env:KEY"},
    )
    made = Plan.build(
        replace(plan.manifest, steps=(step,)),
        {"program/x/__main__.py": b"", **{p: plan.artifact(p) for p in plan.manifest.artifacts}},
    )
    assert "up | update Group web | desired | 3 | 6" in text(made, "operations")
    assert "unknown to the engine | 1" in text(made, "operations")
    assert "aws:autoscaling:Group web desired | 3 | 2..4" in text(made, "present")
    assert "old values of db" in text(made, "unknown")
    assert "resources changed | 2" in text(made, "limits")


def test_no_cell_can_hide_or_move_anything(plan: Plan):
    evil = "x\x1b[2J\u202e\nrisk | low"
    step = plan.manifest.undo[0]
    assert isinstance(step, AnsibleStep)
    task = replace(step.expected[0], name=evil, action=evil)
    hostile = replace(
        step,
        title=evil,
        vars={"v": evil},
        outside=(evil,),
        opaque=(evil,),
        delegates=(evil,),
        expected=(task,),
    )
    made = Plan.build(
        replace(plan.manifest, title=evil, owner=evil, notes=(evil,), inputs={"i": evil}, undo=(hostile,)),
        {p: plan.artifact(p) for p in plan.manifest.artifacts},
    )
    for one in show(made):
        for row in one.rows:
            for cell in row:
                assert hidden(cell) is None
                assert "\n" not in cell


def test_a_plan_without_undo_says_so():
    assert "cannot be taken back" in text(
        compile_runbook(HEAD.encode() + b"steps: [{id: a, playbook: touch}]\n"), "undo"
    )


def test_equal_plans_do_not_differ(plan: Plan):
    assert diff(plan, plan) == ()


def test_a_changed_input_shows_where_it_went(plan: Plan):
    other = compile_runbook(TEXT.encode(), given={"seconds": "9"})
    found = {(one.section, one.how, one.subject, one.before, one.after) for one in diff(plan, other)}
    assert ("inputs", "changed", "seconds", "2", "9") in found
    assert ("variables", "changed", "drain seconds", "2", "9") in found


def test_hosts_tasks_and_artifacts_that_changed(plan: Plan):
    world = small_world(9)
    playbooks = {
        **world.playbooks,
        "touch": world.playbooks["touch"] + b'    - ansible.builtin.command: "new\x1b[31m"\n',
    }
    found = diff(plan, compile_runbook(TEXT.encode(), sources=replace(world, playbooks=playbooks)))
    by = {(one.section, one.how): one for one in found}
    assert by["hosts", "added"].subject == "web9"
    assert "ansible.builtin.command" in by["tasks", "added"].subject
    changed = next(one for one in found if one.subject == "project/playbooks/touch.yml")
    assert '+    - ansible.builtin.command: "new\\x1b[31m"' in changed.text.splitlines()
    assert by["outside", "removed"].subject == "drain /etc/passwd"


def test_what_no_table_shows_still_differs(plan: Plan):
    inventory = plan.manifest.inventory
    assert inventory is not None
    other = Plan.build(
        replace(plan.manifest, inventory=replace(inventory, sources=("inventories/other.yml",))),
        {p: plan.artifact(p) for p in plan.manifest.artifacts},
    )
    assert ("manifest", "inventory") in {(one.section, one.subject) for one in diff(plan, other)}
