"""Our part of CEL means what CEL means: every guard comes out as another implementation of CEL has it."""

from typing import Any

import cel
from hypothesis import given
from hypothesis import strategies as st

from itmp.documents.guards import MAX_SOURCE, Guard, Known

INTS = st.integers(-20, 20).map(str)
TEXTS = st.text(
    alphabet="ab\"'\\ z", max_size=4
)  # the other one counts bytes in size(), CEL and we characters


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


numbers = INTS | st.just("inputs.n") | st.just('steps["a-b"].answer')
texts = TEXTS.map(quoted) | st.just("inputs.s") | st.just("steps.c.outcome")
relations = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
atoms = (
    st.sampled_from(["true", "false", "inputs.b", "steps.c.answer", "steps.lost.answer"])
    | st.tuples(numbers, relations, numbers).map(" ".join)
    | st.tuples(texts, st.sampled_from(["==", "!="]), texts).map(" ".join)
    | st.tuples(texts, st.sampled_from(["startsWith", "endsWith", "contains"]), texts).map(
        lambda parts: f"{parts[0]}.{parts[1]}({parts[2]})"
    )
    | st.tuples(numbers, st.lists(INTS, min_size=1, max_size=3)).map(
        lambda parts: f"{parts[0]} in [{', '.join(parts[1])}]"
    )
    | st.tuples(texts, INTS).map(lambda parts: f"size({parts[0]}) < {parts[1]}")
)
guards = st.recursive(
    atoms,
    lambda inner: (
        st.tuples(inner, st.sampled_from(["&&", "||", "==", "!="]), inner).map(
            lambda parts: f"({parts[0]}) {parts[1]} ({parts[2]})"
        )
        | inner.map(lambda one: f"!({one})")
        | st.tuples(inner, inner, inner).map(lambda parts: f"({parts[0]}) ? ({parts[1]}) : ({parts[2]})")
    ),
    max_leaves=6,
)


def by_cel(source: str, known: Known) -> bool:
    """What CEL says; its errors (an answer that is not there) count as untrue."""
    steps: dict[str, dict[str, Any]] = {name: {"outcome": word} for name, word in known.outcomes.items()}
    for name, value in known.answers.items():
        steps.setdefault(name, {"outcome": "pending"})["answer"] = value
    try:
        return cel.evaluate(source, {"inputs": dict(known.inputs), "steps": steps}) is True
    except Exception:  # noqa: BLE001 -- whatever CEL calls an error
        return False


VALUES = st.fixed_dictionaries(
    {"n": st.integers(-20, 20), "s": TEXTS, "b": st.booleans(), "c": st.booleans(), "ab": st.integers(-5, 5)}
)


@given(guards, VALUES)
def test_a_guard_comes_out_as_in_cel(source: str, values: dict[str, Any]) -> None:
    known = Known(
        inputs={name: values[name] for name in ("n", "s", "b")},
        outcomes={"c": "failed", "a-b": "succeeded", "lost": "pending"},
        answers={"c": values["c"], "a-b": values["ab"]},
    )
    if len(source) <= MAX_SOURCE:
        assert Guard(source).holds(known) is by_cel(source, known)
