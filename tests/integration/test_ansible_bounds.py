"""A project that tries to act elsewhere than its plan shows: by variables, templates, plugins and other files."""

from pathlib import Path

import pytest
from conftest import Recorder

from itmp.adapters.ansible import AnsibleSources
from itmp.documents import DocumentError
from itmp.errors import RefusedError
from itmp.plan.sources import Facts, Needs, PlayNeed

ASTRAY = """
- hosts: web
  gather_facts: false
  tasks:
    - name: Delegate here
      ansible.builtin.raw: touch {mark}/delegated
      delegate_to: "{{{{ 'local' ~ 'host' }}}}"
      ignore_errors: true
    - name: Swap
      ansible.builtin.raw: touch {mark}/swapped
      vars: {{ansible_port: "{{{{ hostvars['web2' if inventory_hostname == 'web1' else 'web1'].ansible_port }}}}"}}
      ignore_errors: true
    - name: Argue
      ansible.builtin.set_fact: {{ansible_ssh_extra_args: "-o PermitLocalCommand=yes -o LocalCommand='touch {mark}/argued'"}}
    - name: Go
      ansible.builtin.raw: touch {mark}/gone-{{{{ inventory_hostname }}}}
    - name: Turn
      ansible.builtin.set_fact: {{ansible_connection: local}}
    - name: Stay
      ansible.builtin.raw: touch {mark}/stayed
      ignore_errors: true
"""


@pytest.mark.fleet
def test_no_variable_and_no_template_leads_a_task_astray(world, tmp_path):
    mark = tmp_path / "mark"
    mark.mkdir()
    recorder = world.play(ASTRAY.format(mark=mark), delegates=("web2",))
    for name in ("Delegate here", "Swap", "Stay"):
        assert recorder.outcomes(name) == {"web1": "failed", "web2": "failed"}, name
    assert {r.delegate for r in recorder.results if r.name == "Delegate here"} == {"localhost"}
    assert sorted(path.name for path in mark.iterdir()) == ["gone-web1", "gone-web2"]
    asked = {action.outside for action in recorder.actions}
    assert {"delegation to 'localhost'", "a local connection for 'web1'"} <= asked


@pytest.mark.fleet
def test_what_leads_astray_is_asked_for_and_the_refusal_ends_the_play(world, tmp_path):
    def veto(action):
        if action.outside.startswith("delegation to"):
            raise RefusedError("not in the plan")

    recorder = Recorder(veto=veto)
    with pytest.raises(RefusedError, match="not in the plan"):
        world.play(ASTRAY.format(mark=tmp_path), recorder, delegates=("web2",))
    assert not (tmp_path / "delegated").exists()
    assert recorder.outcomes("Swap") == {}


@pytest.mark.fleet
def test_a_host_that_is_added_but_not_declared_is_asked_for_and_gets_no_connection(world):
    def veto(action):
        if action.host != "web1":
            raise RefusedError(f"{action.host} is no target")

    recorder = Recorder(veto=veto)
    play = """
- hosts: web1
  gather_facts: false
  tasks:
    - {name: Add, ansible.builtin.add_host: {name: "{{ item }}", groups: chosen}, loop: [web1, "{{ 'we' ~ 'b2' }}"]}
- hosts: chosen
  gather_facts: false
  tasks: [{name: Act, ansible.builtin.raw: "true"}]
"""
    with pytest.raises(RefusedError, match="web2 is no target"):
        world.play(play, recorder, adds=("web1",))
    assert recorder.outcomes("Act") == {}


@pytest.mark.fleet
def test_a_local_connection_that_the_plan_shows_is_used(world, tmp_path):
    play = f"""
- hosts: web1
  gather_facts: false
  tasks:
    - {{name: Keyword, ansible.builtin.raw: touch {tmp_path}/keyword, connection: local}}
    - {{name: Delegate, ansible.builtin.raw: touch {tmp_path}/delegate, delegate_to: localhost}}
"""
    recorder = world.play(play)
    assert (tmp_path / "keyword").exists()
    assert (tmp_path / "delegate").exists()
    assert recorder.of("Delegate").delegate == "localhost"
    assert [said.partition(" ")[2].partition(":")[0] for said in world.facts().plays["a"].outside] == [
        "the executor's own machine, where it acts",
        "delegation to localhost",
    ]


@pytest.mark.fleet
def test_the_keyword_port_leads_to_no_other_port_than_the_plans(world):
    """A port of the inventory beats the keyword, as for bare Ansible; without one the plan has ssh's own port."""
    lab = world.root / "inventories" / "lab.yml"
    port = world.fleet.host("web1").port
    lab.write_text("".join(line for line in lab.read_text().splitlines(keepends=True) if "port" not in line))
    play = (
        "- {hosts: web1, gather_facts: false, port: %d, tasks: [{name: Go, ansible.builtin.raw: 'true'}]}\n"
    )
    recorder = world.play(play % port)
    assert recorder.outcomes("Go") == {"web1": "failed"}
    assert f"port {port} for 'web1'" in recorder.of("Go").message


# What an approver is shown, and what is refused: no hosts are needed for it.


def project(root: Path, play: str, files: dict[str, str]) -> Facts:
    here = {"inventories/lab.yml": "all: {hosts: {web1: }}\n", "inventories/known_hosts": "x\n"}
    for path, text in {**here, "playbooks/play.yml": play, **files}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    need = PlayNeed(id="a", playbook="play", mark="doc.yml:3:5")
    return AnsibleSources(root, ("inventories/lab.yml",)).gather(Needs(plays=(need,)))


UNSEEN = """
- hosts: web1
  gather_facts: false
  vars: {x: "{{ lookup('ansible.builtin.pipe', 'id') }}", y: "{{ lookup(z, 'id') }}"}
  vars_files: [/etc/vars.yml]
  tasks:
    - block: [{ansible.builtin.script: /opt/run.sh --now}]
      environment: {A: "{{ query('url', 'http://x') }}"}
    - ansible.builtin.include_vars: ../../elsewhere.yml
    - {ansible.builtin.copy: {src: ../../../a, dest: /a}}
"""


def test_what_a_play_reaches_outside_the_plan_is_named_wherever_it_is_written(tmp_path):
    (outside,) = [facts.outside for facts in project(tmp_path, UNSEEN, {}).plays.values()]
    assert [text.partition("project/playbooks/play.yml:")[2] for text in outside] == [
        "2 lookup ansible.builtin.pipe",
        "2 lookup ?",
        "2 path /etc/vars.yml",
        "7 lookup url",
        "7 path /opt/run.sh",
        "9 path ../../elsewhere.yml",
        "10 path ../../../a",
    ]


PLAIN = "- {hosts: web1, gather_facts: false, tasks: [{ansible.builtin.ping: }]}\n"


def test_lookups_in_values_and_code_for_the_executor_are_noted(tmp_path):
    files = {
        "inventories/group_vars/all.yml": "a: \"{{ lookup('pipe', 'id') }}\"\n",
        "inventories/lab.yml": "all: {hosts: {web1: {b: \"{{ lookup('env', 'HOME') }}\"}}}\n",
        "playbooks/templates/t.j2": '{{ lookup("file", "/etc/passwd") }} {{ lookup("vars", "a") }}\n',
        "playbooks/filter_plugins/f.py": "",
    }
    assert project(tmp_path, PLAIN, files).notes == (
        "inventory/group_vars/all.yml reaches outside the plan: lookup pipe",
        "inventory/snapshot.json reaches outside the plan: lookup env",
        "project/playbooks/filter_plugins/f.py is code that runs on the executor's own machine",
        "project/playbooks/templates/t.j2 reaches outside the plan: lookup file",
    )


def test_hosts_that_are_here_by_their_inventory_are_named(tmp_path):
    files = {"inventories/lab.yml": "all: {hosts: {web1: {ansible_connection: local}}}\n"}
    (facts,) = project(tmp_path, PLAIN, files).plays.values()
    assert facts.outside == ("host web1 is the executor's own machine: its connection is local",)


@pytest.mark.parametrize(
    ("path", "text", "said"),
    [
        ("playbooks/callback_plugins/c.py", "", "without being asked"),
        ("playbooks/strategy_plugins/linear.py", "", "without being asked"),
        ("playbooks/roles/collections/callback_plugins/c.py", "", "without being asked"),
        (
            "collections/ansible_collections/a/b/roles/r/callback_plugins/c.py",
            "",
            "without being asked",
        ),
        ("playbooks/roles/r/connection_plugins/ssh.py", "", "in the place of Ansible's own ssh"),
        ("playbooks/vars_plugins/v.py", "", "without being asked"),
        ("playbooks/play.yml", PLAIN.replace("{hosts", "{strategy: a.b.c, hosts"), "strategy a.b.c"),
        ("inventories/group_vars/all.yml", "ansible_connection: local\n", "own machine"),
        (
            "inventories/group_vars/all.yml",
            "ansible_ssh_common_args: -o ProxyCommand=nc\n",
            "arguments to ssh",
        ),
        ("inventories/group_vars/all.yml", "ansible_sftp_extra_args: -x\n", "arguments to ssh"),
    ],
)
def test_what_could_act_unseen_is_refused(tmp_path, path, text, said):
    with pytest.raises(DocumentError, match=said):
        project(tmp_path, PLAIN, {path: text})


def test_a_filter_of_the_project_does_not_run_while_a_plan_is_made(tmp_path):
    code = f"open({str(tmp_path / 'ran')!r}, 'w')\nclass FilterModule:\n    def filters(self):\n        return {{'f': str}}\n"
    package = "collections/ansible_collections/a/b/plugins/filter"
    for name in ("f", "a.b.f"):
        play = PLAIN.replace("hosts: web1", f"hosts: \"{{{{ 'web1' | {name} }}}}\"")
        files = {"playbooks/filter_plugins/f.py": code, f"{package}/f.py": code}
        with pytest.raises(DocumentError, match="hosts cannot be known before the run"):
            project(tmp_path, play, files)
    assert not (tmp_path / "ran").exists()
