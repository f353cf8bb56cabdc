"""A run over a real host shows a password in a diff; it is destroyed for good, and the evidence still holds."""

import json

import pytest
from places import Place
from traces import Search, memory

from itmp.workspace import Workspace

pytestmark = pytest.mark.fleet

SECRET = 'pa"ss/wörd-4711'
DOCUMENT = {
    "itmp": "runbook/v1",
    "name": "rotate",
    "title": "Rotate",
    "owner": "team-web",
    "environment": "production",
    "risk": "low",
    "steps": [
        {
            "id": "config",
            "hosts": "web1",
            "tasks": [
                {
                    "name": "Told",
                    "diff": True,
                    "ansible.builtin.copy": {"dest": "{{ host_root }}/told", "content": "password=none\n"},
                },
                {
                    "name": "Hidden",
                    "diff": True,
                    "no_log": True,
                    "ansible.builtin.copy": {"dest": "{{ host_root }}/hidden", "content": "password=none\n"},
                },
                {
                    "name": "Unasked",
                    "ansible.builtin.copy": {"dest": "{{ host_root }}/unasked", "content": "password=none\n"},
                },
            ],
        }
    ],
}


SOUGHT = Search.of({"shown": SECRET})


def holders(place: Place) -> list[str]:
    """Return every file with the secret: of the workspace, the home, temporary folders and what runs keep in memory."""
    return sorted(SOUGHT.files(place.root.parent, *memory()))


def test_a_diff_with_a_password_is_destroyed_and_the_evidence_holds(place: Place) -> None:
    for name in ("told", "hidden", "unasked"):
        (place.on("web1") / name).write_text(f"password={SECRET}\n")
    change = place.ready(json.dumps(DOCUMENT))
    run = place.start("run", change, "--key", "alice", "--verbose")
    with SOUGHT.watching(run.pid) as seen:
        assert place.ended(run).rc == 0
    assert seen == set(), "arguments and environments of whatever it started"
    results = [leaf for leaf in place.leaves(change) if leaf.event.type == "action.finished"]
    told = [leaf for leaf in results if leaf.event.diff]
    assert [(leaf.event.data or {})["name"] for leaf in told] == ["Told"]
    shown = place.itmp("audit", "open", str(told[0].index), "--key", "alice", expect=0).out
    assert f"-password={SECRET}" in shown
    assert "+password=none" in shown
    [held] = holders(place)
    assert held.startswith(f"{place.root}/.itmp/private/")
    words = ("audit", "redact", str(told[0].index), "/diff", "--reason", "a password was shown")
    asked = place.itmp(*words, "--key", "carol", expect=10)
    assert "1 of 2 people have signed (carol@example.com); nothing was destroyed" in asked.out
    assert holders(place) == [held], "one person alone destroys nothing"
    place.itmp(*words, "--key", "bob", expect=0)
    assert holders(place) == []
    assert (
        "redacted by carol@example.com, bob@example.com"
        in place.itmp("audit", "open", told[0].hash, expect=0).out
    )
    place.itmp("change", "close", change, "--reason", "done", "--key", "alice", expect=0)
    place.itmp("evidence", change, "-o", "e.tar", expect=0)
    place.itmp("e.tar", "--trust", "trust", program="itmp-verify", expect=0)
    assert Workspace.here(place.root).log.leaf(told[0].index).data == told[0].data
    assert holders(place) == [], "nor in the evidence"
    assert place.sound()
