"""Exports to receivers that die in the middle, and whose certificates are wrong: the real command, real sockets."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from receivers import Authority, Receiver, https, syslog

from itmp.adapters.clock import new_id
from itmp.adapters.sinks import HttpsSink, SyslogSink
from itmp.audit import Event
from itmp.export import SinkError, leaf_of
from itmp.lab.fleet import make_key
from itmp.workspace import Workspace, init

ITMP = Path(sys.executable).parent / "itmp"
BATCH = 500
EVENTS = 1_200


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a workspace whose log has three batches."""
    make_key(tmp_path / "key", "alice@example.com")
    init(tmp_path, key=str(tmp_path / "key"), organization="example.com", signer="alice@example.com")
    events = [
        Event(id=new_id(), type="log.read", actor={"kind": "human", "id": "é"}, data={"about": "it " * 50})
        for _ in range(EVENTS)
    ]
    Workspace.here(tmp_path).log.extend(events, durable=False)
    return tmp_path


def exporting(place: Path, target: Sequence[str], roots: Path) -> subprocess.Popen[bytes]:
    words = [ITMP, "audit", "export", *target, "--json"]
    environ = {**os.environ, "SSL_CERT_FILE": str(roots)}
    return subprocess.Popen(words, cwd=place, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def ended(child: subprocess.Popen[bytes]) -> tuple[int, dict[str, object], bytes]:
    out, err = child.communicate(timeout=60)
    return child.returncode, json.loads(out), err


def index(record: bytes) -> int:
    found = json.loads(record)["index"]
    assert isinstance(found, int)
    return found


def check(place: Path, first: Receiver, second: Receiver, *, again: set[int]) -> None:
    """Every leaf arrived, each record proves its own, and only leaves `again` came twice, the same each time."""
    told = first.records + second.records
    log = Workspace.here(place).log
    upto = max(map(index, told)) + 1
    assert upto > EVENTS
    by_index = {index(record): record for record in told}
    assert sorted(by_index) == list(range(upto)), "none is lost"
    assert [leaf_of("jsonl", by_index[n]) for n in range(upto)] == [leaf.data for leaf in log.leaves(0, upto)]
    assert all(record == by_index[index(record)] for record in told), "one that comes twice is the same"
    assert {n for n, times in Counter(map(index, told)).items() if times > 1} == again
    assert [index(record) for record in second.records] == list(range(BATCH, upto))


@pytest.mark.parametrize("last", ["whole", "half"])
def test_an_export_by_https_whose_receiver_died_and_that_was_killed_goes_on_behind_what_was_taken(
    place: Path, last: str
) -> None:
    authority, first, second = Authority(place), Receiver(lives=1, last=last), Receiver()
    with https(first, authority.server()) as port:
        target = ("--https", f"https://127.0.0.1:{port}/in")
        child = exporting(place, target, authority.roots)
        try:
            assert first.died.wait(60)
        finally:
            child.kill()
            child.communicate()
    with https(second, authority.server(), port):
        code, said, err = ended(exporting(place, target, authority.roots))
    assert (code, said["from"]) == (0, BATCH), err
    check(place, first, second, again={index(record) for record in first.taken[1]})
    assert first.taken[1], "the batch that was under way came twice, as far as it got"


def test_an_export_by_https_that_was_refused_in_the_middle_goes_on_there(place: Path) -> None:
    authority, first, second = Authority(place), Receiver(lives=1, last="refused"), Receiver()
    with https(first, authority.server()) as port:
        target = ("--https", f"https://127.0.0.1:{port}/in")
        code, said, _ = ended(exporting(place, target, authority.roots))
    assert code == 13
    assert "403" in json.dumps(said)
    with https(second, authority.server(), port):
        code, said, err = ended(exporting(place, target, authority.roots))
    assert (code, said["from"]) == (0, BATCH), err
    check(place, first, second, again=set())


@pytest.mark.parametrize("scheme", ["tcp", "tls"])
def test_an_export_by_syslog_whose_receiver_died_goes_on_behind_what_was_read(
    place: Path, scheme: str
) -> None:
    authority, first, second = Authority(place), Receiver(lives=1), Receiver()
    context = authority.server() if scheme == "tls" else None
    with syslog(first, context) as port:
        target = ("--syslog", f"{scheme}://127.0.0.1:{port}")
        code, said, _ = ended(exporting(place, target, authority.roots))
    assert first.died.is_set()
    assert code == 13, said
    with syslog(second, context, port):
        code, said, err = ended(exporting(place, target, authority.roots))
    assert (code, said["from"]) == (0, BATCH), err
    check(place, first, second, again={index(record) for record in first.taken[1]})


@pytest.mark.parametrize("wrong", ["", "authority", "name", "expired"])
def test_records_go_only_to_a_receiver_whose_certificate_is_right(
    tmp_path: Path, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = Authority(tmp_path)
    contexts = {
        "": mine.server,
        "authority": Authority(tmp_path, "other").server,
        "name": lambda: mine.server("127.0.0.2"),
        "expired": lambda: mine.server(days=-1),
    }
    monkeypatch.setenv("SSL_CERT_FILE", str(mine.roots))
    web, log = Receiver(), Receiver()
    with https(web, contexts[wrong]()) as one, syslog(log, contexts[wrong]()) as two:
        for sink in (
            HttpsSink(f"https://127.0.0.1:{one}/", content="application/x-ndjson"),
            SyslogSink(f"tls://127.0.0.1:{two}", host="h", timeout=10),
        ):
            if wrong:
                with pytest.raises(SinkError, match="certificate is not accepted"):
                    sink.send([b'{"index":0}'])
            else:
                sink.send([b'{"index":0}'])
    assert web.records == log.records == ([] if wrong else [b'{"index":0}'])
