# A program of its own, which answers on standard output:
# ruff: noqa: T201
"""A whole change, told by whoever runs this: `story_of_a_person.py FOLDER [IMAGE]` over loopback hosts, in a container of
the image where one is named; prints one JSON object.

It is run by an account without rights, in an interpreter of its own.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import yaml
from places import BIN, NAMES, Place

from itmp.lab import loopback

DOCUMENT = """
itmp: runbook/v1
name: person
title: A change by a person without rights
owner: team-web
environment: production
risk: moderate
steps:
  - id: act
    hosts: web
    tasks:
      - {name: Act, ansible.builtin.command: "sh {{ host_root }}/act act"}
  - id: look
    hosts: localhost
    playbook: look
"""
INSIDE = """
itmp: runbook/v1
name: person
title: A change by a person without rights, in a container
owner: team-web
environment: production
risk: moderate
execution_environment: {{image: "{image}"}}
steps:
  - id: act
    hosts: web
    tasks:
      - {{name: Hello, lab.demo.hello: , delegate_to: localhost, connection: local, vars: {{ansible_python_interpreter: /usr/bin/python3}}}}
      - {{name: Act, ansible.builtin.command: "sh {{{{ host_root }}}}/act act"}}
"""
LOOK = """
- hosts: localhost
  gather_facts: false
  tasks:
    - name: Look for the log's key
      ansible.builtin.shell: cat {state}/keys/* > {found} 2>/dev/null; echo looked >> {found}
"""


def main(top: Path, image: str = "") -> None:
    """Found a log, plan, approve, run, close and prove one change."""
    with loopback.up(
        top / "fleet", 4, names=("web1", "web2", "web3", "lb1"), groups={"web": ["web1", "web2", "web3"]}
    ) as fleet:
        place = Place.found(top / "w", fleet)
        place.write(
            "playbooks/look.yml", LOOK.format(state=place.root / ".itmp", found=top / "seen" / "found")
        )
        (
            top / "seen"
        ).mkdir()  # beside what is closed: Landlock alone lets nobody open what is made later above it
        hosts = place.root / "inventories" / "hosts.yml"
        tree = yaml.safe_load(hosts.read_text())
        tree["all"]["hosts"]["localhost"] = {"ansible_connection": "local"}
        hosts.write_text(yaml.safe_dump(tree))
        change = place.ready(INSIDE.format(image=image) if image else DOCUMENT)
        place.itmp("run", change, "--key", NAMES[0], expect=0)
        place.itmp("change", "close", change, "--reason", "done", "--key", NAMES[0], expect=0)
        place.itmp("evidence", change, "-o", "e.tar", expect=0)
        done = subprocess.run(
            [BIN / "itmp-verify", "e.tar", "--trust", "trust"],
            cwd=place.root, env=place.environ, capture_output=True, text=True, check=False,
        )  # fmt: skip
        (permit,) = [leaf.event for leaf in place.leaves(change) if leaf.event.type == "permit.issued"]
        print(
            json.dumps(
                {
                    "uid": os.getuid(),
                    "binaries": (permit.data or {})["permit"]["binaries"],
                    "found": "" if image else (top / "seen" / "found").read_text(),
                    "journals": place.journals(),
                    "verified": done.returncode,
                    "report": done.stdout,
                }
            )
        )
        place.leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
