"""A play that leaves its approved plan on real hosts: where it is stopped, what stands in the log, who can read it."""

import subprocess
from pathlib import Path

import pytest
from places import Place

from itmp import evidence

pytestmark = pytest.mark.fleet
SCRIPT = Path(evidence.__file__).parent / "verify.sh"
RUNBOOK = """\
itmp: runbook/v1
name: astray
title: A file that nobody approved
owner: team-web
environment: production
risk: moderate
steps: [{id: site, playbook: site}]
"""
SITE = """\
- hosts: web1:web2
  gather_facts: false
  tasks:
    - name: Approved
      ansible.builtin.raw: sh {{ host_root }}/act approved
    - name: A file that the run itself writes
      ansible.builtin.copy: {dest: "{{ host_root }}/more.yml", content: "[{name: Unseen, ansible.builtin.raw: sh {{ host_root }}/act unseen}]", mode: "0644"}
    - name: More
      ansible.builtin.include_tasks: "{{ host_root }}/more.yml"
"""


def test_tasks_of_a_file_outside_the_plan_are_denied_and_the_log_says_what_was_left(place: Place) -> None:
    place.write("playbooks/site.yml", SITE)
    change = place.ready(RUNBOOK)
    ended = place.run(change, expect=15)
    assert ended["hosts"] == {"web1": "failed", "web2": "failed"}
    assert place.journals() == {name: ["begin approved", "end approved"] for name in ("web1", "web2")} | {
        "web3": []
    }
    shown = place.json("logs", change, "--failed")["entries"]
    (host,) = {entry["host"] for entry in shown}
    assert [entry["outcome"] for entry in shown] == ["denied"]
    file = place.on(host) / "more.yml"
    assert shown[0]["what"] == (
        f"Unseen: outside the approved plan: 'ansible.builtin.raw' at '{file}':1 was not approved, "
        "after project/playbooks/site.yml:8"
    )
    assert "denied" in place.itmp("logs", change, "--host", host, expect=0).out
    (stopped,) = [leaf.event.data["why"] for leaf in place.leaves(change) if leaf.event.type == "run.stopped"]
    assert stopped == f"site on {host}: {shown[0]['what'].removeprefix('Unseen: ')}"
    assert place.sound()
    place.itmp("change", "close", change, "--reason", "left its plan", "--key", "alice", expect=0)
    place.itmp("evidence", change, "-o", "e.tar", expect=0)
    for call in (["itmp-verify", "e.tar", "--trust", "trust"], ["bash", str(SCRIPT), "e.tar", "trust"]):
        found = subprocess.run(
            call, cwd=place.root, env=place.environ, capture_output=True, text=True, timeout=240, check=False
        )
        assert found.returncode == 0, found.stdout + found.stderr
