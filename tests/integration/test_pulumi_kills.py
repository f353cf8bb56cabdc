"""Kills in the middle of an update: nothing goes on behind our back, and a resume finds its way."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pulumi_rig import Stacks, alive, part, states, urn

from itmp.errors import BusyError
from itmp.execution.doors import Room
from itmp.plan import Plan, to_tar
from itmp.testing.cloud import Cloud
from itmp.testing.flaky import FlakyProxy
from itmp.testing.rig import Rig
from itmp.testing.runners import ScriptedObserver

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("pulumi")]

ONE = """itmp: capacity-adjustment/v1
name: wide
title: Widen
owner: team
environment: lab
risk: low
adjust:
  - {id: web, knob: autoscaling-group, name: web-asg, to: 8}
"""
_SECONDS = 180


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[FlakyProxy]:
    with Cloud() as cloud:
        cloud.group("web-asg", desired=4, floor=1, ceiling=10)
        with FlakyProxy(cloud.endpoint) as made:
            made.cloud = cloud
            for name, value in {**cloud.environ, "AWS_ENDPOINT_URL": made.endpoint}.items():
                monkeypatch.setenv(name, value)
            yield made


class Executor:
    """The process under test, stopped inside its call to the cloud."""

    def __init__(self, stacks: Stacks, plan: Plan, proxy: FlakyProxy) -> None:
        self.token = stacks.token
        file = stacks.folder / "p.tar"
        file.write_bytes(to_tar(plan))
        proxy.hold_call("SetDesiredCapacity")
        script = Path(__file__).with_name("pulumi_executor.py")
        self.process = subprocess.Popen(
            [sys.executable, script, stacks.folder, self.token, proxy.endpoint, file],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        if not proxy.held.wait(_SECONDS):
            self.end()
            pytest.fail("the provider never called the cloud")

    def pid_of(self, name: str) -> int:
        return next(pid for pid, comm in alive(self.token).items() if comm == name)

    def end(self) -> tuple[str, str]:
        self.process.kill()
        return self.process.communicate()


@pytest.fixture
def executor(proxy: FlakyProxy, tmp_path: Path) -> Iterator[tuple[Executor, Stacks, Plan]]:
    stacks = Stacks(tmp_path, proxy.endpoint)
    plan = stacks.plan(ONE)
    made = Executor(stacks, plan, proxy)
    yield made, stacks, plan
    made.end()


def eventually(true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.05)
    return False


def test_a_killed_executor_takes_engine_and_provider_with_it(
    proxy: FlakyProxy, executor: tuple[Executor, Stacks, Plan]
) -> None:
    running, stacks, plan = executor
    assert "pulumi" in alive(running.token).values()
    os.kill(running.process.pid, signal.SIGKILL)
    said, _ = running.process.communicate()
    assert said.split() == ["before", "web"]  # the intent came before the call
    assert eventually(lambda: not alive(running.token)), alive(running.token)
    proxy.mend()
    assert proxy.cloud.desired("web-asg") == 4

    room = Room(folder=stacks.folder / "again", token=running.token, run="RUN-1")
    assert stacks.runner.sweep(plan, part(plan), room=room) == ()
    assert stacks.runner.probe(plan, part(plan), (urn(plan, "web"),), room=room) == {
        urn(plan, "web"): "not_done"
    }
    observer = ScriptedObserver()
    stacks.runner.run(Rig(plan).permit("resume"), plan, part(plan), room=room, observer=observer)
    assert [(result.name, result.outcome) for result in observer.after_] == [("web", "changed")]
    assert proxy.cloud.desired("web-asg") == 8


def test_a_killed_engine_takes_the_provider_with_it_and_the_outcome_is_unknown(
    proxy: FlakyProxy, executor: tuple[Executor, Stacks, Plan]
) -> None:
    running, _, _ = executor
    os.kill(running.pid_of("pulumi"), signal.SIGKILL)
    said, errors = running.process.communicate(timeout=_SECONDS)
    assert said.split("\n")[:2] == ["before web", "after web unknown"], errors
    assert not alive(running.token)
    proxy.mend()
    assert proxy.cloud.desired("web-asg") == 4


@pytest.mark.long
def test_an_update_whose_time_is_up_is_ended_and_its_outcome_is_unknown(
    proxy: FlakyProxy, tmp_path: Path
) -> None:
    stacks = Stacks(tmp_path, proxy.endpoint)
    rig = Rig(stacks.plan(f"{ONE}timeout: 12s\n"))
    proxy.hold_call("SetDesiredCapacity")
    summary = stacks.run(rig)
    assert (summary.exit_code, states(summary)) == (14, {"web": "unknown"})
    (stopped,) = [event for event in rig.journal.events if event.type == "run.stopped"]
    assert "gave no answer within 12 s and was ended" in stopped.data["why"]
    assert not alive(stacks.token)
    proxy.mend()
    assert proxy.cloud.desired("web-asg") == 4


def test_a_run_that_still_works_holds_its_stack(
    proxy: FlakyProxy, executor: tuple[Executor, Stacks, Plan]
) -> None:
    running, stacks, plan = executor
    room = Room(folder=stacks.folder / "other", token="other", run="RUN-2")
    with pytest.raises(BusyError):
        stacks.runner.run(Rig(plan).permit(), plan, part(plan), room=room, observer=ScriptedObserver())
    assert running.process.poll() is None
    dead = Room(folder=room.folder, token=running.token, run="RUN-1")
    swept = stacks.runner.sweep(plan, part(plan), room=dead)
    assert any("pulumi" in found for found in swept)
    assert not alive(running.token)
    assert proxy.cloud.desired("web-asg") == 4
