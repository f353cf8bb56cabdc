"""The executor dies in the middle of a module: nothing goes on here, what goes on there is found and waited for."""

import os
import signal
import threading
from contextlib import suppress

import pytest
from conftest import PERMIT, Recorder, World, part_of
from dying import die_in, left, root_of
from places import carriers, wait_for

from itmp.adapters.ansible import AnsibleRunner
from itmp.adapters.ansible.runner import AnsibleError
from itmp.errors import BusyError, StaleError
from itmp.execution.doors import Slice
from itmp.plan import Plan

pytestmark = pytest.mark.fleet


SHELL = "{{name: Slow, ansible.builtin.shell: '{script}'}}"


def crash(world: World, seconds: int, slow: str = SHELL) -> tuple[Plan, Slice]:
    """Let the executor die while the first task of its play works on web1, for `seconds`."""
    root = world.fleet.host("web1").root
    script = f'trap "" HUP; touch {root}/started; sleep {seconds}; touch {root}/finished'
    world.write("playbooks/files/slow.sh", f"#!/bin/sh\n{script}\n").chmod(0o755)
    tasks = f"[{slow.format(script=script)}, {{name: Second, ansible.builtin.command: touch {root}/second}}]"
    return die_in(world, f"- {{hosts: web1, gather_facts: false, tasks: {tasks}}}\n")


def test_after_the_executors_death_nothing_goes_on_here_and_work_there_is_waited_for(world):
    plan, part = crash(world, 8)
    root = world.fleet.host("web1").root
    wait_for(lambda: not carriers(world.token), "the run's processes to end")
    assert not (root / "finished").exists()  # killing everything here does not stop the module there
    found = left(world, plan, part)
    assert (root / "finished").exists()
    assert not (root / "second").exists()
    assert found
    assert all(line.startswith("web1: ") for line in found)
    assert list(world.room().folder.iterdir()) == []
    assert left(world, plan, part) == ()


@pytest.mark.parametrize("how", ["stop", "error"])
def test_what_goes_on_there_after_a_slice_was_cut_off_is_waited_for(world, how):
    """A stop whose grace ran out, and an observer's own error, both while a module works on web1."""
    root = root_of(world)
    script = f'trap "" HUP; touch {root}/started; sleep 6; touch {root}/finished'
    slow = f"{{name: Slow, ansible.builtin.shell: '{script}', when: \"inventory_hostname == 'web1'\"}}"
    tasks = f"[{slow}, {{name: Second, ansible.builtin.command: 'true'}}]"
    world.write(
        "playbooks/play.yml",
        f"- {{hosts: 'web1:web2', strategy: free, gather_facts: false, tasks: {tasks}}}\n",
    )
    plan, runner = world.plan(), AnsibleRunner(grace=0.5)

    def veto(action):
        if action.name == "Second":
            wait_for((root / "started").exists, "web1 to work")
            if how == "error":
                raise StaleError("not what was approved")
            runner.stop()

    part = part_of(plan)
    with suppress(StaleError):
        runner.run(PERMIT, plan, part, room=world.room(), observer=Recorder(veto=veto))
    assert not (root / "finished").exists()
    assert len(list(world.room().folder.iterdir())) == 1
    found = left(world, plan, part)
    assert (root / "finished").exists()
    assert any(line.startswith("web1: ") for line in found)
    assert list(world.room().folder.iterdir()) == []


@pytest.mark.parametrize(
    "slow", [SHELL, "{{name: Slow, ansible.builtin.raw: '{script}'}}"], ids=["module", "raw"]
)
def test_what_goes_on_there_when_its_ssh_is_killed_is_unknown_and_waited_for(world, slow):
    """Ansible calls it a failure; the host still works at it."""
    root = root_of(world)
    script = f'trap "" HUP; touch {root}/started; sleep 9; touch {root}/finished'
    tasks = f"[{slow.format(script=script)}]"
    world.write("playbooks/play.yml", f"- {{hosts: 'web1:web2', gather_facts: false, tasks: {tasks}}}\n")
    plan = world.plan()

    def kill() -> None:
        wait_for((root / "started").exists, "web1 to work")
        for pid, line in carriers(world.token).items():
            if "/ssh -F " in line:
                os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    recorder = world.run(plan)
    killer.join()
    (killed,) = [result for result in recorder.results if result.host == "web1"]
    assert (killed.outcome, killed.rc) == ("unknown", -signal.SIGKILL)
    assert killed.message == "what carried it was ended by signal 9: it may go on there"
    assert not (root / "finished").exists()
    found = left(world, plan, part_of(plan))
    assert (root / "finished").exists()
    assert any(line.startswith("web1: ") for line in found)


def test_what_does_not_end_there_in_time_is_an_error(world):
    plan, part = crash(world, 9)
    with pytest.raises(BusyError, match=r"web1: .* sleep: sleep 9") as caught:
        AnsibleRunner(target_wait=1).sweep(plan, part, room=world.room())
    assert caught.value.do.endswith("itmp reconcile ID web1 ok|failed --reason …")
    wait_for((world.fleet.host("web1").root / "finished").exists, "web1 to finish")


ASYNC = "{{name: Slow, ansible.builtin.shell: '{script}', async: 60, poll: %s}}"


@pytest.mark.parametrize(
    "slow",
    [
        "{{name: Slow, ansible.builtin.raw: '{script}'}}",
        "{{name: Slow, ansible.builtin.script: slow.sh}}",
        ASYNC % 0,
    ],
    ids=["raw", "script", "background"],
)
def test_what_is_no_plain_module_is_found_and_waited_for_too(world, slow):
    plan, part = crash(world, 8, slow)
    root = world.fleet.host("web1").root
    wait_for(lambda: not carriers(world.token), "the run's processes to end")
    assert not (root / "finished").exists()
    found = left(world, plan, part)
    assert (root / "finished").exists()
    assert any(line.startswith("web1: ") for line in found)
    assert left(world, plan, part) == ()


def test_background_work_that_outlives_its_slice_is_waited_for(world):
    root = world.fleet.host("web1").root
    (root / "ended").unlink(missing_ok=True)
    task = f"{{name: Slow, ansible.builtin.shell: 'sleep 4; touch {root}/ended', async: 60, poll: 0}}"
    world.write("playbooks/play.yml", f"- {{hosts: web1, gather_facts: false, tasks: [{task}]}}\n")
    plan = world.plan()
    world.run(plan)
    assert not (root / "ended").exists()
    part = part_of(plan)
    assert any(line.startswith("web1: ") for line in left(world, plan, part))
    assert (root / "ended").exists()
    assert list(world.room().folder.iterdir()) == []


def test_where_a_server_takes_no_mark_a_raw_command_is_said_to_be_unseen(world):
    """What is known is said: that it was raw, and that such a host hides it."""
    host = world.fleet.host("web1").root.parent
    config = (host / "sshd_config").read_text()
    (host / "sshd_config").write_text(config.replace("AcceptEnv LANG LC_*\n", ""))
    try:
        plan, part = crash(world, 1, "{{name: Slow, ansible.builtin.raw: '{script}'}}")
        wait_for(lambda: not carriers(world.token), "the run's processes to end")
        found = left(world, plan, part)
        assert [line for line in found if line.startswith("web1: its sshd takes no LC_ variables")]
    finally:
        (host / "sshd_config").write_text(config)
    wait_for((world.fleet.host("web1").root / "finished").exists, "web1 to finish")


def test_a_disk_that_takes_nothing_is_said_and_is_no_defect_of_ours(world):
    world.write(
        "playbooks/play.yml", "- {hosts: web1, gather_facts: false, tasks: [{ansible.builtin.ping: }]}\n"
    )
    plan = world.plan()
    world.room().folder.write_text("a file where a folder should be made")
    with pytest.raises(AnsibleError, match="this machine failed: File exists"):
        world.run(plan)
