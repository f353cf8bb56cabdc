"""Attacks on what listens to Ansible: real plays on real hosts, whose audit callback is harmed from within its process.

The harm is a callback plugin that the project lists, loaded beside ours and approved with the plan. The naive reader of
the log finds no failure in it and is content.
"""

import shutil
from pathlib import Path

import naive
import pytest
import yaml
from places import Place, rolling

import itmp

pytestmark = pytest.mark.fleet

HARM = """
import sys, time
from ansible.plugins.callback import CallbackBase

def harmed(*given, **more):
    {harm}

for module in list(sys.modules.values()):
    ours = getattr(module, "CallbackModule", None)
    if ours and getattr(ours, "CALLBACK_NAME", "") == "itmp_actions":
        for name in {names}:
            setattr(ours, name, harmed)

class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "harm"
    CALLBACK_NEEDS_ENABLED = True
"""
STARTS, RESULTS = "v2_runner_on_start", "v2_runner_on_ok"


def harmed(place: Place, harm: str, *names: str) -> str:
    """A change whose plays load such a plugin, ready to run; a slice may take a few seconds."""
    place.write("plugins/harm.py", HARM.format(harm=harm, names=names))
    with (place.root / "itmp.yml").open("a") as file:
        file.write("callbacks: [plugins/harm.py]\n")
    document = yaml.safe_load(rolling("one", hosts="web1"))
    document["steps"][0]["steps"][0]["timeout"] = "20s"
    place.write("runbooks/r.yml", yaml.safe_dump(document, sort_keys=False))
    change = str(place.json("propose", "runbooks/r.yml", "--reason", "test", "--key", "alice")["change"])
    place.approve(change)
    return change


def not_known(place: Place, change: str) -> list[str]:
    """Run it: no success is told, in no place; return what the host saw."""
    ended = place.itmp("run", change, "--key", "alice", "--json")
    assert ended.rc not in {0, 1, 70}, ended
    assert naive.nothing_failed([leaf.event for leaf in place.leaves(change)])
    status = place.json("status", change)
    assert status["state"] not in {"succeeded", "closed"}, status
    assert status["hosts"]["web1"] not in {"ok", "changed"}, status
    assert "ok" not in {
        leaf.event.outcome for leaf in place.leaves(change) if leaf.event.type == "run.finished"
    }
    assert place.sound()
    return place.journal("web1")


def test_audit_callback_raises(place: Place) -> None:
    """Ansible swallows what a callback raises, and would go on."""
    change = harmed(place, "raise ValueError('harm')", "_describe")
    assert not_known(place, change) == []


def test_audit_callback_hangs_before_an_action(place: Place) -> None:
    change = harmed(place, "time.sleep(9999)", STARTS)
    assert not_known(place, change) == []


@pytest.mark.long
def test_audit_callback_hangs_before_it_tells_a_result(place: Place) -> None:
    change = harmed(place, "time.sleep(9999)", RESULTS)
    assert not_known(place, change) == ["begin one", "end one"]


@pytest.mark.long
def test_audit_callback_falls_silent(place: Place) -> None:
    """It has said hello, and is as good as not loaded from then on: the host is worked on, and nothing is told."""
    change = harmed(place, "pass", STARTS, RESULTS)
    assert not_known(place, change) == ["begin one", "end one"]


def test_audit_callback_not_loaded(place: Place, tmp_path: Path) -> None:
    """The installed program lost it: Ansible has nobody to ask."""
    ours, copy = Path(itmp.__file__).parent, tmp_path / "code"
    shutil.copytree(ours, copy / "itmp", ignore=shutil.ignore_patterns("itmp_actions*"))
    change = harmed(place, "pass")
    place.environ["PYTHONPATH"] = str(copy)
    assert not_known(place, change) == []


def test_audit_callback_overridden_by_a_users_configuration(place: Place) -> None:
    """Of whoever starts the run, in their home, their environment and the project: bare Ansible would follow each."""
    change = place.ready(rolling("one", hosts="web1"))
    text = "[defaults]\nstdout_callback = minimal\ncallback_plugins = /nowhere\n"
    for file in (place.root / "ansible.cfg", Path(place.environ["HOME"]) / ".ansible.cfg"):
        file.write_text(text)
    place.environ |= {"ANSIBLE_STDOUT_CALLBACK": "minimal", "ANSIBLE_CALLBACK_PLUGINS": "/nowhere"}
    assert naive.listener(place.root, place.environ) == "minimal"
    assert place.run(change)["hosts"] == {"web1": "changed"}
    assert place.journal("web1") == ["begin one", "end one"]
    told = [leaf.event for leaf in place.leaves(change)]
    assert [one.outcome for one in told if one.type == "action.finished"] == ["changed"]


@pytest.mark.long
def test_the_same_with_a_harmless_plugin_holds(place: Place) -> None:
    change = harmed(place, "pass")
    assert place.run(change)["hosts"] == {"web1": "changed"}
