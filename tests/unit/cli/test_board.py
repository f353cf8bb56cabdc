"""The live view says where a run stands, in any width, and shows nothing that bites."""

from dataclasses import replace

import pytest

from itmp.cli.board import Board, clock, lines
from itmp.workspace import events as e

HOSTS = tuple(f"web{n}" for n in range(1, 9))
HOSTILE = "restart\x1b[31m \u202eevil\u2066\r\n\x9b2J\u2028"


def outline(**more: str) -> e.Outline:
    return e.Outline(
        change="CHG-0123456789",
        title="Rolling restart of the web tier",
        slices=tuple(
            e.Planned(slice=f"one@{n}", title=HOSTILE, hosts=HOSTS[(n - 1) * 4 : n * 4], batch=n, batches=2, budget=1)
            for n in (1, 2)
        ),
        **more,
    )  # fmt: skip


def told(*events: e.RunEvent, **more: str) -> Board:
    board = Board(outline=outline(**more))
    begun = (
        e.RunStarted(change="c", plan="p", run="r", hosts=HOSTS, slices=2),
        e.SliceStarted(slice="one@1", step="one", title=HOSTILE, hosts=HOSTS[:4]),
        *(
            e.ActionStarted(slice="one@1", host=host, action="ansible.builtin.service", name=HOSTILE)
            for host in HOSTS[:4]
        ),
    )
    for at, event in enumerate((*begun, *events)):
        board.take(event, float(at))
    return board


def text(board: Board, width: int = 200, most: int = 6) -> list[str]:
    return ["".join(piece.text for piece in line) for line in lines(board, 100.0, width=width, most=most)]


def done(host: str, state: str) -> tuple[e.RunEvent, ...]:
    finished = e.ActionFinished(slice="one@1", host=host, action="a", name="n", outcome=state)
    return finished, e.HostChanged(slice="one@1", host=host, state=state)  # type: ignore[arg-type]


def test_it_says_batch_step_hosts_budget_and_what_comes() -> None:
    shown = "\n".join(
        text(told(*done("web1", "changed"), *done("web2", "failed"), window_end="2026-11-28T06:00:00Z"))
    )
    for part in (
        "running  step 1 of 2  batch 1 of 2  1:40", "2 actions on 2 of 4 hosts", "changed 1  failed 1  at work 2  to come 4",
        "1 of 1 failed hosts allowed, stops at one more; window ends 2026-11-28T06:00:00Z", "(batch 2 of 2, 4 hosts)", "web3  ",
    ):  # fmt: skip
        assert part in shown, part
    assert "0 failed, 1 more allowed" in "\n".join(text(told()))


def test_what_was_denied_is_no_action_and_no_host_of_the_run() -> None:
    denied = e.ActionFinished(slice="one@1", host="db1", action="a", name="n", outcome="denied")
    shown = "\n".join(text(told(*done("web1", "changed"), denied)))
    assert "1 actions on 1 of 4 hosts" in shown
    assert "changed 1  at work 3  to come 4" in shown
    assert "0 failed, 1 more allowed" in shown


@pytest.mark.parametrize("width", [20, 40, 79, 80, 199, 200])
def test_every_line_fits_and_none_bites(width: int) -> None:
    stopped = told(e.RunStopped(why=HOSTILE), *done("web1", "unknown"))
    for board in (told(), stopped, Board()):
        for line in text(board, width):
            assert len(line) <= width
            assert line.isprintable()
    assert "stopping" in text(stopped, 79)[0]


def test_hosts_at_work_are_named_as_far_as_there_is_room() -> None:
    shown = text(told(), most=2)
    assert sum("web" in line for line in shown[-3:]) == 2
    assert "2 more at work" in shown[-1]
    assert len(text(told(), most=0)) == 6


def test_a_host_stands_as_its_worst_slice_until_an_undo_reaches_it() -> None:
    board = told(*done("web1", "failed"), *done("web1", "ok"))
    assert board.hosts["web1"] == "failed"
    board.take(e.SliceStarted(slice="undo:x", step="x", title="x", hosts=("web1",), phase="undo"), 9.0)
    board.take(e.SliceFinished(slice="undo:x", states={"web1": "changed"}), 9.0)
    assert board.hosts["web1"] == "changed"
    assert board.failed == {"web1"}
    assert "undoing" in text(board)[0]


def taken_up(*events: e.RunEvent) -> Board:
    """A run taken up again: web1's failure has used the budget up, the first slice is done."""
    board = Board(outline=outline())
    states = {"web1": "failed", "web2": "changed", "web3": "ok", "web4": "ok"}
    begun = (
        e.RunStarted(change="c", plan="p", run="r", hosts=HOSTS, slices=2, event="run.resumed"),
        e.RunStands(done=1, failed=("web1",), hosts={**dict.fromkeys(HOSTS, "not_reached"), **states}),
        e.SliceStarted(slice="one@2", step="one", title="one", hosts=HOSTS[4:]),
    )
    for at, event in enumerate((*begun, *events)):
        board.take(event, float(at))
    return board


def test_a_run_taken_up_shows_what_earlier_attempts_settled() -> None:
    shown = "\n".join(text(taken_up(), 79))
    for part in (
        "[#######--------] running  step 2 of 2  batch 2 of 2",
        "ok 2  changed 1  failed 1  to come 4",
        "1 of 1 failed hosts allowed, stops at one more",
    ):
        assert part in shown, shown


def test_what_counts_as_failed_is_what_the_run_counts() -> None:
    board = taken_up(*done("web5", "failed"))
    assert "2 failed, stops at one more" in "\n".join(text(board))
    board.take(e.SliceFinished(slice="one@2", states=dict.fromkeys(HOSTS[4:], "failed")), 9.0)
    board.take(e.RunStands(done=2, failed=("web1",)), 9.0)
    assert "1 of 1 failed hosts allowed" in "\n".join(text(board)), "its step's failures stop nothing"
    assert "step 2 of 2" in text(board)[0]
    assert board.hosts["web5"] == "failed"


@pytest.mark.parametrize(
    ("excuses", "said"),
    [(True, "0 failed, 1 more allowed"), (False, "1 of 1 failed hosts allowed, stops at one more")],
)
def test_a_host_that_a_person_goes_on_without_counts_where_the_run_counts_it(
    excuses: object, said: str
) -> None:
    board = taken_up()
    slices = tuple(replace(one, excuses=bool(excuses)) for one in outline().slices)
    board.outline = replace(outline(), slices=slices)
    board.take(e.RunStands(done=1, failed=(), excused=("web1",)), 9.0)
    assert said in "\n".join(text(board))


def test_what_a_probe_has_found_undone_is_to_come_again() -> None:
    board = taken_up()
    board.take(e.RunStands(done=0, failed=(), hosts={"web1": "not_reached"}), 9.0)
    assert board.hosts["web1"] == "to come"


def test_the_end_is_the_run_s_own_account() -> None:
    board = told(e.RunFinished(state="failed", exit_code=13, hosts=dict.fromkeys(HOSTS, "skipped")))
    assert board.counts() == {"skipped": 8}


def test_durations_read_like_a_clock() -> None:
    assert [clock(seconds) for seconds in (-1, 5, 245, 3845)] == ["0:00", "0:05", "4:05", "1:04:05"]
