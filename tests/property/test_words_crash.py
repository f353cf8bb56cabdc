"""Whatever dies and whatever is answered when: no step runs against its guard, and a resume ends what was begun."""

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

from itmp.errors import LogUnavailableError
from itmp.execution import RunSummary
from itmp.testing.rig import Rig
from itmp.testing.runners import Fuse, Killed
from itmp.testing.small_plans import ansible, ask, check, hosts, plan, rolling, wait

TWO = hosts(2)
PLAN = plan(
    [
        rolling(TWO, [ansible("tier", TWO, tasks=1), check("healthy", TWO), ask("go", after=[1])], size=1),
        wait("soak", seconds=90),
        ask("confirm", on_failure="repair", anew=True),
        ansible("between", TWO, tasks=1),
        ask("how", choices=["canary", "all"]),
        ansible("rest", TWO, tasks=1),
        ansible("repair", TWO, tasks=1),
        ansible("last", TWO, tasks=1),
    ],
    guards={
        "rest": 'steps.how.answer == "all"',
        "repair": "steps.confirm.answer == false",
        "last": 'steps.rest.outcome == "succeeded" || steps.repair.outcome == "succeeded"',
    },
)
WAYS = {
    ("false", "-", "-"): [],
    ("true", "false", "-"): ["repair", "last"],
    ("true", "true", "canary"): ["between"],
    ("true", "true", "all"): ["between", "rest", "last"],
}


def attempt(rig: Rig) -> RunSummary | None:
    begun = any(event.type in {"run.started", "run.resumed"} for event in rig.journal.events)
    with contextlib.suppress(Killed, LogUnavailableError):
        return rig.resume() if begun else rig.execute()
    return None


@settings(deadline=None, max_examples=25)
@given(
    st.sampled_from(sorted(WAYS)),
    st.lists(
        st.tuples(st.integers(0, 60), st.sampled_from([Killed, LogUnavailableError]), st.integers(0, 40)),
        max_size=4,
    ),
)
def test_no_step_runs_against_its_guard(
    answers: tuple[str, str, str], deaths: list[tuple[int, type[BaseException], int]]
) -> None:
    rig = Rig(PLAN)
    wanted = dict(zip(("go@1", "confirm", "how"), answers, strict=True))
    looks = 0

    def asleep() -> None:
        """Give the next answer after some looks, as people do."""
        nonlocal looks
        looks += 1
        rig.answers = dict(list(wanted.items())[: looks // 7])

    rig.asleep = asleep
    for at, kind, more in deaths:
        rig.arm(Fuse(at, lambda kind=kind: kind("full") if kind is LogUnavailableError else kind()))
        looks += more
        attempt(rig)
        rig.journal.power_cut()
    rig.arm(Fuse())
    summary = attempt(rig)
    lost = [host for host, state in (summary.hosts.items() if summary else ()) if state == "unknown"]
    assert summary is not None
    acted = list(dict.fromkeys(effect.slice for effect in rig.world.effects))
    way = ["tier@1", "healthy@1"]
    way += ["tier@2", "healthy@2", *WAYS[answers]] if answers[0] == "true" else []
    assert [key for key in acted if not key.startswith("healthy")] == [
        key for key in way if not key.startswith("healthy")
    ][: len(acted)] or lost
    assert set(acted) <= set(way)
    ends = {
        (event.data or {})["until"]
        for event in rig.journal.events
        if event.type == "slice.intended" and event.step == "soak" and "until" in (event.data or {})
    }
    assert len(ends) <= 1
    if not lost and summary.cause is None:
        assert [key for key in acted if key != "healthy@1"] == [key for key in way if key != "healthy@1"]
