"""Thousands of hosts through the whole of a real run: `itmp run` beside bare `ansible-playbook`, by a stub connection.

    python benchmarks/stub_fleet.py [HOSTS] [TASKS] [ROUNDS]

Everything is real but the hosts: Ansible and its workers, our callback, plan, approval, gate, log and accounting. The
connection plugin is the project's own, stands beside the playbook, is carried by the plan, and says at once that a
command went well. What we cost is the processor time of all processes under `itmp run` over that of bare Ansible's with
as many forks. The same run limited to one host costs what a run costs by itself, above all that the gate looks at the
whole inventory again; what is beyond that is of the results. At many hosts these are differences of large numbers; the
executor's own time is exact. How many results a second the path takes at most is what `results_path.py` measures: here
Ansible sends some tens of them a second, and each wakes an executor whose code is in no cache any more, which makes it
four times as dear. Limits: the results cost 5 % of what Ansible itself costs; 100 MB over bare. Every host must be in
`itmp status` once, and every result in the log once.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any, Final

from results_path import LIMIT as FULL_PACE
from run_overhead import BIN, MEMORY, Measured, forks, itmp, timed

from itmp.workspace import Workspace

HOSTS, TASKS, ROUNDS = 10_000, 2, 1
MOST: Final = 5
"""Percent of the processor time of Ansible that its results may cost on top."""
STUB: Final = '''\
from ansible.plugins.connection import ConnectionBase

DOCUMENTATION = """
name: stub
short_description: hosts that are not there
description: Whatever is asked of them goes well at once.
options: {}
"""


class Connection(ConnectionBase):
    transport = "stub"
    has_pipelining = True

    def _connect(self):
        self._connected = True
        return self

    def exec_command(self, cmd, in_data=None, sudoable=True):
        return 0, b"", b""

    def put_file(self, in_path, out_path):
        pass

    def fetch_file(self, in_path, out_path):
        pass

    def close(self):
        self._connected = False
'''
PLAY: Final = "- hosts: fleet\n  gather_facts: false\n  tasks:\n"
TASK: Final = '    - {{name: Task {n}, ansible.builtin.raw: "true"}}\n'
RUNBOOK: Final = """\
itmp: runbook/v1
name: fleet-{n}
title: Fleet {n}
owner: bench
environment: production
risk: low
steps:
  - {{id: fleet, title: Fleet, playbook: fleet, hosts: fleet}}
"""
FILES: Final = {
    "playbooks/connection_plugins/stub.py": STUB,
    "inventories/known_hosts": "",
    "itmp.yml": "organization: example.com\ninventories: [inventories/hosts.yml]\n",
}


_NUMBERS = count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The same play, bare and under itmp, one right after the other."""

    bare: Measured
    itmp: Measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """The play limited to one host, which is what a run takes by itself, and on all hosts."""

    one: Pair
    all: Pair


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Medians over the rounds of seconds (or MB): bare, itmp, the difference, and what of it is the results' part."""

    bare: float
    itmp: float
    over: float
    beyond: float

    @classmethod
    def of(cls, rounds: list[Round], figure: Callable[[Pair], tuple[float, float]]) -> "Figures":
        """Take the `figure` of each pair, bare's and itmp's."""
        both = [(figure(one.one), figure(one.all)) for one in rounds]
        return cls(
            bare=median(bare for _, (bare, _) in both),
            itmp=median(itmp for _, (_, itmp) in both),
            over=median(itmp - bare for _, (bare, itmp) in both),
            beyond=median(all_[1] - all_[0] - one[1] + one[0] for one, all_ in both),
        )


def names(hosts: int) -> list[str]:
    return [f"host{n:05d}" for n in range(hosts)]


def prepare(root: Path, hosts: int, tasks: int) -> None:
    """Write a workspace of two people: alice opens and runs, bob approves."""
    root.mkdir()
    for name in ("alice", "bob"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", root / name], check=True)
    itmp(root, "init", "--key", "alice", "--organization", "example.com", "--signer", "alice@example.com")
    itmp(root, "signers", "add", "bob@example.com", "bob.pub", "--role", "approver")
    itmp(root, "policy", "propose", "policy/policy.yml")
    listed = "".join(f"        {name}: {{}}\n" for name in names(hosts))
    fleet = f"    fleet:\n      vars: {{ansible_connection: stub}}\n      hosts:\n{listed}"
    play = PLAY + "".join(TASK.format(n=n) for n in range(tasks))
    more = {"inventories/hosts.yml": f"all:\n  children:\n{fleet}", "playbooks/fleet.yml": play}
    for path, text in {**FILES, **more}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


def approved(root: Path) -> str:
    """Return a change that bob has approved, over a plan of its own."""
    (root / "runbook.yml").write_text(RUNBOOK.format(n=next(_NUMBERS)))
    change: str = json.loads(itmp(root, "propose", "runbook.yml", "--reason", "bench", "--json"))["change"]
    itmp(root, "approve", change, "--key", "bob", "--yes")
    return change


def pair(root: Path, change: str, *words: str) -> Pair:
    play = [str(BIN / "ansible-playbook"), "-i", "inventories/hosts.yml", "playbooks/fleet.yml", *words]
    return Pair(
        bare=timed(play, root, {"ANSIBLE_PIPELINING": "True", "ANSIBLE_FORKS": forks()}),
        itmp=timed([str(BIN / "itmp"), "run", change, *words], root, {}),
    )


def measure(root: Path, hosts: int, tasks: int) -> Round:
    """Measure one round, and hold the account of the run on all hosts against what must be."""
    one = pair(root, approved(root), "--limit", *names(1))
    change = approved(root)
    everyone = pair(root, change)
    account(root, change, names(hosts), tasks)
    return Round(one=one, all=everyone)


def account(root: Path, change: str, hosts: list[str], tasks: int) -> None:
    """Return when each host is in the status once and each result in the log once, and none besides."""
    status = json.loads(itmp(root, "status", change, "--json"), object_pairs_hook=once)
    assert status["state"].endswith("run succeeded"), status["state"]
    assert status["hosts"] == dict.fromkeys(hosts, "changed"), "hosts of the status"
    found = Counter(
        (event.target["id"], event.data["line"])
        for event in (leaf.event for leaf in Workspace.here(root).log.of_change(change))
        if event.type == "action.finished" and event.target and event.data
    )
    lines = range(PLAY.count("\n") + 1, PLAY.count("\n") + 1 + tasks)
    assert found == Counter((host, line) for host in hosts for line in lines), "results in the log"


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Read a JSON object; one in which a name stands twice accounts for nothing."""
    read = dict(pairs)
    assert len(read) == len(pairs), "a name twice in one object"
    return read


def row(name: str, figures: Figures, results: int) -> str:
    cells = [f"{value:,.1f} s" for value in (figures.bare, figures.itmp, figures.over, figures.beyond)]
    return f"| {name} | {' | '.join(cells)} | {figures.beyond / results * 1e6:,.0f} µs |"


def verdict(words: str, found: float, limit: float) -> bool:
    """Print whether a limit is kept; return it."""
    good = found <= limit
    print(f"{words} {found:,.1f}, limit {limit:,}: {'within' if good else 'OVER'}")
    return good


def pace(results: int, executor: Figures) -> str:
    """Say how many results the slice took in each second of the executor's, and the whole run with its start."""
    taken = executor.beyond if executor.beyond > 0 else executor.itmp
    return f"{results / taken:,.0f} of the slice, {results / executor.itmp:,.0f} of the whole run"


def table(rounds: list[Round], hosts: int, tasks: int) -> tuple[Figures, Figures, Figures]:
    """Print it; return the figures of all processes, of the executor and of memory."""
    results = hosts * tasks
    clock = Figures.of(rounds, lambda pair: (pair.bare.seconds, pair.itmp.seconds))
    everything = Figures.of(rounds, lambda pair: (pair.bare.processor, pair.itmp.processor))
    executor = Figures.of(rounds, lambda pair: (0.0, pair.itmp.alone))
    ansible = Figures.of(rounds, lambda pair: (pair.bare.alone, pair.itmp.ansible))
    memory = Figures.of(rounds, lambda pair: (pair.bare.megabytes, pair.itmp.megabytes))
    print(f"| {hosts:,} hosts, {tasks} tasks | bare | itmp | over bare | beyond one host's | a result |")
    print("|---|---|---|---|---|---|")
    print(row("the clock", clock, results))
    print(row("processor, all processes", everything, results))
    print(row("of it `itmp run` itself", executor, results))
    print(row("of it Ansible's main process", ansible, results))
    sizes = " | ".join(f"{value:,.0f} MB" for value in (memory.bare, memory.itmp, memory.over))
    print(f"| memory, all processes | {sizes} | | |")
    return everything, executor, memory


def report(rounds: list[Round], hosts: int, tasks: int) -> bool:
    """Print the table and the limits; return whether all are kept."""
    results = hosts * tasks
    everything, executor, memory = table(rounds, hosts, tasks)
    print(f"\n{hosts:,} hosts are in the status, each once; {results:,} results in the log, each once")
    print(
        f"results for each second of `itmp run` itself, at Ansible's pace, not judged: {pace(results, executor)}"
    )
    print(f"  judged is how many it takes at full pace: {FULL_PACE:,}, by results_path.py")
    share = 100 * everything.beyond / everything.bare
    kept = [
        verdict("percent of Ansible's own that the results cost:", share, MOST),
        verdict("MB over bare", memory.over, MEMORY),
    ]
    return all(kept)


def main() -> int:
    asked = [int(word) for word in sys.argv[1:]]
    hosts, tasks, rounds = (*asked, *(HOSTS, TASKS, ROUNDS)[len(asked) :])
    with tempfile.TemporaryDirectory(prefix="itmp-bench-") as folder:
        root = Path(folder) / "workspace"
        os.environ |= {"XDG_STATE_HOME": f"{folder}/state", "ITMP_ANCHOR_ACCOUNT": "none"}
        prepare(root, hosts, tasks)
        print(f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {forks()} forks, {load()}", flush=True)
        kept = report([measure(root, hosts, tasks) for _ in range(rounds)], hosts, tasks)
        print(f"at the end {load()}")
    return 0 if kept else 1


def load() -> str:
    return f"load {os.getloadavg()[0]:.1f}"


if __name__ == "__main__":
    sys.exit(main())
