import http.server
import socket
import threading

import pytest

from itmp.adapters.probes import CheckRunner, DeclaredProber, ask, ask_until
from itmp.errors import InvalidInputError, RefusedError
from itmp.execution.doors import Slice
from itmp.plan import AnsibleStep, CheckStep
from itmp.plan.model import CommandProbe, HttpProbe, TcpProbe


class Site(http.server.BaseHTTPRequestHandler):
    calls: list[str]

    def do_GET(self):
        type(self).calls.append(self.path)
        if self.path == "/away":
            self.send_response(302)
            self.send_header("Location", f"http://localhost:{self.server.server_port}/ok")
        elif self.path == "/here":
            self.send_response(302)
            self.send_header("Location", "/ok")
        elif self.path == "/later":
            self.send_response(200 if type(self).calls.count("/later") > 1 else 503)
        else:
            self.send_response(200 if self.path == "/ok" else 404)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"up")

    def log_message(self, *_):
        pass


@pytest.fixture
def site():
    handler = type("Handler", (Site,), {"calls": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(10)


@pytest.fixture
def closed():
    with (
        socket.socket() as holder
    ):  # bound, not listening: connections are refused and nobody else gets the port
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def test_http_is_judged_by_status_and_content(site):
    assert ask(HttpProbe(url=f"{site}/ok")) == ""
    assert ask(HttpProbe(url=f"{site}/ok", contains="up")) == ""
    assert ask(HttpProbe(url=f"{site}/missing", status=404)) == ""
    assert ask(HttpProbe(url=f"{site}/missing")) == "answered 404, not 200"
    assert "without the text" in ask(HttpProbe(url=f"{site}/ok", contains="down"))


def test_a_redirect_to_another_host_is_no_answer_of_this_one(site):
    assert ask(HttpProbe(url=f"{site}/here")) == ""
    assert ask(HttpProbe(url=f"{site}/away")) == "answered 302, not 200"


def test_proxies_of_the_environment_are_not_used(site, closed, monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed}")
    assert ask(HttpProbe(url=f"{site}/ok")) == ""


def test_only_http_is_asked(tmp_path):
    with pytest.raises(InvalidInputError):
        ask(HttpProbe(url=f"file://{tmp_path}"))


def test_tcp(site, closed):
    assert ask(TcpProbe(host="127.0.0.1", port=int(site.rpartition(":")[2]))) == ""
    assert ask(TcpProbe(host="127.0.0.1", port=closed)).startswith("no answer")


def test_asking_goes_on_until_the_answer_is_right(site):
    assert ask_until(HttpProbe(url=f"{site}/later"), 30) == ""


class Recorder:
    def __init__(self, veto=()):
        self.actions, self.results, self.veto = [], [], veto

    def before(self, action):
        if action.host in self.veto:
            raise RefusedError("no")
        self.actions.append(action)

    def after(self, result):
        self.results.append(result)


def check(probes, within=0):
    hosts = tuple(probes)
    step = CheckStep(id="healthy", title="Healthy", hosts=hosts, probes=probes, within=within)
    return Slice(key="healthy@0", step=step, hosts=hosts)


def test_a_check_step_asks_each_host_once_and_tells(site, closed):
    part = check({"a": HttpProbe(url=f"{site}/ok"), "b": TcpProbe(host="127.0.0.1", port=closed)})
    observer = Recorder()
    CheckRunner().run(object(), object(), part, room=object(), observer=observer)
    assert [(a.id, a.action) for a in observer.actions] == [
        ("healthy@a", "itmp.check.http"),
        ("healthy@b", "itmp.check.tcp"),
    ]
    assert {r.host: r.outcome for r in observer.results} == {"a": "ok", "b": "failed"}


def test_a_refused_check_is_not_asked_and_the_others_are_told(site):
    part = check(
        {"a": HttpProbe(url=f"{site}/ok"), "b": HttpProbe(url=f"{site}/ok"), "c": HttpProbe(url=f"{site}/ok")}
    )
    observer = Recorder(veto=("b",))
    with pytest.raises(RefusedError):
        CheckRunner().run(object(), object(), part, room=object(), observer=observer)
    assert [result.host for result in observer.results] == ["a"]


def test_a_declared_probe_says_whether_the_effect_is_there(site, closed):
    probes = {
        "a": HttpProbe(url=f"{site}/ok"),
        "b": TcpProbe(host="127.0.0.1", port=closed),
        "d": CommandProbe(argv=("true",)),
    }
    step = AnsibleStep(id="s", title="s", playbook="p", hosts=tuple("abcd"), expected=(), probes=probes)
    part = Slice(key="s", step=step, hosts=step.hosts)
    answers = DeclaredProber().probe(object(), part, step.hosts, room=object())
    assert answers == {"a": "done", "b": "not_done"}  # nobody is there to ask on hosts: d cannot be known
