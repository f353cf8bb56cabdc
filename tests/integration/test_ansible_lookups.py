"""The `url` lookup reads a server of this machine: while the play runs, from the controller, and the plan says so."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

pytestmark = pytest.mark.fleet


class Notes(BaseHTTPRequestHandler):
    """Gives two lines to whoever brings the header that was asked for."""

    def do_GET(self) -> None:
        known = self.path == "/note" and self.headers.get("X-Team") == "web"
        self.send_response(200 if known else 404)
        self.end_headers()
        self.wfile.write(b"first\nsecond\n" if known else b"no such note\n")
        self.server.asked.append(self.path)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), Notes) as made:
        made.asked = []
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield made
        finally:
            made.shutdown()
            thread.join()


PLAY = """\
- hosts: web1
  gather_facts: false
  vars: {{note: "http://127.0.0.1:{port}"}}
  tasks:
    - name: Lines
      ansible.builtin.debug:
        msg: "{{{{ query('ansible.builtin.url', note + '/note', headers={{'X-Team': 'web'}}) | join('+') }}}}"
    - name: Whole
      ansible.builtin.debug:
        msg: "{{{{ lookup('url', note + '/note', split_lines=false, headers={{'X-Team': 'web'}}) | length }}}}"
    - name: Missing
      ansible.builtin.debug: {{msg: "{{{{ lookup('ansible.builtin.url', note + '/none') }}}}"}}
      ignore_errors: true
    - name: Spared
      ansible.builtin.debug: {{msg: "{{{{ lookup('ansible.builtin.url', note + '/none', errors='ignore') is none }}}}"}}
"""


def test_the_url_lookup_reads_at_the_run_and_is_named_in_the_plan(world, server):
    world.write("playbooks/play.yml", PLAY.format(port=server.server_port))
    plan = world.plan()
    assert server.asked == []
    reached = {text.partition(" ")[2] for text in world.facts().plays["a"].outside}
    assert reached == {"lookup ansible.builtin.url", "lookup url"}
    recorder = world.run(plan)
    assert recorder.of("Lines").message == "first+second"
    assert recorder.of("Whole").message == "13"
    assert recorder.outcomes("Missing") == {"web1": "failed"}
    assert "404" in recorder.of("Missing").message
    assert recorder.outcomes("Spared") == {"web1": "ok"}
    assert server.asked == ["/note", "/note", "/none", "/none"]
