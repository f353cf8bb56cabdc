"""A run that stopped says what to type next, by its cause: each command is typed here, and does what it says."""

import shlex
import time
from typing import Any

import pytest
import yaml
from places import Place, rolling

pytestmark = pytest.mark.fleet
LEFT = """\
- hosts: web1
  gather_facts: false
  tasks:
    - {name: One, ansible.builtin.raw: "sh {{ host_root }}/act one"}
    - {name: Write, ansible.builtin.copy: {dest: "{{ host_root }}/more.yml", content: "[{name: More, ansible.builtin.raw: id}]", mode: "0644"}}
    - {name: More, ansible.builtin.include_tasks: "{{ host_root }}/more.yml"}
"""
PROPOSE = "itmp propose runbooks/r.yml --reason TEXT"


def leaving(place: Place, *, undo: bool) -> str:
    """Approve a runbook whose play leaves its plan."""
    place.write("playbooks/left.yml", LEFT)
    document = yaml.safe_load(rolling("one", undo=("back",) if undo else (), hosts="web1"))
    return place.ready(
        yaml.safe_dump({**document, "steps": [{"id": "left", "playbook": "left"}]}, sort_keys=False)
    )


def half_way(place: Place, *, undo: bool = True) -> tuple[str, Any]:
    """Begin a run that is at work on the first of two hosts."""
    change = place.ready(rolling("one", undo=("back",) if undo else (), hosts="web1:web2"))
    place.hold("web1", "one")
    run = place.start("run", change, "--key", "alice", "--json")
    place.until("web1", "begin one")
    return change, run


def said(place: Place, change: str, result: dict[str, Any], *wanted: str) -> list[dict[str, Any]]:
    """Require that the run and a later look say the same to type; type it, and return what it gave."""
    commands = [command.format(change) for command in wanted]
    assert result["next"] == place.json("status", change)["next"] == commands
    return [place.json(*shlex.split(command)[1:], "--key", "alice") for command in commands]


UNDO, CLOSE, RESUME = "itmp undo {}", "itmp change close {} --reason TEXT", "itmp resume {}"


@pytest.mark.long
def test_a_plan_that_was_left_is_undone_closed_and_made_anew(place: Place) -> None:
    change = leaving(place, undo=True)
    *_, made = said(place, change, place.run(change, expect=15), UNDO, CLOSE, PROPOSE)
    assert place.journal("web1") == ["begin one", "end one", "begin back", "end back"]
    assert made["change"] != change


@pytest.mark.long
def test_without_undo_steps_a_plan_that_was_left_is_closed_and_made_anew(place: Place) -> None:
    change = leaving(place, undo=False)
    *_, made = said(place, change, place.run(change, expect=15), CLOSE, PROPOSE)
    assert made["change"] != change


@pytest.mark.long
@pytest.mark.parametrize("undo", [True, False])
def test_a_no_in_the_middle_leads_back_or_ends_the_change(place: Place, *, undo: bool) -> None:
    change, run = half_way(place, undo=undo)
    place.itmp("reject", change, "--key", "carol", "--yes", expect=0)
    place.let_go("web1", "one")
    result = place.ended(run).json
    assert (result["exit_code"], result["hosts"]) == (18, {"web1": "changed", "web2": "not_reached"})
    said(place, change, result, UNDO if undo else CLOSE)
    assert place.journal("web1")[2:] == (["begin back", "end back"] if undo else [])


def test_when_the_permit_has_run_out_the_run_is_resumed(place: Place) -> None:
    policy = yaml.safe_load((place.root / "policy.yml").read_text())
    place.write("next.yml", yaml.safe_dump({**policy, "limits": {"permit": "15s"}}))
    proposed = place.json("policy", "propose", "next.yml", "--key", "alice")
    place.json("policy", "sign", proposed["policy"], "--key", "bob")
    change, run = half_way(place)
    time.sleep(15)
    place.let_go("web1", "one")
    result = place.ended(run).json
    assert (result["exit_code"], result["retryable"]) == (11, True)
    assert result["next"] == [RESUME.format(change), UNDO.format(change)]
    assert place.json("status", change)["next"] == result["next"]
    place.json("resume", change, "--key", "alice")
    assert place.journal("web2") == ["begin one", "end one"]
    place.json("undo", change, "--key", "alice")


@pytest.mark.long
def test_when_the_window_is_over_for_good_the_change_is_undone_closed_and_made_anew(place: Place) -> None:
    end = time.time() + 45
    stamps = [time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)) for at in (end - 3600, end)]
    change = place.ready(
        rolling("one", undo=("back",), hosts="web1:web2"), "--from", stamps[0], "--to", stamps[1]
    )
    place.hold("web1", "one")
    run = place.start("run", change, "--key", "alice", "--json")
    place.until("web1", "begin one")
    time.sleep(max(0.0, end + 1 - time.time()))
    place.let_go("web1", "one")
    result = place.ended(run).json
    assert (result["exit_code"], result["retry_at"]) == (11, None)
    said(place, change, result, UNDO, CLOSE, PROPOSE)
