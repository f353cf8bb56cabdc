"""Undo of single steps on real hosts: what had begun is taken back, the last first, and nothing else."""

from typing import Any

import pytest
import yaml
from places import Place

pytestmark = pytest.mark.fleet


def act(name: str) -> list[dict[str, Any]]:
    return [{"name": name, "ansible.builtin.raw": f"sh {{{{ host_root }}}}/act {name}"}]


def step(name: str, hosts: str) -> dict[str, Any]:
    return {
        "id": name,
        "hosts": hosts,
        "tasks": act(name),
        "on_failure": "undo",
        "undo": {"tasks": act(f"un{name}")},
    }


DOCUMENT = {
    "itmp": "runbook/v1",
    "name": "back",
    "title": "Each step is taken back",
    "owner": "team-web",
    "environment": "production",
    "risk": "moderate",
    "steps": [step("first", "web"), step("second", "web1:web2"), step("third", "web")],
    "undo": [{"id": "last", "hosts": "web", "tasks": act("last")}],
}


def did(*names: str) -> list[str]:
    return [f"{part} {name}" for name in names for part in ("begin", "end")]


def test_steps_are_taken_back_in_reverse_order_and_only_where_they_had_begun(place: Place) -> None:
    """The second step fails on web2 and has nothing to do on web3; the third never begins."""
    change = place.ready(yaml.safe_dump(DOCUMENT, sort_keys=False))
    place.fail("web2", "second")
    ended = place.run(change, expect=20)
    assert ended["state"] == "undone"
    assert place.journals() == {
        "web1": did("first", "second", "unsecond", "unfirst", "last"),
        "web2": [*did("first"), "begin second", "fail second", *did("unsecond", "unfirst", "last")],
        "web3": did("first", "unfirst", "last"),
    }
    intents = [leaf.event for leaf in place.leaves(change) if leaf.event.type == "slice.intended"]
    assert [(event.step, event.phase, event.data["hosts"]) for event in intents] == [
        ("first", "do", ["web1", "web2", "web3"]),
        ("second", "do", ["web1", "web2"]),
        ("undo-second", "undo", ["web1", "web2"]),
        ("undo-first", "undo", ["web1", "web2", "web3"]),
        ("last", "undo", ["web1", "web2", "web3"]),
    ]
    assert place.sound()
