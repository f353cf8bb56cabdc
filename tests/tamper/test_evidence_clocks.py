"""Clocks that were set back between two boots: what the gate refuses there, `itmp-verify`, the shell and `audit verify` name."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from attacks import graves, judged, shelled

from itmp.audit import Event
from itmp.testing.forgery import forged
from itmp.testing.memory_log import MemoryReader, MemoryStore
from itmp.testing.small_plans import ansible, plan
from itmp.testing.story import EXECUTOR, ORIGIN, Story

PLAN = plan(
    [ansible("restart", ["web1"]), ansible("undrain", ["web1"], always=True)],
    undo=[ansible("back", ["web1"])],
)
HOLDS = (0, 19, "")


def reboot(story: Story, back: timedelta) -> None:
    """Somebody is refused an hour later; then the machine starts anew, with a clock that is `back` behind that."""
    story.clock.time += timedelta(hours=1)
    story.write(
        Event(
            id=story.id(), type="change.refused", actor=EXECUTOR, change=story.change, plan=story.plan.digest,
            data={"act": "run", "exit_code": 10, "checks": []},
        )
    )  # fmt: skip
    story.clock.time -= back
    story.clock.boot_id = "boot-2"


def told(before: str, back: timedelta) -> tuple[Story, MemoryStore]:
    """Run and undo what bob approved; the reboot comes right `before` the permit, or the slice of a step."""
    store = MemoryStore(ORIGIN)
    story = Story(store=store, plan=PLAN)
    story.open()
    story.act("approve", "bob")
    if before == "permit":
        reboot(story, back)
    permit = story.force()
    story.say(permit, "run.started", data={"permit": permit.leaf})
    for step, phase in (*((one, "do") for one in PLAN.manifest.steps), (PLAN.manifest.undo[0], "undo")):
        if before == step.id:
            reboot(story, back)
        story.slice(permit, step, phase=phase)  # type: ignore[arg-type]
    data = {"state": "undone", "hosts": {"web1": "changed"}}
    story.say(permit, "run.finished", outcome="failed", data=data)
    story.close()
    return story, store


@pytest.mark.parametrize("before", ["permit", "restart", "undrain", "back"])
def test_what_is_granted_before_the_newest_time_is_named(before: str, tmp_path: Path) -> None:
    """Check 8 is asked before each permit and each slice, those that must run whatever happens included."""
    story, store = told(before, timedelta(minutes=30))
    n, finding = (10, "permit-unfounded") if before == "permit" else (12, "intent-outside")
    assert judged(story.evidence(), story.trust()) == (40, n, finding)
    assert graves(store, story.trust()) == {"granted-behind"}
    code, out = shelled(story.evidence(), story.trust(), tmp_path)
    assert (code, f"BROKEN       rule {n}: " in out) == (40, True), out


@pytest.mark.parametrize("before", ["permit", "restart", "undrain", "back"])
def test_a_correction_within_a_second_accuses_nobody(before: str, tmp_path: Path) -> None:
    """The gate looks at the clock a moment before the leaf is written."""
    story, store = told(before, timedelta(milliseconds=990))
    assert judged(story.evidence(), story.trust(), MemoryReader(store)) == HOLDS
    assert graves(store, story.trust()) == set()
    code, out = shelled(story.evidence(), story.trust(), tmp_path)
    assert code == 0, out


def test_what_else_the_log_holds_counts_with_the_log_alone() -> None:
    """The file knows the change's own events; the log has what was written of others."""
    store = MemoryStore(ORIGIN)
    story = Story(store=store, plan=PLAN)
    story.open()
    story.act("approve", "bob")
    story.clock.time += timedelta(hours=1)
    story.write(Event(id=story.id(), type="log.read", actor=EXECUTOR))
    story.clock.time -= timedelta(minutes=30)
    story.clock.boot_id = "boot-2"
    story.execute(story.force())
    story.close()
    assert judged(story.evidence(), story.trust()) == HOLDS
    assert judged(story.evidence(), story.trust(), MemoryReader(store)) == (40, 19, "log-contradicts")
    assert graves(store, story.trust()) == {"granted-behind"}


def test_other_leaves_behind_the_log_are_no_lie(tmp_path: Path) -> None:
    """Whoever votes or reads while a clock is behind is let do so, and the gate waits until it has caught up."""
    store = MemoryStore(ORIGIN)
    story = Story(store=store, plan=PLAN)
    story.open()
    reboot(story, timedelta(minutes=30))
    story.act("approve", "bob")
    story.clock.time += timedelta(minutes=30)
    story.execute(story.permit())
    story.close()
    assert judged(story.evidence(), story.trust(), MemoryReader(store)) == HOLDS
    assert graves(store, story.trust()) == set()
    assert shelled(story.evidence(), story.trust(), tmp_path)[0] == 0


@pytest.mark.parametrize("t", ["2026-11-22T20:00:00Z", "2026-02-30T20:00:00.000000Z"])
def test_a_time_in_another_form_is_none_to_the_shell(t: str, tmp_path: Path) -> None:
    story = Story(plan=PLAN)
    story.open()
    story.act("approve", "bob")
    bundle = forged(story, lambda events: [*events[:-1], replace(events[-1], t=t)])
    code, out = shelled(bundle, story.trust(), tmp_path)
    assert (code, "BROKEN       rule 17: " in out) == (40, True), out


def test_the_shell_names_that_it_asks_no_permit_for_its_clock(tmp_path: Path) -> None:
    """`limits.unsynchronised_clock` stands in the policy, which it does not parse."""
    story, _ = told("permit", timedelta(0))
    _, out = shelled(story.evidence(), story.trust(), tmp_path)
    (line,) = [line for line in out.splitlines() if line.startswith("NOT CHECKED  rule 10: ")]
    assert "a clock that the policy demands" in line
