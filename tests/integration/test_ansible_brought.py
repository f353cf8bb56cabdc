"""Collections of a project: locked with their version; what is missing, or lies elsewhere, is named with what to type."""

from pathlib import Path

import pytest

from itmp.adapters.ansible import AnsibleSources
from itmp.documents import DocumentError
from itmp.plan.sources import Facts, Needs, PlayNeed

TOOLS = "ansible_collections/acme/tools"
PLAY = "- {hosts: all, gather_facts: false, tasks: [{name: Greet, acme.tools.greet: }]}\n"
GREET = "#!/bin/sh\necho '{\"changed\": false}'\n"
ASKS = "collections: [{name: acme.tools, version: 1.5.4}]\n"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    here = tmp_path / "ws"
    write(here, "inventories/lab.yml", "all: {hosts: {web1: }}\n")
    write(here, "inventories/known_hosts", "x\n")
    write(here, "playbooks/play.yml", PLAY)
    return here


def write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def collection(root: Path, version: str) -> None:
    write(root, f"{TOOLS}/galaxy.yml", f"namespace: acme\nname: tools\nversion: {version}\n")
    write(root, f"{TOOLS}/plugins/modules/greet.sh", GREET)


def gather(root: Path, *books: str) -> Facts:
    needs = tuple(PlayNeed(id=name, playbook=name, mark="doc.yml:3:5") for name in books or ("play",))
    return AnsibleSources(root, ("inventories/lab.yml",)).gather(Needs(plays=needs))


def refused(root: Path, *books: str) -> str:
    with pytest.raises(DocumentError) as caught:
        gather(root, *books)
    return str(caught.value)


def test_a_collection_of_the_project_is_locked_and_another_version_than_asked_is_named(root: Path) -> None:
    collection(root / "collections", "0.0.1")
    write(root, "requirements.yml", ASKS)
    facts = gather(root)
    assert facts.versions["collection acme.tools"] == "0.0.1"
    assert {f"project/collections/{TOOLS}/plugins/modules/greet.sh", "project/requirements.yml"} <= set(
        facts.artifacts
    )
    said = "requirements.yml asks for collection acme.tools 1.5.4, 0.0.1 is in the project: "
    assert facts.notes == (
        f"{said}ansible-galaxy collection install -r requirements.yml -p collections --force",
    )
    collection(root / "collections", "1.5.4")
    assert gather(root).notes == ()


MISSING = (
    PLAY,
    "- {hosts: all, roles: [acme.tools.setup]}\n",
    "- import_playbook: acme.tools.more\n",
    "- {hosts: all, tasks: [{ping: , with_acme.tools.words: [1]}]}\n",
    "- {hosts: all, module_defaults: {group/acme.tools.all: {a: 1}}, tasks: [{ping: }]}\n",
)


def test_one_that_is_missing_is_refused_by_its_name_with_what_to_type(root: Path) -> None:
    typed = "ansible-galaxy collection install acme.tools -p collections"
    assert f"(The project has no collection acme.tools: {typed})" in refused(root)
    write(root, "requirements.yml", ASKS)
    typed = "ansible-galaxy collection install -r requirements.yml -p collections"
    for number, play in enumerate(MISSING):
        write(root, f"playbooks/missing{number}.yml", play)
    said = refused(root, *(f"missing{number}" for number in range(len(MISSING))))
    assert said.count(f"(The project has no collection acme.tools: {typed})") == len(MISSING)


def test_one_that_lies_with_the_user_alone_is_not_read_and_said_to_lie_there(root: Path) -> None:
    collection(root.parent / "home/.ansible/collections", "1.5.4")
    typed = "ansible-galaxy collection install acme.tools -p collections"
    said = f"acme.tools is in ~/.ansible/collections alone, which no plan reads: {typed}"
    assert f"({said})" in refused(root)
    short = "- {hosts: all, gather_facts: false, collections: [acme.tools], tasks: [{greet: }]}\n"
    write(root, "playbooks/play.yml", short)
    assert f"({said})" in refused(root)
    unread = (
        "- {hosts: all, gather_facts: false, tasks: [{debug: {msg: \"{{ 'a' | acme.tools.shout }}\"}}]}\n"
    )
    write(root, "playbooks/play.yml", unread)
    assert gather(root).notes == (f"collection {said}",)
