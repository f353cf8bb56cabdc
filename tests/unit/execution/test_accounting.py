import pytest

from itmp.execution.accounting import STATES, Tally, account, combine
from itmp.execution.doors import Action, ActionResult
from itmp.plan.model import AnsibleStep, ExpectedTask

SECTIONS = {1: "task", 2: "task", 3: "rescue", 4: "always", 5: "handler", 6: "facts"}
STEP = AnsibleStep(
    id="web",
    title="web",
    playbook="project/web.yml",
    hosts=("web1",),
    expected=tuple(
        ExpectedTask(path="project/web.yml", line=line, action="x.y.z", name=str(line), section=section)  # type: ignore[arg-type]
        for line, section in SECTIONS.items()
    ),
)


def tally(*story: tuple[int, str]) -> Tally:
    """Tell of web1: (line, outcome), `?` for an action without its result, a trailing `!` for an excused failure."""
    found = Tally(STEP)
    for place, (line, outcome) in enumerate(story):
        found.before(Action(id=str(place), host="web1", action="x.y.z"))
        if outcome != "?":
            found.after(
                ActionResult(
                    id=str(place),
                    host="web1",
                    action="x.y.z",
                    outcome=outcome.rstrip("!"),  # type: ignore[arg-type]
                    path="project/web.yml",
                    line=line,
                    data={"ignored": True} if outcome.endswith("!") else {},
                )
            )
    return found


@pytest.mark.parametrize(
    ("story", "state"),
    [
        ([], "not_reached"),
        ([(1, "ok"), (2, "changed")], "changed"),
        ([(1, "ok"), (2, "skipped")], "ok"),
        ([(1, "skipped")], "skipped"),
        ([(1, "changed"), (2, "failed")], "failed"),
        ([(1, "denied")], "failed"),
        ([(1, "unreachable")], "unreachable"),
        ([(1, "changed"), (2, "?")], "unknown"),
        ([(1, "unknown"), (2, "ok")], "unknown"),
        ([(1, "failed"), (2, "?")], "unknown"),
        ([(1, "failed!")], "ok"),
        ([(1, "changed"), (2, "failed!")], "changed"),
        ([(1, "failed"), (2, "changed")], "changed"),  # a failed host gets no later task: it was ignored
        ([(1, "failed"), (3, "ok")], "ok"),  # rescued
        ([(1, "failed"), (3, "failed")], "failed"),
        ([(1, "failed"), (4, "ok"), (5, "changed")], "failed"),  # always and handlers heal nothing
        ([(1, "failed"), (99, "ok")], "failed"),  # nor does a task of unknown place
        ([(1, "not_reached")], "not_reached"),
    ],
)
def test_what_became_of_a_host_that_its_runner_came_back_from(story, state) -> None:
    assert tally(*story).state("web1") == state


@pytest.mark.parametrize(
    ("story", "cut", "lost"),
    [
        ([], "not_reached", "not_reached"),
        ([(1, "changed")], "failed", "unknown"),
        ([(1, "?")], "unknown", "unknown"),
        ([(1, "unreachable")], "unreachable", "unreachable"),
        ([(1, "not_reached")], "not_reached", "not_reached"),
    ],
)
def test_what_became_of_a_host_whose_slice_was_cut_or_whose_runner_broke_down(story, cut, lost) -> None:
    found = tally(*story)
    assert (found.state("web1", "cut"), found.state("web1", "lost")) == (cut, lost)
    assert found.state("web1", "unlogged") == "unknown"


def test_of_several_states_the_worst_stands() -> None:
    assert combine(["ok", "changed", "skipped"]) == "changed"
    assert combine(["changed", "not_reached"]) == "not_reached"
    assert combine(["not_reached", "unreachable", "failed"]) == "failed"
    assert combine(STATES) == "unknown"
    assert combine([]) == "not_reached"


def test_a_host_that_no_slice_knows_is_not_reached_and_strangers_are_left_out() -> None:
    assert account(["a", "b"], [{"a": "ok", "c": "failed"}]) == {"a": "ok", "b": "not_reached"}


def background(*story: tuple[str, dict[str, list[str]]]) -> str:
    """Tell of web1: (outcome, what is said of work in the background)."""
    found = Tally(STEP)
    for place, (outcome, data) in enumerate(story):
        found.before(Action(id=str(place), host="web1", action="x.y.z"))
        result = ActionResult(id=str(place), host="web1", action="x.y.z", outcome=outcome, data=data)  # type: ignore[arg-type]
        found.after(result)
    return found.state("web1")


def test_work_in_the_background_is_unknown_until_its_own_end_was_found() -> None:
    start, other = ("unknown", {"started": ["1", "2"]}), ("unknown", {"started": ["3"]})
    one, two = ("changed", {"ended": ["1"]}), ("ok", {"ended": ["2"]})
    assert background(start) == background(start, ("changed", {})) == background(start, one) == "unknown"
    assert background(start, one, two) == "changed"
    assert background(start, one, two, other) == "unknown"
    assert background(start, ("failed", {"ended": ["1", "2"]})) == "failed"
