"""Whatever is reported, in whatever order: every frozen host ends in exactly one state."""

from hypothesis import given
from hypothesis import strategies as st

from itmp.execution.accounting import STATES, Tally, account, combine
from itmp.execution.doors import Action, ActionResult
from itmp.testing.small_plans import ansible

HOSTS = ("a", "b", "c", "d")
OUTCOMES = ("ok", "changed", "failed", "skipped", "unreachable", "unknown", "not_reached", "denied")
EVENTS = st.lists(
    st.tuples(
        st.sampled_from((*HOSTS, "stranger")), st.integers(1, 4), st.sampled_from((*OUTCOMES, "before"))
    ),
    max_size=30,
)
STATE = st.sampled_from(sorted(STATES))


def told(events) -> Tally:
    tally = Tally(ansible("web", HOSTS, tasks=3, handlers=1))
    for host, line, outcome in events:
        if outcome == "before":
            tally.before(Action(id=str(line), host=host, action="x"))
        else:
            tally.after(
                ActionResult(
                    id=str(line), host=host, action="x", outcome=outcome, path="project/web.yml", line=line
                )
            )
    return tally


@given(EVENTS, st.sampled_from(["returned", "cut", "lost", "unlogged"]))
def test_the_frozen_hosts_are_partitioned(events, ending) -> None:
    states = told(events).states(HOSTS, ending)
    assert tuple(states) == HOSTS
    assert set(states.values()) <= STATES


@given(EVENTS)
def test_an_open_action_is_unknown_and_silence_is_not_reached(events) -> None:
    tally, waiting = told(events), set()
    for host, line, outcome in events:
        (waiting.add if outcome == "before" else waiting.discard)((host, line))
    heard = {host for host, _, outcome in events if outcome != "not_reached"}
    for host in HOSTS:
        if any(host == open_ for open_, _ in waiting):
            assert tally.state(host) == "unknown"
        if host not in heard:
            assert tally.state(host) == "not_reached"


@given(st.lists(st.dictionaries(st.sampled_from((*HOSTS, "x")), STATE)), st.randoms(use_true_random=False))
def test_accounting_does_not_depend_on_the_order_of_slices(slices, random) -> None:
    whole = account(HOSTS, slices)
    shuffled = random.sample(slices, len(slices))
    assert account(HOSTS, shuffled) == whole
    assert tuple(whole) == HOSTS


@given(st.lists(STATE, min_size=1), st.lists(STATE, min_size=1))
def test_combining_is_one_choice_however_it_is_grouped(left, right) -> None:
    assert combine([combine(left), combine(right)]) == combine([*left, *right])
