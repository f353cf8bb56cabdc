"""What a person would type next follows from what stopped a run, and from what its plan and window still allow."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from itmp.adapters import posix_log
from itmp.calendars import format_time
from itmp.change import team_policy
from itmp.plan import Plan
from itmp.testing.people import Person
from itmp.testing.signed_log import ROLES
from itmp.testing.small_plans import ansible, hosts, plan
from itmp.testing.story import ORIGIN, Story
from itmp.workspace import Workspace, status

TWO = hosts(2)
UNDO, CLOSE, RESUME = "itmp undo {}", "itmp change close {} --reason TEXT", "itmp resume {}"
PROPOSE = "itmp propose runbooks/restart-web.yml --reason TEXT"
APPROVE, RECONCILE = "itmp approve {}", "itmp reconcile {} web2 ok|failed --reason TEXT"
BACK = plan([ansible("one", TWO)], undo=[ansible("back", TWO)])
ONLY = plan([ansible("one", TWO)])


def stopped(
    root: Path,
    of: Plan,
    code: int | None,
    *,
    begun: bool = True,
    ends: bool = False,
    killed: bool = False,
    **more: Any,
) -> tuple[Workspace, Story]:
    """A run that was stopped after its first slice; `ends`: by now its window is over; `killed`: it did not end."""
    (root / "itmp.yml").write_text("organization: example.com\nlog: ops\n")
    now = datetime.now(UTC).replace(microsecond=0)
    story = Story(plan=of, start=now - timedelta(hours=1), **more)
    genesis = story.log.leaf(0).event
    story.log = posix_log.create(
        root / ".itmp", origin=ORIGIN, genesis=genesis, key=story.key, clock=story.clock
    )
    window = f"{format_time(now - timedelta(hours=2))} {format_time(now - timedelta(minutes=30))}"
    story.open(**({"window": window} if ends else {}))
    story.act("approve", "bob")
    permit = story.permit()
    story.say(permit, "run.started", data={"permit": permit.leaf})
    if begun:
        story.slice(permit, story.steps()[0], hosts=("web1",))
    code_of = {} if code is None else {"exit_code": code}
    story.say(permit, "run.stopped", data={"why": "it was stopped", **code_of})
    states = {"web1": "changed" if begun else "not_reached", "web2": "not_reached"}
    if not killed:
        story.say(permit, "run.finished", outcome="failed", data={"state": "stopped", "hosts": states})
    story.log.checkpoint()
    return Workspace.here(root), story


def told(place: Workspace, story: Story) -> tuple[str, ...]:
    return tuple(line.replace(story.change, "{}") for line in status(place, story.change).next)


@pytest.mark.parametrize(
    ("code", "onward", "without"),
    [
        (15, (UNDO, CLOSE, PROPOSE), (CLOSE, PROPOSE)),
        (12, (UNDO, CLOSE, PROPOSE), (CLOSE, PROPOSE)),
        (18, (UNDO,), (CLOSE,)),
        (11, (RESUME, UNDO), (RESUME,)),
        (10, (APPROVE, RESUME, UNDO), (APPROVE, RESUME)),
        (13, (RESUME, UNDO), (RESUME,)),
        (None, (RESUME, UNDO), (RESUME,)),  # written before causes were
    ],
)
def test_each_cause_leads_onward_and_back_only_where_the_plan_does(
    tmp_path: Path, code: int | None, onward: tuple[str, ...], without: tuple[str, ...]
) -> None:
    for name, of, wanted in (("a", BACK, onward), ("b", ONLY, without)):
        (tmp_path / name).mkdir()
        assert told(*stopped(tmp_path / name, of, code)) == wanted


def test_before_anything_was_begun_there_is_nothing_to_undo(tmp_path: Path) -> None:
    assert told(*stopped(tmp_path, BACK, 12, begun=False)) == (CLOSE, PROPOSE)


@pytest.mark.parametrize("code", [11, 12, 15, 18])
def test_a_run_that_was_killed_while_it_stopped_is_ended_by_a_resume_first(tmp_path: Path, code: int) -> None:
    lines = told(*stopped(tmp_path, BACK, code, killed=True))
    assert RESUME in lines
    assert CLOSE not in lines


@pytest.mark.parametrize("code", [10, 11])
def test_a_window_that_is_over_for_good_needs_a_plan_anew(tmp_path: Path, code: int) -> None:
    place, story = stopped(tmp_path, BACK, code, ends=True)
    assert told(place, story) == (UNDO, CLOSE, PROPOSE)
    assert status(place, story.change).retry_at == ""


def test_a_window_that_opens_again_is_told_with_its_time(tmp_path: Path) -> None:
    people = {f"{name}@example.com": Person(f"{name}@example.com", "story") for name in ROLES}
    document = yaml.safe_load(
        team_policy({at: (one.public.line, ROLES[at.partition("@")[0]]) for at, one in people.items()})
    )
    now = datetime.now(UTC).replace(microsecond=0)
    begin, end = format_time(now - timedelta(minutes=30)), format_time(now + timedelta(hours=9))
    document["freezes"] = [{"name": "sale", "from": begin, "to": end, "environments": ["production"]}]
    place, story = stopped(tmp_path, BACK, 11, policy=yaml.safe_dump(document).encode())
    assert (told(place, story), status(place, story.change).retry_at) == ((RESUME, UNDO), end)


def test_a_later_attempt_has_its_own_cause_and_a_plan_that_was_left_outweighs_a_stop(tmp_path: Path) -> None:
    place, story = stopped(tmp_path, ONLY, 15)
    permit = story.permit(mode="resume")
    story.say(permit, "run.resumed", data={"permit": permit.leaf})
    for code in (13, 11):
        story.say(permit, "run.stopped", data={"why": "again", "exit_code": code})
    assert story.record.run
    assert story.record.run.cause == 13
    story.say(permit, "run.stopped", data={"why": "and left its plan", "exit_code": 15})
    assert story.record.run.cause == 15
    hosts = {"web1": "changed", "web2": "unknown"}
    story.say(permit, "run.finished", outcome="unknown", data={"state": "unknown", "hosts": hosts})
    story.log.checkpoint()
    assert told(place, story) == (CLOSE, PROPOSE)
