"""What a project may set while it runs, and which variables a template is made of: read from texts, without Ansible."""

from pathlib import Path

import pytest

from itmp.adapters.ansible._later import Later
from itmp.adapters.ansible._named import named


def later(root: Path, **files: str) -> Later:
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Later(str(root))


SET = [
    "- {set_fact: {worker: x}}",
    "- ansible.builtin.set_fact:\n    worker: x",
    "- set_fact: worker=x other=y",
    "- {set_fact: {'work{{ n }}': x}}",
    "- {set_fact: '{{ all }}'}",
    "- {action: set_fact worker=x}",
    "- {local_action: {module: set_fact, worker: x}}",
    "- {set_fact: , args: {worker: x}}",
    "- {ping: , register: worker}",
    "- {include_tasks: x.yml, loop: [1], loop_control: {loop_var: worker}}",
    "- {include_vars: {file: x.yml, name: worker}}",
    "- {set_fact: {a: b}\n",
]
NOT_SET = ["- {hosts: all, vars: {worker: x}, tasks: [{set_fact: {a: b}}]}", "- {debug: {msg: worker}}"]


@pytest.mark.parametrize("text", SET)
def test_a_known_variable_that_a_task_sets_is_set_later(tmp_path, text):
    assert later(tmp_path, project__tasks_DOT_yml=text).sets("worker", known=True)


@pytest.mark.parametrize("text", NOT_SET)
def test_a_known_variable_that_no_task_sets_stays(tmp_path, text):
    assert not later(tmp_path, project__tasks_DOT_yml=text).sets("worker", known=True)


@pytest.mark.parametrize(
    "path", ["inventory__files__a_DOT_yml", "project__vars__a_DOT_json", "project__vars__a"]
)
def test_an_included_file_sets_what_it_holds_wherever_it_lies(tmp_path, path):
    held = later(tmp_path, **{path: '{"worker": "x"}'})
    assert held.sets("worker", known=False)
    assert not held.sets("worker", known=True)
    included = later(tmp_path, project__tasks_DOT_yml="- {include_vars: '{{ which }}'}")
    assert included.sets("worker", known=True)
    assert not included.sets("other", known=True)


def test_variables_of_groups_count_where_hosts_may_come_into_them(tmp_path):
    path = "inventory__group_vars__os_x_DOT_yml"
    assert not later(tmp_path, **{path: "worker: x"}).sets("worker", known=False)
    grown = later(tmp_path, project__tasks_DOT_yml="- {group_by: {key: os_x}}")
    assert grown.groups
    assert grown.sets("worker", known=True)


@pytest.mark.parametrize(
    "text",
    [
        "{{ ansible_facts.fqdn }}",
        "{{ vars['x'] }}",
        "{{ lookup('env', 'X') }}",
        "{{ groups['web'] | random }}",
        "{{ groups[x] | default([]) }}",
        "{{ hostvars[x][y] }}",
        "{{ hostvars | dict2items }}",
        "{{ (hostvars[x] | default({})).y }}",
        "{{ not a template",
    ],
)
def test_what_a_template_computes_by_itself_is_open(text):
    assert named([text], {}, lambda _: []).open


def test_names_are_followed_through_the_texts_of_variables():
    values = {"a": ["{{ b }}", {"x": "{{ c }}"}], "b": "{{ a }}", "c": "{{ groups.web | first }}"}
    found = named(["{{ a ~ hostvars['h'].there }}"], values, lambda name: [f"{{{{ of_{name} }}}}"])
    assert not found.open
    assert found.names == {"a", "b", "c", "groups", "hostvars", "of_there"}
    assert (found.of_hosts, found.groups) == ({"there"}, {"web"})
