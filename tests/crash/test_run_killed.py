"""A run that is killed at any moment: nothing goes on by itself, nothing is guessed, and it can be finished.

After each kill: no process of the run is left, no further action begins on any host, `itmp status` names what is not
known, the log verifies, and no host was acted on without an intent.
"""

import signal
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from places import PATIENCE, WEB, Place, Terminal, carriers, kill, rolling, wait_for

pytestmark = pytest.mark.fleet

HOSTS = ("web1", "web2")


def roll(*steps: str, **more: Any) -> str:
    """Write a runbook that passes two hosts, one after the other."""
    return rolling(*steps, hosts="web1:web2", **more)


def acts(*names: str) -> list[str]:
    """Return the journal of a host that did all of `names`."""
    return [f"{part} {name}" for name in names for part in ("begin", "end")]


@pytest.fixture
def probe(place: Place) -> Iterator[str]:
    """Answer 200 at `/HOST/ACTION` where the host has ended that action: what a health page tells a prober."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _, host, action = self.path.split("/")
            self.send_response(200 if f"end {action}" in place.journal(host) else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/${{host.name}}"
        server.shutdown()
        thread.join()


CONFIGURE = """\
- hosts: web1:web2
  gather_facts: false
  tasks:
    - name: Configure
      ansible.builtin.copy: {content: "new\\n", dest: "{{ host_root }}/nginx.conf", mode: "0644"}
      notify: now in force
    - name: Try
      ansible.builtin.raw: sh {{ host_root }}/act try
  handlers:
    - name: Restart nginx
      ansible.builtin.raw: sh {{ host_root }}/act restart
      listen: now in force
"""
CONFIGURING = """\
itmp: runbook/v1
name: configure
title: Configure
owner: team-web
environment: production
risk: moderate
steps:
  - {id: conf, playbook: configure}
"""


def test_a_handler_that_was_notified_before_the_kill_is_named_and_runs_when_its_step_runs_again(
    place: Place,
) -> None:
    place.write("playbooks/configure.yml", CONFIGURE)
    change = place.ready(CONFIGURING)
    place.hold("web1", "try")
    run = place.start("run", change, "--key", "alice")
    place.until("web1", "begin try")
    place.until("web2", "end try")
    run.kill()
    still(place, change, ("web1", "try"))
    owed = "pending handlers: web1: Restart nginx (conf)"
    assert owed in place.json("status", change)["notes"]
    notes = place.json("resume", change, "--key", "alice", expect=14)["notes"]
    assert owed in notes
    for host in HOSTS:
        place.itmp("reconcile", change, host, "failed", "--reason", "x", "--key", "alice", expect=0)
    result = place.json("resume", change, "--retry", "failed", "--key", "alice")
    assert [place.journal(host)[-2:] for host in HOSTS] == [["begin restart", "end restart"]] * 2
    assert not [note for note in result["notes"] if note.startswith("pending")]
    assert not [note for note in place.json("status", change)["notes"] if "handlers" in note]


def token(place: Place, change: str) -> str:
    """Return the prefix of the tokens that all processes of the change's run carry."""
    return str(place.json("status", change)["run"])


def still(place: Place, change: str, *held: tuple[str, str]) -> dict[str, list[str]]:
    """Require that after a kill nothing of the run is left and nothing further begins; return the journals."""
    run = token(place, change)
    wait_for(lambda: not carriers(run), f"the processes of {run} to end, left: {carriers(run)}")
    begun = {host: [line for line in place.journal(host) if line.startswith("begin")] for host in WEB}
    for host, action in held:
        place.let_go(host, action)
        place.until(host, f"end {action}")
    after = {host: [line for line in place.journal(host) if line.startswith("begin")] for host in WEB}
    assert after == begun
    assert not carriers(run)
    return place.journals()


def accounted(place: Place, change: str) -> None:
    """Require that the log verifies, that every host has one state, and that each act on a host had its intent."""
    assert place.sound()
    intended: set[tuple[str, str]] = set()
    for leaf in place.leaves(change):
        event, data = leaf.event, leaf.event.data or {}
        if event.type == "slice.intended":
            intended |= {(host, act) for host in data["hosts"] for act in event.step.split("-")}
        if event.type == "action.finished":
            assert (event.target["id"], event.step.split("-")[0]) in intended
    for host in WEB:
        for line in place.journal(host):
            assert (host, line.split()[1]) in intended, f"{host} did {line!r} without an intent"
    assert set(place.json("status", change)["hosts"]) == set(HOSTS)


def finished(place: Place, change: str, **states: str) -> None:
    """Require how the run ended in the end, and that its evidence convinces the verifier."""
    accounted(place, change)
    assert place.json("status", change)["hosts"] == states
    place.itmp("change", "close", change, "--reason", "done", "--key", "alice", expect=0)
    place.itmp("evidence", change, "-o", "e.tar", expect=0)
    place.itmp("e.tar", "--trust", "trust", program="itmp-verify", expect=0)


@pytest.mark.parametrize("kind", ["http", pytest.param("command", marks=pytest.mark.long)])
def test_killed_in_the_middle_of_an_action_a_probe_lets_it_finish(
    place: Place, probe: str, kind: str
) -> None:
    journal = str(place.on("web1") / "journal").replace("web1", "${host.name}")
    command = {"command": {"argv": ["grep", "-qx", "end one", journal]}}
    change = place.ready(roll("one", "two", probe=f"{probe}/one" if kind == "http" else command))
    place.hold("web1", "one")
    run = place.start("run", change, "--key", "alice")
    place.until("web1", "begin one")
    run.kill()
    still(place, change, ("web1", "one"))
    assert place.json("status", change)["hosts"] == {"web1": "unknown", "web2": "not_reached"}
    accounted(place, change)
    place.itmp("run", change, "--key", "alice", expect=19)
    result = place.json("resume", change, "--key", "alice")
    assert [place.journal(host) for host in HOSTS] == [acts("one", "two")] * 2
    assert result["state"] == "succeeded"
    assert place.types(change).count("action.reconciled") == 1
    finished(place, change, web1="changed", web2="changed")


def test_killed_in_the_middle_without_a_probe_a_person_says_what_happened(place: Place) -> None:
    change = place.ready(roll("one"))
    place.hold("web1", "one")
    run = place.start("run", change, "--key", "alice")
    place.until("web1", "begin one")
    run.kill()
    before = still(place, change, ("web1", "one"))
    done = place.itmp("resume", change, "--key", "alice", expect=14)
    assert f"itmp reconcile {change} web1 ok|failed" in done.out + done.err
    assert place.journals() == before
    accounted(place, change)
    place.itmp("reconcile", change, "web2", "ok", "--reason", "x", "--key", "alice", expect=2)
    place.itmp("reconcile", change, "web1", "ok", "--reason", "looked at it", "--key", "alice", expect=0)
    place.json("resume", change, "--key", "alice")
    assert [place.journal(host) for host in HOSTS] == [acts("one")] * 2
    finished(place, change, web1="ok", web2="changed")


@pytest.mark.long
def test_a_host_is_gone_on_without_by_a_signed_line_and_the_evidence_says_so(place: Place) -> None:
    change = place.ready(roll("one"))
    place.hold("web1", "one")
    run = place.start("run", change, "--key", "alice")
    place.until("web1", "begin one")
    run.kill()
    still(place, change, ("web1", "one"))
    words = ("resume", change, "--skip", "web1", "--reason", "it burns", "--key", "alice")
    assert place.json(*words, expect=14)["hosts"] == {"web1": "unknown", "web2": "changed"}
    texts = [(leaf.event.data or {}).get("text", "") for leaf in place.leaves(change)]
    assert any("act resume" in text and "limit !web1\n" in text for text in texts)
    assert place.journal("web2") == acts("one")
    finished(place, change, web1="unknown", web2="changed")


@pytest.mark.long
@pytest.mark.parametrize("moment", ["slice.intended", "slice.finished"])
def test_killed_outside_of_any_action_nothing_is_done_twice(place: Place, probe: str, moment: str) -> None:
    change = place.ready(roll("one", probe=f"{probe}/one"))
    run = place.start("run", change, "--key", "alice")
    wait_for(lambda: moment in place.types(change), moment)
    run.kill()
    assert still(place, change)["web2"] == []
    accounted(place, change)
    place.json("resume", change, "--key", "alice")
    assert [place.journal(host) for host in HOSTS] == [acts("one")] * 2
    finished(place, change, web1="changed", web2="changed")


@pytest.mark.long
def test_killed_during_undo_the_undo_is_finished_on_resume(place: Place) -> None:
    change = place.ready(roll("one", undo=("back",), on_failure="undo"))
    place.fail("web2", "one")
    place.hold("web1", "back")
    run = place.start("run", change, "--key", "alice")
    place.until("web1", "begin back")
    run.kill()
    still(place, change, ("web1", "back"))
    assert place.json("status", change)["hosts"]["web1"] == "unknown"
    accounted(place, change)
    place.itmp("resume", change, "--key", "alice", expect=14)
    for host, state in place.json("status", change)["hosts"].items():
        if state == "unknown":
            end = "ok" if "end back" in place.journal(host) else "failed"
            place.itmp("reconcile", change, host, end, "--reason", "looked", "--key", "alice", expect=0)
    result = place.json("resume", change, "--key", "alice", expect=None)
    assert result["exit_code"] in {13, 20}, result
    assert place.journal("web1") == acts("one", "back")
    accounted(place, change)


@pytest.mark.long
@pytest.mark.parametrize("victim", ["supervisor/_main.py", "/project/playbooks/"])
def test_when_a_child_is_killed_the_run_says_that_it_does_not_know(place: Place, victim: str) -> None:
    change = place.ready(roll("one", "two"))
    place.hold("web1", "one")
    run = place.start("run", change, "--key", "alice", "--json")
    place.until("web1", "begin one")
    found = [
        pid
        for pid, line in carriers(token(place, change)).items()
        if victim in line and ("supervisor" in line) == ("supervisor" in victim)
    ]
    assert found, carriers(token(place, change))
    for pid in found:
        kill(pid)
    result = place.ended(run).json
    assert result["exit_code"] == 14, result
    assert result["hosts"] == {"web1": "unknown", "web2": "not_reached"}
    journals = still(place, change, ("web1", "one"))
    assert (journals["web1"], journals["web2"]) == (acts("one"), [])
    accounted(place, change)
    place.itmp("reconcile", change, "web1", "ok", "--reason", "looked at it", "--key", "alice", expect=0)
    place.json("resume", change, "--key", "alice")
    assert [place.journal(host) for host in HOSTS] == [acts("one", "two")] * 2
    finished(place, change, web1="changed", web2="changed")


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_asked_to_stop_the_run_ends_between_actions_and_puts_the_host_back(place: Place, number: int) -> None:
    change = place.ready(roll("one+two", always=("last",)))
    place.hold("web1", "one")
    run = place.start("run", change, "--key", "alice", "--json")
    place.until("web1", "begin one")
    run.send_signal(number)
    place.let_go("web1", "one")
    done = place.ended(run)
    result = done.json
    assert result["exit_code"] == 13, done
    assert result["state"] == "stopped"
    assert result["hosts"]["web2"] == "not_reached"
    assert place.journal("web1") == acts("one", "last")
    assert place.journal("web2") == []
    assert not carriers(result["run"])
    assert "run.stopped" in place.types(change)
    accounted(place, change)


@pytest.mark.long
def test_when_the_terminal_closes_the_run_stops_and_puts_the_host_back(place: Place) -> None:
    change = place.ready(roll("one", "two", always=("last",)))
    place.hold("web1", "one")
    terminal = Terminal()
    run = place.start("run", change, "--key", "alice", **terminal.options())
    place.until("web1", "begin one")
    terminal.hang_up()
    place.let_go("web1", "one")
    run.wait(PATIENCE)
    assert place.json("status", change)["state"] == "implement, run stopped"
    assert place.journal("web1") == acts("one", "last")
    assert place.journal("web2") == []
    accounted(place, change)
    place.json("resume", change, "--key", "alice")
    assert place.journal("web2") == acts("one", "two", "last")
    accounted(place, change)
