"""A rolling restart of twenty servers behind a real HAProxy, under constant requests, with one server that comes back sick.

No request is lost, never are more than a quarter of the servers out of rotation, and each one is back afterwards or named.
Nothing masks a loss: HAProxy neither retries nor redispatches here. The share out is read twice, from samples of HAProxy's
own statistics and from the log that it writes.
"""

import csv
import http.client
import io
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from places import wait_for
from servers import free_port, listens, program, serving
from yard import Yard

from itmp.lab import loopback

pytestmark = [pytest.mark.fleet, pytest.mark.catalog, pytest.mark.xdist_group("catalog")]

WEB = tuple(f"web{number}" for number in range(1, 21))
SICK = "web11"  # in the first large batch: it is out while each later one is drained
OUT = "web3"  # taken out by hand before undo
MOST_OUT = 0.25
CLIENTS = 3
PAUSE = 0.04
MOST_REQUESTS = 60_000
CONF = """\
global
  stats socket {root}/admin.sock level admin
  log stdout format raw local0 info
  nbthread 1
defaults
  mode http
  log global
  option httplog
  retries 0
  timeout connect 20s
  timeout client 60s
  timeout server 60s
  timeout check 20s
frontend front
  bind 127.0.0.1:{port}
  default_backend web
backend web
  balance roundrobin
  option httpchk GET /health
  default-server inter 500ms fall 2 rise 2
"""


@dataclass(slots=True, kw_only=True)
class Balancer:
    """HAProxy over twenty servers, what its clients met, and how many servers were out at each look."""

    port: int
    servers: dict[str, int]
    stats: Path
    log: Path
    heard: list[str] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    def begin(self) -> None:
        self.threads += [threading.Thread(target=self.watch)]
        self.threads += [threading.Thread(target=self.ask) for _ in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def end(self) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join(90)

    def say(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(30)
            line.connect(str(self.stats))
            line.sendall(f"{command}\n".encode())
            return b"".join(iter(lambda: line.recv(65536), b"")).decode()

    def states(self) -> dict[str, str]:
        told = self.say("show stat").removeprefix("# ")
        return {
            row["svname"]: row["status"] for row in csv.DictReader(io.StringIO(told)) if row["svname"] in WEB
        }

    def watch(self) -> None:
        while not self.stop.wait(0.1):
            self.shares.append(sum(not state.startswith("UP") for state in self.states().values()) / len(WEB))

    def ask(self) -> None:
        for _ in range(MOST_REQUESTS // CLIENTS):
            if self.stop.wait(PAUSE):
                return
            line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            try:
                line.request("GET", "/")
                answer = line.getresponse()
                self.heard.append(
                    "ok" if answer.status == 200 and answer.read() else f"status {answer.status}"
                )
            except (OSError, http.client.HTTPException) as error:
                self.heard.append(repr(error))
            finally:
                line.close()

    def requests(self) -> list[tuple[str, str]]:
        """Return server and status of each request in HAProxy's log."""
        return re.findall(r" front web/(\S+) \S+ (\S+) ", self.log.read_text())

    def logged_shares(self) -> list[float]:
        """Return the share out of rotation after each change of a server's state in HAProxy's log."""
        drained: set[str] = set()
        down: set[str] = set()
        shares = []
        for line in self.log.read_text().splitlines():
            found = re.match(r"Server web/(\S+) (.*)", line)
            if not found:
                continue
            server, what = found.groups()
            drained = (drained | {server}) if "enters drain state" in what else drained
            drained = (drained - {server}) if "leaving forced drain" in what else drained
            down = (down | {server}) if what.startswith("is DOWN") else down
            down = (down - {server}) if what.startswith("is UP") else down
            shares.append(len(drained | down) / len(WEB))
        return shares


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    groups = {"web": WEB, "lb": ("lb1",)}
    with loopback.up(tmp_path / "fleet", len(WEB) + 1, names=(*WEB, "lb1"), groups=groups) as fleet:
        front = [
            sys.executable,
            "{{ host_root }}/front/front.py",
            "{{ host_root }}/front",
            "{{ front_port }}",
        ]
        variables = {
            "service_restart_argv": [*front, "restart"],
            "service_status_argv": [*front, "health"],
            "haproxy_socket": str(fleet.host("lb1").root / "admin.sock"),
            "haproxy_backend": "web",
        }
        yield Yard.found(tmp_path, fleet, variables)


@pytest.fixture
def balancer(yard: Yard) -> Iterator[Balancer]:
    ports = {host: free_port() for host in WEB}
    yard.host_variables({host: {"front_port": port} for host, port in ports.items()})
    root = yard.fleet.host("lb1").root
    made = Balancer(port=free_port(), servers=ports, stats=root / "admin.sock", log=root / "haproxy.log")
    lines = "".join(f"  server {host} 127.0.0.1:{port} check\n" for host, port in ports.items())
    (root / "haproxy.cfg").write_text(CONF.format(root=root, port=made.port) + lines)
    try:
        for host, port in ports.items():
            (front(yard, host)).mkdir()
            shutil.copy(Path(__file__).with_name("front.py"), front(yard, host))
            control(yard, host, port, "restart")
        for port in ports.values():
            wait_for(lambda port=port: listens(port), "the servers to listen")
        with serving([program("haproxy"), "-db", "-f", str(root / "haproxy.cfg")], made.log):
            wait_for(made.stats.exists, "HAProxy to start")
            wait_for(lambda: set(made.states().values()) == {"UP"}, "all servers to be up")
            made.begin()
            try:
                yield made
            finally:
                made.end()
    finally:
        for host, port in ports.items():
            control(yard, host, port, "stop")


def front(yard: Yard, host: str) -> Path:
    return yard.fleet.host(host).root / "front"


def control(yard: Yard, host: str, port: int, act: str) -> None:
    folder = front(yard, host)
    if folder.exists():
        argv = [sys.executable, str(folder / "front.py"), str(folder), str(port), act]
        subprocess.run(argv, check=True, timeout=60)


def back(balancer: Balancer) -> set[str]:
    return {host for host, state in balancer.states().items() if state.startswith("UP")}


def test_a_rolling_restart_loses_no_request_keeps_three_quarters_in_and_is_taken_back(
    yard: Yard, balancer: Balancer
) -> None:
    (front(yard, SICK) / "broken").touch()
    words = ("drain_seconds=30", "healthy_within=3")
    change = yard.ready("runbooks/operate/rolling-restart.yml", *words)
    quiet = len(balancer.heard)
    hosts = yard.run(change, expect=13)
    assert back(balancer) == set(WEB) - {SICK}, "each server is back, or named by itmp as failed"
    starts = {host: (front(yard, host) / "starts").read_text() for host in WEB}
    assert starts == dict.fromkeys(WEB, "2")
    taken_back(yard, balancer, change)
    balancer.end()
    heard = Counter(balancer.heard)
    sent, lost = heard.total(), heard.total() - heard["ok"]
    out = (max(balancer.shares), max(balancer.logged_shares()))
    told = f"requests {sent} ({sent - quiet} during the run), lost {lost}, out at most {out[0]:.0%} sampled, {out[1]:.0%} logged"
    print(told)  # noqa: T201 -- the figures are what `make test-catalog` is for
    assert lost == 0, heard
    assert len(balancer.requests()) == sent
    assert sent - quiet > 200
    assert {status for _, status in balancer.requests()} == {"200"}
    assert max(out) <= MOST_OUT
    assert min(out) > 0.2, "a batch of four must have been seen beside the sick one"
    assert hosts == dict.fromkeys(WEB, "changed") | {SICK: "failed", "lb1": "skipped"}


def taken_back(yard: Yard, balancer: Balancer, change: str) -> None:
    """Undo puts back what answers: a server that somebody took out since, and the sick one once it is well."""
    (front(yard, SICK) / "broken").unlink()
    control(yard, SICK, balancer.servers[SICK], "restart")
    wait_for(lambda: listens(balancer.servers[SICK]), "the sick server to listen")
    assert balancer.say(f"set server web/{OUT} state drain").strip() == ""
    wait_for(lambda: back(balancer) == set(WEB) - {SICK, OUT}, "two servers to be out")
    starts = {host: (front(yard, host) / "starts").read_text() for host in WEB}
    yard.undo(change)
    assert back(balancer) == set(WEB)
    assert starts == {host: (front(yard, host) / "starts").read_text() for host in WEB}, (
        "nothing is restarted"
    )
