"""The run over the real log, the real gate and the real record: what it writes is what they read."""

import dataclasses
from pathlib import Path

import pytest

from itmp.change import Permit, Refusal
from itmp.errors import RejectedError
from itmp.execution import Author, Reprise, RunStory, RunSummary, Wiring, execute, resume
from itmp.execution.doors import Answer, Room, Slice
from itmp.testing.runners import Fuse, Killed, ScriptedProber, ScriptedRunner, World
from itmp.testing.small_plans import ansible, hosts, plan, rolling, stack
from itmp.testing.story import EXECUTOR, Story

TWO = hosts(2)
STEPS = [
    rolling(
        TWO,
        [
            ansible("drain", TWO, tasks=1),
            ansible("restart", TWO),
            ansible("undrain", TWO, tasks=1, always=True),
        ],
        size=1,
    ),
    stack("grow", ["a"]),
]


class House:
    """An approved change over `plan`, and a world to run it in."""

    def __init__(self) -> None:
        self.story = Story(plan=plan(STEPS, undo=[ansible("back", TWO, tasks=1)]))
        self.story.open()
        self.story.act("approve", "bob")
        self.world, self.fuse = World(), Fuse()

    def wiring(self, permit: Permit) -> Wiring:
        return Wiring(
            journal=self.story.log,
            runners=dict.fromkeys(("ansible", "pulumi"), ScriptedRunner(self.world, fuse=self.fuse)),
            recheck=self.recheck,
            patience=self,
            room=Room(folder=Path("/nowhere"), token="token", run=permit.run),
            progress=self,
            stopping=bool,
            ids=self.story.id,
            now=self.story.clock.now,
            author=Author(actor=EXECUTOR, on_behalf_of="alice@example.com"),
        )

    def answer(self, part: Slice) -> Answer | None:
        del part
        return None

    def noes(self) -> frozenset[str]:
        return frozenset()

    def sleep(self, seconds: float) -> None:
        del seconds

    def recheck(self, part: Slice, *, exempt: bool) -> None:
        del part
        answer = self.story.ask("always" if exempt else "slice")
        if isinstance(answer, Refusal):
            raise answer.to_error(self.story.change)

    def on_event(self, event: object, /) -> None:
        del event

    def run(self) -> RunSummary:
        permit = self.story.permit()
        return execute(permit, self.story.plan, wiring=self.wiring(permit))

    def resume(self) -> RunSummary:
        permit = self.story.permit(mode="resume")
        told = RunStory.from_leaves(
            self.story.log.of_change(self.story.change),
            plan=self.story.plan,
            blob=self.story.log.blob,
            run="run-1",
        )
        return resume(
            permit,
            self.story.plan,
            wiring=self.wiring(permit),
            story=told,
            prober=ScriptedProber(self.world),
            reprise=Reprise(),
        )


def test_the_record_reads_what_the_run_wrote() -> None:
    house = House()
    summary = house.run()
    record = house.story.record
    assert summary.exit_code == 0
    assert record.findings == ()
    assert record.run is not None
    assert (record.run.state, record.run.open_slices) == ("succeeded", ())
    assert record.run.hosts == summary.hosts == dict.fromkeys(TWO, "changed")
    assert [part.key for part in record.run.slices][-1] == "grow"
    assert record.state == "review"


def test_what_a_kill_leaves_open_is_open_in_the_record_until_the_resume_has_settled_it() -> None:
    house = House()
    house.fuse = Fuse(5)
    with pytest.raises(Killed):
        house.run()
    assert house.story.record.run is not None
    assert [part.key for part in house.story.record.run.open_slices] == ["restart@1"]
    house.fuse = Fuse()
    summary = house.resume()
    record = house.story.record
    assert summary.exit_code == 0
    assert record.findings == ()
    assert record.run is not None
    assert (record.run.state, len(record.run.permits)) == ("succeeded", 2)


def test_an_approval_revoked_during_the_run_stops_it_and_the_host_is_undrained() -> None:
    house = House()
    vote = house.story.record.votes[0].given.leaf
    runner = ScriptedRunner(house.world)
    permit = house.story.permit()
    wiring = house.wiring(permit)

    class Revoking:
        def run(self, permit, plan, part, *, room, observer) -> None:
            runner.run(permit, plan, part, room=room, observer=observer)
            if part.key == "drain@1":
                house.story.act("revoke", "bob", of=vote)

        def sweep(self, plan, part, *, room) -> tuple[str, ...]:
            return runner.sweep(plan, part, room=room)

    runners = {**wiring.runners, "ansible": Revoking()}
    summary = execute(permit, house.story.plan, wiring=dataclasses.replace(wiring, runners=runners))
    assert isinstance(summary.cause, RejectedError)
    assert [e.slice for e in house.world.effects] == ["drain@1", "undrain@1"]
    assert house.story.record.findings == ()
