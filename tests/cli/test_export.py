"""The trail handed to another system, broken off and gone on with: nothing is missing, each record leads back."""

import http.server
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from itmp.export import leaf_of
from itmp.lab.fleet import make_key
from itmp.workspace import Workspace, audit_export, init

ITMP = Path(sys.executable).parent / "itmp"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    make_key(tmp_path / "key", "alice@example.com")
    init(tmp_path, key=str(tmp_path / "key"), organization="example.com", signer="alice@example.com")
    return tmp_path


def itmp(folder: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([ITMP, *words], cwd=folder, capture_output=True, check=False, timeout=120)


def test_an_export_goes_on_where_the_last_one_ended_and_is_itself_logged(workspace: Path) -> None:
    out = workspace / "trail.jsonl"
    first = itmp(workspace, "audit", "export", "-o", str(out), "--json")
    assert (first.returncode, json.loads(first.stdout)["from"]) == (0, 0)
    whole = out.read_bytes()
    out.write_bytes(whole[:-5])  # killed in the middle of its last line
    second = json.loads(itmp(workspace, "audit", "export", "-o", str(out), "--json").stdout)
    assert (second["from"], second["to"]) == (0, 2)
    third = json.loads(itmp(workspace, "audit", "export", "-o", str(out), "--json").stdout)
    assert (third["from"], third["to"]) == (2, 3)
    log = Workspace.here(workspace).log
    told = [leaf_of("jsonl", line) for line in out.read_bytes().splitlines()]
    assert told == [leaf.data for leaf in log.leaves(0, 3)]
    assert [leaf.event.type for leaf in log.leaves(1)] == ["log.exported"] * 3


def test_the_path_of_a_receiver_is_not_logged_because_many_hold_their_token_there(workspace: Path) -> None:
    class Taker(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Taker) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        place = f"http://127.0.0.1:{server.server_port}"
        audit_export(Workspace.here(workspace), form="jsonl", target=f"{place}/hook/T0/hush?key=hush#hush")
    (told,) = Workspace.here(workspace).log.leaves(1)
    assert (told.event.data or {})["target"] == place


def test_standard_output_takes_records_alone(workspace: Path) -> None:
    done = itmp(workspace, "audit", "export", "--format", "cloudevents")
    assert [json.loads(line)["leafindex"] for line in done.stdout.splitlines()] == [0]
    assert b"1 event, 0 to 1" in done.stderr


def test_wrong_exports_say_what_to_do(workspace: Path) -> None:
    for words, code in (
        (("--format", "xml"), 2),
        (("--from-index", "99"), 2),
        (("--https", "https://user:pw@localhost/x"), 2),
        (("-o", "a", "--syslog", "tcp://127.0.0.1:1"), 2),
        (("--syslog", "tcp://127.0.0.1:1"), 13),
        (("-o", "/"), 13),
    ):
        done = itmp(workspace, "audit", "export", *words)
        assert done.returncode == code, (words, done)
        assert b"Traceback" not in done.stderr
    (workspace / "other").write_text("not ours\n")
    assert b"no jsonl record" in itmp(workspace, "audit", "export", "-o", "other").stderr
