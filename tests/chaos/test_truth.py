"""The judge of chaos is not deceived: pairs of a log and a journal of which one lies, and their honest neighbours."""

import pytest
from ground import Line
from truth import Intent, compare


def intent(state: str = "", *, at: float = 10.0, ended: float = 20.0, step: str = "a") -> Intent:
    """Return an attempt at a step on web1; without a state one that was cut off and never ended."""
    if not state:
        return Intent(step=step, hosts=("web1",), at=at, states={})
    return Intent(step=step, hosts=("web1",), at=at, states={"web1": state}, ended=ended)


def journal(*lines: tuple[str, float], act: str = "a") -> dict[str, list[Line]]:
    return {"web1": [Line(what=what, act=act, at=at) for what, at in lines]}


WHOLE = journal(("begin", 12), ("end", 13))
HALF = journal(("begin", 12))


@pytest.mark.parametrize(
    ("intents", "lines"),
    [
        ([intent("changed")], WHOLE),
        ([intent("ok")], WHOLE),
        ([intent("failed")], HALF),
        ([intent("failed")], WHOLE),  # a later action of the slice failed
        ([intent("unknown")], HALF),
        ([intent("unreachable")], HALF),
        ([intent("not_reached")], journal()),
        ([intent("skipped")], journal()),
        ([intent("failed")], journal()),
        ([intent()], HALF),  # cut off: nobody has said anything yet
        ([intent("unknown")], journal(("begin", 25))),  # still under way there when the slice ended
        # A resume starts the slice anew: each attempt is judged by its own time.
        ([intent("not_reached"), intent("changed", at=30, ended=40)], journal(("begin", 32), ("end", 33))),
        ([intent(), intent("not_reached", at=30, ended=40)], HALF),
        ([intent("failed"), intent("skipped", at=30, ended=40)], HALF),
    ],
)
def test_pairs_that_tell_the_same_agree(intents, lines) -> None:
    compare(intents, lines)


@pytest.mark.parametrize(
    ("intents", "lines", "said"),
    [
        ([intent("not_reached")], WHOLE, "began a, and its slice ended there as not_reached"),
        ([intent("not_reached")], HALF, "began a, and its slice ended there as not_reached"),
        ([intent("skipped")], HALF, "began a, and its slice ended there as skipped"),
        ([intent("changed")], HALF, "ended on web1 as changed, and its journal has no such end"),
        ([intent("ok")], journal(("begin", 12), ("fail", 13)), "ended on web1 as ok"),
        ([intent("ok")], journal(), "ended on web1 as ok"),
        ([intent("ok")], journal(("begin", 12), ("end", 13), act="b"), "without an intent"),
        ([intent("ok")], journal(("end", 25)), "ended on web1 as ok"),
        ([intent("failed")], journal(("begin", 25)), "after its slice had ended there as failed"),
        ([intent("not_reached")], journal(("begin", 25)), "after its slice had ended there as not_reached"),
        ([intent()], journal(("begin", 5)), "without an intent"),
        ([intent("not_reached", step="b")], HALF, "without an intent"),
        # The first attempt is no excuse for the second, nor the other way round.
        ([intent("changed"), intent("changed", at=30, ended=40)], WHOLE, "ended on web1 as changed"),
        ([intent(), intent("not_reached", at=30, ended=40)], journal(("begin", 32)), "as not_reached"),
        ([intent("not_reached"), intent("changed", at=30, ended=40)],
         journal(("begin", 12), ("begin", 32), ("end", 33)), "as not_reached"),
    ],
)  # fmt: skip
def test_pairs_of_which_one_lies_are_told_apart(intents, lines, said) -> None:
    with pytest.raises(AssertionError, match=said):
        compare(intents, lines)
