"""The gate asks for a synchronised clock where the policy does: at starts and slices, and not where no time is judged."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from itmp.change import Refusal
from itmp.errors import UnsynchronisedClockError
from itmp.testing.on_disk import story_on_disk
from itmp.testing.story import Story
from itmp.workspace import Workspace
from itmp.workspace.gatekeeping import Attempt, Recheck, admit

AGO = timedelta(minutes=10)
NO_LEASES: Any = None  # a refused start takes none
ANY_SLICE: Any = None  # the gate does not look at it


def began(root: Path, clock: Callable[[], bool]) -> tuple[Workspace, Attempt, Story]:
    """A change that waits for the gate under a policy that demands a clock, and somebody's signed start."""
    tree = yaml.safe_load(Story().policy_bytes)
    policy = {**tree, "limits": {**tree.get("limits", {}), "unsynchronised_clock": "refuse"}}
    story = story_on_disk(root, policy=yaml.safe_dump(policy).encode(), start=datetime.now(UTC) - AGO)
    change = story.open()
    story.act("approve", "bob")
    start = story.act("run", "alice", data=None)
    place = replace(Workspace.here(root), synchronised=clock)
    return place, Attempt(mode="run", change=change, plan=story.plan, start=start.hash, run="run-1"), story


def test_a_start_is_refused_and_written_down(tmp_path: Path) -> None:
    place, attempt, story = began(tmp_path, lambda: False)
    answer = admit(place, attempt, NO_LEASES)
    assert isinstance(answer, Refusal)
    assert (answer.exit_code, answer.first.n) == (16, 8)
    assert "the kernel does not call it synchronised" in answer.first.why
    last = place.log.of_change(attempt.change)[-1].event
    said = next(check for check in (last.data or {})["checks"] if check["n"] == 8)
    assert (last.type, said["outcome"]) == ("change.refused", "refused")
    assert story.plan.digest == last.plan


def test_a_slice_is_refused_and_what_no_time_is_judged_for_goes_on(tmp_path: Path) -> None:
    asked: list[str] = []

    def lost() -> bool:
        asked.append("kernel")
        return False

    place, attempt, _ = began(tmp_path, lost)
    with pytest.raises(UnsynchronisedClockError, match="synchronised"):
        Recheck(place, attempt)(ANY_SLICE, exempt=False)
    assert asked == ["kernel"]
    Recheck(place, attempt)(ANY_SLICE, exempt=True)
    Recheck(place, replace(attempt, mode="undo"))(ANY_SLICE, exempt=False)
    assert asked == ["kernel"]


def test_a_synchronised_clock_is_no_reason(tmp_path: Path) -> None:
    place, attempt, _ = began(tmp_path, lambda: True)
    Recheck(place, attempt)(ANY_SLICE, exempt=False)
