"""The executor dies in the middle of a module: nothing goes on here, what goes on there is found and waited for."""

import os
import signal
import time
from pathlib import Path

import pytest
from conftest import World

from itmp.adapters import supervisor
from itmp.adapters.ansible import AnsibleRunner
from itmp.errors import BusyError
from itmp.execution.doors import Slice

pytestmark = pytest.mark.fleet
LIMIT = 60.0


def until(true) -> None:
    end = time.monotonic() + LIMIT
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def carriers(token: str) -> list[str]:
    """Pids of processes here that carry the run's token."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if f"{supervisor.TOKEN}={token}".encode() in (folder / "environ").read_bytes():
                    found.append(folder.name)
            except OSError:
                continue
    return found


def crash(world: World, seconds: int) -> Slice:
    """Run a play in a process that is killed once its module works on web1."""
    root = world.fleet.host("web1").root
    for name in ("started", "finished", "second"):
        (root / name).unlink(missing_ok=True)
    script = f"touch {root}/started; sleep {seconds}; touch {root}/finished"
    tasks = f"[{{name: Slow, ansible.builtin.shell: '{script}'}}, {{name: Second, ansible.builtin.command: touch {root}/second}}]"
    world.write("playbooks/play.yml", f"- {{hosts: web1, gather_facts: false, tasks: {tasks}}}\n")
    plan = world.plan()
    pid = os.fork()
    if pid == 0:
        try:
            world.run(plan)
        finally:
            os._exit(1)
    try:
        until((root / "started").exists)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    step = plan.manifest.steps[0]
    return Slice(key="a@0", step=step, hosts=step.hosts)


def test_after_the_executors_death_nothing_goes_on_here_and_work_there_is_waited_for(world):
    part = crash(world, 4)
    root = world.fleet.host("web1").root
    until(lambda: carriers(world.token) == [])
    assert not (root / "finished").exists()  # killing everything here does not stop the module there
    found = AnsibleRunner().sweep(world.room(), part)
    assert (root / "finished").exists()
    assert not (root / "second").exists()
    assert found
    assert all(line.startswith("web1: ") for line in found)
    assert list(world.room().folder.iterdir()) == []
    assert AnsibleRunner().sweep(world.room(), part) == ()


def test_what_does_not_end_there_in_time_is_an_error(world):
    part = crash(world, 9)
    with pytest.raises(BusyError, match="web1"):
        AnsibleRunner(target_wait=1).sweep(world.room(), part)
    until((world.fleet.host("web1").root / "finished").exists)
