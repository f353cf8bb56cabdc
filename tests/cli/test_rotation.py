"""A new period as people meet it: what came before can be read and proven, what comes after is led back to it."""

import json
import shutil

import pytest
from places import Place, rolling

pytestmark = pytest.mark.fleet


def told(place: Place, reason: str) -> str:
    """Run a change to its close."""
    change = place.ready(rolling("one", hosts="web1") + f"# {reason}\n")
    place.run(change)
    place.itmp("change", "close", change, "--reason", reason, "--key", "alice", expect=0)
    return change


def proven(place: Place, change: str, *words: str) -> str:
    """Write a change's evidence and give it to an auditor who has the first period's TRUST."""
    file = f"{change}.tar"
    place.itmp("evidence", change, "-o", file, expect=0)
    return place.itmp(file, "--trust", "trust", *words, program="itmp-verify", expect=0).out


def test_two_periods_are_one_trail(place: Place) -> None:
    old = told(place, "first")
    kept = place.root.parent / "kept"
    shutil.copytree(place.root / "trust", kept)
    open_ = place.propose(rolling("one", hosts="web2"))
    busy = place.itmp("audit", "rotate", "--key", "alice", expect=19)
    assert open_ in busy.err
    place.itmp("change", "cancel", open_, "--reason", "not now", "--key", "alice", expect=0)

    first = place.json("audit", "rotate", "--period", "2031", "--key", "alice")
    assert (first["done"], first["needed"]) == (False, 2)
    done = place.json("audit", "rotate", "--key", "bob")
    assert (done["done"], done["to"]) == (True, "example.com/ops/2031")
    assert place.json("change", "list")["changes"] == []

    new = told(place, "second")
    assert place.sound()
    shown = place.json("audit", "verify")
    assert [one["size"] for one in shown["older"]] == [done["size"]]
    assert "handed over: example.com/ops/2" in proven(place, new)
    assert "handed over" not in proven(place, old)

    assert place.json("status", old)["hosts"] == {"web1": "changed"}
    assert "web1" in place.itmp("logs", old, expect=0).out
    assert place.json("change", "show", old)["state"] == "closed"
    assert place.json("show", old)["plan"] == place.json("change", "show", old)["plan"]
    events = place.json("audit", "list", "--change", old)["events"]
    assert events[-1]["type"] == "change.closed"
    index = events[-1]["index"]
    period = shown["older"][0]["period"]
    leaf = json.loads(place.json("audit", "show", str(index), "--period", period)["leaf"])
    assert leaf["change"] == old
    for words in (("run", old), ("approve", old, "--yes"), ("change", "close", old, "--reason", "again")):
        refused = place.itmp(*words, "--key", "bob", expect=2)
        assert f"{old} is a change of period {period}, which has ended" in refused.err
    place.itmp("audit", "reindex", expect=0)
    assert place.json("status", new)["hosts"] == {"web1": "changed"}
    shutil.rmtree(place.root / "trust")
    shutil.copytree(kept, place.root / "trust")
    assert "everything holds" in proven(place, new, "--strict")
