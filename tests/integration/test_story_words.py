"""Questions, waits, pauses, guards and jumps on real hosts, by the real program, as people would use them."""

import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from places import Place, carriers, kill, wait_for

from itmp import evidence
from itmp.errors import RefusedError
from itmp.testing.small_plans import ask
from itmp.workspace import Workspace
from itmp.workspace.answering import role_to_answer

pytestmark = pytest.mark.fleet
SCRIPT = Path(evidence.__file__).parent / "verify.sh"


def act(name: str, **more: Any) -> dict[str, Any]:
    task = {"name": name, "ansible.builtin.raw": f"sh {{{{ host_root }}}}/act {name}"}
    return {"id": name, "tasks": [task], **more}


def book(**head: Any) -> str:
    """Write the runbook of every test here: it is compiled once."""
    document = {
        "itmp": "runbook/v1",
        "name": "words",
        "title": "Ask, wait, go on",
        "owner": "team-web",
        "environment": "production",
        "risk": "moderate",
        "inputs": {"thorough": {"type": "boolean", "default": False}},
        "steps": [
            {
                "id": "tier",
                "rolling": {"hosts": "web1:web2", "batches": [1], "pause": {"roles": ["sre"]}},
                "steps": [act("restart")],
            },
            {"id": "soak", "wait": {"for": "4s"}},
            {
                "id": "confirm",
                "ask": {
                    "question": "Is the error rate back to normal?",
                    "answer": "boolean",
                    "roles": ["sre"],
                },
                "on_failure": "repair",
            },
            act("rest", hosts="web3"),
            {"id": "depth", "ask": {"question": "How far?", "answer": ["canary", "all"]}},
            act("more", hosts="web3", when='steps.depth.answer == "all"'),
            act("scrub", hosts="web3", when="inputs.thorough"),
            act("repair", hosts="web1:web2", when="steps.confirm.answer == false"),
        ],
        **head,
    }
    text: str = yaml.safe_dump(document, sort_keys=False)
    return text


def did(*names: str) -> list[str]:
    return [f"{part} {name}" for name in names for part in ("begin", "end")]


def asked(place: Place, change: str, key: str) -> None:
    """Wait until the run asks `key`."""
    wait_for(lambda: slices(place, change)[-1:] == [key], f"{change} to ask {key}")


def answer(place: Place, change: str, step: str, value: str, *, key: str = "alice", expect: int = 0) -> Any:
    return place.json("answer", change, step, value, "--key", key, expect=expect)


def slices(place: Place, change: str) -> list[str]:
    """Return what was intended, in order; a slice that was passed over with a minus before it."""
    intents = [leaf.event for leaf in place.leaves(change) if leaf.event.type == "slice.intended"]
    return [("-" if (e.data or {}).get("passed") else "") + str((e.data or {})["slice"]) for e in intents]


def proved(place: Place, change: str) -> None:
    """Have two independent checkers accept the change's evidence."""
    place.itmp("change", "close", change, "--reason", "done", "--key", "alice", expect=0)
    place.itmp("evidence", change, "-o", "e.tar", expect=0)
    for call in (["itmp-verify", "e.tar", "--trust", "trust"], ["bash", str(SCRIPT), "e.tar", "trust"]):
        found = subprocess.run(
            call, cwd=place.root, env=place.environ, capture_output=True, text=True, timeout=240, check=False
        )
        assert found.returncode == 0, found.stdout + found.stderr


def test_a_run_waits_for_each_answer_and_takes_the_branch_that_was_answered(place: Place) -> None:
    change = place.ready(book())
    process = place.start("run", change, "--key", "alice")
    shown = place.json("wait", change, "--for", "asked")
    (question,) = shown["asks"]
    assert question == {
        "step": "tier-pause@1",
        "question": "Go on with the next batch?",
        "answer": "true or false",
        "roles": ["sre"],
    }
    assert shown["next"][0] == f"itmp answer {change} tier-pause@1 VALUE"
    assert place.journals() == {"web1": did("restart"), "web2": [], "web3": []}

    answer(place, change, "tier-pause@1", "perhaps", expect=2)
    answer(place, change, "confirm", "true", expect=2)  # not asked yet
    answer(place, change, "tier-pause@1", "true", key="bob")
    asked(place, change, "confirm")
    assert place.journals() == {"web1": did("restart"), "web2": did("restart"), "web3": []}
    answer(place, change, "confirm", "true")
    asked(place, change, "depth")
    answer(place, change, "depth", "canary")
    done = place.ended(process)
    assert done.rc == 0, done
    assert place.journals() == {"web1": did("restart"), "web2": did("restart"), "web3": did("rest")}
    assert slices(place, change) == [
        "restart@1", "tier-pause@1", "restart@2", "soak", "confirm", "rest", "depth", "-more", "-scrub", "-repair",
    ]  # fmt: skip
    assert place.json("status", change)["hosts"] == dict.fromkeys(("web1", "web2", "web3"), "changed")
    assert place.json("run", change, "--key", "alice")["replayed"]
    proved(place, change)


@pytest.mark.long
def test_a_kill_while_it_waits_loses_neither_answer_nor_deadline(place: Place) -> None:
    change = place.ready(book())
    process = place.start("run", change, "--key", "alice")
    asked(place, change, "tier-pause@1")
    run = str(place.json("status", change)["run"])
    kill(process.pid)
    process.wait()
    wait_for(lambda: not carriers(run), "the run's processes to end")
    stands = place.json("status", change)
    assert [one["step"] for one in stands["asks"]] == ["tier-pause@1"]
    answer(place, change, "tier-pause@1", "true")  # nobody waits, and it counts
    answer(place, change, "tier-pause@1", "false", key="bob", expect=19)

    second = place.start("resume", change, "--key", "alice")
    wait_for(lambda: "soak" in slices(place, change), "the wait to begin")
    kill(second.pid)
    second.wait()
    third = place.start("resume", change, "--key", "alice")
    asked(place, change, "confirm")
    ends = {
        (leaf.event.data or {})["until"]
        for leaf in place.leaves(change)
        if leaf.event.type == "slice.intended" and leaf.event.step == "soak"
    }
    assert len(ends) == 1, "each attempt waits for the same moment"
    answer(place, change, "confirm", "false", key="bob")
    done = place.ended(third)
    assert done.rc == 0, done
    after = did("restart", "repair")
    assert place.journals() == {"web1": after, "web2": after, "web3": []}
    assert slices(place, change)[-6:] == ["confirm", "-rest", "-depth", "-more", "-scrub", "repair"]
    assert [leaf.event.step for leaf in place.leaves(change) if leaf.event.type == "ask.answered"] == [
        "tier-pause",
        "confirm",
    ]
    proved(place, change)


@pytest.mark.long
def test_a_batch_that_is_entered_again_after_a_kill_is_asked_about_again(place: Place) -> None:
    change = place.ready(book())
    place.hold("web2", "restart")
    first = place.start("run", change, "--key", "alice")
    asked(place, change, "tier-pause@1")
    answer(place, change, "tier-pause@1", "true")
    place.until("web2", "begin restart")
    run = str(place.json("status", change)["run"])
    kill(first.pid)
    first.wait()
    wait_for(lambda: not carriers(run), "the run's processes to end")
    place.let_go("web2", "restart")
    place.until("web2", "end restart")
    place.itmp(
        "reconcile", change, "web2", "failed", "--reason", "it must be done again", "--key", "alice", expect=0
    )

    again = place.start("resume", change, "--retry", "failed", "--key", "alice")
    asked(place, change, "tier-pause@1")
    shown = place.json("status", change)
    assert [one["step"] for one in shown["asks"]] == ["tier-pause@1"]
    assert shown["next"] == [
        f"itmp answer {change} tier-pause@1 VALUE", f"itmp wait {change} --for finished",
        f"itmp stop {change} --reason TEXT",
    ]  # fmt: skip
    assert place.journal("web2") == did("restart"), "nothing is done before somebody has answered"
    kill(again.pid)
    again.wait()
    answer(place, change, "tier-pause@1", "true", key="bob")  # after the crash, and it counts
    last = place.start("resume", change, "--retry", "failed", "--key", "alice")
    asked(place, change, "confirm")
    assert slices(place, change)[:7] == [
        "restart@1", "tier-pause@1", "restart@2", "tier-pause@1", "tier-pause@1", "restart@2", "soak",
    ]  # fmt: skip
    assert place.journal("web2") == did("restart", "restart")
    answer(place, change, "confirm", "true")
    asked(place, change, "depth")
    answer(place, change, "depth", "canary")
    assert place.ended(last).rc == 0
    proved(place, change)


def failing(place: Place) -> tuple[str, str]:
    """Start a run whose first batch fails within its budget, and kill it while it asks; return change and run."""
    rolling = {"hosts": "web1:web2", "batches": [1], "max_failures": 1, "pause": {"roles": ["sre"]}}
    change = place.ready(book(steps=[{"id": "tier", "rolling": rolling, "steps": [act("restart")]}]))
    place.fail("web1", "restart")
    process = place.start("run", change, "--key", "alice")
    asked(place, change, "tier-pause@1")
    run = str(place.json("status", change)["run"])
    kill(process.pid)
    process.wait()
    wait_for(lambda: not carriers(run), "the run's processes to end")
    (place.on("web1") / "fail-restart").unlink()
    return change, run


@pytest.mark.long
def test_a_yes_is_past_when_what_it_was_about_runs_again(place: Place) -> None:
    change, _ = failing(place)
    answer(place, change, "tier-pause@1", "true")  # about a batch that had failed
    again = place.start("resume", change, "--retry", "failed", "--key", "alice")
    wait_for(lambda: slices(place, change).count("tier-pause@1") > 1, "the question to be asked anew")
    assert slices(place, change) == ["restart@1", "tier-pause@1", "restart@1", "tier-pause@1"]
    assert [one["step"] for one in place.json("status", change)["asks"]] == ["tier-pause@1"]
    assert place.journal("web2") == [], "nothing is done before somebody has answered"
    answer(place, change, "tier-pause@1", "true", key="bob")
    done = place.ended(again)
    assert done.rc == 0, done
    assert place.journal("web2") == did("restart")
    proved(place, change)


@pytest.mark.long
def test_a_no_that_nobody_waited_for_stops_whatever_is_to_be_tried_again(place: Place) -> None:
    change, _ = failing(place)
    before = place.journals()
    answer(place, change, "tier-pause@1", "false")
    for retry in (("--retry", "failed"), (), ("--retry", "failed")):
        result = place.json("resume", change, *retry, "--key", "alice", expect=13)
        assert result["state"] == "failed"
    assert place.journals() == before
    assert slices(place, change) == ["restart@1", "tier-pause@1", "tier-pause@1"]
    proved(place, change)


def test_ctrl_c_is_heard_while_an_action_is_under_way(place: Place) -> None:
    change = place.ready(book())
    place.hold("web1", "restart")
    process = place.start("run", change, "--key", "alice")
    place.until("web1", "begin restart")
    process.send_signal(signal.SIGINT)
    err = place.root.parent / f"err-{place.running.index(process)}"
    wait_for(lambda: "asked to stop; what is under way on hosts is awaited" in err.read_text(), "a word")
    place.let_go("web1", "restart")
    done = place.ended(process)
    assert done.rc == 13
    assert f"itmp resume {change}\n" in done.out
    assert "--failed" not in done.out, "nothing has failed"
    assert place.journals() == {"web1": did("restart"), "web2": [], "web3": []}


def test_a_stop_while_it_asks_settles_nothing_and_the_wrong_role_is_refused(place: Place) -> None:
    change = place.ready(book())
    process = place.start("run", change, "--key", "alice")
    asked(place, change, "tier-pause@1")
    process.send_signal(signal.SIGTERM)
    ended = place.ended(process)
    assert ended.rc == 13, ended
    assert "itmp answer" in ended.out
    stands = place.json("status", change)
    assert stands["state"].endswith("stopped")
    assert [one["step"] for one in stands["asks"]] == ["tier-pause@1"]
    with pytest.raises(RefusedError, match="asks approver"):
        role_to_answer(Workspace.here(place.root), "alice@example.com", ask("go", roles=["approver"]))
    answer(place, change, "tier-pause@1", "false")
    result = place.json("resume", change, "--key", "alice", expect=13)
    assert result["state"] == "failed"
    assert place.journals() == {"web1": did("restart"), "web2": [], "web3": []}
    assert place.sound()


@pytest.mark.long
def test_numbers_and_texts_are_answered_and_guards_read_them(place: Place) -> None:
    steps = [
        {"id": "count", "ask": {"question": "How many?", "answer": "integer"}},
        {"id": "colour", "ask": {"question": "Which one?", "answer": "string"}},
        act("few", hosts="web1", when="steps.count.answer < 3"),
        act("many", hosts="web2", when='steps.count.answer == -12 && steps.colour.answer == "blue or green"'),
        act("other", hosts="web3", when='steps.colour.answer != "blue or green"'),
    ]
    change = place.ready(book(name="typed", steps=steps))
    process = place.start("run", change, "--key", "alice")
    asked(place, change, "count")
    (question,) = place.json("status", change)["asks"]
    assert question["answer"] == "a whole number"
    for wrong in ("", "three", "3.0", "1e3", "007", "+3", " 3", "\u0663", "true", "9007199254740992"):
        refused = answer(place, change, "count", wrong, expect=2)["error"]
        assert "Allowed: a whole number." in refused["do"], wrong
    answer(place, change, "count", "-12")
    asked(place, change, "colour")
    for wrong in ("", "two\nlines", "\x1b[31mred"):
        answer(place, change, "colour", wrong, expect=2)
    assert place.journals() == {"web1": [], "web2": [], "web3": []}, "nothing went on by a wrong answer"
    answer(place, change, "colour", "blue or green")
    done = place.ended(process)
    assert done.rc == 0, done
    assert place.journals() == {"web1": did("few"), "web2": did("many"), "web3": []}
    assert slices(place, change) == ["count", "colour", "few", "many", "-other"]
    proved(place, change)
