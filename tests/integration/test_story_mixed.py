"""One plan, one approval, two worlds: a real engine turns a group while real hosts are configured, in order and back.

The cloud double says what the group's size really is, the hosts' own journals what really happened there; nothing
rests on what `itmp` says of itself.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from places import WEB, Place

import itmp.evidence
from itmp.audit import Event
from itmp.testing.cloud import Cloud

pytestmark = [pytest.mark.engine, pytest.mark.fleet, pytest.mark.xdist_group("pulumi")]

ROOT = Path(__file__).parents[2]
SCRIPT = Path(itmp.evidence.__file__).with_name("verify.sh")
GROUP = "web-asg"


@pytest.fixture(scope="module")
def moto() -> Iterator[Cloud]:
    with Cloud() as cloud:
        cloud.group(GROUP, desired=4, floor=1, ceiling=10)
        yield cloud


@pytest.fixture
def cloud(moto: Cloud, place: Place) -> Cloud:
    moto.set_desired(GROUP, 4)
    caches = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")  # where the engine lies
    place.environ.update({**moto.environ, "XDG_CACHE_HOME": caches})
    shutil.copytree(ROOT / "stacks", place.root / "stacks", ignore=shutil.ignore_patterns("__pycache__"))
    return moto


def act(name: str, **more: Any) -> dict[str, Any]:
    return {
        "id": name,
        "tasks": [{"name": name, "ansible.builtin.raw": f"sh {{{{ host_root }}}}/act {name}"}],
        **more,
    }


def widen(size: int) -> dict[str, Any]:
    knob = {"id": "web", "knob": "autoscaling-group", "name": GROUP, "to": size}
    return {"name": "web", "adjust": [knob]}


def mixed(back: dict[str, Any]) -> str:
    """Write a runbook that widens the group, then configures one host, and then the others; `back` narrows it."""
    document = {
        "itmp": "runbook/v1",
        "name": "mixed",
        "title": "Widen, then configure",
        "owner": "team-web",
        "environment": "production",
        "risk": "moderate",
        "steps": [
            {"id": "widen", "stack": widen(8), "on_failure": "undo"},
            {
                "id": "tier",
                "rolling": {"hosts": "web", "batches": [1, "100%"]},
                "on_failure": "undo",
                "steps": [act("configure")],
            },
        ],
        "undo": [act("restore", hosts="web"), {"id": "narrow", "stack": back}],
    }
    text: str = yaml.safe_dump(document, sort_keys=False)
    return text


def events(place: Place, change: str) -> list[Event]:
    return [leaf.event for leaf in place.leaves(change)]


def order(place: Place, change: str) -> list[str]:
    """Return what was intended, in order: steps with their hosts, and resource operations."""
    told = []
    for event in events(place, change):
        if event.type == "slice.intended":
            told.append(" ".join([event.step, *(event.data or {})["hosts"]]))
        elif event.type == "action.intended":
            told.append(f"{event.step}: {event.action} {(event.target or {})['id'].rpartition('::')[2]}")
    return told


def require_intents(place: Place, change: str, *turns: list[int]) -> None:
    """Require of every result that it names an earlier intent: a resource's is its own, with both values."""
    intents: dict[str, Event] = {}
    turned = []
    for leaf in place.leaves(change):
        event = leaf.event
        if event.type in {"slice.intended", "action.intended"}:
            intents[leaf.hash] = event
        elif event.type == "action.finished":
            intent = intents[event.intent]
            if (event.target or {})["kind"] == "resource":
                assert (intent.type, intent.target) == ("action.intended", event.target)
                turned.append((intent.data or {})["inputs"]["desired"])
    assert turned == [*turns]


def ended(place: Place, change: str) -> dict[str, Any]:
    """Return what the newest run's end says of every target."""
    return dict([event for event in events(place, change) if event.type == "run.finished"][-1].data or {})


def test_one_approval_moves_both_worlds_in_order_and_back(place: Place, cloud: Cloud) -> None:
    change = place.ready(mixed({"previous": "widen"}))

    cloud.set_desired(GROUP, 5)
    refused = place.run(change, expect=12)
    (check,) = [check for check in refused["checks"] if check["outcome"] == "refused"]
    assert check["n"] == 6
    assert f"{GROUP}: desired is 5, the plan rests on 4" in check["why"]
    assert not {"permit.issued", "slice.intended"} & set(place.types(change))
    assert place.untouched()
    assert cloud.desired(GROUP) == 5

    cloud.set_desired(GROUP, 4)
    place.hold("web1", "configure")
    process = place.start("run", change, "--key", "alice")
    place.until("web1", "begin configure")
    assert cloud.desired(GROUP) == 8  # the first host is in hand, and the group is wide already
    assert place.journals() == {"web1": ["begin configure"], "web2": [], "web3": []}
    place.let_go("web1", "configure")
    done = place.ended(process)
    assert done.rc == 0, done
    assert place.journals() == {host: ["begin configure", "end configure"] for host in WEB}
    assert order(place, change) == ["widen", "widen: create web", "configure web1", "configure web2 web3"]
    end = ended(place, change)
    assert end["hosts"] == dict.fromkeys(WEB, "changed")
    assert list(end["resources"].values()) == ["changed"]

    place.hold("web2", "restore")
    process = place.start("undo", change, "--key", "alice")
    place.until("web2", "begin restore")
    assert cloud.desired(GROUP) == 8  # the configuration goes first, the width that it counts on after it
    place.let_go("web2", "restore")
    done = place.ended(process)
    assert done.rc == 0, done
    assert cloud.desired(GROUP) == 4
    assert order(place, change)[4:] == ["restore web1 web2 web3", "narrow", "narrow: update web"]
    require_intents(place, change, [4, 8], [8, 4])
    require_evidence(place, change)


def require_evidence(place: Place, change: str) -> None:
    """Have two independent checkers accept the change's evidence."""
    place.itmp("change", "close", change, "--reason", "done", "--key", "alice", expect=0)
    place.itmp("evidence", change, "-o", "e.tar", expect=0)
    for call in (["itmp-verify", "e.tar", "--trust", "trust"], ["bash", str(SCRIPT), "e.tar", "trust"]):
        found = subprocess.run(
            call, cwd=place.root, env=place.environ, capture_output=True, text=True, timeout=240, check=False
        )
        assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.long
def test_a_host_that_fails_takes_both_worlds_back(place: Place, cloud: Cloud) -> None:
    change = place.ready(mixed(widen(6)))  # back to a size of its own
    place.fail("web2", "configure")
    result = place.run(change, expect=20)
    assert result["state"] == "undone"
    assert cloud.desired(GROUP) == 6
    back = ["begin restore", "end restore"]
    assert place.journals() == {
        "web1": ["begin configure", "end configure", *back],
        "web2": ["begin configure", "fail configure", *back],
        "web3": ["begin configure", "end configure", *back],
    }
    assert order(place, change) == [
        "widen",
        "widen: create web",
        "configure web1",
        "configure web2 web3",
        "restore web1 web2 web3",
        "narrow",
        "narrow: update web",
    ]
    require_intents(place, change, [4, 8], [8, 6])
    end = ended(place, change)
    assert end["hosts"] == {"web1": "changed", "web2": "failed", "web3": "changed"}
    assert list(end["resources"].values()) == ["changed"]
