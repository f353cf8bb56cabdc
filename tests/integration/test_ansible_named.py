"""Whom tasks are delegated to, and what lies beside an inventory, as a plan is made: by Ansible's own parser, without effects."""

from pathlib import Path

import pytest
from test_ansible_gather import INVENTORY, gather, need, write

from itmp.documents import DocumentError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path, "inventories/lab.yml", INVENTORY)
    write(tmp_path, "inventories/known_hosts", "192.0.2.1 ssh-ed25519 AAAA\n")
    return tmp_path


def delegates(root: Path, text: str, more: str = "", **values) -> tuple[str, ...]:
    task = f'{{ping: , delegate_to: "{text}"}}'
    write(root, "playbooks/one.yml", f"- {{hosts: web, gather_facts: false, tasks: [{task}]}}\n{more}")
    return gather(root, need(**values)).plays["a"].delegates


def test_delegates_that_each_host_names_are_found_and_itself_is_none(root):
    assert delegates(root, "{{ inventory_hostname }}") == ()
    assert delegates(root, "{{ worker | default(inventory_hostname) }}") == ()
    assert delegates(root, "{{ worker | default(omit) }}") == ()
    assert delegates(root, "{{ groups['web'][groups['web'].index(inventory_hostname) - 1] }}") == (
        "web1",
        "web2",
        "bare",
    )
    write(root, "inventories/host_vars/web2.yml", "worker: db1\n")
    assert delegates(root, "{{ worker | default(inventory_hostname) }}") == ("db1",)


LATER = [
    "- {hosts: web, tasks: [{set_fact: {worker: db1}}]}\n",
    "- {hosts: web, tasks: [{ping: , register: worker}]}\n",
]


@pytest.mark.parametrize("more", LATER)
def test_a_default_is_no_answer_for_what_the_project_sets_later(root, more):
    with pytest.raises(DocumentError, match="not known before the run"):
        delegates(root, "{{ worker | default(inventory_hostname) }}", more)


def test_a_default_is_no_answer_for_a_fact(root):
    with pytest.raises(DocumentError, match="not known before the run"):
        delegates(root, "{{ ansible_fqdn | default(inventory_hostname) }}")


BESIDE = """\
- hosts: web
  gather_facts: false
  tasks:
    - copy: {src: "{{ inventory_dir }}/files/a", dest: /tmp/a}
    - copy: {content: "{{ lookup('file', inventory_dir ~ '/one') }}", dest: /tmp/b}
"""


def test_what_lies_beside_the_inventory_is_taken_where_a_text_leads_there(root):
    for name in ("files/a", "files/.hidden", "files/db_password", "files/deep/b", "one", "other/c"):
        write(root, f"inventories/{name}", "x\n")
    write(root, "inventories/files/key", "-----BEGIN OPENSSH PRIVATE KEY-----\nx\n")
    write(root, "playbooks/one.yml", BESIDE)
    facts = gather(root, need())
    held = {path for path in facts.artifacts if path.startswith("inventory/")}
    assert {path.removeprefix("inventory/") for path in held} >= {"files/a", "files/deep/b", "one"}
    assert not {path for path in held if "other" in path or "hidden" in path or "db_password" in path}
    assert (
        "inventory/files/key holds a private key and is left out: encrypt it with ansible-vault"
        in facts.notes
    )


def test_what_is_not_there_or_a_template_names_is_told(root):
    write(root, "playbooks/one.yml", BESIDE.replace("files/a", "{{ kind }}/a"))
    notes = [note for note in gather(root, need()).notes if "inventory_dir" in note]
    assert notes == ["playbooks/one.yml reaches outside the plan: inventory_dir/one"]
    write(root, "inventories/one", "x\n")
    notes = [note for note in gather(root, need()).notes if "inventory_dir" in note]
    assert notes == ["playbooks/one.yml reaches outside the plan: inventory_dir"]
