"""Whoever follows a run from the log hears where it stands as its own process tells it."""

from pathlib import Path

import pytest

from itmp.adapters import posix_log
from itmp.execution.progress import RunEvent, RunStands, RunStarted
from itmp.testing.small_plans import ansible, hosts, plan, rolling
from itmp.testing.story import ORIGIN, Story
from itmp.workspace import Workspace
from itmp.workspace.events import outline
from itmp.workspace.following import Tail

THREE = hosts(3)


def begun(root: Path, *, on_failure: str = "stop") -> tuple[Workspace, Story]:
    """An approved change that rolls over three hosts, one after the other, of which one may fail."""
    (root / "itmp.yml").write_text("organization: example.com\nlog: ops\n")
    steps = [ansible("one", THREE, tasks=1)]
    story = Story(plan=plan([rolling(THREE, steps, size=1, max_failures=1, on_failure=on_failure)]))
    genesis = story.log.leaf(0).event
    story.log = posix_log.create(
        root / ".itmp", origin=ORIGIN, genesis=genesis, key=story.key, clock=story.clock
    )
    story.open()
    story.act("approve", "bob")
    return Workspace.here(root), story


def attempt(story: Story, mode: str, **states: str) -> None:
    """Write an attempt that brings each host, in its own slice, to its state."""
    permit = story.permit(mode=mode)
    story.say(permit, "run.started" if mode == "run" else "run.resumed", data={"permit": permit.leaf})
    for host, state in states.items():
        key = f"one@{THREE.index(host) + 1}"
        data = {"slice": key, "hosts": [host], "work": "", "permit": permit.leaf}
        intent = story.say(permit, "slice.intended", step="one", phase="do", data=data).hash
        ended = {"slice": key, "hosts": {host: state}}
        story.say(permit, "slice.finished", step="one", phase="do", intent=intent, data=ended)
    story.log.checkpoint()


def stands(events: list[RunEvent]) -> list[tuple[int, tuple[str, ...], dict[str, str]]]:
    return [(one.done, one.failed, dict(one.hosts)) for one in events if isinstance(one, RunStands)]


def test_a_first_attempt_is_counted_slice_by_slice(tmp_path: Path) -> None:
    place, story = begun(tmp_path)
    attempt(story, "run", web1="failed", web2="changed")
    told = list(Tail(place, story.change).read())
    assert stands(told) == [(1, ("web1",), {}), (2, ("web1",), {})]


def test_a_resume_begins_where_the_attempts_before_it_have_left_the_run(tmp_path: Path) -> None:
    place, story = begun(tmp_path)
    attempt(story, "run", web1="failed", web2="changed")
    attempt(story, "resume", web3="ok")
    first, *told = list(Tail(place, story.change).read())
    assert isinstance(first, RunStarted)
    assert first.event == "run.resumed"
    settled = {"web1": "failed", "web2": "changed", "web3": "not_reached"}
    assert stands(told) == [(2, ("web1",), settled), (3, ("web1",), {})]


@pytest.mark.parametrize(("on_failure", "excuses"), [("stop", True), ("continue", False)])
def test_what_is_to_come_says_whether_a_host_that_is_gone_on_without_counts(
    tmp_path: Path, on_failure: str, excuses: object
) -> None:
    place, story = begun(tmp_path, on_failure=on_failure)
    assert [(one.budget, one.excuses) for one in outline(place, story.change).slices] == [(1, excuses)] * 3
