"""What an answer means: each type takes what is of it, and nothing else."""

import pytest

from itmp.canonical import MAX_INT
from itmp.plan.guarding import answer_value, meant
from itmp.plan.model import AskStep


def asked(kind: str) -> AskStep:
    choices = ("canary", "all") if kind == "choice" else ()
    return AskStep(id="go", title="Go?", question="Go?", answer=kind, choices=choices)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("boolean", "true", True), ("boolean", "false", False),
        ("integer", "0", 0), ("integer", "7", 7), ("integer", "-12", -12),
        ("integer", str(MAX_INT), MAX_INT), ("integer", str(-MAX_INT), -MAX_INT),
        ("choice", "all", "all"), ("string", "blue or green", "blue or green"), ("string", "7", "7"),
    ],
)  # fmt: skip
def test_what_is_of_its_type_is_that_value(kind: str, text: str, value: object) -> None:
    found = answer_value(asked(kind), text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        *(("boolean", text) for text in ("", "True", "yes", "1", " true", "true\n")),
        *(("integer", text) for text in ("", "-", "+1", "01", "1.0", "1e3", "0x1", " 1", "1 ", "1\n", "\u0661", "1_000")),
        ("integer", str(MAX_INT + 1)), ("integer", str(-MAX_INT - 1)), ("integer", "9" * 17), ("integer", "true"),
        *(("choice", text) for text in ("", "ALL", "all ", "canary, all")),
    ],
)  # fmt: skip
def test_what_is_not_is_none(kind: str, text: str) -> None:
    assert answer_value(asked(kind), text) is None


def test_a_person_is_told_what_may_be_answered() -> None:
    told = [meant(asked(kind)) for kind in ("boolean", "integer", "string", "choice")]
    assert told == ["true or false", "a whole number", "text", "one of: canary, all"]
