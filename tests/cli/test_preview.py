"""A preview by the real process: told to the approver, kept where it can be deleted, and without any effect."""

import json

import pytest
from places import Place

pytestmark = pytest.mark.fleet
RUNBOOK = """\
itmp: runbook/v1
name: motd
title: Message of the day
owner: team-web
environment: production
risk: moderate
steps:
  - id: write
    hosts: web1:web2
    tasks:
      - name: Write
        ansible.builtin.copy: {content: "secret-looking\\n", dest: "{{ host_root }}/motd", mode: "0644"}
      - name: Touch
        ansible.builtin.raw: "touch {{ host_root }}/touched"
        check_mode: false
  - id: listens
    hosts: web1:web2
    check: {tcp: {host: "${host.address}", port: "${host.port}"}}
    within: 5s
  - id: deaf
    hosts: web1
    check: {tcp: {host: 127.0.0.1, port: 1}}
    within: 5s
undo:
  - id: back
    hosts: web1:web2
    tasks:
      - name: Remove
        ansible.builtin.file: {path: "{{ host_root }}/motd", state: absent}
"""


def test_an_approver_sees_what_would_change_and_how_old_that_is(place: Place) -> None:
    (place.on("web1") / "motd").write_text("before\n")
    place.write("runbooks/motd.yml", RUNBOOK)
    made = place.json("propose", "runbooks/motd.yml", "--reason", "test", "--key", "alice", "--preview")
    change = made["change"]
    assert [sorted(p.name for p in place.on(h).iterdir()) for h in ("web1", "web2")] == [["act", "journal", "motd"], ["act", "journal"]]  # fmt: skip
    assert (place.on("web1") / "motd").read_text() == "before\n"
    seen = place.json("show", change)["preview"]
    told = {(one["host"], one["name"]): (one["outcome"], one["why"]) for one in seen["seen"]}
    assert told["web1", "Write"] == told["web2", "Write"] == ("changed", "")
    assert told["web1", "Touch"] == ("cannot know", "it says `check_mode: false`")
    assert told["web1", "Check listens"] == told["web2", "Check listens"] == ("passes", "")
    assert told["web1", "Check deaf"] == ("fails", "no answer: Connection refused")
    assert told["web1", "Remove"] == ("changed", "")
    assert told["web2", "Remove"] == ("unchanged", "")
    assert {one["phase"] for one in seen["seen"] if one["name"] == "Remove"} == {"undo"}
    assert {one["phase"] for one in seen["seen"] if one["name"] != "Remove"} == {"do"}
    assert (seen["by"], seen["moved"], seen["stale"]) == ("alice@example.com", [], [])
    assert not any("diff" in one for one in seen["seen"])
    shown = place.itmp("change", "show", change, "--diff", expect=0).out
    assert "-before" in shown
    assert "+secret-looking" in shown
    assert "signed by alice@example.com" in shown
    assert "undo, if it were run now:" in shown

    (event,) = [leaf.event for leaf in place.leaves() if leaf.event.type == "plan.previewed"]
    assert event.data is not None
    assert (event.data["changed"], event.data["cannot_know"]) == (3, 2)
    assert (event.data["passes"], event.data["fails"]) == (2, 1)
    assert "act preview" in event.data["text"]
    kept = list((place.root / ".itmp/private").iterdir())
    assert [(path.name, path.stat().st_mode & 0o777) for path in kept] == [(f"preview-{event.id}", 0o600)]
    log = b"".join(path.read_bytes() for path in (place.root / ".itmp/log").rglob("*") if path.is_file())
    assert b"before\\n" not in log

    place.inventory(web3={"note": "moved"})
    assert place.json("show", change)["preview"]["moved"] == []
    place.inventory(web1={"note": "moved"})
    now = place.json("change", "show", change)["preview"]
    assert now["moved"] == now["stale"] == ["address, groups or variables changed: web1"]
    data = bytearray(kept[0].read_bytes())
    data[-5] ^= 1
    kept[0].write_bytes(data)
    place.itmp("show", change, expect=40)
    kept[0].unlink()
    assert place.json("show", change)["preview"] is None
    assert place.sound()


def test_without_a_key_it_is_self_attested_and_unreachable_hosts_are_named(place: Place) -> None:
    place.write("runbooks/motd.yml", RUNBOOK.replace("web1:web2", "web1:gone"))
    place.inventory()
    path = place.root / "inventories/hosts.yml"
    path.write_text(path.read_text().replace("    web3:", "    gone:"))
    (place.root / "inventories/known_hosts").write_text("")
    done = place.itmp("plan", "runbooks/motd.yml", "-o", "m.plan.tar", "--preview", "--json")
    assert done.rc == 0, done
    seen = json.loads(done.out)["preview"]
    assert seen["by"] == ""
    asked = [one for one in seen["seen"] if not one["action"].startswith("itmp.check.")]
    assert {one["outcome"] for one in asked} <= {"cannot know"}
    (event,) = [leaf.event for leaf in place.leaves() if leaf.event.type == "plan.previewed"]
    assert event.data is not None
    assert event.data["assurance"] == "self-attested"
