"""A run in plain lines: what is to do, what was done before, and what somebody else has left."""

from itmp.cli.narration import Narrator
from itmp.workspace import events as e

HOSTS = ("web1", "web2", "web3")


def said(*events: e.RunEvent) -> list[str]:
    lines: list[str] = []
    narrator = Narrator(say=lines.append)
    for event in events:
        narrator.on_event(event)
    return lines


def begins(key: str) -> e.SliceStarted:
    return e.SliceStarted(slice=key, step="one", title="Restart", hosts=("web3",))


def test_a_run_taken_up_counts_on_from_what_was_done() -> None:
    told = said(
        e.RunStarted(change="CHG-1", plan="p", run="RUN-1", hosts=HOSTS, slices=3, event="run.resumed"),
        e.RunStands(done=1, failed=("web1",), hosts={"web1": "failed", "web2": "ok", "web3": "not_reached"}),
        begins("one@2"),
        e.RunStands(done=2, failed=("web1",)),
        e.SlicePassed(slice="one@3", step="one", title="Check", hosts=(), why="not asked for"),
    )
    assert told == [
        "resumed  RUN-1  change CHG-1  3 targets",
        "    1 of 3 slices done before  failed 1  ok 1  to come 1",
        "[2/3] Restart  web3",
        "[3/3] Check  not run: not asked for",
    ]


def test_what_another_change_has_left_is_said_with_the_command_for_it() -> None:
    command = "itmp reconcile CHG-2 web1 ok|failed --reason TEXT"
    (line,) = said(e.RunWarned(change="CHG-2", targets=("web\x1b1",), do=command))
    assert line == f"note: CHG-2 left web\\x1b1 unknown: {command}"
