"""Every act signed on another machine: its text printed, signed by stock ssh-keygen, taken in, and its effect seen."""

import re
from typing import Any

import pytest
import yaml
from places import Place, carriers, kill, wait_for

from itmp.workspace.offline import ACTS

pytestmark = pytest.mark.fleet
ALICE = "alice@example.com"
WITHOUT_HOSTS = {"open", "approve", "reject", "revoke", "cancel", "policy", "redact"}
"""These need no host: tests/unit/workspace/test_offline.py."""


def act(name: str, hosts: str = "web1:web2") -> dict[str, Any]:
    task = {"name": name, "ansible.builtin.raw": f"sh {{{{ host_root }}}}/act {name}"}
    return {"id": name, "hosts": hosts, "tasks": [task]}


BOOK = yaml.safe_dump(
    {
        "itmp": "runbook/v1",
        "name": "roll",
        "title": "Roll",
        "owner": "team-web",
        "environment": "production",
        "risk": "moderate",
        "steps": [
            {"id": "confirm", "ask": {"question": "Go on?", "answer": "boolean", "roles": ["sre"]}},
            act("two"),
            act("three"),
        ],
        "undo": [act("back")],
    },
    sort_keys=False,
)


class Elsewhere:
    """Another machine: has the people's keys and stock ssh-keygen, and nothing of the workspace."""

    def __init__(self, place: Place) -> None:
        self.place, self.acts, self._count = place, set[str](), 0

    def text(self, name: str, act: str, who: str, *words: str, expect: int = 0) -> str:
        done = self.place.itmp(
            "statement", name, "--act", act, "--signer", f"{who}@example.com", *words, expect=expect
        )
        assert expect or f"-n itmp-{act}@example.com" in done.err
        return done.out

    def add(self, text: str, act: str, who: str, *, refused: bool = False) -> dict[str, Any]:
        self._count += 1
        file = self.place.write(f"elsewhere/{self._count}.txt", text)
        signature = self.place.sign(who, file, act)
        before = len(self.place.leaves())
        done = self.place.json("statement", "add", str(file), str(signature), expect=None if refused else 0)
        if refused:
            assert done["exit_code"] in {2, 15, 19, 40}, done
            assert len(self.place.leaves()) == before, "what is refused is not written"
        return done

    def add_signed_for(self, text: str, namespace: str, who: str) -> None:
        """A signature in another act's namespace is worth nothing."""
        assert self.add(text, namespace, who, refused=True)["exit_code"] == 40

    def sign(self, name: str, act: str, who: str, *words: str) -> dict[str, Any]:
        self.acts.add(act)
        done = self.add(self.text(name, act, who, *words), act, who)
        assert done["act"] == act
        return done


def told(place: Place, change: str, act: str) -> Any:
    """The newest event in which a statement of `act` stands."""
    events = [
        leaf.event for leaf in place.leaves() if f"act {act}\n" in str((leaf.event.data or {}).get("text"))
    ]
    assert events, act
    assert events[-1].change in {change, ""}
    return events[-1]


@pytest.mark.long
def test_every_act_of_a_run_can_be_signed_elsewhere(place: Place) -> None:
    away = Elsewhere(place)
    change = place.ready(BOOK)
    away.sign(change, "preview", "alice")
    assert told(place, change, "preview").type == "plan.previewed"
    assert place.json("show", change)["preview"]["by"] == ALICE

    place.itmp("revoke", change, "--key", "bob", expect=0)
    place.itmp("run", change, "--key", "alice", expect=18)
    place.approve(change)
    place.itmp("run", change, "--recorded", expect=2)  # a start signed here and refused was for then
    started = away.sign(change, "run", "alice", "--limit", "web1,web2")
    assert started["next"] == [f"itmp run {change} --recorded"]
    process = place.start("run", change, "--recorded", "--json")
    assert place.json("wait", change, "--for", "asked")["asks"][0]["step"] == "confirm"
    run = str(place.json("status", change)["run"])

    wrong_answers(away, change, run)
    place.hold("web1", "two")
    away.sign(change, "answer", "bob", "--step", "confirm", "--value", "true")
    place.until("web1", "begin two")
    away.text(change, "close", "alice", "--reason", "x", expect=14)
    away.sign(change, "stop", "alice", "--reason", "errors rise")
    place.let_go("web1", "two")
    assert place.ended(process).rc == 13
    assert place.journals() == {
        "web1": ["begin two", "end two"],
        "web2": ["begin two", "end two"],
        "web3": [],
    }

    killed(away, change, run)
    for host in ("web1", "web2"):  # that the slice never ended leaves both open
        away.sign(change, "reconcile", "carol", "--host", host, "--outcome", "ok", "--reason", "looked")
    assert told(place, change, "reconcile").outcome == "ok"
    away.sign(change, "undo", "alice")
    assert place.json("undo", change, "--recorded")["hosts"] == {"web1": "changed", "web2": "changed"}
    assert place.journal("web2")[-1] == "end back"
    assert away.sign(change, "review", "carol", "--reason", "undone")["state"] == "review"
    assert away.sign(change, "close", "alice", "--reason", "undone")["state"] == "closed"
    assert away.acts == set(ACTS) - WITHOUT_HOSTS
    assert place.json("change", "show", change)["findings"] == []
    assert place.sound()
    place.itmp("evidence", change, "-o", "e.tar", expect=0)
    place.itmp("e.tar", "--trust", "trust", program="itmp-verify", expect=0)


def wrong_answers(away: Elsewhere, change: str, run: str) -> None:
    """Wrong step, type, role, run and signature are refused by name, and nothing is written."""
    told = away.text
    told(change, "answer", "bob", "--step", "confirm", "--value", "perhaps", expect=2)
    told(change, "answer", "bob", "--step", "nothing", "--value", "true", expect=2)
    text = told(change, "answer", "bob", "--step", "confirm", "--value", "true")
    for old, new, word in (
        (f"run {run}", "run 00000000000000000000000000000000", "run"),
        ("step confirm", "step other", "other"),
        ("value true", "value 7", "7"),
        ("role sre", "role approver", "may not answer as approver"),
        ("log example.com/ops/", "log example.com/other/", "log"),
    ):
        assert old in text
        error = away.add(text.replace(old, new), "answer", "bob", refused=True)["error"]
        assert word in error["what"] + error["where"], error
    away.add_signed_for(text, "approve", "bob")
    foreign = away.add(text, "answer", "carol", refused=True)["error"]
    assert "not a key of bob@example.com" in foreign["what"]


def killed(away: Elsewhere, change: str, run: str) -> None:
    """Resume by a recorded statement, and kill that in the middle of web1's action."""
    place = away.place
    away.sign(change, "resume", "alice")
    place.hold("web1", "three")
    process = place.start("resume", change, "--recorded")
    place.until("web1", "begin three")
    place.until("web2", "end three")
    wait_for(lambda: any(one["host"] == "web2" and one["step"] == "three" for one in place.json("logs", change)["entries"]), "web2's result")  # fmt: skip
    kill(process.pid)
    process.wait()
    wait_for(lambda: not carriers(run), "the run's processes to end")
    place.let_go("web1", "three")
    place.until("web1", "end three")
    gone = place.itmp("wait", change, expect=14)
    assert "gone" in gone.out
    assert re.search(r"next: itmp resume", gone.out)
