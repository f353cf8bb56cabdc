"""The base install shows, approves and verifies: none of that imports an extra."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {extras!r}:
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Block())
from itmp.cli.{module} import main
sys.argv = {argv!r}
main()
"""
EXTRAS = {
    "ansible",
    "ansible_runner",
    "paramiko",
    "pulumi",
    "grpc",
    "google",
    "boto3",
    "botocore",
    "moto",
    "pytest",
}


def run(folder: Path, *words: str, module: str = "main") -> subprocess.CompletedProcess[str]:
    program = BLOCK.format(extras=EXTRAS, module=module, argv=["itmp", *words])
    environ = {**os.environ, "HOME": str(folder)}
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    done = run(
        tmp_path, "init", "--key", "key", "--organization", "example.com", "--signer", "alice@example.com"
    )
    assert done.returncode == 0, done.stderr
    return tmp_path


def test_the_log_is_founded_read_and_verified(workspace: Path) -> None:
    assert "sound" in run(workspace, "audit", "verify", "--strict").stdout
    assert "log.created" in run(workspace, "audit", "list").stdout
    assert "alice@example.com" in run(workspace, "signers", "list").stdout
    assert run(workspace, "change", "list").stdout.strip() == "no changes"


def test_the_verifier_starts_and_refuses_a_file_that_is_no_evidence(workspace: Path) -> None:
    (workspace / "no.tar").write_bytes(b"\0" * 1024)
    done = run(workspace, "no.tar", "--trust", "trust", module="verify")
    assert done.returncode == 40, done.stderr


def test_planning_without_the_extra_says_what_to_install(workspace: Path) -> None:
    (workspace / "inventories").mkdir()
    (workspace / "inventories/hosts.yml").write_text("all: {hosts: {web1: {}}}\n")
    (workspace / "playbooks").mkdir()
    (workspace / "playbooks/x.yml").write_text("- hosts: all\n  tasks: []\n")
    (workspace / "book.yml").write_text(
        "itmp: runbook/v1\nname: x\ntitle: X\nowner: me\nenvironment: lab\nrisk: low\n"
        "steps:\n  - {id: x, playbook: x, hosts: all}\n"
    )
    done = run(workspace, "plan", "book.yml", "-i", "inventories/hosts.yml")
    assert done.returncode == 17, done.stderr
    assert "itmp[ansible]" in done.stderr
