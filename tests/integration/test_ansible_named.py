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


AT_THE_RUN = {
    ("ping: ",): (
        "{{ ansible_fqdn | default(inventory_hostname) }}",
        "{{ ansible_facts.fqdn | default(inventory_hostname) }}",
        '{{ hostvars[inventory_hostname]["ansible_fqdn"] | default("db1") }}',
        "{{ item }}', loop: '{{ [] }}",
        '{{ groups.get("os_x", groups["web"]) | first }}',
        '{{ vars["worker"] | default("db1") }}',
        '{{ groups["web"] | random }}',
    ),
    ("set_fact: {worker: db1, stays: web2, peers: [db1]}", "shell: which, register: chosen"): (
        "{{ worker | default(inventory_hostname) }}",
        "{{ hostvars[inventory_hostname].worker | default(inventory_hostname) }}",
        "{{ chosen | default(inventory_hostname) }}",
        "{{ through }}",
        "{{ target }}', vars: {target: '{{ through }}'}, name: '",
        "{{ stays }}",
        "{{ item }}', loop: '{{ peers | default([]) }}",
    ),
    ("include_vars: '{{ inventory_dir }}/files/more.yml'", "include_vars: plain"): (
        "{{ beside | default(inventory_hostname) }}",
        "{{ more | default(inventory_hostname) }}",
        "{{ plainly | default(inventory_hostname) }}",
        "{{ over }}",
    ),
    ("group_by: {key: os_x}",): (
        '{{ groups["os_x"] | default([inventory_hostname]) | first }}',
        '{{ groups["web"] | last }}',
    ),
}


@pytest.mark.parametrize("before", AT_THE_RUN)
def test_whom_only_the_run_can_name_is_to_be_declared(root, before):
    write(root, "inventories/files/more.yml", "beside: db1\n")
    write(root, "playbooks/vars/more.json", '{"more": "db1"}')
    write(root, "playbooks/vars/plain", "plainly: db1\nover: web2\n")
    texts = AT_THE_RUN[before]
    book = '- hosts: web\n  gather_facts: false\n  vars: {stays: db1, over: db1, through: "{{ chosen.stdout | default(omit) }}"}\n'
    book += "  tasks:\n" + "".join(f"    - {{{task}}}\n" for task in before)
    book += "".join(f"    - {{ping: , delegate_to: '{text}'}}\n" for text in texts)
    write(root, "playbooks/one.yml", book)
    with pytest.raises(DocumentError, match="not known before the run") as caught:
        gather(root, need())
    told = {problem.message for problem in caught.value.problems}
    assert len(told) == len({text.partition("'")[0] for text in texts}), told


def test_what_is_declared_is_taken_as_it_is(root):
    text = "{{ ansible_facts.fqdn | default(inventory_hostname) }}"
    assert delegates(root, text, delegates=("db1",)) == ("db1",)


def test_what_the_inventory_says_and_nothing_sets_needs_no_declaration(root):
    write(root, "inventories/host_vars/web2.yml", "worker: db1\nhelpers: [db1]\n")
    write(
        root, "inventories/group_vars/web.yml", "here: '{{ inventory_hostname }}'\nhelpers: ['{{ here }}']\n"
    )
    assert delegates(root, "{{ hostvars['web2'].worker }}") == ("db1",)
    assert delegates(root, '{{ item }}", loop: "{{ helpers }}') == ("db1",)
    assert delegates(root, "{{ here }}", "- {hosts: web, tasks: [{set_fact: {there: db1}}]}\n") == ()


def test_of_the_hosts_that_a_play_still_has_each_may_be_the_one_and_no_other(root):
    all_of_web = ("web1", "web2", "bare")
    assert delegates(root, "{{ ansible_play_batch | first }}") == all_of_web
    assert delegates(root, "{{ groups['all'] | select('in', play_hosts) | last }}") == all_of_web
    task = 'tasks: [{ping: , delegate_to: "{{ ansible_play_batch | first }}"}]'
    write(root, "playbooks/one.yml", f"- {{hosts: db, gather_facts: false, {task}}}\n")
    assert gather(root, need()).plays["a"].delegates == ("db1",)
    with pytest.raises(DocumentError, match="not known before the run"):
        delegates(root, "{{ 'db1' if ansible_play_hosts | length < 2 else 'web1' }}")


def test_the_host_itself_is_read_of_however_many_hosts(root):
    hosts = ", ".join(f"w{number}: " for number in range(501))
    write(root, "inventories/lab.yml", f"all: {{children: {{web: {{hosts: {{{hosts}}}}}}}}}\n")
    assert delegates(root, "{{ inventory_hostname }}") == ()
    with pytest.raises(DocumentError, match="not known before the run"):
        delegates(root, "{{ worker | default(inventory_hostname) }}")
