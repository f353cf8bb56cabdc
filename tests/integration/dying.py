"""An executor that dies in the middle of a play, for tests of what it leaves behind here and on hosts.

Rules kept here: it dies once web1 works, which web1 says by a file `started` in its root; what is left is asked for as the
slice of which the executor died.
"""

import os
import signal
from pathlib import Path

from conftest import World, part_of
from places import wait_for

from itmp.adapters.ansible import AnsibleRunner
from itmp.execution.doors import Slice
from itmp.plan import Plan


def root_of(world: World) -> Path:
    """Return the root of web1, where nothing says yet that it has worked."""
    root = world.fleet.host("web1").root
    for name in ("started", "finished", "second"):
        (root / name).unlink(missing_ok=True)
    return root


def die_in(world: World, play: str) -> tuple[Plan, Slice]:
    """Run a play in a process that is killed once web1 has `started`; return the plan and the slice."""
    started = root_of(world) / "started"
    world.write("playbooks/play.yml", play)
    plan = world.plan()
    pid = os.fork()
    if pid == 0:
        try:
            world.run(plan)
        finally:
            os._exit(1)
    try:
        wait_for(started.exists, "web1 to work")
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return plan, part_of(plan)


def left(world: World, plan: Plan, part: Slice) -> tuple[str, ...]:
    """Ask for what the slice left, and end it."""
    return AnsibleRunner().sweep(plan, part, room=world.room())
