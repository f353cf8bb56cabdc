"""Whom tasks are delegated to, as a plan is made: by Ansible's own parser, without effects."""

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
