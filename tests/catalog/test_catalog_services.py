"""The catalog's runbooks for services, on real ones: HAProxy's TLS, BIND, a PostgreSQL pair, and the small web service."""

import hashlib
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from places import wait_for
from servers import free_port, listens, program, serving
from yard import OPERATE, ROOT, Yard

from itmp.lab import loopback

pytestmark = [
    pytest.mark.fleet,
    pytest.mark.catalog,
    pytest.mark.xdist_group("catalog"),
    pytest.mark.skipif(os.getuid() != 0, reason="needs root: the database's account is another one"),
]

WEB = ("web1", "web2")
EDGE = ("lb1", "lb2")
DB = ("db1", "db2")
NAMES = (*WEB, *EDGE, *DB, "ns1")
WEBCTL = "{{ host_root }}/web/bin/webctl"
GROUPS = {"web": WEB, "tls": EDGE, "db": DB, "db_clients": ("web1",), "dns_primary": ("ns1",)}


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    root = tmp_path_factory.mktemp("catalog")
    with loopback.up(root / "fleet", len(NAMES), names=NAMES, groups=GROUPS) as fleet:
        variables = {f"service_{act}_argv": [WEBCTL, act] for act in ("stop", "start", "restart")}
        variables |= {"service_status_argv": [WEBCTL, "health"], "keep_dir": "{{ host_root }}/keep"}
        yard = Yard.found(root, fleet, variables)
        for host in WEB:
            web = disk(yard, host) / "web"
            (web / "bin").mkdir(parents=True)
            (web / "etc").mkdir()
            shutil.copy(ROOT / "playbooks/files/webctl", web / "bin/webctl")
            (web / "bin/webctl").chmod(0o755)
            (web / "etc/web.conf").write_text(f"server_name {host}\ngreeting hello\nmax_connections 100\n")
            yard.inside(host, f"{web}/bin/webctl start")
        yield yard


def disk(yard: Yard, host: str) -> Path:
    return yard.fleet.host(host).root


def told(yard: Yard, host: str, *paths: str) -> dict[str, str | None]:
    """Return what files below a host's disk hold; None where there is none."""
    files = {path: disk(yard, host) / path for path in paths}
    return {path: file.read_text() if file.is_file() else None for path, file in files.items()}


def test_config_rollout_reaches_every_host_and_goes_back(yard: Yard) -> None:
    def state() -> list[dict[str, str | None]]:
        kept = "web/etc/web.conf.before-r7"
        return [told(yard, host, "web/etc/web.conf", "web/state/running.conf", kept) for host in WEB]

    before = state()
    done = []
    for host, was in zip(WEB, before, strict=True):
        text = f"# Written by the playbook web_config; revision r7\nserver_name {host}\ngreeting hi\nmax_connections 300\n"
        kept = was["web/etc/web.conf"]
        done.append(
            {"web/etc/web.conf": text, "web/state/running.conf": text, "web/etc/web.conf.before-r7": kept}
        )
    words = ("revision=r7", "greeting=hi", "max_connections=300")
    yard.there_and_back("runbooks/operate/config-rollout.yml", *words, state=state, done=done)


def test_emergency_stop_stops_what_ran_and_starts_no_more_than_that(yard: Yard) -> None:
    document = "runbooks/operate/emergency-stop.yml"
    words = ("--type", "emergency")

    def state() -> list[str]:
        return [(disk(yard, host) / "web/state/status").read_text().strip() for host in WEB]

    yard.inside("web2", f"{disk(yard, 'web2')}/web/bin/webctl stop")
    before = state()
    first = yard.ready(document, "confirm=stop-all", words=words)
    assert yard.run(first) == {"web1": "changed", "web2": "ok"}
    assert state() == ["stopped", "stopped"]
    assert set(yard.run(yard.ready(document, "confirm=stop-all", words=words)).values()) == {"ok"}
    yard.undo(first)
    assert state() == before == ["running", "stopped"]
    assert not any(
        (disk(yard, host) / "keep").exists() and list((disk(yard, host) / "keep").iterdir()) for host in WEB
    )
    yard.inside("web2", f"{disk(yard, 'web2')}/web/bin/webctl start")
    yard.fleet.stop_host("web2")
    try:
        cut = yard.ready(document, "confirm=stop-all", words=words)
        assert yard.run(cut, expect=13) == {"web1": "changed", "web2": "unreachable"}
        assert state() == ["stopped", "running"]  # one dead host keeps nobody from stopping the others
    finally:
        yard.fleet.start_host("web2")
    yard.undo(cut)
    assert state() == ["running", "running"]


def openssl(*words: str) -> str:
    return subprocess.run(["openssl", *words], check=True, capture_output=True, text=True, timeout=60).stdout


def issue(folder: Path, name: str, ca: Path, *, days: int = 365, subject: str = "www.example.com") -> str:
    """Write NAME.pem and its key, issued by `ca`; return the fingerprint."""
    cert, key = folder / f"{name}.pem", folder / f"{name}.pem.key"
    extra = ["-subj", f"/CN={subject}", "-addext", f"subjectAltName=DNS:{subject}"]
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-keyout", str(key),
            "-out", str(cert), "-days", str(days), "-CA", f"{ca}.pem", "-CAkey", f"{ca}.pem.key", *extra)  # fmt: skip
    return (
        openssl("x509", "-in", str(cert), "-noout", "-fingerprint", "-sha256")
        .strip()
        .partition("=")[2]
        .replace(":", "")
        .lower()
    )


EDGE_CONF = """\
global
  stats socket {root}/admin.sock level admin
defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout server 5s
frontend tls
  bind 127.0.0.1:{port} ssl crt {root}/tls/www.pem
  http-request return status 200
"""


@pytest.fixture
def edge(yard: Yard) -> Iterator[dict[str, str]]:
    """Two HAProxy servers with a certificate in service and another one staged; yield fingerprints by name."""
    haproxy = program("haproxy")
    ca = yard.root.parent / "ca"
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-keyout", f"{ca}.pem.key",
            "-out", f"{ca}.pem", "-days", "9", "-subj", "/CN=lab")  # fmt: skip
    source = yard.root.parent / "issued"
    source.mkdir()
    prints = {name: issue(source, name, ca) for name in ("old", "new")} | {
        "short": issue(source, "short", ca, days=2)
    }
    ports = {host: free_port() for host in EDGE}
    servers = []
    for host in EDGE:
        root = disk(yard, host)
        for part, name in (("tls", "old"), ("staged", "new")):
            (root / part).mkdir()
            for end in ("", ".key"):
                shutil.copy(source / f"{name}.pem{end}", root / part / f"www.pem{end}")
        (root / "haproxy.cfg").write_text(EDGE_CONF.format(root=root, port=ports[host]))
        servers.append(
            ([haproxy, "-W", "-db", "-f", str(root / "haproxy.cfg"), "-p", str(root / "pid")], root / "log")
        )
    yard.variables("tls", {
        "tls_name": "www.example.com", "tls_ca_file": f"{ca}.pem",
        "tls_certificate": "{{ host_root }}/tls/www.pem", "tls_key_file": "{{ host_root }}/tls/www.pem.key",
        "tls_staged_certificate": "{{ host_root }}/staged/www.pem",
        "tls_staged_key_file": "{{ host_root }}/staged/www.pem.key",
        "tls_test_argv": ["sh", "-c", f"test ! -e {{{{ host_root }}}}/broken && {haproxy} -c -f {{{{ host_root }}}}/haproxy.cfg"],
        "tls_reload_argv": ["sh", "-c", "kill -USR2 $(cat {{ host_root }}/pid)"],
    })  # fmt: skip
    yard.host_variables({host: {"tls_port": port} for host, port in ports.items()})
    with serving(servers[0][0], servers[0][1]), serving(servers[1][0], servers[1][1]):
        for port in ports.values():
            wait_for(lambda port=port: listens(port), "HAProxy to listen")
        yield prints | {host: str(port) for host, port in ports.items()}


def served(port: str) -> str:
    pem = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "www.example.com"],
        input="", capture_output=True, text=True, timeout=30, check=False,
    ).stdout  # fmt: skip
    begin, end = pem.index("-----BEGIN CERT"), pem.index("-----END CERT")
    import base64  # noqa: PLC0415 -- only here

    return hashlib.sha256(base64.b64decode("".join(pem[begin:end].splitlines()[1:]))).hexdigest()


def test_certificate_rotation_serves_the_approved_one_or_the_old_one(
    yard: Yard, edge: dict[str, str]
) -> None:
    document = "runbooks/operate/certificate-rotation.yml"

    def state() -> list[object]:
        files = [
            (path.stat().st_mode, path.read_bytes())
            for host in EDGE
            for path in sorted((disk(yard, host) / "tls").iterdir())
        ]
        return [served(edge[host]) for host in EDGE] + files

    before = state()
    first = yard.ready(document, f"fingerprint={edge['new']}")
    assert yard.run(first) == dict.fromkeys(EDGE, "changed")
    assert state()[:2] == [edge["new"]] * 2
    assert yard.run(yard.ready(document, f"fingerprint={edge['new']}")) == dict.fromkeys(EDGE, "ok")
    yard.undo(first)
    assert state() == before
    wrong = yard.ready(document, f"fingerprint={edge['short']}")
    assert yard.run(wrong, expect=13) == {"lb1": "failed", "lb2": "not_reached"}
    assert "approved is" in yard.failures(wrong)
    (disk(yard, "lb1") / "broken").touch()  # the configuration's own test fails with whatever is put in place
    broken = yard.ready(document, f"fingerprint={edge['new']}")
    assert yard.run(broken, expect=13) == {"lb1": "failed", "lb2": "not_reached"}
    (disk(yard, "lb1") / "broken").unlink()
    assert state() == before
    staged = disk(yard, "lb1") / "staged/www.pem.key"
    shutil.copy(yard.root.parent / "issued/old.pem.key", staged)
    mismatched = yard.ready(document, f"fingerprint={edge['new']}")
    assert yard.run(mismatched, expect=13) == {"lb1": "failed", "lb2": "not_reached"}
    assert "is not the key of" in yard.failures(mismatched)
    assert state() == before


ZONE = """\
$TTL 60
@ IN SOA ns1 hostmaster (
  2026112801 ; serial
  3600 900 604800 60 )
@ IN NS ns1
ns1 IN A 127.0.0.1
www IN A 192.0.2.10
api IN A 192.0.2.10
"""
NAMED_CONF = """\
options {{ directory "{root}"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; recursion no;
  pid-file "{root}/named.pid"; session-keyfile "{root}/session.key"; dnssec-validation no; }};
controls {{ }};
zone "example.com" {{ type primary; file "{root}/zone"; }};
"""


def test_dns_switch_points_the_name_there_and_back(yard: Yard) -> None:
    document = "runbooks/operate/dns-switch.yml"
    named, dig, check = program("named"), program("dig"), program("named-checkzone")
    root, port = disk(yard, "ns1"), free_port()
    (root / "zone").write_text(ZONE)
    (root / "named.conf").write_text(NAMED_CONF.format(root=root, port=port))
    ask = [dig, "+short", "+time=2", "@127.0.0.1", "-p", str(port)]
    yard.variables("dns_primary", {
        "dns_zone": "example.com", "dns_zone_file": str(root / "zone"), "dns_check_argv": [check],
        "dns_reload_argv": ["sh", "-c", f"kill -HUP $(cat {root}/named.pid)"], "dns_query_argv": ask,
        "dns_answers_on": yard.fleet.host("web1").port,
    })  # fmt: skip

    def answers(*words: str) -> str:
        return subprocess.run(
            [*ask, *words], capture_output=True, text=True, timeout=30, check=False
        ).stdout.strip()

    def state() -> list[str]:
        return [answers("www.example.com"), answers("api.example.com")]

    with serving([named, "-g", "-c", str(root / "named.conf")], root / "log"):
        wait_for(lambda: answers("www.example.com") == "192.0.2.10", "BIND to answer")
        words = ("record=www", "old_address=192.0.2.10", "new_address=127.0.0.1")
        yard.there_and_back(document, *words, state=state, done=["127.0.0.1", "192.0.2.10"])
        assert answers("example.com", "SOA").split()[2] == "2026112803"  # a serial never goes back
        assert (root / "zone").read_text() == ZONE.replace("2026112801", "2026112803")
        silent = yard.ready(document, "record=www", "old_address=192.0.2.10", "new_address=127.9.9.9")
        yard.run(silent, expect=13)
        moved = yard.ready(document, "record=www", "old_address=192.0.2.77", "new_address=127.0.0.1")
        yard.run(moved, expect=13)
        assert "decide by hand" in yard.failures(moved)
        assert state() == ["192.0.2.10"] * 2


@dataclass(slots=True, kw_only=True)
class Pair:
    """Two PostgreSQL nodes, streaming, and a client that writes through the address that it is told."""

    folder: Path
    address: Path
    ports: dict[str, int]
    written: list[int] = field(default_factory=list)

    def sql(self, where: str, text: str) -> str:
        argv = [BIN_PG / "psql", "-XAtqc", text, f"{where} user=postgres dbname=postgres connect_timeout=5"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout.strip() if done.returncode == 0 else f"error: {done.stderr}"

    def on(self, node: str, text: str) -> str:
        return self.sql(f"host=127.0.0.1 port={self.ports[node]}", text)

    def state(self) -> list[str]:
        return [*(self.on(node, "select pg_is_in_recovery()") for node in DB), self.address.read_text()]

    def write(self, stop: threading.Event) -> None:
        for number in range(2000):
            if stop.is_set():
                return
            row = f"insert into t values ({number})"  # noqa: S608 -- a number of our own
            if not self.sql(self.address.read_text().strip(), row).startswith("error"):
                self.written.append(number)
            stop.wait(0.2)


BIN_PG = Path("/usr/lib/postgresql/15/bin")
PG_CONF = """
port = {port}
listen_addresses = '127.0.0.1'
unix_socket_directories = '{data}'
fsync = off
"""


def as_postgres(*words: object) -> None:
    done = subprocess.run(
        ["runuser", "-u", "postgres", "--", *map(str, words)], capture_output=True, text=True, timeout=120, check=False,
        cwd="/", stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"


@contextmanager
def postgres_pair(yard: Yard) -> Iterator[Pair]:
    """Yield a primary on db1 and its standby on db2, and take them down."""
    folder = Path(tempfile.mkdtemp(prefix="itmp-pg-", dir="/tmp"))
    shutil.chown(folder, "postgres")
    folder.chmod(0o755)
    pair = Pair(
        folder=folder, address=disk(yard, "web1") / "database", ports={node: free_port() for node in DB}
    )
    node = folder / "pg_node"
    shutil.copy(ROOT / "playbooks/files/pg_node", node)
    node.chmod(0o755)
    try:
        as_postgres(BIN_PG / "initdb", "-D", folder / "db1", "-A", "trust", "--no-sync")
        configuration = folder / "db1/postgresql.conf"
        plain = configuration.read_text()
        configuration.write_text(plain + PG_CONF.format(port=pair.ports["db1"], data=folder / "db1"))
        as_postgres(BIN_PG / "pg_ctl", "start", "-w", "-D", folder / "db1", "-l", folder / "db1.log")
        as_postgres(
            BIN_PG / "pg_basebackup",
            "-D",
            folder / "db2",
            "-h",
            "127.0.0.1",
            "-p",
            pair.ports["db1"],
            "--no-sync",
            "-c",
            "fast",
        )
        (folder / "db2/postgresql.conf").write_text(
            plain + PG_CONF.format(port=pair.ports["db2"], data=folder / "db2")
        )
        (folder / "db2/standby.signal").touch()
        with (folder / "db2/postgresql.auto.conf").open("a") as conf:
            conf.write(f"primary_conninfo = 'host=127.0.0.1 port={pair.ports['db1']} user=postgres'\n")
        shutil.chown(folder / "db2/standby.signal", "postgres")
        as_postgres(BIN_PG / "pg_ctl", "start", "-w", "-D", folder / "db2", "-l", folder / "db2.log")
        pair.on("db1", "create table t (n int primary key)")
        pair.address.write_text(f"host=127.0.0.1 port={pair.ports['db1']}\n")
        pair.address.chmod(0o644)
        yield pair
    finally:
        for one in DB:
            stop = [BIN_PG / "pg_ctl", "stop", "-D", folder / one, "-m", "immediate", "-w"]
            subprocess.run(
                ["runuser", "-u", "postgres", "--", *map(str, stop)],
                check=False,
                capture_output=True,
                timeout=60,
                cwd="/",
            )
        shutil.rmtree(folder)


def test_database_hand_over_loses_no_transaction_and_hands_back(yard: Yard) -> None:
    document = "runbooks/operate/database-hand-over.yml"
    with postgres_pair(yard) as pair:
        yard.variables("db_clients", {"db_address_file": str(pair.address)})
        yard.variables("db", {"pg_bin": str(BIN_PG), "ansible_become_method": "su"})
        yard.host_variables({
            node: {"pg_data": str(pair.folder / node), "pg_socket": str(pair.folder / node), "pg_port": pair.ports[node]}
            for node in DB
        })  # fmt: skip
        words = ("old_primary=db1", "new_primary=db2")
        stop = threading.Event()
        writer = threading.Thread(target=pair.write, args=(stop,))
        writer.start()
        try:
            done = ["t", "f", f"host=127.0.0.1 port={pair.ports['db2']}\n"]
            yard.there_and_back(document, *words, state=pair.state, done=done)
        finally:
            stop.set()
            writer.join(60)
        assert len(pair.written) > 20
        kept = {int(line) for line in pair.on("db1", "select n from t").split()}
        assert set(pair.written) <= kept
        wait_for(
            lambda: pair.on("db2", "select count(*) from t") == str(len(kept)), "the standby to have it all"
        )
        require_going_on(yard, pair, document)


def require_going_on(yard: Yard, pair: Pair, document: str) -> None:
    """An attempt that ended after the fence is taken up, in either direction; two primaries are refused."""
    as_postgres(
        pair.folder / "pg_node", BIN_PG, pair.folder / "db1", pair.folder / "db1", pair.ports["db1"], "fence"
    )
    yard.run(yard.ready(document, "old_primary=db2", "new_primary=db1"))
    assert pair.state()[:2] == ["f", "t"]
    as_postgres(
        pair.folder / "pg_node", BIN_PG, pair.folder / "db1", pair.folder / "db1", pair.ports["db1"], "fence"
    )
    yard.run(yard.ready(document, "old_primary=db1", "new_primary=db2"))
    assert pair.state()[:2] == ["t", "f"]
    as_postgres(BIN_PG / "pg_ctl", "promote", "-w", "-D", pair.folder / "db1")
    split = yard.ready(f"{OPERATE}database-hand-over.yml", "old_primary=db2", "new_primary=db1")
    assert set(yard.run(split, expect=13).values()) <= {"failed", "not_reached"}
    assert "db1 is primary, db2 is primary" in yard.failures(split)
