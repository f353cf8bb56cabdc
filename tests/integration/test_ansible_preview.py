"""A preview says what would change and changes nothing, whatever the play tries: the hosts' own files are the witness."""

import hashlib
from pathlib import Path

import pytest
from conftest import Recorder, World, part_of

from itmp.adapters.ansible import AnsibleRunner
from itmp.execution.doors import ActionResult
from itmp.plan import Plan

pytestmark = pytest.mark.fleet

HONEST = """
- hosts: web
  gather_facts: false
  tasks:
    - name: Same
      ansible.builtin.copy: {content: "old\\n", dest: "{{ host_root }}/motd", mode: "0644"}
    - name: Other
      ansible.builtin.copy: {content: "new\\n", dest: "{{ host_root }}/motd", mode: "0644"}
    - name: Line
      ansible.builtin.lineinfile: {path: "{{ host_root }}/motd", line: another}
    - name: Command
      ansible.builtin.command: "touch {{ host_root }}/command"
    - name: Hidden
      ansible.builtin.copy: {content: "hidden\\n", dest: "{{ host_root }}/motd"}
      no_log: true
    - name: Never
      ansible.builtin.debug: {msg: x}
      when: false
"""

HOSTILE = """
- hosts: web
  gather_facts: false
  vars:
    marks: {host: "{{ host_root }}"}
  tasks:
    - name: Switched off
      ansible.builtin.copy: {content: x, dest: "{{ host_root }}/off"}
      check_mode: false
    - name: Raw
      ansible.builtin.raw: "touch {{ host_root }}/raw"
    - name: Raw off
      ansible.builtin.raw: "touch {{ host_root }}/rawoff"
      check_mode: "{{ false }}"
    - name: Script
      ansible.builtin.script: evil.sh
    - name: Shell
      ansible.builtin.shell: "touch {{ host_root }}/shell"
      check_mode: false
    - name: Async
      ansible.builtin.copy: {content: x, dest: "{{ host_root }}/async"}
      async: 30
      poll: 0
      check_mode: false
    - name: Delegated
      ansible.builtin.copy: {content: x, dest: "{{ hostvars['lb1'].host_root }}/delegated"}
      delegate_to: lb1
      check_mode: false
    - name: Own module
      innocent: {path: "{{ host_root }}/own"}
    - name: Shadowed
      ansible.builtin.stat: {path: "{{ host_root }}"}
    - name: Legacy
      copy: {content: x, dest: "{{ host_root }}/legacy"}
      ignore_errors: true
    - name: Validate
      ansible.builtin.template: {src: t.j2, dest: "{{ host_root }}/t", validate: "touch {{ host_root }}/validate %s"}
    - name: Facts
      ansible.builtin.setup: {fact_path: "{{ host_root }}/facts.d"}
    - name: Environment
      ansible.builtin.stat: {path: "{{ host_root }}"}
      environment: {PYTHONPATH: "{{ host_root }}/evil"}
    - name: Interpreter
      ansible.builtin.stat: {path: "{{ host_root }}"}
      vars: {ansible_python_interpreter: "{{ host_root }}/evil.sh"}
    - name: Shelled
      ansible.builtin.stat: {path: "{{ host_root }}"}
      vars: {ansible_shell_executable: "{{ host_root }}/evil.sh"}
    - name: Pipe
      ansible.builtin.debug: {msg: "{{ lookup('pipe', 'touch {{ host_root }}/pipe') }}"}
      ignore_errors: true
    - name: Handler
      ansible.builtin.debug: {msg: x}
      changed_when: true
      notify: Late
    - name: Block
      block:
        - name: Inner
          ansible.builtin.raw: "touch {{ host_root }}/inner"
      always:
        - name: Always
          ansible.builtin.raw: "touch {{ host_root }}/always"
          check_mode: false
  handlers:
    - name: Late
      ansible.builtin.raw: "touch {{ host_root }}/late"
      check_mode: false
"""
EVIL = '#!/bin/sh\ntouch "$(dirname "$0")/evil-ran"\nexec python3 "$@"\n'
MODULE = """#!/usr/bin/python
from ansible.module_utils.basic import AnsibleModule
module = AnsibleModule(argument_spec={"path": {"type": "str"}}, supports_check_mode=True)
open(module.params["path"], "w").close()
module.exit_json(changed=False)
"""


def witness(world: World) -> dict[str, str]:
    """Everything that lies on the hosts, by content."""
    found = {}
    for host in ("web1", "web2", "lb1"):
        root = world.fleet.host(host).root
        for path in sorted(root.rglob("*")):
            if path.is_file() and not {"log", ".ansible"} & set(path.relative_to(root).parts):
                found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def preview(world: World, plan: Plan) -> Recorder:
    recorder = Recorder()
    AnsibleRunner().preview(plan, part_of(plan), room=world.room(), observer=recorder)
    return recorder


def of(recorder: Recorder, name: str) -> ActionResult:
    return recorder.of(name, "web1")


def test_it_tells_changed_same_and_cannot_know_with_the_difference(world: World) -> None:
    for host in ("web1", "web2"):
        (world.fleet.host(host).root / "motd").write_text("old\n")
        (world.fleet.host(host).root / "motd").chmod(0o644)
    world.write("playbooks/play.yml", HONEST)
    plan = world.plan()
    before = witness(world)
    told = preview(world, plan)
    assert witness(world) == before
    assert (of(told, "Same").outcome, of(told, "Other").outcome) == ("ok", "changed")
    assert "-old\n+new\n" in of(told, "Other").data["diff"]
    assert "+another" in of(told, "Line").data["diff"]
    assert "command" in of(told, "Command").data["cannot_know"]
    assert of(told, "Hidden").outcome == "changed"
    assert "diff" not in of(told, "Hidden").data
    assert of(told, "Never").outcome == "skipped"
    assert "cannot_know" not in of(told, "Never").data
    assert world.run(plan).outcomes("Other") == {"web1": "changed", "web2": "changed"}, (
        "the same plan does run"
    )
    assert witness(world) != before, "and its effects are seen by the witness"


@pytest.mark.parametrize("shadowed", [(), ("stat", "copy", "setup")])
def test_a_hostile_play_changes_nothing(world: World, tmp_path: Path, shadowed: tuple[str, ...]) -> None:
    world.write("playbooks/play.yml", HOSTILE)
    world.write("playbooks/evil.sh", EVIL).chmod(0o755)
    world.write("playbooks/t.j2", "x")
    here = tmp_path / "here"
    for module in ("innocent", *shadowed):
        world.write(f"playbooks/library/{module}.py", MODULE)
    touch = f"open({str(here)!r}, 'w').close()\n"
    for plugin in ("filter", "lookup", "action", "test"):  # compiling refuses the other kinds
        world.write(f"playbooks/{plugin}_plugins/evil.py", touch)
    if shadowed:
        world.write("playbooks/module_utils/basic.py", "raise SystemExit(1)\n")
    plan = world.plan()
    here.unlink(missing_ok=True)  # reading the play loads what it brings; that is compiling
    for host in ("web1", "web2"):
        root = world.fleet.host(host).root
        (root / "facts.d").mkdir(exist_ok=True)
        for path in (root / "facts.d/evil.fact", root / "evil.sh"):
            path.write_text(EVIL)
            path.chmod(0o755)
        (root / "evil").mkdir(exist_ok=True)
        (root / "evil/sitecustomize.py").write_text(f"open({str(root / 'site')!r}, 'w').close()\n")
    before = witness(world)
    told = preview(world, plan)
    assert witness(world) == before
    assert not here.exists()
    known = {result.name for result in told.results if "cannot_know" not in result.data}
    assert known <= {"Handler", "Legacy", "Shadowed"}, "everything that could have an effect is named"
    for name in ("Switched off", "Raw", "Script", "Async", "Delegated", "Own module", "Validate", "Facts", "Environment",
                 "Interpreter", "Shelled", "Pipe", "Late", "Inner", "Always"):  # fmt: skip
        assert of(told, name).data["cannot_know"], name
