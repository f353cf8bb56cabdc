"""`itmp run` over bare `ansible-playbook`: the same play on the same loopback SSH hosts, in turn.

    python benchmarks/run_overhead.py [HOSTS] [ROUNDS] [TASKS] [--alone]

Limits, over bare with the same forks, pipelining and connection sharing as itmp gives it: 1.10 x + 1.5 s at 50 hosts
x 10 tasks, 1.05 x at 100 x 10, 1.10 x at 500 x 3; and the controller process (`itmp run` itself, without Ansible's)
may hold at most 100 MB more than bare's own. Bare Ansible with its defaults is shown too, since that is what most
people run; `--alone` leaves that out.
"""

import json
import os
import select
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from itmp import lab
from itmp.adapters.ansible import layout

TASK = "    - {{name: Task {n}, ansible.builtin.command: 'true', changed_when: false}}\n"
PLAY = "- hosts: lab\n  gather_facts: false\n  tasks:\n"
LIMITS = {(100, 10): (1.05, 0.0), (500, 3): (1.10, 0.0)}
MEMORY = 100
SAMPLE = 0.5
PLAYBOOK = b"\0playbook\0"
"""As itmp starts Ansible."""
TICKS = os.sysconf("SC_CLK_TCK")
RUNBOOK = """\
itmp: runbook/v1
name: tasks-{n}
title: Tasks {n}
owner: bench
environment: lab
risk: low
steps:
  - {{id: tasks, title: Tasks, playbook: tasks, hosts: lab}}
"""
BIN = Path(sys.executable).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a command took with all its processes: seconds, of the clock and of the processor, and the peak of memory.

    `alone` is the first process's part of `processor`; `ansible` that of Ansible's main process where another started
    it, as last looked at. Memory is proportional, in MB.
    """

    seconds: float
    processor: float
    alone: float
    ansible: float
    megabytes: float


def prepare(root: Path, hosts: int, tasks: int) -> None:
    (root / "playbooks").mkdir()
    (root / "playbooks/tasks.yml").write_text(PLAY + "".join(TASK.format(n=n) for n in range(tasks)))
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


def tree(pid: int) -> list[int]:
    """Return `pid` and its living descendants, those that left its session too."""
    found = [pid]
    for parent in found:
        try:
            for children in Path(f"/proc/{parent}/task").glob("*/children"):
                found += [int(child) for child in children.read_text().split()]
        except OSError:  # it has ended, and its children are another's
            continue
    return found


def resident(pids: list[int]) -> float:
    """Return the proportional set size of these processes together, in MB: shared pages are counted once.

    Without `ssh`: the shared connections leave a bare run's process tree and stay in ours.
    """
    total = 0
    for pid in pids:
        try:
            if Path(f"/proc/{pid}/comm").read_text() == "ssh\n":
                continue
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += next((int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")), 0)
    return total / 1024


def spent(pid: int) -> tuple[float, float]:
    """Return the processor seconds of a process, and those with its children that ended; none of one that is gone."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0, 0.0
    user, system, *ended = (int(word) / TICKS for word in words[11:15])
    return user + system, user + system + sum(ended)


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


class Looks:
    """What is only seen while a command runs. Of one core, at most a tenth goes into looking at its memory."""

    def __init__(self) -> None:
        self.peak, self.ansible, self._due = 0.0, 0.0, 0.0

    def look(self, pids: list[int]) -> None:
        # Its workers have the same command line; they descend from it, so they come later.
        main = next((pid for pid in pids if PLAYBOOK in command_line(pid)), 0)
        self.ansible = max(self.ansible, spent(main)[0])
        begin = time.perf_counter()
        if begin >= self._due:
            self.peak = max(self.peak, resident(pids))
            end = time.perf_counter()
            self._due = end + 9 * (end - begin)


def timed(command: list[str], root: Path, environ: dict[str, str]) -> Measured:
    started, looks = time.perf_counter(), Looks()
    nowhere = subprocess.DEVNULL
    with subprocess.Popen(
        command, cwd=root, env={**os.environ, **environ}, stdout=nowhere, stderr=nowhere
    ) as process:
        ended = os.pidfd_open(process.pid)
        while not select.select([ended], [], [], SAMPLE)[0]:
            looks.look(tree(process.pid))
        seconds = time.perf_counter() - started
        alone, everyone = spent(process.pid)  # its record stays until it is waited for
        os.close(ended)
    if process.returncode:
        raise SystemExit(f"{command[0]} ended with {process.returncode}")
    return Measured(
        seconds=seconds, processor=everyone, alone=alone, ansible=looks.ansible, megabytes=looks.peak
    )


def ours(root: Path, number: int) -> Measured:
    """Time `itmp run` alone: the change is compiled, opened (and needs no approval in environment lab) before."""
    (root / "runbook.yml").write_text(RUNBOOK.format(n=number))
    change = json.loads(itmp(root, "propose", "runbook.yml", "--reason", "bench", "--json"))["change"]
    return timed([str(BIN / "itmp"), "run", change], root, {})


def bare(root: Path, *, tuned: bool) -> Measured:
    shared = "-C -o ControlMaster=auto -o ControlPersist=60s"
    environ = {
        "ANSIBLE_HOST_KEY_CHECKING": "True",
        "ANSIBLE_SSH_ARGS": f"-o UserKnownHostsFile={root}/inventories/known_hosts {shared}",
    }
    if tuned:
        environ |= {"ANSIBLE_PIPELINING": "True", "ANSIBLE_FORKS": forks()}
    with tempfile.TemporaryDirectory(prefix="cp") as control:
        environ["ANSIBLE_SSH_CONTROL_PATH_DIR"] = control
        command = [str(BIN / "ansible-playbook"), "-i", "inventories/hosts.yml", "playbooks/tasks.yml"]
        return timed(command, root, environ)


def forks() -> str:
    return layout.environment(Path("/tmp"), temporary=Path("/tmp")).get("ANSIBLE_FORKS", "20")  # noqa: S108 - nothing is written


def report(shape: tuple[int, int], tuned: list[Measured], mine: list[Measured]) -> bool:
    """Print one line for each limit; return whether all are kept."""
    base, own = (statistics.median(one.seconds for one in many) for many in (tuned, mine))
    factor, more = LIMITS.get(shape, (1.10, 1.5))
    limit = factor * base + more
    beside = max(one.megabytes for one in mine) - min(one.megabytes for one in tuned)
    print(
        f"run, {shape[0]} hosts, {shape[1]} tasks: itmp {own:.1f} s, bare with the same settings {base:.1f} s"
    )
    print(f"  ratio {own / base:.3f}, limit {limit:.1f} s: {'within' if own <= limit else 'OVER'}")
    print(
        f"  memory over bare {beside:.0f} MB, limit {MEMORY} MB: {'within' if beside <= MEMORY else 'OVER'}"
    )
    return own <= limit and beside <= MEMORY


def main() -> int:
    words = [word for word in sys.argv[1:] if word != "--alone"]
    hosts, rounds, tasks = (int(words[n]) if len(words) > n else one for n, one in enumerate((50, 3, 10)))
    root = Path(tempfile.mkdtemp(prefix="itmp-bench-"))
    try:
        lab.up(root / ".lab", hosts, kind="loopback")
        prepare(root, hosts, tasks)
        bare(root, tuned=True)  # warm caches
        tuned, mine = [], []
        for number in range(rounds):
            tuned.append(bare(root, tuned=True))
            mine.append(ours(root, number))
        kept = report((hosts, tasks), tuned, mine)
        if "--alone" not in sys.argv:
            print(f"  bare with Ansible's defaults: {bare(root, tuned=False).seconds:.1f} s")
        return 0 if kept else 1
    finally:
        lab.down(root / ".lab")
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
