"""How long an auditor waits for the verdict on one long change, with `itmp-verify` and with nothing but a shell.

    python benchmarks/shell_verifier.py [RESULTS] [OTHER_SCRIPT]

Tells a change of so many results (3,000) through the real gate, 500 hosts a step, in a log that then grows to 100,000
leaves, and gives its evidence and TRUST to `itmp-verify` and to `verify.sh` (and to another version of the script, for
a ratio within one run), each started as a person would. Fails when one finds fault with it, or takes over a minute.
"""

import os
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Final

from programs import used

from itmp.audit import Event
from itmp.evidence import build
from itmp.plan import Plan
from itmp.testing.forgery import ForgedLog
from itmp.testing.story import EXECUTOR, PLAYBOOK, Story, small_plan

RESULTS: Final = 3_000
HOSTS: Final = 500
LEAVES: Final = 100_000
LIMIT: Final = 60.0


def plan(results: int) -> Plan:
    """Return a plan of as many steps over the hosts as give so many results."""
    hosts = [f"web{n:03}" for n in range(min(HOSTS, results))]
    manifest = small_plan(hosts=hosts).manifest
    first = manifest.steps[0]
    steps = tuple(replace(first, id=f"step-{n}", title=f"step {n}") for n in range(results // len(hosts)))
    play = b"- hosts: all\n  tasks:\n  - ansible.builtin.service: {name: nginx, state: restarted}\n"
    artifacts = {PLAYBOOK: play, "inventory/snapshot.json": b"{}"}
    return Plan.build(replace(manifest, steps=steps, undo=(), artifacts={}), artifacts)


def write(folder: Path, results: int) -> tuple[Path, Path]:
    """Write the evidence and the auditor's folder; return where they are."""
    story = Story(plan=plan(results)).tell()
    leaves = [leaf.data for leaf in story.log.leaves()]
    for n in range(len(leaves), LEAVES):
        clocks = {"t": "2026-11-22T21:00:00.000000Z", "mono": 10**15 + n, "boot": "boot-1"}
        leaves.append(Event(id=f"{n:032x}", type="log.read", actor=EXECUTOR, **clocks).to_bytes())  # type: ignore[arg-type]
    bundle, trust = folder / "change.evidence.tar", folder / "trust"
    bundle.write_bytes(build(ForgedLog(leaves, story.key, story.log.blob), story.change))
    trust.mkdir()
    for name, data in story.trust().items():
        (trust / name).write_bytes(data)
    return bundle, trust


def commands(folder: Path, results: int) -> dict[str, list[str | Path]]:
    """Write what is verified; return each program's command line."""
    bundle, trust = write(folder, results)
    script = folder / "verify.sh"
    script.write_bytes((files("itmp.evidence") / "verify.sh").read_bytes())
    size, load = bundle.stat().st_size / 1e6, os.getloadavg()[0]
    print(f"{datetime.now(UTC):%Y-%m-%d}, {results:,} results, {size:.1f} MB, load {load:.1f}", flush=True)
    calls: dict[str, list[str | Path]] = {
        "itmp-verify": [Path(sys.executable).parent / "itmp-verify", bundle, "--trust", trust],
        "verify.sh": ["bash", script, bundle, trust],
    }
    return calls | {name: ["bash", Path(name).resolve(), bundle, trust] for name in sys.argv[2:]}


def main() -> int:
    over = False
    with tempfile.TemporaryDirectory(prefix="itmp-bench-") as name:
        for what, words in commands(Path(name), int(sys.argv[1]) if sys.argv[1:] else RESULTS).items():
            begin = time.perf_counter()
            spent, _ = used(words, Path(name))
            waited = time.perf_counter() - begin
            late = waited > LIMIT
            over |= late and what not in sys.argv
            verdict = "OVER" if late else "within"
            print(
                f"{what}: {waited:.1f} s, {spent:.1f} s of one core; limit {LIMIT:.0f} s: {verdict}",
                flush=True,
            )
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
