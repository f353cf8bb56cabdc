"""Variables `ANSIBLE_*` of the shell that types a command: neither the plan nor the run is another one for them."""

import subprocess
import sys

import pytest
import yaml
from places import PATIENCE, Place

pytestmark = pytest.mark.fleet

SHELL = {
    "ANSIBLE_BECOME": "True",
    "ANSIBLE_BECOME_USER": "nobody",  # of the user who is there already, nobody becomes anything
    "ANSIBLE_BECOME_EXE": "/nowhere/sudo",
    "ANSIBLE_REMOTE_USER": "nobody-here",
    "ANSIBLE_STRATEGY": "free",
    "ANSIBLE_GATHERING": "explicit",
    "ANSIBLE_CONFIG": "/nowhere/ansible.cfg",
    "ANSIBLE_PIPELINING": "False",
    "ANSIBLE_HOST_KEY_CHECKING": "False",
    "ANSIBLE_TRANSFORM_INVALID_GROUP_CHARS": "always",  # else the plan has `on-call`, with it `on_call`
    "ANSIBLE_OF_TOMORROW": "True",
}
BOOK = """\
itmp: runbook/v1
name: shell
title: Shell
owner: team-web
environment: production
risk: moderate
steps: [{id: site, hosts: web1, playbook: site}]
"""
PLAY = """\
- hosts: web1
  gather_facts: false
  tasks:
    - name: What the play sees
      ansible.builtin.raw: echo "{{ item }}={{ lookup('ansible.builtin.env', item, default='none') }}" >> {{ host_root }}/journal
      loop: [ANSIBLE_BECOME, ANSIBLE_REMOTE_USER, ANSIBLE_STRATEGY, ANSIBLE_OF_TOMORROW]
    - name: What Ansible made of it
      ansible.builtin.raw: echo "{{ lookup('ansible.builtin.config', 'DEFAULT_BECOME', 'DEFAULT_STRATEGY', 'HOST_KEY_CHECKING') | join(' ') }}" >> {{ host_root }}/journal
"""


def test_the_shells_variables_for_ansible_change_neither_plan_nor_run(place: Place) -> None:
    hosts = place.root / "inventories/hosts.yml"
    tree = yaml.safe_load(hosts.read_text())
    tree["all"]["children"]["on-call"] = {"hosts": {"web1": None}}
    hosts.write_text(yaml.safe_dump(tree))
    place.write("playbooks/site.yml", PLAY)
    place.write("runbooks/r.yml", BOOK)
    place.itmp("plan", "runbooks/r.yml", "-o", "without.plan.tar", expect=0)
    place.environ.update(SHELL)
    told = place.itmp("plan", "runbooks/r.yml", "-o", "with.plan.tar", expect=0).err
    assert (
        told == f"not heard: {', '.join(sorted(SHELL))} of this shell; write such settings into ansible.cfg\n"
    )
    assert (place.root / "with.plan.tar").read_bytes() == (place.root / "without.plan.tar").read_bytes()
    opened = place.json("change", "open", "with.plan.tar", "--reason", "test", "--key", "alice")
    place.approve(str(opened["change"]))
    place.run(str(opened["change"]))
    assert place.journal("web1") == [
        "ANSIBLE_BECOME=none",
        "ANSIBLE_REMOTE_USER=none",
        "ANSIBLE_STRATEGY=none",
        "ANSIBLE_OF_TOMORROW=none",
        "False linear True",
    ]
    bare = subprocess.run(
        [sys.executable, "-m", "ansible", "playbook", "-i", "inventories/hosts.yml", "playbooks/site.yml"],
        cwd=place.root, env=place.environ | {"ANSIBLE_SSH_ARGS": "-F none -o UserKnownHostsFile=/dev/null"}, stdin=subprocess.DEVNULL, capture_output=True,
        timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert b"/nowhere/sudo" in bare.stdout, "bare Ansible follows them"
    assert bare.returncode != 0
