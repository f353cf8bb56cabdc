"""The run loop over real Ansible: what its callback says fits what its parser expected, and accounting fits both."""

import dataclasses

import pytest

from itmp.adapters.ansible import AnsibleRunner
from itmp.execution import ConformanceError
from itmp.plan import Plan
from itmp.testing.rig import Rig

pytestmark = pytest.mark.fleet

PLAY = """
- hosts: web
  gather_facts: false
  tasks:
    - name: Write
      ansible.builtin.copy: {content: "x\\n", dest: "{{ host_root }}/motd", mode: "0644"}
      notify: Tell
    - name: Try
      block:
        - name: Fail
          ansible.builtin.command: "false"
      rescue:
        - name: Rescue
          ansible.builtin.debug: {msg: rescued}
    - name: Delegate
      ansible.builtin.command: "touch {{ hostvars['lb1'].host_root }}/{{ inventory_hostname }}"
      delegate_to: lb1
    - name: Only on one
      ansible.builtin.command: "false"
      when: inventory_hostname == breaks
    - name: Ignore
      ansible.builtin.command: "false"
      ignore_errors: true
  handlers:
    - name: Tell
      ansible.builtin.debug: {msg: told}
"""


STRAY = """
- hosts: web
  gather_facts: false
  tasks:
    - name: Approved
      ansible.builtin.command: "true"
    - name: Stray
      ansible.builtin.command: "touch {{ host_root }}/stray"
"""


def rig_of(world, plan: Plan) -> Rig:
    rig = Rig(plan, runner=lambda *_: AnsibleRunner())
    rig.folder = world.root / ".run"
    return rig


def test_what_ansible_does_is_what_was_approved_and_every_host_is_accounted_for(world) -> None:
    world.write("playbooks/play.yml", PLAY)
    rig = rig_of(world, world.plan(vars={"breaks": "web2"}))
    summary = rig.execute()
    assert summary.cause is None
    assert summary.hosts == {"web1": "changed", "web2": "failed"}
    done = [e for e in rig.journal.events if e.type == "action.finished" and e.outcome != "skipped"]
    names = {e.data["name"] for e in done if e.target["id"] == "web1"}
    assert names == {"Write", "Fail", "Rescue", "Delegate", "Ignore", "Tell"}
    (due,) = rig.story().handlers
    assert due.startswith("pending handlers: web2: Tell (")


def test_a_task_that_the_plan_does_not_hold_stops_the_play_before_it(world) -> None:
    world.write("playbooks/play.yml", STRAY)
    plan = world.plan()
    step = plan.manifest.steps[0]
    fewer = tuple(task for task in step.expected if task.name != "Stray")  # type: ignore[union-attr]
    manifest = dataclasses.replace(plan.manifest, steps=(dataclasses.replace(step, expected=fewer),))
    rig = rig_of(world, Plan.build(manifest, {p: plan.artifact(p) for p in plan.manifest.artifacts}))
    summary = rig.execute()
    assert isinstance(summary.cause, ConformanceError)
    assert summary.exit_code == 15
    assert summary.hosts == {"web1": "failed", "web2": "failed"}
    assert not (world.fleet.host("web1").root / "stray").exists()
    assert "play.yml" in next(e.data["why"] for e in rig.journal.events if e.type == "run.stopped")


BOOK = """
- hosts: web1
  gather_facts: false
  tasks:
    - name: Approved
      ansible.builtin.command: "true"
- import_playbook: second.yml
"""
SECOND = """
- hosts: web
  tasks:
    - name: Of the second play
      ansible.builtin.command: "touch {{ host_root }}/second"
"""


def test_a_play_that_the_plan_does_not_hold_is_stopped_before_its_first_action(world) -> None:
    """The second playbook is approved as a file, and none of its play's work: not even its facts are gathered."""
    world.write("playbooks/play.yml", BOOK)
    world.write("playbooks/second.yml", SECOND)
    plan = world.plan()
    step = plan.manifest.steps[0]
    fewer = tuple(task for task in step.expected if not task.path.endswith("second.yml"))  # type: ignore[union-attr]
    manifest = dataclasses.replace(plan.manifest, steps=(dataclasses.replace(step, expected=fewer),))
    rig = rig_of(world, Plan.build(manifest, {p: plan.artifact(p) for p in plan.manifest.artifacts}))
    summary = rig.execute()
    assert (type(summary.cause), summary.exit_code) == (ConformanceError, 15)
    (denied,) = [e for e in rig.journal.events if e.type == "action.finished" and e.outcome == "denied"]
    assert (denied.action, denied.data["path"], denied.data["line"]) == (
        "ansible.builtin.gather_facts",
        "project/playbooks/second.yml",
        2,
    )
    assert denied.target["id"] == "web1"
    assert denied.data["message"].endswith("was not approved, after project/playbooks/play.yml:5")
    assert not (world.fleet.host("web1").root / "second").exists()
