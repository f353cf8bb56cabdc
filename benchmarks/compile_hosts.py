"""How long a plan over many hosts takes to compile, encode and read, and how much memory.

    python benchmarks/compile_hosts.py [HOSTS]

The world is held in memory, so this measures our own code; limits: 15 s and 500 MB for 10,000 hosts.
"""

import resource
import sys
import time

from itmp.plan import Plan, show, to_tar
from itmp.testing.runbooks import HEAD, compile_runbook, small_world

TEXT = (
    HEAD
    + """\
steps:
  - rolling: {hosts: web, batches: [1, 1%], max_failures: 5}
    steps:
      - {id: drain, playbook: drain, delegates: [lb1], probe: {tcp: {port: 22}}}
      - {id: touch, playbook: touch}
      - {id: ask, check: {http: {url: "http://${host.address}:8080/health"}}}
      - {id: undrain, playbook: touch, always: true}
undo:
  - {playbook: touch}
"""
)


def main() -> None:
    hosts = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    world = small_world(hosts)
    started = time.perf_counter()
    plan = compile_runbook(TEXT.encode(), sources=world)
    compiled = time.perf_counter()
    Plan.from_bytes(plan.manifest_bytes, plan.artifacts.__getitem__)
    read = time.perf_counter()
    rows = sum(len(section.rows) for section in show(plan))
    shown = time.perf_counter()
    archive = len(to_tar(plan))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"hosts {hosts}, manifest {len(plan.manifest_bytes) / 1e6:.1f} MB, archive {archive / 1e6:.1f} MB")
    print(f"gather+freeze+encode {compiled - started:.2f} s, read {read - compiled:.2f} s")
    print(f"show {shown - read:.2f} s ({rows} rows), peak memory {memory:.0f} MB")
    assert compiled - started <= 15, "slower than 15 s"
    assert memory <= 500, "more than 500 MB"


if __name__ == "__main__":
    main()
