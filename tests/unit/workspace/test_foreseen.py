"""What an approver is told of a preview: by phase, by outcome, and what has moved by name."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from itmp.workspace.foreseen import Preview, Seen, WorldSeen, age, lines

AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
WORLD = WorldSeen(
    hosts={"web1": "sha256:1", "web2": "sha256:2"}, present={"asg.desired web desired": 12}, problems=()
)


def seen(outcome: str, host: str = "web1", **more: str) -> Seen:
    return Seen(step="s", host=host, name="Task", action="a", path="p", line=1, outcome=outcome, **more)


def found(*members: Seen, **more: object) -> Preview:
    made = Preview(plan="sha256:0", at=AT, by="alice@example.com", world=WORLD, seen=members)
    return replace(made, **more)  # type: ignore[arg-type]  # a test's own values


def test_lines_group_by_phase_and_outcome() -> None:
    made = found(
        seen("changed"), seen("changed", "web2"), seen("unchanged"), seen("fails", why="answered 500, not 200"),
        seen("passes", "web2"), seen("changed", phase="undo"), seen("cannot know", "web2", why="raw", phase="undo"),
        notes=("n",), moved=("gone: web9",), stale=("gone: web9",),
    )  # fmt: skip
    assert list(lines(made, now=AT + timedelta(minutes=5))) == [
        "changed 3  unchanged 1  cannot know 1  passes 1  fails 1  (5 minutes old, signed by alice@example.com)",
        "  moved since the preview: gone: web9",
        "  check 6 would refuse a run now: gone: web9",
        "  changed      s: Task  web1 web2",
        "  fails        s: Task  web1  (answered 500, not 200)",
        "  passes       s: Task  web2",
        "  undo, if it were run now:",
        "    changed      s: Task  web1",
        "    cannot know  s: Task  web2  (raw)",
        "  note: n",
    ]


def test_a_preview_in_which_nothing_changes_says_so() -> None:
    assert list(lines(found(seen("unchanged")), now=AT))[1:] == ["  nothing would change"]
    assert next(lines(found(), now=AT)).startswith("nothing was asked  (0 minutes old")


def test_it_reads_what_it_wrote() -> None:
    made = found(seen("changed", diff="-a\n+b", phase="undo"))
    assert Preview.from_json(made.to_json(diffs=True)) == made
    assert all("diff" not in one for one in made.to_json()["seen"])


def test_hosts_variables_and_present_values_move_by_name() -> None:
    now = WorldSeen(
        hosts={"web1": "sha256:other", "web3": "sha256:3"},
        present={"asg.desired web desired": 31},
        problems=(),
    )
    assert WORLD.moved_to(WORLD) == ()
    assert WORLD.moved_to(now) == (
        "gone: web2",
        "new: web3",
        "address, groups or variables changed: web1",
        "asg.desired web desired is 31, was 12",
    )
    gone = replace(WORLD, present={})
    assert WORLD.moved_to(gone) == ("asg.desired web desired is not there, was 12",)
    blind = replace(WORLD, hosts={}, problems=("inventory: it failed",))
    assert WORLD.moved_to(blind) == ("not known whether it moved: inventory: it failed",)


def test_an_age_is_told_in_the_unit_that_says_it_best() -> None:
    told = [age(timedelta(minutes=minutes)) for minutes in (0, 1, 59, 119, 120, 2879, 2880)]
    assert told == ["0 minutes", "1 minute", "59 minutes", "119 minutes", "2 hours", "47 hours", "2 days"]
