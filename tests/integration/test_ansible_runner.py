from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Recorder

from itmp.adapters import supervisor
from itmp.adapters.ansible import AnsibleRunner
from itmp.adapters.ansible.runner import AnsibleError, AnsibleTimeoutError
from itmp.errors import LogUnavailableError, NotFoundError, RefusedError, StaleError
from itmp.execution.doors import Slice
from itmp.plan import Plan

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


def test_actions_under_way_at_a_refusal_are_still_told(world):
    def veto(action):
        if action.host == "web2":
            raise RefusedError("not web2")

    recorder = Recorder(veto=veto)
    with pytest.raises(RefusedError, match="not web2"):
        world.play(
            "- {hosts: web, gather_facts: false, tasks: [{name: Slow, ansible.builtin.command: sleep 1}]}",
            recorder,
        )
    assert recorder.outcomes("Slow") == {"web1": "changed"}


def test_when_results_cannot_be_recorded_the_slice_ends_at_once(world):
    class Deaf(Recorder):
        def after(self, _):
            raise LogUnavailableError("disk full")

    recorder = Deaf()
    tasks = "[{name: A, ansible.builtin.command: 'true'}, {name: B, ansible.builtin.command: 'touch {{ host_root }}/deaf'}]"
    with pytest.raises(LogUnavailableError):
        world.play(f"- {{hosts: web1, gather_facts: false, tasks: {tasks}}}", recorder)
    assert [a.name for a in recorder.actions] == ["A"]
    assert not (world.fleet.host("web1").root / "deaf").exists()


def test_an_unknown_host_key_is_never_accepted(world):
    keys = [
        line
        for line in world.fleet.known_hosts.splitlines()
        if f":{world.fleet.host('web1').port} " not in line
    ]
    swapped = world.fleet.host("web1").known_hosts.split(" ")[0] + " " + world.fleet.host("web2").key
    before = world.fleet.connections("web1")
    for known in (keys, [*keys, swapped]):
        world.write("inventories/known_hosts", "\n".join(known) + "\n")
        recorder = world.play(
            "- {hosts: web, gather_facts: false, tasks: [{name: Ping, ansible.builtin.ping: }]}"
        )
        assert recorder.outcomes("Ping") == {"web1": "unreachable", "web2": "ok"}
        assert "Host key verification failed" in recorder.of("Ping", "web1").message
    assert world.fleet.connections("web1") == before + 2
    assert (Path.home() / ".ssh" / "known_hosts").exists() is False or b"[127.0.0.1]" not in (
        Path.home() / ".ssh" / "known_hosts"
    ).read_bytes()


def test_a_project_cannot_loosen_ssh_or_replace_the_callback(world):
    world.write(
        "ansible.cfg",
        "[defaults]\nhost_key_checking=False\nstdout_callback=minimal\nforks=1\n[ssh_connection]\nssh_args=-o StrictHostKeyChecking=no\n",
    )
    world.write("inventories/known_hosts", world.fleet.host("web2").known_hosts)
    play = """
- hosts: web
  gather_facts: false
  vars: {ansible_ssh_args: "-o Compression=yes"}
  tasks: [{name: Ping, ansible.builtin.ping: }]
"""
    recorder = world.play(play)
    assert recorder.outcomes("Ping") == {"web1": "unreachable", "web2": "ok"}
    (note,) = [note for note in world.facts().notes if note.startswith("ssh arguments")]
    assert note.endswith("keys are checked against the plan's known_hosts alone: web1, web2")


def test_a_host_outside_the_slice_gets_no_connection(world):
    play = """
- hosts: web
  gather_facts: false
  tasks:
    - {name: Choose, ansible.builtin.set_fact: {to: "{{ 'lb' ~ 1 }}"}}
    - {name: Sneak, ansible.builtin.ping: , delegate_to: "{{ to }}"}
"""
    before = world.fleet.connections("lb1")
    recorder = world.play(play, delegates=("web2",))
    assert recorder.outcomes("Sneak") == {"web1": "failed", "web2": "failed"}
    assert world.fleet.connections("lb1") == before


def test_a_slice_touches_its_own_hosts_only(world):
    world.write(
        "playbooks/play.yml",
        "- {hosts: web, gather_facts: false, tasks: [{name: Ping, ansible.builtin.ping: }]}",
    )
    before = world.fleet.connections("web1")
    recorder = world.run(world.plan(), hosts=("web2",))
    assert recorder.outcomes("Ping") == {"web2": "ok"}
    assert world.fleet.connections("web1") == before


def test_a_step_that_takes_too_long_is_ended(world):
    with pytest.raises(AnsibleTimeoutError):
        world.play(
            "- {hosts: web1, gather_facts: false, tasks: [{name: Slow, ansible.builtin.command: sleep 77}]}",
            timeout=4,
        )
    assert supervisor.sweep(world.token) == ()


def test_stop_lets_nothing_new_begin_and_keeps_what_is_under_way(world):
    tasks = "".join(f"    - {{name: T{n}, ansible.builtin.command: sleep 1}}\n" for n in range(3))
    world.write("playbooks/play.yml", f"- hosts: web1\n  gather_facts: false\n  tasks:\n{tasks}")
    plan = world.plan()
    runner = AnsibleRunner()
    recorder = Recorder(veto=lambda action: runner.stop() if action.name == "T1" else None)
    step = plan.manifest.steps[0]
    runner.run(
        object(), plan, Slice(key="a", step=step, hosts=step.hosts), room=world.room(), observer=recorder
    )
    assert [action.name for action in recorder.actions] == ["T0", "T1"]
    assert (
        recorder.outcomes("T0") == recorder.outcomes("T1") == {"web1": "changed"}
        or recorder.outcomes("T1") == {}
    )


def test_ansible_that_never_reaches_the_callback_is_an_error(world):
    world.write(
        "playbooks/play.yml",
        "- {hosts: web1, gather_facts: false, tasks: [{name: P, ansible.builtin.ping: }]}",
    )
    plan = world.plan()
    broken = {path: plan.artifact(path) for path in plan.manifest.artifacts}
    broken["project/playbooks/play.yml"] = b"- hosts: ["
    recorder = Recorder()
    with pytest.raises(AnsibleError, match="nothing ran"):
        world.run(Plan.build(plan.manifest, broken), recorder)
    assert recorder.actions == []


def test_an_unsafe_limit_name_cannot_widen_a_slice(world):
    world.write(
        "playbooks/play.yml",
        "- {hosts: web, gather_facts: false, tasks: [{name: P, ansible.builtin.ping: }]}",
    )
    with pytest.raises(NotFoundError):
        world.run(world.plan(), hosts=("web1", "all"))


def test_a_plan_made_with_another_ansible_does_not_run(world):
    world.write(
        "playbooks/play.yml",
        "- {hosts: web1, gather_facts: false, tasks: [{name: A, ansible.builtin.command: 'touch {{ host_root }}/old'}]}",
    )
    plan = world.plan()
    versions = {**plan.manifest.versions, "ansible_core": "2.18.1"}
    artifacts = {path: plan.artifact(path) for path in plan.manifest.artifacts}
    old = Plan.build(replace(plan.manifest, versions=versions), artifacts)
    recorder = Recorder()
    with pytest.raises(StaleError, match=r"made with 2\.18\.1"):
        world.run(old, recorder)
    assert (recorder.actions, recorder.results) == ([], [])
    assert not (world.fleet.host("web1").root / "old").exists()
