"""What of ssh's arguments and a user's configuration becomes part of a plan."""

from pathlib import Path
from typing import Any

import pytest

from itmp.adapters.ansible import _ssh, _ways
from itmp.adapters.ansible._ways import Hop, Way, Ways
from itmp.canonical import digest
from itmp.errors import InvalidInputError
from itmp.plan.model import Host


@pytest.mark.parametrize(
    ("text", "jumps"),
    [
        ("-J bastion", ("bastion",)),
        ("-Jops@bastion:2222", ("ops@bastion:2222",)),
        ("-o ProxyJump=a,b", ("a", "b")),
        ("-oProxyJump=a", ("a",)),
        ('-o "ProxyJump a"', ("a",)),
        ("-o ProxyCommand='ssh -W %h:%p -q ops@bastion'", ("ops@bastion",)),
        ('-o ProxyCommand="ssh -q -p 2222 -W [%h]:%p bastion"', ("bastion:2222",)),
        ("-o ProxyJump=none", ()),
        ("-C -o ControlMaster=auto -o ControlPersist=60s -o ConnectTimeout=5", ()),
    ],
)
def test_jumps_are_read(text, jumps):
    said = _ways.arguments(text)
    assert (said.jumps, said.refused, said.weakens) == (jumps, (), False)


@pytest.mark.parametrize(
    "text",
    [
        "-o ProxyCommand='nc %h %p'",
        "-o ProxyCommand='ssh -W %h:%p bastion; touch /tmp/x'",
        "-o ProxyCommand='ssh -W %h:%p $(touch x)'",
        "-o ProxyCommand='ssh -W %h:%p bastion;id'",
        "-o ProxyCommand='ssh -F other -W %h:%p bastion'",
        "-o ProxyCommand='ssh -W %h:%p -oProxyCommand=x bastion'",
        "-o LocalCommand=x",
        "-F other",
        "-L 1:2:3",
        "-o 'unclosed",
        "-o KnownHostsCommand=x",
    ],
)
def test_what_could_run_or_lead_elsewhere_is_refused(text):
    assert _ways.arguments(text).refused


@pytest.mark.parametrize(
    "text",
    ["-o StrictHostKeyChecking=no", "-oStrictHostKeyChecking=off", "-o UserKnownHostsFile=/dev/null"],
)
def test_what_weakens_the_check_of_keys_is_noticed(text):
    said = _ways.arguments(text)
    assert said.weakens
    assert not said.refused


def entry(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "address": name, "port": 22, "connection": "ssh", "ssh_args": "", **more}


def test_aliases_of_the_users_configuration_are_frozen(tmp_path: Path):
    config = tmp_path / "config"
    config.write_text(
        "Host bastion\n  HostName 192.0.2.1\n  Port 2201\n  User ops\n  IdentityFile ~/.ssh/jump\n"
        "Host web*\n  ProxyJump bastion\nHost web1\n  HostName 10.0.0.1\n"
    )
    ways, refused, weak = _ways.settle([entry("web1"), entry("web2"), entry("db1")], config)
    hop = Hop(host="192.0.2.1", port=2201, user="ops", keys=("~/.ssh/jump",))
    assert ways == {"web1": Way(via=(hop,), end=Hop(host="10.0.0.1")), "web2": Way(via=(hop,))}
    assert (refused, weak) == ({}, frozenset())
    frozen = Ways(of=ways, unpinned=("web2",))
    assert Ways.from_bytes(frozen.to_bytes()) == frozen


@pytest.mark.parametrize(
    "text",
    [
        "Match exec true\n  User x\n",
        "Include other\n",
        "KnownHostsCommand /x\n",
        '"Match" exec true\n  User x\n',
        '"Match"exec true\n  User x\n',
        '"Match"ex"ec" true\n  User x\n',
        'Match ho"st" * ex"ec" true\n  User x\n',
        '"Include" other\n',
    ],
)
def test_a_configuration_that_runs_commands_is_refused(tmp_path, text):
    (tmp_path / "config").write_text(text)
    with pytest.raises(InvalidInputError, match="not honoured"):
        _ways.settle([], tmp_path / "config")


def test_a_hop_that_ssh_would_read_as_more_than_a_name_is_found():
    assert _ways.unsafe(Way(via=(Hop(host="-oProxyCommand=x"),)))
    assert _ways.unsafe(Way(via=(Hop(host='a" exec "x'),)))
    assert _ways.unsafe(Way(end=Hop(host="a", keys=("k\nProxyCommand x",))))


def test_only_hosts_and_hops_get_through_and_only_the_unpinned_go_unchecked():
    hosts = [
        Host(name=name, address=name, port=22, groups=(), vars=digest(b""))
        for name in ("web1", "web2", "web3")
    ]
    ways = Ways(of={"web1": Way(via=(Hop(host="j", port=2222, user="ops"),))}, unpinned=("web2",))
    text = _ssh.config(hosts, ways)
    assert 'Match originalhost web1 exec "test %p = 22"\n  ProxyJump ops@j:2222\n' in text
    assert 'Match originalhost j exec "test %p = 2222"\n  User ops\n  ProxyCommand none\n' in text
    assert text.count("StrictHostKeyChecking no\n") == 1
    assert set(_ssh.places(hosts, ways)) == {("web1", 22), ("j", 2222), ("web2", 22), ("web3", 22)}
