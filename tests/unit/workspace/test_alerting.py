"""Alerts against local receivers: told once for each incident, by every route, bounded, and never with a secret."""

import http.server
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from keep import again, found, keep, store

from itmp import workspace
from itmp.adapters import posix_log
from itmp.adapters.clock import SystemClock, new_id
from itmp.audit import Event
from itmp.calendars import format_time
from itmp.errors import ForkError, InvalidInputError, LogUnavailableError
from itmp.testing.memory_log import StepClock
from itmp.workspace import alerting, anchoring, changes, contents, statements
from itmp.workspace.place import EXECUTOR

TOKEN = "s3cret-token-of-the-receiver"


class Receiver(http.server.BaseHTTPRequestHandler):
    """Keeps what is POSTed; answers with the server's `status`, or never."""

    def do_POST(self) -> None:
        server: Any = self.server
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server.got.append((json.loads(body), dict(self.headers)))
        server.silence.wait()
        self.send_response(server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[Any]:
    server: Any = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.got, server.status, server.silence = [], 200, threading.Event()
    server.silence.set()
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.silence.set()
    server.shutdown()
    server.server_close()
    thread.join()
    alerting.wait()


@pytest.fixture
def place(tmp_path: Path) -> workspace.Workspace:
    made = found(tmp_path / "w")
    keep(made, "one")
    return made


def alerted(place: workspace.Workspace, *routes: dict[str, Any], more: str = "") -> workspace.Workspace:
    """Configure routes, and open the workspace as the next process would."""
    file = place.root / "itmp.yml"
    file.write_text(file.read_text() + f"alerts: {json.dumps(routes)}\n" + more)
    return again(place)


def web(receiver: Any, **more: Any) -> dict[str, Any]:
    return {"name": "web", "url": f"http://127.0.0.1:{receiver.server_port}/itmp", **more}


def names(receiver: Any) -> list[str]:
    alerting.wait()
    return [body["incident"] for body, _ in receiver.got]


def event() -> Event:
    return Event(id=new_id(), type="log.read", actor=dict(EXECUTOR))


def grown_old(place: workspace.Workspace, minutes: int = 60) -> None:
    """Let every incident's times lie further back."""
    file = place.state / alerting.NAME
    memory = json.loads(file.read_bytes())
    then = format_time((SystemClock().now() - timedelta(minutes=minutes)).replace(microsecond=0))
    for known in memory["incidents"].values():
        known["since"] = then
        known["tried"] = dict.fromkeys(known["tried"], then)
    file.write_bytes(json.dumps(memory).encode().ljust(file.stat().st_size))


def no_space(place: workspace.Workspace) -> None:
    """Let every append fail as on a full disk: the reserve that must be there for the last leaf is gone for good."""
    (place.state / "log/.state/reserve").unlink(missing_ok=True)
    (place.state / "log/.state/reserve").mkdir()


def test_an_append_that_fails_is_told_once_and_the_error_is_raised_on(
    place: workspace.Workspace, receiver: Any
) -> None:
    here = alerted(place, web(receiver))
    here.log.append(event())
    no_space(here)
    for _ in range(3):
        with pytest.raises(LogUnavailableError):
            here.log.append(event())
    for _ in range(2):
        with pytest.raises(LogUnavailableError):
            again(here).log.append(event())
    assert names(receiver) == ["log-unavailable"]
    body, _ = receiver.got[0]
    assert body["log"] == "example.com/ops"
    assert body["machine"] == socket.gethostname()
    assert set(body) == {"schema", "incident", "about", "what", "log", "machine", "since", "do"}


def test_what_is_over_and_comes_back_is_told_anew(place: workspace.Workspace, receiver: Any) -> None:
    here = alerted(place, web(receiver))
    no_space(here)
    for round_ in range(2):
        with pytest.raises(LogUnavailableError):
            here.log.append(event())
        assert len(names(receiver)) == round_ + 1
        (here.state / "log/.state/reserve").rmdir()
        again(here).log.append(event())
        again(here).log.checkpoint()
        no_space(here)
        with pytest.raises(LogUnavailableError):
            here.log.append(event())
        assert len(names(receiver)) == round_ + 1, "one that flickers is one"
        grown_old(here)
        (here.state / "log/.state/reserve").rmdir()
        again(here).log.checkpoint()
        no_space(here)
        here = again(here)


def test_a_rollback_and_a_failed_verification_are_told(place: workspace.Workspace, receiver: Any) -> None:
    here = alerted(place, web(receiver))
    here.log.append(event())
    here.log.checkpoint()
    (entries,) = [p for p in (here.state / "log/tile/entries").rglob("*") if p.is_file()][-1:]
    data = bytearray(entries.read_bytes())
    data[-1] ^= 1
    entries.write_bytes(data)
    assert workspace.audit_verify(here).exit_code == 40
    assert workspace.audit_verify(again(here)).exit_code == 40
    assert names(receiver) == ["verify-failed"]
    journal = here.state / "log/.state/journal.0"
    journal.write_bytes(journal.read_bytes()[:300])
    for _ in range(2):
        with pytest.raises((ForkError, LogUnavailableError)):
            again(here).log.size()
    assert names(receiver)[1:] in (["rolled-back"], ["log-unavailable"])
    assert workspace.audit_health(again(here)).exit_code in {16, 42}
    assert len(names(receiver)) == 2, "health tells nothing that was told"


def test_health_tells_what_it_finds_and_shows_a_route_that_failed(
    place: workspace.Workspace, receiver: Any
) -> None:
    receiver.status = 500
    here = alerted(place, web(receiver), {"name": "gone", "url": "tcp://127.0.0.1:1"})
    no_space(here)
    with pytest.raises(LogUnavailableError):
        here.log.append(event())
    alerting.wait()
    fitness = workspace.audit_health(again(here))
    failed = [message for name, message in fitness.faults if name == "alert-failed"]
    assert len(failed) == 2
    assert "the receiver answered 500" in failed[0]
    assert fitness.exit_code == 16
    workspace.audit_health(again(here))
    assert names(receiver) == ["log-unavailable"], "a failed route is not tried again at once"
    receiver.status = 200
    grown_old(here, 16)
    workspace.audit_health(again(here))
    assert names(receiver) == ["log-unavailable"] * 2
    (route,) = [one for one in alerting.outcomes(again(here)) if one.route == "web"]
    assert route.why == ""


def test_a_test_goes_by_every_route_and_names_those_that_fail(
    place: workspace.Workspace, receiver: Any, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as syslog:
        lines: list[bytes] = []

        def serve() -> None:
            peer, _ = syslog.accept()
            with peer:
                while data := peer.recv(65536):
                    lines.append(data)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        script = tmp_path / "page.sh"
        script.write_text("#!/bin/sh\ncat > ../paged\nls -A .itmp > ../seen\nenv > ../environ\n")
        script.chmod(0o755)
        here = alerted(
            place,
            web(receiver),
            {"name": "syslog", "url": f"tcp://127.0.0.1:{syslog.getsockname()[1]}"},
            {"name": "pager", "command": [str(script)]},
            {"name": "none", "command": ["/no/such/program"]},
            {"name": "false", "command": ["false"]},
        )
        os.environ["ITMP_TEST_PLANTED"] = TOKEN
        try:
            sent = {one.route: one.why for one in workspace.alert_test(here)}
        finally:
            del os.environ["ITMP_TEST_PLANTED"]
        thread.join()
    assert {name for name, why in sent.items() if why} == {"none", "false"}
    assert names(receiver) == ["test"]
    assert b"<106>1 " in b"".join(lines)
    assert b'"incident": "test"' in b"".join(lines)
    assert json.loads((tmp_path / "paged").read_text())["incident"] == "test"
    seen = (tmp_path / "seen").read_text().split()
    assert not {"log", "keys", "private", "head.sqlite"} & set(seen), (
        "the state folder is closed to the program"
    )
    assert TOKEN not in (tmp_path / "environ").read_text()


def test_a_receiver_that_never_answers_holds_nothing_up(place: workspace.Workspace, receiver: Any) -> None:
    here = alerted(place, web(receiver))
    receiver.silence.clear()
    no_space(here)
    began = time.monotonic()
    with pytest.raises(LogUnavailableError):
        here.log.append(event())
    assert time.monotonic() - began < alerting.SECONDS, "what is done does not wait for the alert"
    receiver.silence.set()
    assert names(receiver) == ["log-unavailable"]


def test_the_end_of_the_process_waits_for_an_alert_under_way(
    place: workspace.Workspace, receiver: Any
) -> None:
    here = alerted(place, web(receiver))
    no_space(here)
    code = (
        "from itmp.workspace import Workspace\nfrom itmp.workspace import alerting\n"
        "alerting.tell(Workspace.here(), 'log-full')\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=here.root, check=True, timeout=60)
    assert [body["incident"] for body, _ in receiver.got] == ["log-full"]


def test_no_secret_and_no_text_of_others_is_told(
    place: workspace.Workspace, receiver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ITMP_ALERT_TOKEN", TOKEN)
    here = alerted(place, web(receiver, token="env:ITMP_ALERT_TOKEN"))
    no_space(here)
    with pytest.raises(LogUnavailableError):
        here.log.append(event())
    alerting.wait()
    body, headers = receiver.got[0]
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert TOKEN not in json.dumps(body)
    assert str(here.root) not in json.dumps(body)
    receiver.status = 403
    assert TOKEN not in repr(workspace.alert_test(here))
    scan = b"".join(path.read_bytes() for path in here.state.rglob("*") if path.is_file())
    assert TOKEN.encode() not in scan


@pytest.mark.parametrize(
    ("route", "told"),
    [
        ({"name": "A B", "url": "https://x"}, "cannot name"),
        ({"name": "x", "url": "https://x", "token": "file:.itmp/keys/log.key"}, "no variable that is meant"),
        (
            {"name": "x", "url": "https://x", "token": "env:AWS_SECRET_ACCESS_KEY"},
            "no variable that is meant",
        ),
        ({"name": "x", "url": "https://x", "extra": 1}, "extra"),
    ],
)
def test_a_wrong_route_is_refused_when_the_workspace_is_opened(
    place: workspace.Workspace, route: dict[str, Any], told: str
) -> None:
    with pytest.raises(InvalidInputError, match=told):
        alerted(place, route)


@pytest.mark.parametrize(
    "route",
    [{"url": "http://192.0.2.1/x"}, {"url": "https://u:p@x/"}, {"url": "tcp://x"}, {"url": "ftp://x"}, {},
     {"url": "https://x", "command": ["true"]}, {"url": "https://[::1"}],
)  # fmt: skip
def test_an_address_that_is_none_fails_its_route(place: workspace.Workspace, route: dict[str, Any]) -> None:
    (sent,) = workspace.alert_test(alerted(place, {"name": "x", **route}))
    assert sent.why


@pytest.mark.parametrize("token", [f"{TOKEN}\n", f"{TOKEN}\r\nx: y", f"{TOKEN}é"])
def test_a_token_that_is_no_header_is_not_told_by_the_error(
    place: workspace.Workspace, receiver: Any, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("ITMP_ALERT_TOKEN", token)
    (sent,) = alerting.test(alerted(place, web(receiver, token="env:ITMP_ALERT_TOKEN")))
    assert sent.why == "the token is no line of printable ASCII characters"
    assert TOKEN not in (place.state / alerting.NAME).read_text()


def test_a_receiver_whose_certificate_nobody_vouches_for_is_told_nothing(
    place: workspace.Workspace, receiver: Any, tmp_path: Path
) -> None:
    argv = "openssl req -x509 -newkey ed25519 -nodes -days 1 -subj /CN=localhost -keyout key.pem -out crt.pem"
    subprocess.run(argv.split(), cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "crt.pem", tmp_path / "key.pem")
    receiver.socket = context.wrap_socket(receiver.socket, server_side=True)
    (sent,) = workspace.alert_test(
        alerted(place, {"name": "x", "url": f"https://localhost:{receiver.server_port}/"})
    )
    assert "CERTIFICATE_VERIFY_FAILED" in sent.why
    assert receiver.got == []


@pytest.mark.parametrize(
    "memory",
    [
        b"", b"[]", b"{", b"null", b"\xff" * 40, b'{"incidents": [], "routes": {}}', b"[" * 30_000,
        b'{"incidents": {"log-full": 1}, "routes": {}}',
        b'{"incidents": {"log-full": {"since": "x", "tried": {}, "told": []}}, "routes": {}}',
        b'{"incidents": {"log-full": {"since": 7, "tried": {}, "told": []}}, "routes": {}}',
        b'{"incidents": {"log-full": {"since": "2026-11-28T00:00:00Z", "tried": {"web": "x"}, "told": []}}, "routes": {}}',
        b'{"incidents": {"log-full": {"since": "2026-11-28T00:00:00Z", "tried": {}, "told": 7}}, "routes": {}}',
        b'{"incidents": {}, "routes": {"web": 7}}',
    ],
)  # fmt: skip
def test_a_memory_that_somebody_spoilt_hides_no_incident(
    place: workspace.Workspace, receiver: Any, memory: bytes
) -> None:
    here = alerted(place, web(receiver))
    (here.state / alerting.NAME).write_bytes(memory)
    workspace.audit_health(here)
    alerting.settle(here, {"log-full"})
    alerting.tell(here, "log-full")
    assert names(receiver) == ["log-full"]


def test_two_routes_of_one_name_and_a_test_without_routes_are_refused(place: workspace.Workspace) -> None:
    with pytest.raises(InvalidInputError, match="no route"):
        workspace.alert_test(place)
    with pytest.raises(InvalidInputError, match="one name"):
        alerted(place, {"name": "x", "command": ["true"]}, {"name": "x", "command": ["true"]})


def test_a_lag_that_is_no_duration_is_refused_when_the_workspace_is_opened(
    place: workspace.Workspace,
) -> None:
    file = place.root / "itmp.local.yml"
    file.write_text(file.read_text() + "anchors: [{kind: directory, lag: soon}]\n")
    with pytest.raises(InvalidInputError, match="not a duration"):
        again(place)


def test_an_anchor_that_lags_for_too_long_is_told_and_one_that_lags_shortly_is_not(
    place: workspace.Workspace, receiver: Any, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    text = (place.root / "itmp.yml").read_text().partition("anchors:")[0]
    (place.root / "itmp.yml").write_text(
        text + f"anchors: [{{kind: directory, name: second, path: {tmp_path / 'file' / 'x'}, lag: 1h}}]\n"
    )
    here = alerted(place, web(receiver))
    workspace.audit_anchor(here)
    assert [one.state for one in anchoring.last(here)] == ["failed"]
    assert names(receiver) == []
    assert workspace.audit_health(again(here)).faults == ()
    file = here.state / "anchors.json"
    one, *before = json.loads(file.read_text())
    one["since"] = format_time((SystemClock().now() - timedelta(hours=2)).replace(microsecond=0))
    file.write_text(json.dumps([one, *before]))
    workspace.audit_anchor(again(here))
    assert names(receiver) == ["anchor-behind"]
    assert receiver.got[0][0]["about"] == "second"
    assert [name for name, _ in workspace.audit_health(again(here)).faults] == ["anchor-behind"]
    (tmp_path / "file").unlink()
    (tmp_path / "file").mkdir()
    workspace.audit_anchor(again(here))
    assert workspace.audit_health(again(here)).faults == ()
    assert len(names(receiver)) == 1


def test_retention_and_redaction_that_are_overdue_are_told(tmp_path: Path, receiver: Any) -> None:
    place = found(tmp_path / "w", "retention: {keep: 1d, hot: 1d}\n")
    keep(place, "young")
    here = alerted(place, web(receiver))
    assert workspace.audit_health(here).faults == ()
    for days, faults in ((5, []), (9, ["retention-overdue"])):
        past = StepClock(SystemClock().now() - timedelta(days=days))
        commitment = store(here).put("/diff", f"{days} days old", now=past.now())
        log = posix_log.open_log(here.state, clock=past)
        log.append(replace(event(), type="action.finished", change=f"CHG-000000000{days}", diff=commitment))
        log.checkpoint()
        assert [name for name, _ in workspace.audit_health(again(here)).faults] == faults, "a week's grace"
    assert names(receiver) == ["retention-overdue"]
    own = contents.redact_lines(here, "1", "/diff", "a password")
    statement, signed, signer = changes.sign_act(here, "redact", lambda _: own, str(here.root / "key"))
    statements.record(here, statement, signed, actor=changes.actor(signer))
    found_ = {name for name, _ in workspace.audit_health(again(here)).faults}
    assert found_ == {"retention-overdue", "redaction-overdue"}
    assert names(receiver) == ["retention-overdue", "redaction-overdue"]
    workspace.audit_retention(again(here), apply=True)
    assert workspace.audit_health(again(here)).faults == ()
