"""Guards: what is understood, what is refused and where, what they come to."""

import pytest

from itmp.documents.guards import Guard, GuardError, Kind, Known, Names

NAMES = Names(
    inputs={
        "depth": Kind(type="integer"),
        "quick": Kind(type="boolean"),
        "zone": Kind(type="string", choices=("eu", "us")),
    },
    steps={
        "confirm": Kind(type="boolean"),
        "shift-load": None,
        "how": Kind(type="string", choices=("canary", "all")),
        "count": Kind(type="integer"),
    },
    later=frozenset({"rest"}),
)
KNOWN = Known(
    inputs={"depth": 3, "quick": False, "zone": "eu"},
    outcomes={"shift-load": "failed", "confirm": "succeeded"},
    answers={"confirm": True, "count": 7},
)


@pytest.mark.parametrize(
    ("source", "holds"),
    [
        ("steps.confirm.answer", True),
        ("steps.confirm.answer == true && inputs.depth > 2", True),
        ('steps["shift-load"].outcome == "failed" ? !inputs.quick : false', True),
        ("inputs.zone in ['us', \"eu\"]", True),
        ("inputs.depth in [1, -3]", False),
        ("inputs.zone.startsWith('e') && inputs.zone.contains('u') && !inputs.zone.endsWith('e')", True),
        ("size(inputs.zone) == 2", True),
        ("-3 < inputs.depth && inputs.depth <= 3 && inputs.depth != 4 && 3 >= inputs.depth", True),
        ("steps.how.outcome == 'pending'", True),
        ("steps.how.answer == 'all'", False),
        ("steps.how.answer != 'all'", False),  # nobody answered: untrue either way
        ("steps.how.answer == 'all' || inputs.depth == 3", True),
        ("!(steps.how.answer == 'all' && inputs.quick)", True),
        ("steps.how.answer in ['all'] ? true : true", False),
        ("steps.count.answer > 6", True),
        (r"size('a\'b') == 3", True),
    ],
)
def test_what_a_guard_comes_to(source: str, holds: bool) -> None:  # noqa: FBT001
    guard = Guard(source)
    guard.check(NAMES)
    assert guard.holds(KNOWN) is holds


@pytest.mark.parametrize(
    ("source", "at", "says"),
    [
        ("steps.confrm.answer", 1, "did you mean 'confirm'?"),
        ("inputs.dept > 2", 1, "did you mean 'depth'?"),
        ("true && stepz.confirm.answer", 9, "did you mean 'steps'?"),
        ("steps.shift-load.outcome == 'failed'", 1, 'steps["my-id"]'),
        ("steps.rest.outcome == 'failed'", 1, "does not come before"),
        ('steps["shift-load"].answer', 1, "asks nothing"),
        ("steps.confirm.outcom == 'failed'", 15, "did you mean 'outcome'?"),
        ("steps.confirm.outcome == 'succeded'", 23, "did you mean 'succeeded'?"),
        ("steps.how.answer == 'canery'", 18, "did you mean 'canary'?"),
        ("inputs.zone in ['eu', 'xx']", 23, "can never stand there"),
        ("steps.confirm.answer == 3", 22, "never a whole number"),
        ("steps.confirm.answer < true", 22, "compares whole numbers"),
        ("inputs.depth", 1, "true or false"),
        ("inputs.quick && inputs.depth", 17, "not a whole number"),
        ("inputs.zone.startWith('e')", 13, "did you mean 'startsWith'?"),
        ("inputs.depth in inputs.zone", 17, "list of literals"),
        ("[1] == [1]", 1, "right of `in` only"),
        ("1 + 1 == 2", 2, "not understood"),
        ("1.5 > 1", 1, "not understood"),
        ("0x10 > 1", 1, "not understood"),
        ("'open", 1, "not understood"),
        ("true true", 6, "one too many"),
        ("(true", 6, "must stand here"),
        ("", 1, "must stand here"),
        ("inputs.quick ? 1 : 'a'", 14, "never text"),
    ],
)
def test_a_mistake_is_named_at_its_character(source: str, at: int, says: str) -> None:
    with pytest.raises(GuardError) as caught:
        Guard(source).check(NAMES)
    assert caught.value.at == at
    assert says in f"{caught.value.what} {caught.value.do}"


@pytest.mark.parametrize("source", ["(" * 400 + "true", "!" * 450 + "true", "true" + " && true" * 80])
def test_no_text_costs_more_than_its_length(source: str) -> None:
    with pytest.raises(GuardError):
        Guard(source)


def test_what_speaks_of_inputs_alone_is_settled_by_the_plan() -> None:
    assert Guard("inputs.quick || inputs.depth > 2").settled
    assert not Guard("inputs.quick || steps.confirm.answer").settled


def test_the_reason_names_the_missing_answer() -> None:
    assert Guard("steps.how.answer == 'all'").why_not(KNOWN) == (
        "guard: steps.how.answer == 'all' (no answer of how)"
    )
    assert Guard("inputs.quick").why_not(KNOWN) == "guard: inputs.quick"
