"""A live connection to a host, opened past the plan's ssh configuration: what shares it looks at no key."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.fleet

PLAY = """
- hosts: web1
  gather_facts: false
  tasks:
    - {name: Inventory, ansible.builtin.raw: "true", ignore_unreachable: true}
"""
WAYS_IN = """
    - {{name: Task, ansible.builtin.raw: "true", vars: {{ansible_control_path: {path}}}, ignore_unreachable: true}}
    - {{name: Folder, ansible.builtin.raw: "true", vars: {{ansible_control_path_dir: {path}}}, ignore_unreachable: true}}
    - {{name: Set, ansible.builtin.set_fact: {{ansible_control_path: {path}}}}}
    - {{name: Fact, ansible.builtin.raw: "true", ignore_unreachable: true}}
    - name: Delegated
      ansible.builtin.raw: "true"
      delegate_to: web1
      vars: {{ansible_control_path: {path}}}
      ignore_unreachable: true
    - name: Looped
      ansible.builtin.raw: "true"
      loop: [{path}]
      loop_control: {{loop_var: ansible_control_path}}
      ignore_unreachable: true
      ignore_errors: true
"""


@pytest.fixture
def master(world) -> Iterator[Path]:
    """A live connection to web1 that looked at no key; the plan pins a wrong one."""
    folder = Path(tempfile.mkdtemp(prefix="cm-"))  # a socket's path is short
    path, host, login = folder / "m", world.fleet.host("web1"), world.fleet.login
    place = ["-p", str(host.port), f"{login.user}@{host.address}"]
    unchecked = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
    start = ["ssh", "-F", "/dev/null", *unchecked, "-i", str(login.key), "-M", "-S", str(path), "-f", "-N"]
    subprocess.run([*start, *place], check=True, capture_output=True)
    wrong = world.fleet.host("lb1").known_hosts.split()[1:3]
    world.write("inventories/known_hosts", f"{host.known_hosts.split()[0]} {' '.join(wrong)}\n")
    world.write("inventories/group_vars/all.yml", f"ansible_control_path: {path}\n")
    try:
        yield path
    finally:
        subprocess.run(["ssh", "-S", str(path), "-O", "exit", *place], check=False, capture_output=True)
        shutil.rmtree(folder)


def test_no_variable_has_ssh_share_a_connection_that_looked_at_no_key(world, master, tmp_path):
    assert bare(world, tmp_path) == 0
    recorder = world.play(PLAY + WAYS_IN.format(path=master))
    for name in ("Inventory", "Task", "Folder", "Fact", "Delegated"):
        assert recorder.outcomes(name) == {"web1": "unreachable"}, name
    assert recorder.outcomes("Looped") == {"web1": "failed"}
    assert {action.outside for action in recorder.actions} == {
        "",
        "ssh with a control_path of its own for 'web1'",
    }


def test_a_loop_cannot_change_the_arguments_of_ssh(world):
    looped = """
- hosts: web1
  gather_facts: false
  tasks:
    - name: Looped
      ansible.builtin.raw: "true"
      loop: [-F /dev/null -o StrictHostKeyChecking=no]
      loop_control: {loop_var: ansible_ssh_args}
"""
    recorder = world.play(looped)
    assert recorder.outcomes("Looped") == {"web1": "failed"}
    assert "ssh with a ssh_args of its own for 'web1'" in {action.outside for action in recorder.actions}


def bare(world, home: Path) -> int:
    """Run the play as Ansible does by itself, with the same pinned keys, and return how it ended."""
    play = world.write("playbooks/play.yml", PLAY.replace(", ignore_unreachable: true", ""))
    keys = world.root / "inventories" / "known_hosts"
    checked = f"-o ControlPersist=30s -o StrictHostKeyChecking=yes -o UserKnownHostsFile={keys}"
    inventory, config = world.root / "inventories" / "lab.yml", world.write("bare.cfg", "")
    done = subprocess.run(
        [sys.executable, "-m", "ansible", "playbook", "-i", str(inventory), str(play)],
        env={
            **os.environ,
            "ANSIBLE_CONFIG": str(config),
            "ANSIBLE_SSH_ARGS": checked,
            "ANSIBLE_HOME": str(home),
        },
        capture_output=True,
        check=False,
        timeout=60,
    )
    return done.returncode


def test_no_variable_has_ssh_load_a_library(world):
    world.write("inventories/group_vars/all.yml", "ansible_ssh_pkcs11_provider: /nowhere/theirs.so\n")
    task = "{name: Go, ansible.builtin.raw: 'true', ignore_errors: true"
    loop = "loop: [/nowhere/theirs.so], loop_control: {loop_var: ansible_ssh_pkcs11_provider}"
    recorder = world.play(f"- {{hosts: web1, gather_facts: false, tasks: [{task}}}, {task}, {loop}}}]}}\n")
    assert [result.outcome for result in recorder.results if result.name == "Go"] == ["changed", "failed"]
    assert any("ssh with a pkcs11_provider of its own" in action.outside for action in recorder.actions)
