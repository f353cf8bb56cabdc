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


SCRIPT = """\
#!/bin/sh
[ "$1" = --list ] || {{ echo "{{}}"; exit 0; }}
mkdir -p "$HOME/seen" {beside}/seen
ls -A {state}/keys > "$HOME/seen/keys" 2>&1 || true
cp "$HOME/seen/keys" {beside}/seen/moved && mv {beside}/seen/moved {beside}/seen/keys
echo '{{"web": {{"vars": {{"seen": true}}}}}}'
"""


def test_an_inventory_script_writes_elsewhere_while_a_plan_is_made_and_finds_no_key(place):
    state = place.root / ".itmp"
    assert any((state / "keys").iterdir())
    script = place.write("inventories/more.sh", SCRIPT.format(state=state, beside=place.root))
    script.chmod(0o755)
    named = "inventories: [inventories/hosts.yml, inventories/more.sh]\n"
    place.write("itmp.yml", f"organization: example.com\nlog: ops\n{named}")
    play = "- hosts: all\n  tasks: [{ansible.builtin.debug: {msg: here}}]\n"
    place.write("playbooks/act.yml", play)
    place.write("runbooks/r.yml", DOCUMENT.replace("hosts: localhost", "hosts: web"))
    place.itmp("plan", "runbooks/r.yml", "-o", "r.plan.tar", expect=0)
    cached = (place.root.parent / "home/seen/keys").read_text()
    assert "No such file" in cached
    assert (place.root / "seen/keys").read_text() == cached
