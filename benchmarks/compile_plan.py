"""`itmp plan` over real inventories of 1,000 and 10,000 hosts, without the time of `ansible-inventory` itself.

    python benchmarks/compile_plan.py [HOSTS …]

`ansible-inventory --list --export` is timed in the same run and taken off, because Ansible's own reading is not ours.
Limits: 1,000 hosts 2 s; 10,000 hosts 15 s and 500 MB (the largest single process).
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BIN = Path(sys.executable).parent
LIMITS = {1_000: 2.0, 10_000: 15.0}
MEMORY = 500
RUNBOOK = """\
itmp: runbook/v1
name: many
title: Many hosts
owner: bench
environment: lab
risk: low
steps:
  - rolling: {hosts: web, batches: [1, 1%], max_failures: 5}
    id: tier
    steps:
      - {id: touch, playbook: touch}
      - {id: ask, check: {tcp: {port: 22}}}
undo:
  - {id: back, playbook: touch}
"""
PLAY = "- hosts: web\n  gather_facts: false\n  tasks:\n    - {name: Touch, ansible.builtin.command: 'true'}\n"


def prepare(root: Path, hosts: int) -> None:
    for name in ("inventories", "playbooks"):
        (root / name).mkdir()
    lines = "\n".join(
        f"        web{n}: {{ansible_host: 10.{n >> 16}.{n >> 8 & 255}.{n & 255}, rack: r{n % 40}}}"
        for n in range(hosts)
    )
    (root / "inventories/hosts.yml").write_text(f"all:\n  children:\n    web:\n      hosts:\n{lines}\n")
    (root / "playbooks/touch.yml").write_text(PLAY)
    (root / "runbook.yml").write_text(RUNBOOK)
    (root / "itmp.yml").write_text("organization: example.com\ninventories: [inventories/hosts.yml]\n")


def timed(command: list[str], root: Path) -> float:
    started = time.perf_counter()
    subprocess.run(
        command,
        cwd=root,
        stdout=subprocess.DEVNULL,
        check=True,
        env={**os.environ, "ANSIBLE_VARS_ENABLED": ""},
    )
    return time.perf_counter() - started


def main() -> int:
    code = 0
    for hosts in [int(text) for text in sys.argv[1:]] or sorted(LIMITS):
        with tempfile.TemporaryDirectory(prefix="itmp-bench-") as folder:
            root = Path(folder)
            prepare(root, hosts)
            inventory = [str(BIN / "ansible-inventory"), "-i", "inventories/hosts.yml", "--list", "--export"]
            theirs = timed(inventory, root)
            whole = timed([str(BIN / "itmp"), "plan", "runbook.yml"], root)
            again = timed(inventory, root)
        own = whole - min(theirs, again)
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
        good = own <= LIMITS.get(hosts, float("inf")) and memory <= MEMORY
        code |= not good
        print(
            f"plan {hosts} hosts: {own:.1f} s beside ansible-inventory's {min(theirs, again):.1f} s, {memory} MB",
            end="",
        )
        print(f", limit {LIMITS.get(hosts, 0):.0f} s and {MEMORY} MB: {'within' if good else 'OVER'}")
    return code


if __name__ == "__main__":
    sys.exit(main())
