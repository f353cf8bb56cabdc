import pytest
from conftest import Recorder

from itmp.errors import RefusedError

pytestmark = pytest.mark.fleet

PLAY = """
- hosts: web
  gather_facts: true
  gather_subset: [min]
  tasks:
    - name: Write
      ansible.builtin.copy: {content: "{{ word }}\\n", dest: "{{ host_root }}/motd", mode: "0644"}
      notify: Tell
    - name: Skip
      ansible.builtin.command: "true"
      when: false
    - name: Try
      block:
        - name: Fail
          ansible.builtin.command: "false"
      rescue:
        - name: Rescue
          ansible.builtin.debug: {msg: rescued}
    - name: Ignore
      ansible.builtin.command: "false"
      ignore_errors: true
    - name: Loop
      ansible.builtin.command: "echo {{ item }}"
      loop: [a, b]
      changed_when: item == 'a'
    - name: Delegate
      ansible.builtin.command: "touch {{ hostvars['lb1'].host_root }}/{{ inventory_hostname }}"
      delegate_to: lb1
    - name: Include
      ansible.builtin.include_tasks: more.yml
  handlers:
    - name: Tell
      ansible.builtin.debug: {msg: told}
"""


def test_every_action_is_asked_for_and_answered_where_the_plan_expects_it(world):
    world.write("playbooks/more.yml", "- {name: Included, ansible.builtin.ping: }\n")
    recorder = world.play(PLAY, vars={"word": "hello"})
    plan = world.plan(vars={"word": "hello"})
    expected = {(t.path, t.line, t.action) for t in plan.manifest.steps[0].expected}
    assert {(a.path, a.line, a.action) for a in recorder.actions} <= expected
    assert sorted(a.id for a in recorder.actions) == sorted(r.id for r in recorder.results)
    both = lambda outcome: {"web1": outcome, "web2": outcome}  # noqa: E731 -- a table's heading
    assert recorder.outcomes("Gathering Facts") == both("ok")
    assert recorder.outcomes("Write") == both("changed")
    assert recorder.outcomes("Skip") == both("skipped")
    assert recorder.outcomes("Fail") == both("failed")
    assert recorder.of("Fail", "web1").data["rescued"] is True
    assert recorder.outcomes("Rescue") == both("ok")
    assert recorder.of("Ignore", "web1").data["ignored"] is True
    assert recorder.of("Ignore", "web1").rc == 1
    assert recorder.of("Loop", "web2").data["items"] == {"changed": 1, "ok": 1}
    assert recorder.of("Delegate", "web2").delegate == "lb1"
    assert recorder.outcomes("Include") == both("ok")
    assert recorder.outcomes("Included") == both("ok")
    assert recorder.of("Tell", "web1").message == "told"
    assert (world.fleet.host("web2").root / "motd").read_text() == "hello\n"
    assert (world.fleet.host("lb1").root / "web1").exists()
    assert list(world.room().folder.iterdir()) == []


def test_a_refused_action_does_not_happen_and_the_refusal_comes_through(world):
    def veto(action):
        if action.name == "Second":
            raise RefusedError("not in the plan")

    marks = "".join(
        f"    - {{name: {n}, ansible.builtin.command: 'touch {{{{ host_root }}}}/{n}'}}\n"
        for n in ("First", "Second", "Third")
    )
    recorder = Recorder(veto=veto)
    with pytest.raises(RefusedError, match="not in the plan"):
        world.play(f"- hosts: web1\n  gather_facts: false\n  tasks:\n{marks}", recorder)
    root = world.fleet.host("web1").root
    assert (root / "First").exists()
    assert not (root / "Second").exists()
    assert not (root / "Third").exists()
    assert recorder.outcomes("First") == {"web1": "changed"}
