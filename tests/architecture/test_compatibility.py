"""Every row of docs/compatibility.md is held by a test that exists, and every foreign project has its row."""

import re
from pathlib import Path

import ansible.plugins
import pytest

ROOT = Path(__file__).parents[2]
PROJECTS = ROOT / "tests/foreign/projects"
SECTIONS = ("Plays and projects", "Connections, configuration and inventories")
VERDICTS = {"works", "declare", "refused"}

TEXT = (ROOT / "docs/compatibility.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|")]
    for line in TEXT.splitlines()
    if line.startswith("| ") and not line.startswith("| feature |")
]


def exists(name: str) -> bool:
    if name.startswith("foreign:"):
        return (PROJECTS / name.removeprefix("foreign:")).is_dir()
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


@pytest.mark.parametrize("kind", ["become", "connection", "inventory", "lookup", "strategy"])
def test_every_plugin_of_ansible_core_has_its_row(kind: str) -> None:
    folder = Path(ansible.plugins.__file__).with_name(kind)
    there = {file.stem for file in folder.glob("*.py") if not file.stem.startswith("_")}
    told = set(re.findall(r"`([^`]+)`", "\n".join(f"{row[0]} {row[2]}" for row in ROWS)))
    assert there - told == set()


def test_both_parts_are_there() -> None:
    assert tuple(re.findall(r"^## (.+)$", TEXT, re.MULTILINE)) == SECTIONS


def test_every_foreign_project_has_its_row() -> None:
    told = set(re.findall(r"`foreign:([^`]+)`", "\n".join(row[-1] for row in ROWS)))
    assert told == {path.name for path in PROJECTS.glob("*/") if path.is_dir()}
