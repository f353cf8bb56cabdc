"""docs/compatibility.md: every row is held by a test that exists, and every word of ansible-core itself has its row.

The words are asked of the ansible-core that is here: keywords, `meta` actions, plugins, options of `ansible-playbook`. A
keyword counts only where what its row's tests run writes it.
"""

import functools
import re
from pathlib import Path

import ansible.plugins
import pytest
import yaml
from ansible.cli.playbook import PlaybookCLI
from ansible.modules import meta
from ansible.playbook.block import Block
from ansible.playbook.handler import Handler
from ansible.playbook.loop_control import LoopControl
from ansible.playbook.play import Play
from ansible.playbook.role import Role
from ansible.playbook.task import Task

from itmp.adapters.ansible import _config

ROOT = Path(__file__).parents[2]
PROJECTS = {"foreign": ROOT / "tests/foreign/projects", "whole": ROOT / "tests/foreign/whole_hosts"}
"""The two grounds of foreign projects, as rows name them."""
SECTIONS = (
    "Plays and projects",
    "Connections, configuration and inventories",
    "The command line and the environment",
    "What public projects needed",
)
VERDICTS = {"works", "declare", "carried", "refused"}
WRITTEN = {"async_val": "async", "loop_with": "with_items"}
"""What Ansible calls inside what people write otherwise."""
KEY = r"(?m)(?:^|[{{,\s-]){}['\"]?\s*:"
"""How YAML writes a keyword: as a key, not in a name or a comment."""

TEXT = (ROOT / "docs/compatibility.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|")]
    for line in TEXT.splitlines()
    if line.startswith("| ") and not line.startswith(("| feature |", "| option |"))
]


def project(name: str) -> Path | None:
    """Return the folder of a project that is named as its ground and its name."""
    ground, _, folder = name.partition(":")
    return PROJECTS[ground] / folder if ground in PROJECTS else None


def exists(name: str) -> bool:
    if folder := project(name):
        return folder.is_dir()
    path, _, test = name.partition("::")
    file = ROOT / path
    return (
        file.is_file() and re.search(rf"^def {re.escape(test)}\(", file.read_text(), re.MULTILINE) is not None
    )


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_row_says_its_verdict_and_the_test_that_holds_it(row: list[str]) -> None:
    feature, verdict, known, held = row
    assert feature
    assert verdict in VERDICTS
    assert known or verdict == "works", "what to declare, or why it is refused"
    proofs = re.findall(r"`([^`]+)`", held)
    assert proofs
    assert [name for name in proofs if not exists(name)] == []


def words(column: int, *, verdicts: set[str] = VERDICTS) -> dict[str, list[list[str]]]:
    """Return the rows that name each word in a column, words standing in backticks."""
    found: dict[str, list[list[str]]] = {}
    for row in ROWS:
        if row[1] in verdicts:
            for text in re.findall(r"`([^`]+)`", row[column]):
                found.setdefault(text, []).append(row)
    return found


@functools.cache
def run_by(held: str) -> str:
    """Return the text of what a row's tests run: the files of projects, whole test files.

    What `expect.yml` says of a project describes it, and runs nowhere.
    """
    texts = []
    for name in re.findall(r"`([^`]+)`", held):
        folder, file = project(name), ROOT / name.partition("::")[0]
        texts += [
            one.read_text() for one in (sorted((folder / "tree").rglob("*.y*ml")) if folder else [file])
        ]
    return "\n".join(texts)


@pytest.mark.parametrize("kind", [Play, Block, Task, Role, Handler, LoopControl])
def test_every_keyword_has_a_row_whose_tests_write_it(kind: type) -> None:
    rows = words(0)
    keywords = {WRITTEN.get(name, name) for name in kind.fattributes}  # type: ignore[attr-defined]  # Ansible ships no types
    assert len(keywords) > 5
    shown = {
        name
        for name in keywords
        if any(re.search(KEY.format(re.escape(name)), run_by(row[3])) for row in rows.get(name, []))
    }
    assert keywords - shown == set()


def test_every_meta_action_has_its_row() -> None:
    choices = yaml.safe_load(meta.DOCUMENTATION)["options"]["free_form"]["choices"]
    assert set(choices) - words(0).keys() == set()
    for name in choices:
        assert any(re.search(rf"\bmeta: {name}\b", run_by(row[3])) for row in words(0)[name]), name


def test_every_option_of_ansible_playbook_has_its_row() -> None:
    cli = PlaybookCLI(["ansible-playbook", "x.yml"])
    cli.init_parser()
    options = {text for action in cli.parser._actions for text in action.option_strings}
    assert len(options) > 50
    assert options - words(0).keys() == set()


KINDS = (
    "action",
    "become",
    "cache",
    "callback",
    "connection",
    "inventory",
    "lookup",
    "shell",
    "strategy",
    "vars",
)
WRITES = {"filter": r"\|\s*{}\b", "test": r"\bis\s+(?:not\s+)?{}\b"}
"""Kinds of which one file holds many: each has its own documentation, and how a play writes it."""
BARE = {"cliconf", "doc_fragments", "httpapi", "netconf", "terminal"}
"""Kinds of which ansible-core has no plugin that a play names by its file."""


@pytest.mark.parametrize("kind", KINDS)
def test_every_plugin_of_ansible_core_has_its_row(kind: str) -> None:
    folder = Path(ansible.plugins.__file__).with_name(kind)
    there = {file.stem for file in folder.glob("*.py") if not file.stem.startswith("_")} - {"base"}
    told = set(words(0)) | set(words(2))
    assert there
    assert there - told == set()


@pytest.mark.parametrize("kind", WRITES)
def test_every_filter_and_test_of_ansible_core_has_a_row_whose_tests_write_it(kind: str) -> None:
    there = {file.stem for file in Path(ansible.plugins.__file__).with_name(kind).glob("*.yml")}
    assert len(there) > 40
    rows = words(0)
    shown = {
        name
        for name in there
        if any(re.search(WRITES[kind].format(re.escape(name)), run_by(row[3])) for row in rows.get(name, []))
    }
    assert there - shown == set()


def test_no_kind_of_plugin_is_forgotten() -> None:
    there = {file.parent.name for file in Path(ansible.plugins.__file__).parent.glob("*/__init__.py")}
    assert there == {*KINDS, *WRITES, *BARE}


def test_every_setting_that_is_honoured_stands_in_its_row() -> None:
    row_of = words(0, verdicts={"works"})
    settings = {key for keys in _config.HONOURED.values() for key in keys} | {"strategy", "transport"}
    missing = {name for name in settings if not any("ansible.cfg" in row[0] for row in row_of.get(name, []))}
    assert missing == set()


def test_each_part_is_there() -> None:
    assert tuple(re.findall(r"^## (.+)$", TEXT, re.MULTILINE)) == SECTIONS


def test_every_foreign_project_has_its_row() -> None:
    told = {name for row in ROWS for name in re.findall(r"`([^`]+)`", row[-1]) if project(name)}
    assert told == {
        f"{ground}:{path.name}"
        for ground, folder in PROJECTS.items()
        for path in folder.iterdir()
        if path.is_dir()
    }
