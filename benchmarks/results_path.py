"""How many results a second the executor takes on one core: socket, masks, conformance, accounting, log, view, index.

    python benchmarks/results_path.py [HOSTS] [TASKS]

A stub in a process of its own plays Ansible's part: it asks before each action of a play over many hosts and tells its
result, as fast as it is answered, over the real action socket. What answers is the whole path of a run over a real log
on disk. Counted is the executor's own processor time, so the stub's share and waiting do not matter. Limit: 2,000
results a second for 10,000 hosts.
"""

import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from itmp.adapters import posix_log
from itmp.adapters.actions import ActionClient, ActionServer
from itmp.adapters.ansible._laid import Laid
from itmp.adapters.ansible._masked import Masked
from itmp.adapters.ansible.runner import _public
from itmp.adapters.secrets import Masker
from itmp.cli.narration import Narrator
from itmp.execution.doors import Room, Slice
from itmp.execution.loop import execute
from itmp.plan import AnsibleStep, Plan
from itmp.signing import NoteKey
from itmp.testing import small_plans
from itmp.testing.memory_log import genesis
from itmp.testing.rig import Rig
from itmp.workspace.indexing import indexing
from itmp.workspace.reading import Reading

ORIGIN = "example.com/bench/2026"
LIMIT = 2000


def actions(step: AnsibleStep) -> Iterator[dict[str, Any]]:
    """Yield what Ansible's linear strategy would do: task by task over all hosts."""
    for task in step.expected:
        for host in step.hosts:
            yield {
                "id": f"{task.line}@{host}",
                "host": host,
                "action": task.action,
                "path": task.path,
                "line": task.line,
                "name": task.name,
            }


def play(folder: Path, step: AnsibleStep) -> None:
    client = ActionClient(str(folder / "a.sock"), token="token", role="ansible")  # noqa: S106 - a bench's own socket
    for action in actions(step):
        client.before(action)
        client.tell({**action, "outcome": "changed", "rc": 0, "message": "written to /etc/motd"})
    client.close()


class StubRunner:
    """A `Runner` whose Ansible is a stub."""

    def run(self, permit: Any, plan: Plan, part: Slice, *, room: Room, observer: Any) -> None:  # noqa: ARG002 - the door's signature
        assert isinstance(part.step, AnsibleStep)
        paths = {task.path for task in part.step.expected}
        for path in paths:
            (room.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (room.folder / path).touch()
        laid = Laid(room.folder, paths)
        masked = Masked(observer, Masker(["hunter2"]), _public(plan, part.step), laid)
        with ActionServer(room.folder, token="token", observer=masked) as server:  # noqa: S106 - as above
            child = os.fork()
            if child == 0:
                play(room.folder, part.step)
                os._exit(0)
            watched = os.pidfd_open(child)
            server.watch(watched)
            while os.waitpid(child, os.WNOHANG)[0] == 0:
                server.pump(0.5)
            server.drain()
            os.close(watched)
            if server.failure:
                raise server.failure

    def sweep(self, plan: Plan, part: Slice, *, room: Room) -> tuple[str, ...]:  # noqa: ARG002 - the door's signature
        return ()


def main() -> int:
    hosts = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    tasks = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    plan = small_plans.plan([small_plans.ansible("write", small_plans.hosts(hosts), tasks=tasks)])
    with (
        tempfile.TemporaryDirectory(prefix="itmp-bench-") as folder,
        Path(os.devnull).open("w", buffering=1) as nowhere,
    ):
        root = Path(folder)
        key = NoteKey.generate(ORIGIN, os.urandom(32))
        log = posix_log.create(
            root / "log", origin=ORIGIN, genesis=lambda vkey: genesis(ORIGIN, vkey), key=key
        )
        log.checkpoint()  # what a reader begins with
        rig = Rig(plan, runner=lambda _world, _fuse: StubRunner())
        rig.stopping = lambda: log.size() < 0  # a real run looks for new leaves before each action
        rig.journal, rig.folder = log, root  # type: ignore[assignment]
        permit = rig.permit()
        begun, clock = time.process_time(), time.perf_counter()
        told = Narrator(say=lambda line: print(line, file=nowhere))  # as to a pipe
        with indexing(root / "log"):  # as a run does
            summary = execute(permit, plan, wiring=replace(rig.wiring(), progress=told))
        spent, wall = time.process_time() - begun, time.perf_counter() - clock
        assert set(summary.hosts.values()) == {"changed"}, summary
        count = hosts * tasks
        reading = Reading(root / "log", behind=True)
        rowed = reading.index.size
        reading.close()
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"results, {hosts} hosts, {tasks} tasks: {count / spent:.0f} a second on one core")
        print(f"  {count / wall:.0f} a second as the clock goes, peak memory {memory:.0f} MB")
        print(f"  rows in the search index at the end: {rowed} of {log.size()} leaves")
        print(f"  limit {LIMIT} a second: {'within' if count / spent >= LIMIT else 'OVER'}")
        return 0 if count / spent >= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
