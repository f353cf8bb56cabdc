"""`itmp run` over bare `ansible-playbook`: the same 10-task play on the same loopback SSH hosts, in turn.

    python benchmarks/run_overhead.py [HOSTS] [ROUNDS]

Limit: 1.10 x bare + 1.5 s, where bare has the same forks, pipelining and connection sharing as itmp gives it.
Bare Ansible with its defaults is shown too, since that is what most people run.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from itmp import lab
from itmp.adapters.ansible import layout

TASKS = "\n".join(
    f"    - {{name: Task {n}, ansible.builtin.command: 'true', changed_when: false}}" for n in range(10)
)
PLAY = f"- hosts: lab\n  gather_facts: false\n  tasks:\n{TASKS}\n"
RUNBOOK = """\
itmp: runbook/v1
name: ten-tasks-{n}
title: Ten tasks {n}
owner: bench
environment: lab
risk: low
steps:
  - {{id: ten, title: Ten tasks, playbook: ten, hosts: lab}}
"""
BIN = Path(sys.executable).parent


def prepare(root: Path, hosts: int) -> None:
    (root / "playbooks").mkdir()
    (root / "playbooks/ten.yml").write_text(PLAY)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", root / "key"], check=True)
    itmp(root, "init", "--key", "key", "--organization", "example.com", "--signer", "bench@example.com")
    fleet = lab.attach(root / ".lab")
    (root / "inventories").mkdir()
    fleet.write_inventory(root / "inventories/hosts.yml")
    (root / "inventories/known_hosts").write_text(fleet.known_hosts)
    (root / "itmp.yml").write_text("organization: example.com\ninventories: [inventories/hosts.yml]\n")
    assert len(fleet.hosts) == hosts


def itmp(root: Path, *words: str) -> str:
    return subprocess.run([BIN / "itmp", *words], cwd=root, capture_output=True, text=True, check=True).stdout


def timed(command: list[str], root: Path, environ: dict[str, str]) -> float:
    started = time.perf_counter()
    subprocess.run(
        command,
        cwd=root,
        env={**os.environ, **environ},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - started


def ours(root: Path, number: int) -> float:
    """Time `itmp run` alone: the change is compiled, opened (and needs no approval in environment lab) before."""
    (root / "runbook.yml").write_text(RUNBOOK.format(n=number))
    change = json.loads(itmp(root, "propose", "runbook.yml", "--reason", "bench", "--json"))["change"]
    return timed([str(BIN / "itmp"), "run", change], root, {})


def bare(root: Path, *, tuned: bool) -> float:
    shared = "-C -o ControlMaster=auto -o ControlPersist=60s"
    environ = {
        "ANSIBLE_HOST_KEY_CHECKING": "True",
        "ANSIBLE_SSH_ARGS": f"-o UserKnownHostsFile={root}/inventories/known_hosts {shared}",
    }
    if tuned:
        environ |= {"ANSIBLE_PIPELINING": "True", "ANSIBLE_FORKS": forks()}
    with tempfile.TemporaryDirectory(prefix="cp") as control:
        environ["ANSIBLE_SSH_CONTROL_PATH_DIR"] = control
        command = [str(BIN / "ansible-playbook"), "-i", "inventories/hosts.yml", "playbooks/ten.yml"]
        return timed(command, root, environ)


def forks() -> str:
    return layout.environment(Path("/tmp"), temporary=Path("/tmp")).get("ANSIBLE_FORKS", "20")  # noqa: S108 - nothing is written


def main() -> int:
    hosts = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    root = Path(tempfile.mkdtemp(prefix="itmp-bench-"))
    try:
        lab.up(root / ".lab", hosts, kind="loopback")
        prepare(root, hosts)
        bare(root, tuned=True)  # warm caches
        tuned, mine, plain = [], [], []
        for number in range(rounds):
            tuned.append(bare(root, tuned=True))
            mine.append(ours(root, number))
        plain.append(bare(root, tuned=False))
        base, own = statistics.median(tuned), statistics.median(mine)
        limit = 1.10 * base + 1.5
        print(f"run, {hosts} hosts, 10 tasks: itmp {own:.1f} s, bare with the same settings {base:.1f} s")
        print(f"  ratio {own / base:.2f}, limit {limit:.1f} s: {'within' if own <= limit else 'OVER'}")
        print(f"  bare with Ansible's defaults: {plain[0]:.1f} s")
        return 0 if own <= limit else 1
    finally:
        lab.down(root / ".lab")
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
