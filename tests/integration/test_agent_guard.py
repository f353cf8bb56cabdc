"""The guard before the user's agent, with a real agent, a real client and a real server: it logs in and signs nothing else."""

import base64
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from places import Place

from itmp.adapters.agent import Guard, fingerprint, is_login
from itmp.lab import loopback
from itmp.lab.fleet import make_key

pytestmark = pytest.mark.fleet


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp())  # short: sockets lie in it
    yield made
    shutil.rmtree(made)


@pytest.fixture
def agent(folder: Path, hosts: loopback.LoopbackFleet) -> Iterator[Path]:
    """A real agent that holds the key of the fleet and a key with which a person signs."""
    socket = folder / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        make_key(folder / "person", "person")
        keys = (shutil.copy(hosts.login.key, folder / "login"), folder / "person")
        for key in keys:
            assert ssh_add(socket, "-q", str(key)) == (0, "")
            Path(key).unlink()  # in the agent alone from now on
        yield socket
    finally:
        process.kill()
        process.communicate()


def ssh_add(socket: Path, *words: str) -> tuple[int, str]:
    environment = {**os.environ, "SSH_AUTH_SOCK": str(socket)}
    done = subprocess.run(
        ["ssh-add", *words], env=environment, capture_output=True, text=True, check=False, timeout=30
    )
    return done.returncode, done.stdout


def listed(socket: Path) -> set[str]:
    return {line.split()[1] for line in ssh_add(socket, "-l")[1].splitlines() if "SHA256" in line}


def blob(line: str) -> bytes:
    return base64.b64decode(line.split()[1])


def log_in(hosts: loopback.LoopbackFleet, socket: Path, *, key: Path) -> int:
    argv = hosts.ssh("web1", "true")
    argv = [word for word in argv if word not in {"-i", str(hosts.login.key)}]
    argv[1:1] = ["-o", f"IdentityFile={key}.pub", "-o", "IdentitiesOnly=yes"]
    environment = {**os.environ, "SSH_AUTH_SOCK": str(socket)}
    return subprocess.run(argv, env=environment, capture_output=True, check=False, timeout=60).returncode


def test_it_logs_in_and_signs_no_statement(folder, agent, hosts):
    guard = Guard(str(agent), folder)
    try:
        assert log_in(hosts, guard.path, key=hosts.login.key) == 0
        (folder / "statement").write_text("itmp-statement/v1\nact approve\n")
        sign = [
            "ssh-keygen",
            "-q",
            "-Y",
            "sign",
            "-n",
            "itmp-approve@example.com",
            "-f",
            str(folder / "person.pub"),
        ]
        for socket, signs in ((agent, True), (guard.path, False)):
            environment = {**os.environ, "SSH_AUTH_SOCK": str(socket)}
            done = subprocess.run(
                [*sign, str(folder / "statement")], env=environment, check=False, timeout=30
            )
            assert (done.returncode == 0) is signs
            assert (folder / "statement.sig").exists() is signs
            (folder / "statement.sig").unlink(missing_ok=True)
    finally:
        guard.close()


def test_it_lets_nobody_change_what_the_agent_holds(folder, agent):
    guard = Guard(str(agent), folder)
    try:
        before = listed(agent)
        make_key(folder / "strange", "strange")
        for words in (("-D",), ("-d", str(folder / "person.pub")), ("-q", str(folder / "strange"))):
            assert ssh_add(guard.path, *words)[0] != 0
        assert listed(agent) == before == listed(guard.path)
    finally:
        guard.close()


def test_keys_that_are_not_named_are_neither_shown_nor_used(folder, agent, hosts):
    own = fingerprint(blob(Path(f"{hosts.login.key}.pub").read_text()))
    other = fingerprint(blob((folder / "person.pub").read_text()))
    for number, (allowed, rc) in enumerate((({own}, 0), ({other}, 255))):
        (folder / str(number)).mkdir()
        guard = Guard(str(agent), folder / str(number), allowed)
        try:
            assert listed(guard.path) == allowed
            assert log_in(hosts, guard.path, key=hosts.login.key) == rc
        finally:
            guard.close()


def text(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(4) + part for part in parts)


def test_what_is_no_login_is_not_signed():
    head = text(b"\1" * 32) + b"\x32" + text(b"root", b"ssh-connection", b"publickey") + b"\1"
    whole = head + text(b"ssh-ed25519", b"key")
    assert is_login(whole, b"key")
    assert not is_login(whole, b"another")
    assert not is_login(whole + b"more", b"key")
    assert not is_login(whole[:-1], b"key")
    assert not is_login(b"SSHSIG" + text(b"itmp-approve@example.com", b"", b"sha512", b"\0" * 64), b"key")
    assert not is_login(whole.replace(b"ssh-connection", b"ssh-other-use!"), b"key")
    for end in range(len(whole)):
        assert not is_login(whole[:end], b"key")


PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - name: Have the agent sign an approval
      ansible.builtin.shell: |
        printf 'itmp-statement/v1\\nact approve\\n' > {folder}/forged
        for socket in "$SSH_AUTH_SOCK" {agent}; do
          SSH_AUTH_SOCK="$socket" ssh-keygen -q -Y sign -n itmp-approve@example.com -f {folder}/person.pub {folder}/forged
          mv {folder}/forged.sig {folder}/stolen
        done; true
- hosts: web
  gather_facts: false
  tasks:
    - {{name: Log in, ansible.builtin.raw: "true"}}
"""
DOCUMENT = """
itmp: runbook/v1
name: agent
title: Agent
owner: team-web
environment: production
risk: moderate
steps:
  - {id: act, hosts: "web:localhost", playbook: act}
"""


@pytest.mark.parametrize("custody", ["auto", "none"])
def test_a_play_reaches_its_hosts_by_the_agent_and_forges_nothing(place: Place, folder, agent, custody):
    place.write("itmp.local.yml", f"custody: {custody}\n")
    place.write("playbooks/act.yml", PLAY.format(folder=folder, agent=agent))
    path = place.root / "inventories" / "hosts.yml"
    tree = yaml.safe_load(path.read_text())
    tree["all"]["hosts"]["localhost"] = {"ansible_connection": "local"}
    del tree["all"]["vars"]["ansible_ssh_private_key_file"]  # the agent alone has it
    path.write_text(yaml.safe_dump(tree))
    place.environ["SSH_AUTH_SOCK"] = str(agent)
    change = place.ready(DOCUMENT)
    place.itmp("run", change, "--key", "alice", expect=0)
    assert (folder / "forged").exists()
    assert (folder / "stolen").exists() is (
        custody == "none"
    )  # the agent's own socket, which nothing hides there
