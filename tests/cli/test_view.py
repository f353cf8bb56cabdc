"""What people see of a run and of the log, on real hosts; and that what they see by decides nothing."""

import json
import re
import sqlite3
from datetime import UTC, datetime, timedelta

import pytest
from places import Place, Terminal, rolling, wait_for

from itmp.workspace import Workspace, audit_verify

pytestmark = pytest.mark.fleet
HOSTILE = "\x1b[31mred\x1b]0;title\x07 \u202eevil\u2066\u2028\x9b2J"


def test_a_stream_is_one_object_a_line_and_the_result_is_the_last(place: Place) -> None:
    change = place.ready(rolling("one", hosts="web1"))
    out = place.itmp("run", change, "--key", "alice", "--stream", expect=0).out
    assert out.isascii()
    *events, result = [json.loads(line) for line in out.splitlines()]
    assert {event["schema"] for event in events} == {"itmp-event/v1"}
    kinds = [event["event"] for event in events]
    assert (kinds[0], kinds[-1]) == ("run.started", "run.finished")
    assert kinds.index("action.started") < kinds.index("action.finished") < kinds.index("slice.finished")
    assert result["schema"] == "itmp-result/v1"
    assert result["hosts"] == {"web1": "changed"}
    refused = place.itmp("run", "CHG-0000000000", "--stream", expect=2).out
    assert json.loads(refused)["error"]["what"]


STYLE = re.compile(r"\x1b\[[0-9;]*m")


def plainly(shown: str) -> str:
    """What a terminal showed, without what moves or colours it."""
    return re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", shown)


def dress(place: Place, *, coloured: bool) -> None:
    """Let commands believe in a terminal that wants colour, or none."""
    place.environ |= {"TERM": "xterm", "NO_COLOR": "1"}
    if coloured:
        del place.environ["NO_COLOR"]


@pytest.mark.parametrize(("columns", "coloured"), [(80, True), (80, False), (200, False), (200, True)])
def test_the_live_view_repaints_and_leaves_the_summary(place: Place, columns: int, coloured: bool) -> None:  # noqa: FBT001 - a parameter
    for host in ("web1", "web2"):
        (place.on(host) / "say").write_text(HOSTILE)
        (place.on(host) / "fail-one").touch()
        (place.on(host) / "act").write_text('cat "$(dirname "$0")/say" >&2; sleep 2; exit 3\n')
    change = place.ready(rolling("one", hosts="web1:web2", batches=(2,)))
    dress(place, coloured=coloured)
    terminal = Terminal(columns)
    shown = terminal.read(place.start("run", change, "--key", "alice", **terminal.options()))
    assert "\x1b[" in shown, "it is repainted"
    assert "step 1 of 1" in shown
    assert "at work" in shown
    assert bool(STYLE.search(shown)) == coloured, "colour is what the owner of the terminal wants"
    assert ("\x1b[31mfailed 2" in shown) == coloured, "a failure is red"
    assert "\x1b[31mred" not in shown, "no host colours anything"
    plain = plainly(shown)
    assert not set("\x1b\x07\x9b\u202e\u2066\u2028") & set(plain)
    assert max(map(len, re.split(r"[\r\n]+", plain[: plain.rindex("(exit 13)")]))) <= columns
    tail = plain[plain.rindex("(exit 13)") :]
    ended = [line.strip() for line in tail.splitlines()]
    assert f"next: itmp logs {change} --failed" in ended, "a command stands on a line of its own, whole"
    for host in ("web1", "web2"):
        assert ["failed", host] in [line.split() for line in ended]
    assert max(map(len, ended)) <= columns


def test_the_live_view_says_how_long_until_when_and_how_much_may_fail(place: Place) -> None:
    """On a real run: what the window leaves, what the budget leaves, and the time that goes by."""
    place.fail("web1", "one")
    for host in ("web2", "web3"):
        (place.on(host) / "act").write_text("sleep 3\n")
    end = (datetime.now(UTC) + timedelta(hours=9)).strftime("%Y-%m-%dT%H:00:00Z")
    start = (datetime.now(UTC) - timedelta(hours=1)).strftime("%Y-%m-%dT%H:00:00Z")
    document = rolling("one", batches=(1,), max_failures=1)
    change = place.ready(document, "--from", start, "--to", end)
    dress(place, coloured=False)
    terminal = Terminal(80)
    shown = terminal.read(place.start("run", change, "--key", "alice", **terminal.options()))
    plain = plainly(shown)
    lines = [line.rstrip() for line in re.split(r"[\r\n]+", plain)]
    assert f"  stops   0 failed, 1 more allowed; window ends {end}" in lines
    used = lines.index("  stops   1 of 1 failed hosts allowed, stops at one more")
    assert lines[used + 1] == f"          window ends {end}", "what does not fit on one line is not cut"
    heads = [found for line in lines if (found := HEAD.fullmatch(line))]
    times = [60 * int(head["minutes"]) + int(head["seconds"]) for head in heads]
    assert times == sorted(times), "the clock goes forward"
    assert times[-1] - times[0] >= 5, "two hosts worked three seconds each"
    assert [head["step"] for head in heads][-1] == "3 of 3  batch 3 of 3"
    own = [found["seconds"] for line in lines if (found := NOW.fullmatch(line))]
    assert {"1", "2"} <= {seconds[-1] for seconds in own}, "and each step's own"


HEAD = re.compile(
    r"\[[#-]+\] running  step (?P<step>\d of \d  batch \d of \d)  (?P<minutes>\d+):(?P<seconds>\d\d)  Roll"
)
NOW = re.compile(r"  now     Run one  \d actions on \d of 1 hosts  0:(?P<seconds>\d\d)")


def test_rows_are_made_while_a_run_goes_and_nobody_looks(place: Place) -> None:
    """After a kill, whoever looks first waits for the last second's results alone."""
    place.hold("web2", "one")
    change = place.ready(rolling("one", batches=(1,)))
    process = place.start("run", change, "--key", "alice")
    place.until("web2", "begin one")
    wait_for(lambda: indexed(place) == len(place.leaves()), "every leaf so far to have its row")
    assert "slice.finished" in place.types(change), "web1's among them"
    process.kill()
    process.wait()
    place.let_go("web2", "one")
    assert len(place.leaves()) - indexed(place) <= 1


def indexed(place: Place) -> int:
    """How many leaves have a row, in the file as it lies there."""
    db = sqlite3.connect(f"file:{place.root}/.itmp/index.sqlite?mode=ro", uri=True)
    found = int(db.execute("SELECT count(*) FROM leaf").fetchone()[0])
    db.close()
    return found


@pytest.mark.long
def test_the_live_view_of_a_resume_begins_where_the_run_stands(place: Place) -> None:
    change = place.stopped_half_way()
    (place.on("web3") / "act").write_text("sleep 3\n")
    dress(place, coloured=True)
    terminal = Terminal(80)
    shown = terminal.read(place.start("resume", change, "--key", "alice", **terminal.options()))
    plain = plainly(shown)
    for part in (
        "step 3 of 3  batch 3 of 3",
        "changed 1  failed 1  at work 1",
        "1 of 1 failed hosts allowed, stops at one more",
    ):
        assert part in plain, plain
    assert "\x1b[31mfailed 1" in shown
    assert max(map(len, re.split(r"[\r\n]+", plain[: plain.rindex("(exit 13)")]))) <= 80


@pytest.mark.long
def test_a_terminal_that_stands_still_holds_no_run_up(place: Place) -> None:
    place.fail("web1", "one")
    place.hold("web1", "one")
    change = place.ready(rolling("one", "two", hosts="web1:web2:web3", batches=(1,), max_failures=1))
    place.environ |= {"TERM": "xterm", "NO_COLOR": "1"}
    terminal = Terminal(80)
    process = place.start("run", change, "--key", "alice", **terminal.options())
    place.until("web1", "begin one")
    terminal.stop()
    place.let_go("web1", "one")
    place.until("web3", "end two")
    wait_for(lambda: "run.finished" in place.types(change), "the run to end")
    assert process.poll() is None, "it still has something to say"
    terminal.go_on()
    plain = plainly(terminal.read(process))
    assert "failed" in plain, "what was said meanwhile is not lost"
    assert f"next: itmp logs {change}" in plain[plain.rindex("(exit 13)") :]


def test_logs_narrow_page_and_search(place: Place) -> None:
    place.fail("web2", "two")
    change = place.ready(rolling("one", "two", batches=(3,)))
    place.run(change, expect=13)
    every = place.json("logs", change)["entries"]
    assert len(every) > 4

    def told(*words: str) -> list[dict[str, str]]:
        entries: list[dict[str, str]] = place.json("logs", change, *words)["entries"]
        return entries

    assert [(e["host"], e["step"]) for e in told("--failed")] == [("web2", "two")]
    assert told("--host", "web1", "--step", "one") == [
        e for e in every if (e["host"], e["step"]) == ("web1", "one")
    ]
    assert told("--limit", "2") == every[-2:]
    assert told("--since", "1h") == every
    assert told("--since", "2020-01-01T00:00:00Z", "--search", "TWO") == [
        e for e in every if "two" in e["what"].lower()
    ]
    assert told("--follow") == every, "nothing runs: it does not wait"
    place.itmp("logs", change, "--since", "yesterday", expect=2)
    place.environ |= {"TERM": "xterm", "PAGER": "sed s/^/paged:/"}
    terminal = Terminal(80)
    assert "paged:TIME" in terminal.read(place.start("logs", change, **terminal.options()))


def test_an_edited_index_changes_nothing_that_the_gate_or_the_verifier_says(place: Place) -> None:
    change = place.ready(rolling("one"))
    place.itmp("revoke", change, "--key", "bob", expect=0)
    before = place.json("status", change)["state"]
    verified = audit_verify(Workspace.here(place.root))
    db = sqlite3.connect(place.root / ".itmp/index.sqlite")
    (revoked,) = db.execute(
        "SELECT leaf.n FROM leaf JOIN word ON word.n = type WHERE text = 'change.revoked'"
    ).fetchone()
    db.execute("DELETE FROM leaf WHERE n = ?", (revoked,))
    db.execute("UPDATE leaf SET n = n - 1 WHERE n > ?", (revoked,))
    db.execute("UPDATE mark SET value = value - 1 WHERE key = 'size'")
    db.commit()
    db.close()
    place.itmp("run", change, "--key", "alice", expect=18)
    assert place.untouched()
    assert audit_verify(Workspace.here(place.root)).root != verified.root, "the refusal was recorded"
    assert place.sound()
    place.itmp("audit", "reindex", expect=0)
    assert place.json("status", change)["state"] == before
