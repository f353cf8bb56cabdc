"""Hosts' own login, package and boot records against the log: what was done by hand is named, a run's own doings are not."""

import json
import os
import shlex
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest
from test_story_patch import World, lab_world  # noqa: F401 - pytest finds the fixture by its name here

pytestmark = [
    pytest.mark.hosts,
    pytest.mark.xdist_group("namespaces"),
    pytest.mark.skipif(os.getuid() != 0, reason="needs root"),
]

RUNBOOK = {
    "itmp": "runbook/v1", "name": "touch", "title": "Touch", "owner": "team-web", "environment": "lab", "risk": "low",
    "steps": [
        {"id": "touch", "hosts": "canary1", "tasks": [{"name": "T", "ansible.builtin.command": "touch /srv/x"}]}
    ],
}  # fmt: skip


def approved(world: World, document: str, *words: str) -> str:
    world.itmp("plan", document, "-o", "records.plan.tar", *words)
    opened = world.itmp("change", "open", "records.plan.tar", "--reason", "records", "--key", "alice")
    world.itmp("approve", opened["change"], "--key", "bob", "--yes")
    return str(opened["change"])


def by_hand(world: World, host: str, command: str) -> None:
    """Log in as a person does who goes around every change."""
    subprocess.run(world.fleet.ssh(host, command), check=True, capture_output=True, timeout=120)


def bare_module(world: World, host: str) -> None:
    """Run one module as a person does who has Ansible and needs no change."""
    *ssh, address, _ = world.fleet.ssh(host, "true")
    options = shlex.join(ssh[1:])
    argv = [
        sys.executable,
        "-m",
        "ansible",
        "adhoc",
        "-i",
        f"{address.rpartition('@')[2]},",
        "all",
        "-m",
        "ping",
    ]
    words = ["-e", json.dumps({"ansible_ssh_common_args": options, "ansible_user": "root"})]
    bare = {**os.environ, "ANSIBLE_HOME": str(world.root / "bare"), "ANSIBLE_PIPELINING": "True"}
    done = subprocess.run(
        argv + words, env=bare, capture_output=True, text=True, timeout=120, check=False, cwd=world.root
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.long
def test_what_was_done_by_hand_is_named_and_a_runs_own_doings_are_not(lab_world: World) -> None:  # noqa: F811 - the fixture
    world = lab_world
    (world.root / "touch.yml").write_text(json.dumps(RUNBOOK))
    begin = datetime.now(UTC)
    change = approved(world, "touch.yml")
    time.sleep(1.1 - begin.microsecond / 1e6)  # the hosts' records count whole seconds
    start = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    world.itmp("run", change, "--key", "alice")
    by_hand(world, "fleet1", "true")
    by_hand(world, "fleet1", "apt-get update -q && apt-get install -qy itmp-demo")
    bare_module(world, "fleet1")
    by_hand(world, "fleet1", "sudo /usr/bin/true")
    world.fleet.stop_host("canary1")
    time.sleep(2.5)  # beyond the slack below
    world.fleet.start_host("canary1")
    time.sleep(2.5)
    records = world.root / "records"
    collect = approved(world, "runbooks/audit/host-records.yml", "--set", f"records={records}")
    world.itmp("run", collect, "--key", "alice")
    found = world.itmp(
        "audit", "reconcile", "--records", str(records), "--from", start, "--slack", "1s", expect=41
    )
    assert (found["hosts"], found["silent"]) == (["canary1", "fleet1"], [])
    assert (found["missing"], found["stated"]) == ([], []), (
        "no journal there: syslog, dpkg and wtmp tell all of it"
    )
    named = {(item["place"], item["name"]) for item in found["disagreements"]}
    assert named == {
        ("canary1", "boot-outside-run"),
        ("fleet1", "login-outside-run"),
        ("fleet1", "package-outside-run"),
        ("fleet1", "run-without-change"),
        ("fleet1", "command-outside-run"),
    }

    def whats(name: str) -> list[str]:
        return [item["what"] for item in found["disagreements"] if item["name"] == name]

    assert whats("run-without-change") == ["ping"], "the bare module, and none of the runs' own"
    (command,) = whats("command-outside-run")
    assert command.startswith("root : ")
    assert command.endswith("USER=root ; COMMAND=/usr/bin/true")
    logins = whats("login-outside-run")
    assert len(logins) == 4, "each login by hand, and none of the runs' own"
    assert all(what.startswith("root from 10.77.") and "SHA256:" in what for what in logins)
    auth = (records / "canary1/auth.log").read_text()
    assert auth.count("Accepted publickey for root") >= 2, "the runs' logins are in the host's own record"
