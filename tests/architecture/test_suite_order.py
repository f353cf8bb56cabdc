"""The suite begins with its longest tests, and they are there."""

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
TREE = ast.parse((TESTS / "conftest.py").read_text())
LONGEST = next(
    ast.literal_eval(node.value)
    for node in TREE.body
    if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "LONGEST"
)


def test_each_of_the_longest_is_there_once() -> None:
    assert [len(list(TESTS.rglob(name))) for name in LONGEST] == [1] * len(LONGEST)


def test_they_come_before_all_others_of_a_run(request: pytest.FixtureRequest) -> None:
    first = [item.path.name in LONGEST for item in request.session.items]
    assert first == sorted(first, reverse=True)
