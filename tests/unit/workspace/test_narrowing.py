"""A signed `limit` line says what was meant: written and read back, for every choice of hosts, skips and retries."""

from itertools import chain, combinations, product

import pytest

from itmp.change import hosts_digest
from itmp.errors import BusyError, InvalidInputError
from itmp.testing.small_plans import ansible, hosts, plan
from itmp.testing.story import Story, small_plan
from itmp.workspace.events import watcher
from itmp.workspace.following import run_already
from itmp.workspace.narrowing import chosen_hosts, limit_line, read_limit, refuse_empty
from itmp.workspace.starting import Asked

THREE = hosts(3)
PLAN = plan([ansible("one", THREE)])
STATES = ((), ("failed",), ("failed", "unreachable"))


def subsets(names: tuple[str, ...]) -> list[tuple[str, ...]]:
    return list(chain.from_iterable(combinations(names, size) for size in range(len(names) + 1)))


def test_what_is_written_is_read_back() -> None:
    for kept, skip, retry in product(subsets(THREE), subsets(THREE), STATES):
        left = [host for host in kept or THREE if host not in skip]
        if not left:
            continue
        line = limit_line(PLAN, kept, skip=skip, retry=retry)
        read = read_limit(PLAN, line, kept)
        assert list(read.hosts or THREE) == left, line
        assert set(read.skip) == set(skip) & set(kept or THREE), line
        assert (read.retry, read.line) == (retry, line)


def test_a_line_that_selects_nothing_is_refused() -> None:
    for line in ("nobody", "!*", f"{THREE[0]},!{THREE[0]}"):
        with pytest.raises(InvalidInputError, match="selects none"):
            read_limit(PLAN, line)
    assert read_limit(PLAN, "-").hosts == read_limit(PLAN, "").hosts == ()


@pytest.mark.parametrize("nothing", ["", " ", ",", " , ,"])
def test_a_list_that_names_nothing_never_means_all(nothing: str) -> None:
    """An unset shell variable: `--limit "$WHERE"`."""
    with pytest.raises(InvalidInputError, match="names none"):
        chosen_hosts(PLAN, nothing)
    for skip, retry in (((THREE[0], nothing), ()), ((), (nothing,))):
        with pytest.raises(InvalidInputError, match="names none"):
            refuse_empty(skip=skip, retry=retry)
    recorded = Asked(key=None, recorded=True, patience=0.0, progress=watcher(None))
    with pytest.raises(InvalidInputError, match="recorded statement"):
        recorded.refuse_words(nothing)
    recorded.refuse_words(None, ())


@pytest.mark.parametrize("line", [" ", ",", "!", f"{THREE[0]},!", "+"])
def test_a_signed_line_with_a_word_that_names_nothing_is_refused(line: str) -> None:
    with pytest.raises(InvalidInputError, match="names none"):
        read_limit(PLAN, line)


def asked_again(story: Story, wanted: tuple[str, ...] | None) -> tuple[int, bool]:
    """Ask for the run of the story's change on `wanted` again."""
    record = story.record
    assert record.run
    result = run_already(record, story.plan, record.run, wanted)
    return result.exit_code, result.replayed


def refused(story: Story, wanted: tuple[str, ...], *words: str) -> None:
    """Require that another limit is refused with 2, naming both sets and what to do."""
    with pytest.raises(InvalidInputError) as error:
        asked_again(story, wanted)
    told = f"{error.value} {error.value.do}"
    assert error.value.exit_code == 2
    for word in (story.change, f"this asks to run it {words[0]}", *words[1:]):
        assert word in told, told


@pytest.mark.parametrize(("state", "code"), [("succeeded", 0), ("failed", 13)])
def test_a_finished_run_answers_for_its_own_hosts_alone(state: str, code: int) -> None:
    story = Story(plan=small_plan(hosts=THREE))
    story.open()
    story.act("approve", "bob")
    permit = story.permit(limit=f"{THREE[0]},{THREE[1]}")
    story.say(permit, "run.started", data={"permit": permit.leaf})
    with pytest.raises(BusyError, match="has not ended"):
        asked_again(story, None)
    refused(story, THREE[:1], f"on {THREE[0]} alone", "that has not ended", "itmp resume")
    story.execute(permit, state=state)
    for wanted in (None, THREE[:2], THREE[1::-1]):
        assert asked_again(story, wanted) == (code, True)
    ran = f"has run already, on {THREE[0]}, {THREE[1]} alone"
    refused(story, THREE[2:], f"on {THREE[2]} alone", ran, "itmp change open")
    refused(story, THREE, "on all hosts of its plan", ran)
    refused(story, (), "on all hosts of its plan", ran)


def test_hosts_that_the_plan_lets_be_gone_make_no_other_limit() -> None:
    story = Story(plan=small_plan(hosts=THREE))
    story.open()
    story.act("approve", "bob")
    left = THREE[:2]
    story.execute(story.force(limit=list(left), hosts=hosts_digest(left)))  # asked for on all, one was gone
    for wanted in (None, (), THREE, left):
        assert asked_again(story, wanted) == (0, True)
    refused(story, THREE[1:], f"on {THREE[1]}, {THREE[2]} alone")
