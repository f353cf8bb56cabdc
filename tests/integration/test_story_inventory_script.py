"""An inventory script that was swapped after approval is not executed by the gate's look at the world."""

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ITMP = Path(sys.executable).parent / "itmp"
SCRIPT = """\
#!/bin/sh
{extra}
echo '{{"all": {{"hosts": ["h1"]}}, "_meta": {{"hostvars": {{"h1": {{"ansible_host": "192.0.2.1"}}}}}}}}'
"""


def itmp(folder: Path, *words: str, code: int = 0) -> str:
    done = subprocess.run(
        [ITMP, *words], cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "inventories").mkdir()
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "playbooks/x.yml").write_text(
        "- hosts: all\n  gather_facts: false\n  tasks: [{ansible.builtin.ping: {}}]\n"
    )
    (tmp_path / "book.yml").write_text(
        "itmp: runbook/v1\nname: x\ntitle: X\nowner: me\nenvironment: production\nrisk: low\n"
        "steps:\n  - {id: x, playbook: x, hosts: all}\n"
    )
    write(tmp_path, "true")
    (tmp_path / "itmp.yml").write_text("organization: example.com\ninventories: [inventories/hosts.sh]\n")
    for name in ("alice", "bob"):
        key = [
            "ssh-keygen",
            "-q",
            "-t",
            "ed25519",
            "-N",
            "",
            "-C",
            f"{name}@example.com",
            "-f",
            tmp_path / name,
        ]
        subprocess.run(key, check=True)
    itmp(tmp_path, "init", "--root", "alice.pub", "--root", "bob.pub")
    sealed = []
    for name in ("alice", "bob"):
        text = f".itmp/founding/enrol-{name}-example.com.txt"
        sign = ["ssh-keygen", "-q", "-Y", "sign", "-n", "itmp-enrol@example.com", "-f", name, text]
        subprocess.run(sign, cwd=tmp_path, check=True)
        sealed += ["--seal", f"{text}.sig"]
    itmp(tmp_path, "init", *sealed)
    return tmp_path


def write(folder: Path, extra: str) -> None:
    script = folder / "inventories/hosts.sh"
    script.write_text(SCRIPT.format(extra=extra))
    script.chmod(script.stat().st_mode | stat.S_IXUSR)


def test_a_swapped_script_is_refused_unexecuted(folder: Path) -> None:
    change = json.loads(itmp(folder, "propose", "book.yml", "--reason", "r", "--key", "alice", "--json"))[
        "change"
    ]
    itmp(folder, "approve", change, "--key", "bob", "--yes")
    write(folder, f"touch {folder}/executed")
    out = itmp(folder, "run", change, "--key", "alice", "--json", code=12)
    assert "was not executed" in json.dumps(json.loads(out)["checks"])
    assert not (folder / "executed").exists()
