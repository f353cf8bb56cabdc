"""Every attack of the threat model has a test of its name, and every such test a row."""

import ast
from pathlib import Path

from itmp.evidence.rules import FORKED, HANDED, REVOKED, ROLLED_BACK, TEXTS

ROOT = Path(__file__).parents[2]
CONTROLS = {"the_same_without_a_lie_holds", "the_same_with_a_harmless_plugin_holds"}
"""Honest stories that show that a test's attack alone is what is found."""


def rows() -> list[list[str]]:
    page = (ROOT / "docs/threat-model.md").read_text()
    table = page.partition("## Attacks")[2].partition("\n## ")[0]
    lines = [line for line in table.splitlines() if line.startswith("| ")][1:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def tried() -> list[str]:
    files = sorted((ROOT / "tests/tamper").glob("test_attacks_*.py"))
    return [
        node.name.removeprefix("test_")
        for file in files
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]


def test_no_attack_is_missing_and_none_is_only_told() -> None:
    told = [row[2].strip("`") for row in rows()]
    assert sorted(told) == sorted(set(tried()) - CONTROLS)
    assert len(set(told)) == len(told) > 60


def test_findings_named_in_the_table_exist() -> None:
    told = [*(ROOT / "itmp/audit").glob("*.py"), ROOT / "itmp/workspace/trusted.py"]
    log = "".join(path.read_text() for path in told)
    known = {name for rule in TEXTS.values() for name in (rule.broken, rule.absent)}
    known |= {FORKED, ROLLED_BACK, REVOKED, *HANDED}
    for row in rows():
        for name in row[1].split("`")[1::2]:
            assert name in known or f'"{name}"' in log, name
