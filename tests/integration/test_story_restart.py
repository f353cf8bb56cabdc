"""The runbook that the design shows first: drain, restart, health check and undrain by batches, then a person's word."""

import shutil
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from places import Place, wait_for

pytestmark = pytest.mark.fleet
ROOT = Path(__file__).parents[2]
DOCUMENT = """\
itmp: runbook/v1
name: restart-web
title: Rolling restart of the web tier
owner: team-web
reviewed: {on: 2026-10-01, every: 3650d}
environment: production
risk: moderate
inputs:
  drain_seconds: {type: integer, default: 0, minimum: 0, maximum: 600, description: How long a host drains}
steps:
  - rolling: {hosts: web, batches: [1, 100%], max_failures: 1, pause: {after: [1], roles: [sre]}}
    steps:
      - {id: drain, playbook: lb_drain, vars: {seconds: "${inputs.drain_seconds}"}, delegates: [lb1]}
      - id: restart
        tasks:
          - {name: Restart, ansible.builtin.raw: "sh {{ host_root }}/act restart"}
      - {id: healthy, check: {http: {url: "URL/${host.name}", status: 200}}, within: 60s}
      - {id: undrain, playbook: lb_undrain, delegates: [lb1], always: true}
  - id: confirm
    ask: {question: Is the error rate back to normal?, answer: boolean, roles: [sre]}
    on_failure: undo
undo:
  - id: previous
    hosts: web
    tasks:
      - {name: Put back, ansible.builtin.raw: "sh {{ host_root }}/act previous"}
"""


@pytest.fixture
def health(place: Place) -> Iterator[str]:
    """Answer 200 for a host that has restarted, as its health page would."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            host = self.path.strip("/")
            self.send_response(200 if "end restart" in place.journal(host) else 503)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_designs_first_runbook_asks_and_is_taken_back_by_a_no(place: Place, health: str) -> None:
    shutil.copytree(ROOT / "playbooks", place.root / "playbooks")
    place.write("runbooks/restart-web.yml", DOCUMENT.replace("URL", health))
    place.itmp("validate", "runbooks/restart-web.yml", expect=0)
    change = str(
        place.json("propose", "runbooks/restart-web.yml", "--reason", "leak", "--key", "alice")["change"]
    )
    shown = place.itmp("show", change, expect=0).out
    assert "Go on with the next batch?" in shown
    assert "Is the error rate back to normal?" in shown
    place.approve(change)
    process = place.start("run", change, "--key", "alice")

    def asks(key: str) -> bool:
        said = [leaf.event for leaf in place.leaves(change) if leaf.event.type == "slice.intended"]
        return bool(said) and (said[-1].data or {})["slice"] == key

    wait_for(lambda: asks("rolling-1-pause@1"), "the pause after the first batch")
    restarted = ["begin restart", "end restart"]
    assert place.journals() == {"web1": restarted, "web2": [], "web3": []}
    assert not list((place.on("lb1") / "lb/drained").iterdir())
    place.itmp("answer", change, "rolling-1-pause@1", "true", "--key", "bob", expect=0)
    wait_for(lambda: asks("confirm"), "the question at the end")
    place.itmp("answer", change, "confirm", "false", "--key", "alice", expect=0)
    done = place.ended(process)
    assert done.rc == 20, done
    back = [*restarted, "begin previous", "end previous"]
    assert place.journals() == {"web1": back, "web2": back, "web3": back}
    assert place.sound()
