"""Debian's own sudo and su ask for passwords on a real host, and get them by secret reference alone."""

import os
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Recorder, World

from itmp.lab import namespaces
from itmp.lab.fleet import write_inventory

pytestmark = [
    pytest.mark.hosts,
    pytest.mark.xdist_group("namespaces"),
    pytest.mark.skipif(os.getuid() != 0, reason="needs root"),
]

MEMORY = Path("/dev/shm")  # noqa: S108 - where the run keeps what must not reach a disk
OPS, ROOT = "öps-sudo-pass:41d0", "röot-su-pass:9b7e"
FURNISH = f"""
useradd --create-home --shell /bin/bash ops
mkdir -p /home/ops/.ssh && cp /root/.ssh/authorized_keys /home/ops/.ssh/ && chown -R ops /home/ops/.ssh
printf '%s\\n' 'ops:{OPS}' 'root:{ROOT}' | chpasswd
echo 'ops ALL=(ALL:ALL) ALL' > /etc/sudoers.d/ops
"""
PLAY = """
- hosts: d1
  gather_facts: false
  become: true
  become_method: {method}
  tasks:
    - name: Who
      ansible.builtin.command: id -un
    - name: Write
      ansible.builtin.copy: {{content: "{method}\\n", dest: /root/became-{method}, mode: "0600"}}
    - name: Aloud
      ansible.builtin.debug: {{msg: "{{{{ ansible_become_password }}}}"}}
"""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[namespaces.NamespaceFleet]:
    with namespaces.up(tmp_path_factory.mktemp("become") / "fleet", 1, names=["d1"]) as fleet:
        inside(fleet, FURNISH)
        yield fleet


@pytest.fixture
def ops(tmp_path: Path, fleet: namespaces.NamespaceFleet) -> World:
    """A workspace that logs in as a person without rights."""
    (tmp_path / "ws" / "inventories").mkdir(parents=True)
    write_inventory(
        tmp_path / "ws" / "inventories" / "lab.yml", fleet.hosts, replace(fleet.login, user="ops")
    )
    (tmp_path / "ws" / "inventories" / "known_hosts").write_text(fleet.known_hosts)
    return World(root=tmp_path / "ws", fleet=fleet, token=secrets.token_hex(16))  # type: ignore[arg-type]  # any fleet will do


def inside(fleet: namespaces.NamespaceFleet, script: str) -> str:
    argv = fleet.inside("d1", ["sh", "-ec", script])
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout


def became(ops: World, method: str, password: str) -> Recorder:
    secret = ops.root.parent / "secret"
    secret.write_text(password)
    try:
        reference = {"ansible_become_password": f"file:{secret}"}
        return ops.play(PLAY.format(method=method), secrets=reference, timeout=50)
    finally:
        secret.unlink()


def holders(folder: Path, password: str) -> list[Path]:
    """Files below `folder` that hold the password."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return [path for path in found if password.encode() in path.read_bytes()]


@pytest.mark.parametrize(("method", "password"), [("sudo", OPS), ("su", ROOT)])
def test_a_password_by_reference_becomes_root_and_is_written_nowhere(
    ops: World, fleet: namespaces.NamespaceFleet, method: str, password: str
) -> None:
    recorder = became(ops, method, password)
    assert recorder.outcomes("Who") == {"d1": "changed"}
    assert (
        inside(fleet, f"cat /root/became-{method}; stat -c %U /root/became-{method}") == f"{method}\nroot\n"
    )
    assert recorder.of("Aloud").message == "********"
    assert password not in str(recorder.results)
    assert holders(ops.root, password) == []
    assert list(MEMORY.glob(f"itmp-{ops.token[:12]}-*")) == []
    assert inside(fleet, f"grep -rlsF '{password}' /var /tmp /home /root /run || true") == ""


@pytest.mark.parametrize("method", ["sudo", "su"])
def test_a_wrong_password_fails_the_host_and_does_not_hang(ops: World, method: str) -> None:
    recorder = became(ops, method, "wröng-pass:0000")
    (result,) = recorder.results
    assert (result.name, result.outcome) == ("Who", "failed") or (result.name, result.outcome) == (
        "Who",
        "unreachable",
    )
    assert "wröng-pass" not in str(recorder.results)
    assert holders(ops.root, "wröng-pass") == []


def test_no_password_at_all_fails_the_host_and_does_not_hang(ops: World) -> None:
    recorder = ops.play(PLAY.format(method="sudo").rpartition("    - name: Aloud")[0], timeout=50)
    (result,) = recorder.results
    assert result.outcome in {"failed", "unreachable"}
