"""A play on the executor's own machine: it acts there as before, and finds neither the log nor its key."""

import json
import sys
from pathlib import Path

import pytest
import yaml
from places import Place

pytestmark = pytest.mark.fleet

DOCUMENT = """
itmp: runbook/v1
name: here
title: Here
owner: team-web
environment: production
risk: moderate
steps:
  - id: act
    hosts: localhost
    playbook: act
"""
PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - name: Look around
      ansible.builtin.command: {{argv: [{python}, {attacks}, "{state}", "1", "{state}"], chdir: "{folder}"}}
      register: found
    - name: Write it down
      ansible.builtin.copy: {{content: "{{{{ found.stdout }}}}", dest: "{folder}/found.json"}}
"""


def run_here(place: Place, folder: Path) -> tuple[str, dict[str, str]]:
    folder.mkdir()
    state = place.root / ".itmp"
    attacks = Path(__file__).with_name("custody_attacks.py")
    place.write(
        "playbooks/act.yml", PLAY.format(python=sys.executable, attacks=attacks, state=state, folder=folder)
    )
    hosts = place.root / "inventories" / "hosts.yml"
    tree = yaml.safe_load(hosts.read_text())
    tree["all"]["hosts"]["localhost"] = {"ansible_connection": "local"}
    hosts.write_text(yaml.safe_dump(tree))
    change = place.ready(DOCUMENT)
    place.itmp("run", change, "--key", "carol", expect=0)
    (permit,) = [leaf.event for leaf in place.leaves(change) if leaf.event.type == "permit.issued"]
    custody: str = (permit.data or {})["permit"]["binaries"]["custody"]
    return custody, json.loads((folder / "found.json").read_text())


def test_a_local_play_acts_here_and_finds_no_key(place, tmp_path):
    custody, found = run_here(place, tmp_path / "here")
    assert custody != "none"
    assert not [name for name, got in found.items() if got.startswith("STOLEN")]
    assert found["elsewhere"] == "new"
    assert place.sound()


def test_where_nothing_closes_it_the_permit_says_so(place, tmp_path):
    place.write("itmp.local.yml", "custody: none\n")
    custody, found = run_here(place, tmp_path / "here")
    assert custody == "none"
    assert found["list_state"].startswith("STOLEN")
