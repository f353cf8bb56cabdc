"""What of ssh's arguments and a user's configuration becomes part of a plan."""

import getpass
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from itmp.adapters.ansible import _ssh, _ssh_files, _ssh_options, _ways
from itmp.adapters.ansible._ssh_files import Hop, Place
from itmp.adapters.ansible._ways import Way, Ways
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
    said = _ssh_options.arguments(text)
    assert (said.jumps, said.refused, said.weakens) == (jumps, (), False)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("-o Ciphers=aes128-ctr,aes256-ctr -c aes192-ctr", [("Ciphers", "aes128-ctr,aes256-ctr")]),
        ("-o HostKeyAlgorithms=+ssh-rsa", [("HostKeyAlgorithms", "+ssh-rsa")]),
        ("-o PubkeyAcceptedKeyTypes=+ssh-rsa", [("PubkeyAcceptedAlgorithms", "+ssh-rsa")]),
        ("-o 'kexalgorithms -ecdh-*'", [("KexAlgorithms", "-ecdh-*")]),
        ("-4C", [("AddressFamily", "inet"), ("Compression", "yes")]),
        ("-6 -vvv -q", [("AddressFamily", "inet6")]),
        (
            "-oServerAliveInterval=30s -oServerAliveCountMax=2 -o ConnectTimeout=5 -o ConnectionAttempts=3",
            [
                ("ServerAliveInterval", "30s"),
                ("ServerAliveCountMax", "2"),
                ("ConnectTimeout", "5"),
                ("ConnectionAttempts", "3"),
            ],
        ),
        (
            "-o GSSAPIAuthentication=no -o PreferredAuthentications=publickey -o IdentitiesOnly=yes",
            [
                ("GSSAPIAuthentication", "no"),
                ("PreferredAuthentications", "publickey"),
                ("IdentitiesOnly", "yes"),
            ],
        ),
        (
            "-o IdentitiesOnly=Yes -o TCPKeepAlive=NO -o ConnectTimeout=1m30s -o PreferredAuthentications=password,publickey",
            [
                ("IdentitiesOnly", "yes"),
                ("TCPKeepAlive", "no"),
                ("ConnectTimeout", "1m30s"),
                ("PreferredAuthentications", "password,publickey"),
            ],
        ),
        (
            "-i ~/.ssh/a -o IdentityFile=~/.ssh/b -o CertificateFile=~/.ssh/a-cert.pub",
            [
                ("IdentityFile", "~/.ssh/a"),
                ("IdentityFile", "~/.ssh/b"),
                ("CertificateFile", "~/.ssh/a-cert.pub"),
            ],
        ),
    ],
)
def test_options_that_are_data_are_read(text, options):
    said = _ssh_options.arguments(text)
    assert list(said.options) == options
    assert (said.refused, said.decided, said.weakens) == ((), (), False)


@pytest.mark.parametrize(
    ("text", "decided"),
    [
        ("-o ControlMaster=auto -o ControlPath=/x -o ControlPersist=60s -o LogLevel=ERROR -a -x", ()),
        ("-o BatchMode=yes -o StrictHostKeyChecking=yes -o PasswordAuthentication=no", ()),
        ("-o PasswordAuthentication=yes -o BatchMode=no", ("passwordauthentication", "batchmode")),
        ("-o GlobalKnownHostsFile=/etc/known", ("globalknownhostsfile",)),
        ("-o PreferredAuthentications=password,keyboard-interactive", ("preferredauthentications",)),
        ("-o PubkeyAuthentication=no", ("pubkeyauthentication",)),
    ],
)
def test_what_the_plan_decides_is_named_where_something_else_is_asked(text, decided):
    said = _ssh_options.arguments(text)
    assert (said.decided, said.options, said.refused) == (decided, (), ())


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
        "-o Ciphers='aes128-ctr\n ProxyCommand x'",
        "-o Ciphers=%x",
        "-o 'CertificateFile=/a b'",
        "-o AddressFamily=unix",
        "-o HostKeyAlias=other",
        "-o PKCS11Provider=/x.so",
        "-o GSSAPIKeyExchange=yes",
        "-o ForwardAgent=yes",
        "-A",
        "-4F other",
    ],
)
def test_what_could_run_or_lead_elsewhere_is_refused(text):
    assert _ssh_options.arguments(text).refused


@pytest.mark.parametrize(
    "text",
    ["-o StrictHostKeyChecking=no", "-oStrictHostKeyChecking=off", "-o UserKnownHostsFile=/dev/null"],
)
def test_what_weakens_the_check_of_keys_is_noticed(text):
    said = _ssh_options.arguments(text)
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
    settled = _ways.settle([entry("web1"), entry("web2"), entry("db1")], config)
    ways = settled.ways
    hop = Hop(host="192.0.2.1", port=2201, user="ops", keys=("~/.ssh/jump",))
    assert ways == {"web1": Way(via=(hop,), end=Hop(host="10.0.0.1")), "web2": Way(via=(hop,))}
    assert (settled.refused, settled.weak, settled.notes) == ({}, frozenset(), ())
    frozen = Ways(of=ways, unpinned=("web2",))
    assert Ways.from_bytes(frozen.to_bytes()) == frozen
    assert b"options" not in frozen.to_bytes()  # as plans were before ways had any


def test_options_of_the_users_configuration_are_frozen_for_the_host_and_for_each_hop(tmp_path: Path):
    config = tmp_path / "config"
    config.write_text(
        "Host bastion\n  KexAlgorithms curve25519-sha256\n  ProxyJump gate\n"
        "Host web*\n  ProxyCommand ssh -W %h:%p ops@bastion -p 2222\n  HostKeyAlgorithms +ssh-rsa\n"
        "  Ciphers aes128-ctr\n  MACs hmac-sha2-256\n  CertificateFile ~/.ssh/c.pub\n  ServerAliveInterval 60\n"
    )
    asked = entry("web1", ssh_args="-o Ciphers=aes256-ctr")
    (way,) = _ways.settle([asked], config).ways.values()
    kex = (("KexAlgorithms", "curve25519-sha256"),)
    assert way.via == (Hop(host="gate"), Hop(host="bastion", port=2222, user="ops", options=kex))
    assert sorted(way.options) == [
        ("CertificateFile", "~/.ssh/c.pub"),
        ("Ciphers", "aes256-ctr"),
        ("HostKeyAlgorithms", "+ssh-rsa"),
        ("MACs", "hmac-sha2-256"),
        ("ServerAliveInterval", "60"),
    ]
    assert _ways.told(way).startswith(
        "ssh over gate:22, ops@bastion:2222; KexAlgorithms curve25519-sha256; Ciphers"
    )
    frozen = Ways(of={"web1": way})
    assert Ways.from_bytes(frozen.to_bytes()) == frozen
    text = _ssh.config([Host(name="web1", address="web1", port=22, groups=(), vars=digest(b""))], frozen)
    own, others = text.split("Host *\n")
    assert 'originalhost web1 exec "test %p = 22"\n  Ciphers aes256-ctr\n' in own
    assert "  KexAlgorithms curve25519-sha256\n  ProxyCommand none\n" in own
    assert "Ciphers" not in others


def test_who_plans_is_frozen_where_the_configuration_names_him_as_anybody_else_would_be(tmp_path: Path):
    """Who runs the plan may have another name, and ssh would take that one."""
    me = getpass.getuser()
    config = tmp_path / "config"
    config.write_text(f"Host bastion\n  User {me}\nHost web*\n  ProxyJump bastion\nHost web1\n  User {me}\n")
    (web1, web2) = _ways.settle([entry("web1"), entry("web2")], config).ways.values()
    assert (web1.via, web1.end) == ((Hop(host="bastion", user=me),), Hop(host="web1", user=me))
    assert (web2.via, web2.end) == (web1.via, None)


def test_several_identities_are_frozen_in_the_order_in_which_ssh_tries_them(tmp_path: Path):
    config = tmp_path / "config"
    config.write_text("Host web1\n  IdentityFile ~/.ssh/b\n  IdentityFile ~/.ssh/a\n")
    (way,) = _ways.settle([entry("web1")], config).ways.values()
    assert way.end == Hop(host="web1", keys=("~/.ssh/b", "~/.ssh/a"))


def test_what_a_plan_does_not_take_of_the_users_configuration_is_named_once(tmp_path: Path):
    (tmp_path / "config").write_text("Host *\n  ForwardAgent yes\n  HostKeyAlias x\n  ControlMaster auto\n")
    asked = [entry(f"web{n}", ssh_args="-o BatchMode=no") for n in range(5)]
    why, data = _ways._DECIDES, _ssh_files._DATA
    assert _ways.settle(asked, tmp_path / "config").notes == (
        f"the ssh argument batchmode is not honoured: {why}: web0, web1, web2 and 2 more",
        f"ssh_config: forwardagent is not honoured: {data}: web0, web1, web2 and 2 more",
        f"ssh_config: hostkeyalias is not honoured: {data}: web0, web1, web2 and 2 more",
    )


def of_config(name: str, text: str) -> dict[str, Any]:
    """A host whose variables say nothing of ssh, in a project whose ansible.cfg does."""
    return entry(name, ssh_args=text, config_args=text)


def test_arguments_of_an_ansible_cfg_lead_as_those_of_the_inventory_do():
    text = "-o ControlMaster=auto -o ControlPersist=60s -C -o ProxyJump=ops@bastion:2222"
    settled = _ways.settle([of_config("web1", text)], None)
    way = Way(
        via=(Hop(host="bastion", port=2222, user="ops"),),
        options=(("Compression", "yes"),),
    )
    assert settled.ways == {"web1": way}
    assert (settled.refused, settled.misled, settled.notes) == ({}, {}, ())


def test_of_an_ansible_cfg_what_would_lead_elsewhere_is_refused_and_the_rest_named():
    text = "-o ForwardAgent=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=~/.ssh/known -o ProxyCommand='nc %h %p'"
    settled = _ways.settle([of_config("web1", text), entry("db1", ssh_args="-o ForwardAgent=yes")], None)
    assert settled.refused == {"db1": ("forwardagent",)}
    assert settled.misled == {"proxycommand": "web1"}
    assert settled.weak == {"web1"}
    assert settled.notes == (
        f"the ssh argument forwardagent is not honoured: {_ways._ALONE}: web1",
        f"the ssh argument userknownhostsfile is not honoured: {_ways._ALONE}: web1",
    )


def test_a_file_of_the_workspace_that_an_ansible_cfg_names_is_read_as_the_users_own(tmp_path: Path):
    root = tmp_path / "w"
    root.mkdir()
    (root / "ssh.cfg").write_text("Host web*\n  ProxyJump gate\n  ForwardAgent yes\n")
    (tmp_path / "other.cfg").write_text("Host web*\n  ProxyJump elsewhere\n")
    place = Place(root=root, base=root)
    asked = [of_config("web1", "-F ./ssh.cfg -o ControlMaster=auto")]
    settled = _ways.settle(asked, None, place)
    assert settled.ways == {"web1": Way(via=(Hop(host="gate"),))}
    assert settled.notes == (f"./ssh.cfg: forwardagent is not honoured: {_ssh_files._DATA}: web1",)
    assert settled.misled == {}
    own = tmp_path / "own"
    own.write_text("Host web*\n  ProxyJump mine\n")
    assert _ways.settle(asked, own, place).ways == {"web1": Way(via=(Hop(host="mine"),))}
    for name in ("../other.cfg", str(tmp_path / "other.cfg"), "~/.ssh/config", "absent"):
        settled = _ways.settle([of_config("web1", f"-F {name}")], None, place)
        assert (settled.ways, settled.misled) == ({}, {"-F": "web1"})
    assert _ways.settle([of_config("web1", "-F none")], None, place).misled == {}
    assert _ways.settle([entry("web1", ssh_args="-F ssh.cfg")], None, place).refused == {"web1": ("-F",)}


def test_a_file_of_the_state_is_no_configuration(tmp_path: Path):
    """ssh shows each line that it cannot read: the log's key would stand in the refusal."""
    state = tmp_path / ".itmp"
    state.mkdir()
    (state / "log.key").write_text("the log's key\n")
    (tmp_path / "linked.cfg").symlink_to(state / "log.key")
    program = (
        "import sys; from pathlib import Path; from itmp.adapters.supervisor import custody;"
        "from itmp.adapters.ansible._ssh_files import Configurations, Place; root = Path(sys.argv[1]);"
        "custody.close(root / '.itmp'); place = Place(root=root, base=root);"
        "print(place.file('.itmp/log.key'), place.file('linked.cfg'), flush=True);"
        "Configurations(root / 'linked.cfg', None)"  # as `ssh_config` in itmp.yml names one
    )
    asked = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["None", "None"]
    assert "this is a file of the state" in done.stderr


def test_a_configuration_that_ssh_cannot_read_is_named_with_what_to_do(tmp_path: Path):
    (tmp_path / "ssh.cfg").write_bytes(b"# caf\xe9\nHost web*\n  Prot 22\n")
    place = Place(root=tmp_path, base=tmp_path)
    with pytest.raises(InvalidInputError, match="ssh cannot read it") as refused:
        _ways.settle([of_config("web1", "-F ssh.cfg")], None, place)
    assert refused.value.where == str(tmp_path / "ssh.cfg")
    assert refused.value.do.startswith("Correct it")


def test_a_command_that_is_more_than_a_jump_is_refused_for_the_hosts_that_need_it(tmp_path: Path):
    (tmp_path / "config").write_text("Host web1\n  ProxyCommand nc %h %p\n")
    with pytest.raises(InvalidInputError, match="proxycommand of web1 is not honoured"):
        _ways.settle([entry("web1")], tmp_path / "config")
    assert _ways.settle([entry("web2")], tmp_path / "config").ways == {}


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
        "=Match exec true\n  User x\n",
        "User x\n = Match exec true\n",
        '"="Include other\n',
        '\t"" ="" KnownHostsCommand=/x\n',
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
    assert _ways.unsafe(Way(options=(("Ciphers", "a\n  ProxyCommand x"),)))
    assert _ways.unsafe(Way(via=(Hop(host="a", options=(("ProxyCommand", "x"),)),)))
    assert not _ways.unsafe(Way(options=(("Ciphers", "aes128-ctr"),)))


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
