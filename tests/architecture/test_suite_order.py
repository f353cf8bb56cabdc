"""The suite begins with its longest tests, and they are there."""

import ast
from collections import Counter
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
TREE = ast.parse((TESTS / "conftest.py").read_text())
LONGEST = next(
    ast.literal_eval(node.value)
    for node in TREE.body
    if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "LONGEST"
)


def test_no_two_files_of_tests_have_one_name() -> None:
    """Pytest would collect neither the second nor say so as a failed test."""
    names = Counter(path.name for path in TESTS.rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []


def test_each_of_the_longest_is_there_once() -> None:
    assert [len(list(TESTS.rglob(name))) for name in LONGEST] == [1] * len(LONGEST)


def test_they_come_before_all_others_of_a_run(request: pytest.FixtureRequest) -> None:
    first = [item.path.name in LONGEST for item in request.session.items]
    assert first == sorted(first, reverse=True)
