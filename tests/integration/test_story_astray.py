"""A play that leaves its approved plan on real hosts: where it is stopped, what stands in the log, who can read it."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
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


def book(step: dict[str, Any]) -> str:
    document = {**yaml.safe_load(RUNBOOK), "steps": [{"id": "site", "playbook": "site", **step}]}
    text: str = yaml.safe_dump(document, sort_keys=False)
    return text


BEGIN = """\
- hosts: web1
  gather_facts: false
  vars: {which: "{{ 'turn' }}"}
  tasks:
    - {name: Approved, ansible.builtin.raw: "sh {{ host_root }}/act approved"}
"""
SITE_TURN = f"""{BEGIN}
    - {{name: Turn, ansible.builtin.include_tasks: "tasks/{{{{ which }}}}.yml"}}
"""
TURN_LOCAL = """\
- {name: Turn, ansible.builtin.set_fact: {ansible_connection: local}}
- {name: Unseen, ansible.builtin.raw: "sh {{ host_root }}/act unseen", ignore_errors: true}
- {name: Turn back, ansible.builtin.set_fact: {ansible_connection: ssh}}
- {name: Go on, ansible.builtin.raw: "sh {{ host_root }}/act more"}
"""
TURN_PORT = """\
- block:
    - name: Unseen
      ansible.builtin.raw: sh {{ hostvars['web2'].host_root }}/act {{ item.do }}
      vars: {ansible_port: "{{ hostvars[item.at].ansible_port }}"}
      loop: [{at: web2, do: unseen}, {at: web1, do: more}]
      no_log: true
  rescue:
    - {name: Go on, ansible.builtin.raw: "sh {{ host_root }}/act more"}
"""
SITE_HOST = f"""{BEGIN}
    - {{name: Add, ansible.builtin.add_host: {{name: "{{{{ 'we' ~ 'b3' }}}}", groups: chosen}}}}
- hosts: chosen
  gather_facts: false
  tasks: [{{name: Unseen, ansible.builtin.raw: "sh {{{{ host_root }}}}/act unseen"}}]
"""
SITE_DELEGATE = f"""{BEGIN}
    - {{name: Find, ansible.builtin.set_fact: {{neighbour: "{{{{ 'we' ~ 'b3' }}}}"}}}}
    - name: Unseen
      ansible.builtin.raw: sh {{{{ hostvars['web3'].host_root }}}}/act unseen
      delegate_to: "{{{{ neighbour }}}}"
      ignore_errors: true
    - {{name: Go on, ansible.builtin.raw: "sh {{{{ host_root }}}}/act more"}}
"""
SITE_MODULE = f"""{BEGIN}
    - name: The host reaches back, as one with an account here could, and changes a file that is laid out for this slice
      ansible.builtin.raw: "sed -i s/builtin.raw/builtin.command/ {{{{ playbook_dir }}}}/tasks/turn.yml"
    - {{name: Turn, ansible.builtin.include_tasks: tasks/turn.yml}}
"""
ARGUMENTS = "s/act.more/act.unseen/"
SITE_ARGUMENTS = SITE_MODULE.replace("s/builtin.raw/builtin.command/", ARGUMENTS)
SITE_OPAQUE = SITE_ARGUMENTS.replace("tasks/turn.yml}", '"tasks/{{ which }}.yml"}')
SITE_SAME = SITE_ARGUMENTS.replace(
    f"sed -i {ARGUMENTS} {{{{ playbook_dir }}}}/tasks/turn.yml",
    "cd {{ playbook_dir }}/tasks && sed s/act.more/act.less/ turn.yml > {{ host_root }}/t && touch -r turn.yml {{ host_root }}/t"
    " && cat {{ host_root }}/t > turn.yml && touch -r {{ host_root }}/t turn.yml",
)
TURN_ARGUMENTS = """\
- {name: Unseen, ansible.builtin.raw: "sh {{ host_root }}/act more"}
"""
CHANGED = "its file is no longer as the slice laid it out at project/playbooks/tasks/turn.yml:1, after project/playbooks/site.yml:9"
TURN_MODULE = """\
- {name: Unseen, ansible.builtin.raw: "sh {{ host_root }}/act unseen"}
"""
TURN_PAUSE = """\
- {name: Not asked, ansible.builtin.pause: {prompt: Shall it go on?}, when: which == "never"}
- {name: For a moment, ansible.builtin.pause: {seconds: 1}}
- {name: Unseen, ansible.builtin.pause: {prompt: Shall it go on?}, ignore_errors: true}
- {name: Go on, ansible.builtin.raw: "sh {{ host_root }}/act more"}
"""
TURN_DEBUGGER = """\
- {name: Unseen, ansible.builtin.raw: "sh {{ host_root }}/act more && false", debugger: on_failed}
"""
ASTRAY = {
    "connection": (
        {},
        SITE_TURN,
        TURN_LOCAL,
        "a local connection for 'web1' at project/playbooks/tasks/turn.yml:2",
    ),
    "port": (
        {},
        SITE_TURN,
        TURN_PORT,
        "a connection to 127.0.0.1 port {port} for 'web1' at project/playbooks/tasks/turn.yml:2",
    ),
    "host": (
        {"adds": ["web2"]},
        SITE_HOST,
        TURN_LOCAL,
        "'web3' is not a target of site at project/playbooks/site.yml:7, before project/playbooks/site.yml:5",
    ),
    "delegate": (
        {"delegates": ["lb1"]},
        SITE_DELEGATE,
        TURN_LOCAL,
        "delegation to 'web3' was not declared at project/playbooks/site.yml:8",
    ),
    "pause": (
        {"timeout": "2m"},
        SITE_TURN,
        TURN_PAUSE,
        "pause without a time waits for a person at project/playbooks/tasks/turn.yml:3",
    ),
    "debugger": (
        {"timeout": "2m"},
        SITE_TURN,
        TURN_DEBUGGER,
        "debugger asks a person at project/playbooks/tasks/turn.yml:1",
    ),
    "module": (
        {},
        SITE_MODULE,
        TURN_MODULE,
        CHANGED,
    ),
    "arguments": ({}, SITE_ARGUMENTS, TURN_ARGUMENTS, CHANGED),
    "arguments of a file that nobody could parse": ({}, SITE_OPAQUE, TURN_ARGUMENTS, CHANGED),
    "arguments of a file with its old length and times": ({}, SITE_SAME, TURN_ARGUMENTS, CHANGED),
}


LONG = {"port", "pause", "debugger", "arguments", "arguments of a file with its old length and times"}


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=[pytest.mark.long] if case in LONG else []) for case in ASTRAY]
)
def test_an_unexpected_connection_host_delegate_or_module_stops_the_run_and_stands_in_the_log(
    place: Place, case: str
) -> None:
    """Neither `ignore_errors`, nor a rescue, a loop or `no_log` makes the play go on, from an opaque file either."""
    step, site, turn, why = ASTRAY[case]
    why = f"outside the approved plan: {why.format(port=place.fleet.host('web2').port)}"
    place.write("playbooks/site.yml", site)
    place.write("playbooks/tasks/turn.yml", turn)
    change = place.ready(book(step))
    ended = place.run(change, expect=15)
    assert ended["hosts"]["web1"] == "failed"
    assert any("seconds" in note for note in ended["notes"]) == (case == "pause"), "what to write instead"
    approved = ["begin approved", "end approved"]
    assert place.journals() == {"web1": approved, "web2": [], "web3": []}
    leaves = [leaf.event for leaf in place.leaves(change)]
    where = "web3" if case == "host" else "web1"
    assert [event.data["why"] for event in leaves if event.type == "run.stopped"] == [
        f"site on {where}: {why}"
    ]
    shown = [one for one in place.json("logs", change, "--failed")["entries"] if one["outcome"] == "denied"]
    task = "Add" if case == "host" else "Unseen"
    assert [(one["host"], one["what"]) for one in shown] == [(where, f"{task}: {why}")]
    assert "denied" in place.itmp("logs", change, "--host", where, expect=0).out
    assert place.sound()
    if case == "host":
        place.itmp("change", "close", change, "--reason", "left its plan", "--key", "alice", expect=0)
        place.itmp("evidence", change, "-o", "e.tar", expect=0)
        trust = evidence.Trust.from_files(
            {one.name: one.read_bytes() for one in (place.root / "trust").iterdir()}
        )
        assert evidence.verify((place.root / "e.tar").read_bytes(), trust).exit_code == 0
