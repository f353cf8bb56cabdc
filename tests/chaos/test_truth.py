"""The judge of chaos is not deceived: pairs of a log and a journal of which one lies, and their honest neighbours."""

from typing import Any

import pytest
from ground import Line
from truth import Intent, Story, Told, compare, names, repeated, unhandled


def intent(state: str = "", *, at: float = 10.0, ended: float = 20.0, step: str = "a") -> Intent:
    """Return an attempt at a step on web1; without a state one that was cut off and never ended."""
    if not state:
        return Intent(step=step, hosts=("web1",), at=at, states={})
    word = {"unknown": "", "skipped": "", "not_reached": ""}.get(state, state)
    results = [result(word, at=ended - 1, act=step)] if word else []
    return Intent(step=step, hosts=("web1",), at=at, states={"web1": state}, ended=ended, results=results)


def result(outcome: str, *, at: float = 19.0, act: str = "a", **more: Any) -> Told:
    """Return a result on web1."""
    return Told(act=act, host="web1", **{"place": "web1", **more}, outcome=outcome, at=at)


def journal(*lines: tuple[str, float], act: str = "a") -> dict[str, list[Line]]:
    """Return the journals of hosts of which only web1 has done anything."""
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


def rolled(state: str, *results: Told) -> list[Intent]:
    """Return one attempt at a step of several acts on web1."""
    return [Intent(step="roll", hosts=("web1",), at=10, states={"web1": state}, ended=20, results=[*results])]


def acts(*lines: tuple[str, str, float]) -> list[Line]:
    """Return a journal; each of its acts is one of its own from its beginning on."""
    begun = dict.fromkeys((act for _, act, _ in lines), 0.0)
    made = []
    for what, act, at in lines:
        begun[act] = at if what == "begin" else begun[act]
        made.append(Line(what=what, act=act, at=at, since=begun[act]))
    return made


FAILED = result("failed", at=13, act="risky", excused=True)
MENDED = result("ok", at=15, act="mend")
SEALED = result("ok", at=17, act="seal")
RESCUED = acts(
    ("begin", "risky", 12), ("fail", "risky", 13), ("begin", "mend", 14), ("end", "mend", 15),
    ("begin", "seal", 16), ("end", "seal", 17),
)  # fmt: skip


def test_a_rescue_is_part_of_what_a_host_got_through() -> None:
    compare(rolled("ok", FAILED, MENDED, SEALED), {"web1": RESCUED})
    with pytest.raises(AssertionError, match="all that failed there was rescued"):
        compare(rolled("failed", FAILED, MENDED, SEALED), {"web1": RESCUED})
    with pytest.raises(
        AssertionError, match="began mend 1 times under one intent, and the log has 0 results"
    ):
        compare(rolled("ok", FAILED, SEALED), {"web1": RESCUED})
    with pytest.raises(AssertionError, match="no such end of mend"):
        compare(rolled("ok", FAILED, SEALED), {"web1": RESCUED[:2] + RESCUED[4:]})
    with pytest.raises(AssertionError, match="no such end of seal"):
        compare(rolled("ok", FAILED, MENDED), {"web1": RESCUED[:4]})


def test_an_act_that_runs_twice_has_two_results() -> None:
    twice = acts(*(("begin" if n % 2 == 0 else "end", "seal", 12.0 + n) for n in range(4)))
    compare(rolled("ok", SEALED, result("ok", at=16, act="seal")), {"web1": twice})
    with pytest.raises(AssertionError, match="began seal 2 times"):
        compare(rolled("ok", SEALED), {"web1": twice})
    compare(
        rolled("unknown", result("ok", at=14, act="seal")), {"web1": twice[:3]}
    )  # of the second nothing is known


def test_what_is_delegated_is_told_where_it_was_done() -> None:
    once = result("changed", at=14, act="once", place="web3")
    compare(
        rolled("failed", once, result("failed", act="seal")),
        {"web1": [], "web3": acts(("begin", "once", 12), ("end", "once", 13))},
    )
    with pytest.raises(AssertionError, match="web1 did once"):
        compare(
            rolled("unknown", result("changed", at=14, act="once")),
            {"web1": [], "web3": acts(("begin", "once", 12), ("end", "once", 13))},
        )
    with pytest.raises(AssertionError, match="without an intent"):
        compare([], {"web3": acts(("begin", "once", 12))})


AGAIN = {"web1": acts(("begin", "a", 12), ("end", "a", 13), ("begin", "a", 32), ("end", "a", 33))}
RETRY = [(25.0, frozenset({"failed"}))]


def story(before: Intent, *between: Intent, retries: Any = ()) -> Story:
    return Story(intents=[before, *between, intent("ok", at=30, ended=40)], retries=list(retries))


def test_what_is_begun_again_was_asked_for_or_its_batch_was_closed() -> None:
    closing = intent("ok", at=24, ended=25, step="z")
    repeated(story(intent("failed"), retries=RETRY), AGAIN)
    repeated(story(intent("ok"), closing), AGAIN)
    looked = intent()
    looked.said["web1"] = "failed"
    repeated(story(looked, retries=RETRY), AGAIN)
    for wrong, said in (
        (story(intent("failed")), "'failed', and nobody asked"),
        (story(intent("unreachable"), retries=RETRY), "'unreachable', and nobody asked"),
        (story(intent("ok"), retries=RETRY), "the log had called its step ok"),
        (story(intent(), retries=RETRY), "'nothing', and nobody asked"),
        (story(intent("unknown"), retries=RETRY), "'unknown', and nobody asked"),
    ):
        with pytest.raises(AssertionError, match=said):
            repeated(wrong, AGAIN)
    looked.said["web1"] = "ok"
    with pytest.raises(AssertionError, match="called its step ok"):
        repeated(story(looked, retries=RETRY), AGAIN)


def test_a_batch_that_was_entered_again_is_closed_again() -> None:
    closed = {"web1": acts(("begin", "z", 12), ("end", "z", 13), ("begin", "z", 32), ("end", "z", 33))}
    ends = (intent("ok", step="z"), intent("ok", at=30, ended=40, step="z"))
    entered = intent("ok", at=24, ended=25)
    repeated(Story(intents=[ends[0], entered, ends[1]], retries=[]), closed)
    with pytest.raises(AssertionError, match="called its step ok"):
        repeated(Story(intents=[*ends], retries=RETRY), closed)


def test_nothing_runs_beside_itself() -> None:
    lines = [Line(what="begin", act="a", at=12, since=12), Line(what="begin", act="a", at=32, since=32)]
    repeated(story(intent("failed"), retries=RETRY), {"web1": lines})  # the first one has died
    lines.append(Line(what="end", act="a", at=33, since=12))
    with pytest.raises(AssertionError, match="began a while it still ran there"):
        repeated(story(intent("failed"), retries=RETRY), {"web1": lines})


def test_a_change_asks_for_its_handler_and_people_are_told_its_name() -> None:
    changed = acts(("begin", "conf", 12), ("change", "conf", 13), ("end", "conf", 14))
    assert [(host, line.act) for host, line in unhandled({"web1": changed})] == [("web1", "conf")]
    begun = [*changed, *acts(("begin", "reload", 15))]
    assert [*unhandled({"web1": begun})]
    assert not [*unhandled({"web1": [*changed, *acts(("begin", "reload", 15), ("end", "reload", 16))]})]
    notes = [
        "when this was taken up: pending handlers: web1: app : reload (deploy@1)",
        "not known whether notified: web2: app : reload, kick (late)",
        "deploy@1: left over and ended: web1: 17 sh",
    ]
    assert [*names(notes)] == [("web1", "reload", True), ("web2", "reload", False), ("web2", "kick", False)]
