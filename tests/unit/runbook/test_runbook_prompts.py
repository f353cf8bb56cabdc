"""What plays ask a person for becomes inputs, unless it may be a secret."""

from pathlib import Path
from typing import Any

import pytest

from itmp.adapters.ansible.prompts import asked
from itmp.documents import DocumentError, parse, resolve_inputs
from itmp.runbook import Runbook, answer, needs
from itmp.runbook.prompts import Asked

HEAD = """\
itmp: runbook/v1
name: release
title: Release
owner: team-web
environment: lab
risk: low
"""
STEPS = "steps: [{id: site, playbook: site}]\n"


def answered(folder: Path, prompts: str, more: str = STEPS) -> Asked:
    """A runbook over a playbook whose one play has these entries of `vars_prompt`."""
    (folder / "playbooks").mkdir(exist_ok=True)
    (folder / "playbooks/site.yml").write_text(f"- hosts: web\n  vars_prompt:\n{prompts}")
    document = parse("r.yml", f"{HEAD}{more}".encode(), {"runbook/v1": Runbook})
    assert isinstance(document, Runbook)
    return answer(document, {"site": asked(folder, "playbooks", "site")})


def given(found: Asked, **values: str) -> dict[str, Any]:
    """What the step's play gets."""
    (need,) = needs(found.document, resolve_inputs(found.document.inputs, values)).plays
    return dict(need.vars)


def test_a_prompt_becomes_an_input_that_must_be_given(tmp_path: Path) -> None:
    found = answered(tmp_path, "  - {name: release, prompt: Which release?, private: no}\n")
    assert given(found, release="7") == {"release": "7"}
    with pytest.raises(
        DocumentError, match=r"a value is missing: Which release\? \(give it with --set release="
    ) as refused:
        given(found)
    assert refused.value.problems[0].path == "input release"
    assert found.notes == ("playbooks/site.yml asks for release ('Which release?'): it is the input release",)
    assert found.left == ()


@pytest.mark.parametrize(
    ("default", "handed_on", "fits", "wrong"),
    [
        ("v1", "v1", "anything", None),
        ("''", "", "anything", None),
        ("'1'", "1", "many", None),
        ("3", "3", "-4", "many"),
        ("1.5", "1.5", "2", "v2"),
        ("no", "False", "yes", "perhaps"),
    ],
)
def test_a_default_is_taken_and_says_what_fits(
    tmp_path: Path, default: str, handed_on: str, fits: str, wrong: str | None
) -> None:
    """Ansible makes a text of each default and of whatever is typed, and so is it here."""
    found = answered(tmp_path, f"  - {{name: How, private: false, default: {default}}}\n")
    assert given(found) == {"How": handed_on}
    assert given(found, how=fits) == {"How": fits}
    if wrong:
        with pytest.raises(DocumentError, match="does not match"):
            given(found, how=wrong)


@pytest.mark.parametrize("default", ["'{{ other }}'", "'{% if x %}y{% endif %}'"])
def test_a_default_that_is_a_template_is_none(tmp_path: Path, default: str) -> None:
    found = answered(tmp_path, f"  - {{name: which, private: no, default: {default}}}\n")
    with pytest.raises(DocumentError, match="a value is missing"):
        given(found)


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        ("{name: word}", "if it is a secret: vars: {word: {secret: env:WORD}}"),
        ("{name: word, default: ''}", "if it is a secret"),
        ("{name: word, prompt: The password of the database, default: x}", "if it is a secret"),
        ("{name: word, private: yes, default: x}", "Give it to the step as a secret: vars: {word:"),
        ("{name: word, private: perhaps, default: x}", "if it is a secret"),
        ("{name: word, private: no, encrypt: sha512_crypt}", "hashed already"),
        ("{name: db_password, private: no}", "Give it to the step as a secret: vars: {db_password:"),
        ("{name: word, private: no, default: [x]}", "Make it an input"),
        ("{name: _word, private: no}", "Make it an input"),
    ],
)
def test_what_may_be_a_secret_or_cannot_be_an_input_is_left_with_what_to_write(
    tmp_path: Path, prompt: str, says: str
) -> None:
    found = answered(tmp_path, f"  - {prompt}\n")
    (problem,) = found.left
    assert problem.message.startswith("vars_prompt asks a person for ")
    assert says in problem.suggestion
    assert (found.document.inputs, found.notes) == ({}, ())


@pytest.mark.parametrize(
    "prompt", ["{name: word}", "{name: db_password, private: no}", "{name: word, private: yes}"]
)
def test_what_the_document_calls_public_is_no_secret(tmp_path: Path, prompt: str) -> None:
    found = answered(tmp_path, f"  - {prompt}\n", f"public_vars: [word, db_password]\n{STEPS}")
    assert len(found.document.inputs) == 1


def test_what_nobody_says_to_hide_and_has_a_default_is_open(tmp_path: Path) -> None:
    assert given(answered(tmp_path, "  - {name: region, prompt: Region, default: eu}\n")) == {"region": "eu"}


def test_what_the_document_gives_or_declares_is_left_as_it_is(tmp_path: Path) -> None:
    prompts = "  - {name: a, private: no}\n  - {name: b, private: no}\n  - {name: c, private: no}\n"
    more = 'inputs: {b: {type: integer}}\nsteps: [{id: site, playbook: site, vars: {a: 1, c: {secret: "env:C"}}}]\n'
    found = answered(tmp_path, prompts, more)
    assert [problem.message for problem in found.left] == ["vars_prompt asks a person for b during the run"]
    assert found.document.inputs.keys() == {"b"}
    assert found.notes == ()


def test_all_who_ask_for_one_thing_share_an_input(tmp_path: Path) -> None:
    other = "- hosts: web\n  vars_prompt: [{name: release, private: no, default: v1}]\n"
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "playbooks/other.yml").write_text(other)
    (tmp_path / "playbooks/back.yml").write_text(
        "- import_playbook: other.yml\n- import_playbook: back.yml\n"
    )
    prompts = "  - {name: release, private: no}\n- ansible.builtin.import_playbook: other.yml\n"
    found = answered(tmp_path, prompts, f"{STEPS}undo: [{{playbook: back}}]\n")
    assert found.document.inputs["release"].default is None
    assert len(found.notes) == 1
    both = answer(found.document, {})  # nothing more is asked
    assert both.document is found.document
    shared = answered(tmp_path, "  - {name: Release, private: no}\n  - {name: release, private: no}\n")
    assert [problem.message for problem in shared.left] == [
        "vars_prompt asks a person for release during the run"
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x: [",
        "just: one\n",
        "- hosts: web\n  vars_prompt: [1]\n",
        "- hosts: web\n  vars_prompt: {a: b}\n",
    ],
)
def test_what_is_no_playbook_asks_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "playbooks/site.yml").write_text(text)
    assert asked(tmp_path, "playbooks", "site") == ()
    assert asked(tmp_path, "playbooks", "absent") == ()


def test_tags_of_ansible_do_nothing_and_files_elsewhere_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "other.yml").write_text("- hosts: web\n  vars_prompt: [{name: outside, private: no}]\n")
    root = tmp_path / "w"
    root.mkdir()
    vault = "  - {name: a, private: no, default: !vault x}\n- import_playbook: ../../other.yml\n"
    found = answered(root, vault)
    assert found.document.inputs.keys() == {"a"}
