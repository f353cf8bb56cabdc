"""The survey of a project that nobody has planned yet: what it finds, what it declares, and what it says of the rest."""

from pathlib import Path

import pytest
from survey import survey

BOOKS = {
    "site.yml": "- {hosts: web, roles: [app]}\n",
    "deploy/asks.yml": "- {hosts: db, vars_prompt: [{name: to}], tasks: [{ping: , delegate_to: '{{ to }}'}]}\n",
    "clear.yml": "- {hosts: 'db[0]', vars: {db_password: x}, tasks: [{add_host: {name: '{{ y }}'}}]}\n",
    "wrong.yml": "- {hosts: web, tasks: [{no_such_module: }]}\n",
    "roles/app/tasks/main.yml": "- {debug: {msg: x}}\n",
    "roles/app/tasks/more.yml": "- {hosts: no playbook}\n",
}


@pytest.mark.long
def test_each_playbook_is_planned_with_what_its_refusals_ask_for(tmp_path: Path) -> None:
    for name, text in BOOKS.items():
        (tmp_path / "project" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "project" / name).write_text(text)
    found = {one.book: one for one in survey(tmp_path / "project", tmp_path / "scratch", bare=True)}
    assert {name: one.verdict for name, one in found.items()} == {
        "clear": "declared",
        "deploy/asks": "declared",
        "site": "planned",
        "wrong": "refused",
    }
    assert sorted(found["clear"].declared) == ["adds", "public_vars"]
    assert sorted(found["deploy/asks"].declared) == ["delegates", "vars"]
    assert "no_such_module" in found["wrong"].words[0]
    assert found["wrong"].bare.startswith("refuses")
