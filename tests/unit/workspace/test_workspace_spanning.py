"""Questions that span periods, and those that say which one they are about."""

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from two_periods import Later, pass_on
from typer.testing import CliRunner

from itmp.adapters.posix_log import packed
from itmp.audit import Event
from itmp.calendars import format_time
from itmp.canonical import of_raw
from itmp.change import time_of
from itmp.change.handover import period_of
from itmp.cli.main import app
from itmp.inquiry import Case
from itmp.testing.on_disk import story_on_disk
from itmp.testing.story import Story
from itmp.workspace import Workspace, audit_population, audit_reconcile, of_period, periods_of

BIN = Path(sys.executable).parent


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    """A change was carried out in 2026; the current period is 2027."""
    story = story_on_disk(tmp_path)
    story.tell()
    pass_on(story, tmp_path)
    return Workspace.here(tmp_path)


def of_2026(place: Workspace) -> Case:
    (case,) = audit_population(of_period(place, "2026")).cases
    return case


def archived(place: Workspace) -> None:
    old = place.state / "periods/2026"
    packed.pack(old, place.state / "periods/2026.tar")
    old.rename(place.root / "gone")


def records(place: Workspace, *hosts: str) -> Path:
    """Collect what each host recorded: a login while the change of 2026 ran."""
    at = of_2026(place).runs[0].started
    for host in hosts:
        folder = place.root / "records" / host
        folder.mkdir(parents=True)
        (folder / "clock").write_text(f"{format_time(at + timedelta(days=1))}\n")
        line = "sshd[7]: Accepted publickey for root from ::1 port 5 ssh2: ED25519 SHA256:abc"
        (folder / "auth.log").write_text(f"{format_time(at)} {host} {line}\n")
    return place.root / "records"


def test_records_are_held_against_every_period_that_is_here(place: Workspace) -> None:
    found = audit_reconcile(place, records(place, "web1"))
    assert (found.periods, found.away) == (("2026", "2027"), ())
    assert (found.disagreements, found.silent) == ((), ("web2",))
    alone = audit_reconcile(of_period(place, "2026"), place.root / "records")
    assert (alone.periods, alone.disagreements) == (("2026",), ())


def test_a_host_that_hides_its_logs_does_not_agree(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = records(place, "web1", "web2")
    (folder / "db1").mkdir()
    (folder / "db1/clock").write_text((folder / "web1/clock").read_text())  # nothing was done there
    (folder / "web1/auth.log").write_text("")
    for host in ("web1", "web2"):
        (folder / host / "boots").write_text("2026-11-22T20:00:00Z\n")
    (folder / "web2/notes").write_text("none packages: the host has no dpkg\n")
    monkeypatch.setenv("ITMP_WORKSPACE", str(place.root))
    words = ["audit", "reconcile", "--records", str(folder)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 41
    assert "no logins of web1: auth.log or journal is missing or empty: collect them again" in done.stdout
    assert "web2 says that it keeps no packages: the host has no dpkg" in done.stdout
    assert "\nincomplete  3 hosts, 3 records, 0 disagreements" in done.stdout
    data = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert [(gap["host"], gap["kind"]) for gap in data["missing"]] == [
        ("web1", "logins"),
        ("web1", "packages"),
    ]
    assert data["stated"] == [{"host": "web2", "kind": "packages", "why": "the host has no dpkg"}]
    login = (folder / "web2/auth.log").read_text()
    (folder / "web1/journal").write_text(login.replace("web2", "web1"))
    (folder / "web1/notes").write_text("none packages: the host has no dpkg\n")
    done = CliRunner().invoke(app, words)
    assert (done.exit_code, done.stdout.splitlines()[-1].split()[0]) == (0, "agree")


def test_a_period_that_ended_before_is_not_read(place: Workspace) -> None:
    found = audit_reconcile(place, records(place, "web1"), start="2035-01-01")
    assert (found.periods, found.disagreements, found.silent) == (("2027",), (), ())


def test_a_period_that_cannot_be_read_is_named(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = records(place, "web1", "web2")
    archived(place)
    monkeypatch.setenv("ITMP_WORKSPACE", str(place.root))
    done = CliRunner().invoke(app, ["audit", "reconcile", "--records", str(folder)])
    assert done.exit_code == 41
    assert "not compared with period 2026: itmp audit archive 2026 --back" in done.stdout
    data = json.loads(
        CliRunner().invoke(app, ["audit", "reconcile", "--records", str(folder), "--json"]).stdout
    )
    assert (data["periods"], data["away"]) == (["2027"], ["2026"])


QUESTIONS = {
    "population": (), "exceptions": (), "sample": ("--seed", "x"),
}  # fmt: skip


def asked(place: Workspace, *words: str, exit_code: int = 0) -> tuple[str, dict[str, Any]]:
    """Ask on the command line; return what people read and what machines do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ITMP_WORKSPACE", str(place.root))
        text, data = (CliRunner().invoke(app, ["audit", *words, *form]) for form in ((), ("--json",)))
    assert (text.exit_code, data.exit_code) == (exit_code, exit_code), text.output
    return text.stdout, json.loads(data.stdout)


@pytest.fixture
def both(place: Workspace) -> Workspace:
    """A change was carried out in each of 2026 and 2027, the second as an emergency."""
    later = Later(story_of(place), place.root)
    later.open(type="emergency", reason="fire")
    later.act("approve", "bob")
    later.execute(later.permit())
    later.log.checkpoint()
    return Workspace.here(place.root)


def story_of(place: Workspace) -> Story:
    """A story with the policy and the plan of the one that was told."""
    story = Story()
    assert of_2026(place).record.plan == story.plan.digest
    return story


def ids(place: Workspace) -> dict[str, str]:
    found = {period_of(one.log.origin): one.log.changes() for one in (of_period(place, "2026"), place)}
    return {period: names[0] for period, names in found.items()}


def test_population_sample_and_exceptions_span_the_periods(both: Workspace) -> None:
    mine = ids(both)
    roots = [
        (one.log.size(), of_raw(one.log.root(one.log.size()))) for one in (of_period(both, "2026"), both)
    ]
    for question, words in QUESTIONS.items():
        text, data = asked(both, question, *words)
        assert [(basis["size"], basis["root"]) for basis in data["rests_on"]] == roots, question
        assert (data["period"], data["size"], data["root"], data["away"]) == ("2027", *roots[1], [])
        assert all(root in text for _, root in roots)
    text, data = asked(both, "population")
    assert [(one["period"], one["change"]) for one in data["changes"]] == sorted(mine.items())
    assert "2 changes, 2 runs" in text
    _, data = asked(both, "sample", "--seed", "x", "--n", "2")
    assert (data["of"], {one["change"] for one in data["drawn"]}) == (2, set(mine.values()))
    _, data = asked(both, "exceptions")
    assert ("2027", "emergency") in {(one["period"], one["kind"]) for one in data["exceptions"]}


def test_only_the_periods_that_a_question_touches_are_read_or_missed(both: Workspace) -> None:
    mine, ended = ids(both), of_2026(both).last + timedelta(seconds=1)
    begun = time_of(both.log.leaf(0))
    text, data = asked(both, "population", "--to", format_time(begun))
    assert [one["change"] for one in data["changes"]] == [mine["2026"]]
    assert [basis["period"] for basis in data["rests_on"]] == ["2026"]
    assert "PERIOD" not in text
    archived(both)
    text, data = asked(both, "population", "--from", format_time(begun + timedelta(seconds=1)))
    assert ([one["change"] for one in data["changes"]], data["away"]) == ([mine["2027"]], [])
    _, data = asked(both, "sample", "--seed", "x", "--from", format_time(ended), exit_code=41)
    assert data["away"] == ["2026"]


def test_one_period_alone_is_asked_about_by_its_name(both: Workspace) -> None:
    for question, words in QUESTIONS.items():
        for period in ("2026", "2027"):
            text, data = asked(both, question, *words, "--period", period)
            assert f"this is period {period} alone" in text
            assert [basis["period"] for basis in data["rests_on"]] == [period] == [data["period"]]
    assert [one["change"] for one in asked(both, "population", "--period", "2027")[1]["changes"]] == [
        ids(both)["2027"]
    ]


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_population_without_a_period_that_is_away_is_incomplete_and_says_so(
    both: Workspace, question: str
) -> None:
    archived(both)
    words = (question, *QUESTIONS[question])
    text, data = asked(both, *words, exit_code=41)
    assert "INCOMPLETE: without period 2026: itmp audit archive 2026 --back" in text
    assert data["away"] == ["2026"]
    (both.state / "periods/2026.tar").unlink()
    text, _ = asked(both, *words, exit_code=41)
    assert "INCOMPLETE: without period 2026: it was dropped: put its packed file back" in text
    (both.state / "periods/2026.handover").unlink()
    text, data = asked(both, *words, exit_code=41)
    assert "INCOMPLETE: without period 2026: nothing leads to it any more" in text
    assert data["away"] == ["2026"]


def test_a_change_is_one_case_also_where_another_period_has_events_of_its_id(both: Workspace) -> None:
    mine = ids(both)
    planted = Event(
        id="f" * 32, type="check.finished", actor={"kind": "human", "id": "x"}, change=mine["2026"]
    )
    both.log.append(planted)
    text, data = asked(both, "population", exit_code=41)
    assert [(one["period"], one["change"]) for one in data["changes"]] == sorted(mine.items())
    assert data["again"] == [{"change": mine["2026"], "period": "2027"}]
    assert f"period 2027 has events that bear the id of {mine['2026']} and are none of it" in text
    _, data = asked(both, "sample", "--seed", "x", exit_code=41)
    assert (data["of"], len(data["drawn"])) == (2, 2)


def test_a_sample_is_drawn_again_by_hand_with_a_shell(both: Workspace) -> None:
    page = (Path(__file__).parents[3] / "docs/howto/auditor.md").read_text()
    block = page[page.index("Draw it again by hand") :].split("```")[1].removeprefix("sh\n")
    assert "'my own words'" in block
    environ = {**os.environ, "ITMP_WORKSPACE": str(both.root), "PATH": f"{BIN}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", block], capture_output=True, text=True, check=True, env=environ)
    _, data = asked(both, "sample", "--seed", "my own words", "--n", "25")
    assert done.stdout.split() == [one["change"] for one in data["drawn"]]


def test_a_grant_dates_from_the_period_that_gave_it(both: Workspace) -> None:
    text, data = asked(both, "access")
    since = {(one["period"], one["leaf"]) for one in data["grants"]}
    assert since == {("2026", of_period(both, "2026").log.leaf(0).hash)}
    assert "2026 leaf 0" in text
    archived(both)
    assert asked(both, "access")[1]["grants"] == data["grants"], "its handover tells of it"
    (both.state / "periods/2026.handover").unlink()
    text, data = asked(both, "access", exit_code=41)
    assert {one["period"] for one in data["grants"]} == {"2027"}
    assert (data["away"], "INCOMPLETE: without period 2026" in text) == (["2026"], True)


def test_a_log_of_one_period_needs_no_such_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    story_on_disk(tmp_path).tell()
    monkeypatch.setenv("ITMP_WORKSPACE", str(tmp_path))
    assert "period" not in CliRunner().invoke(app, ["audit", "population"]).stdout


def test_periods_are_named_with_what_can_be_read(place: Workspace) -> None:
    known = periods_of(of_period(place, "2026"))
    assert (known.name, known.current, known.here, known.away) == ("2026", "2027", ("2026",), ())
    assert known.others == ("2027",)
    archived(place)
    assert (periods_of(place).others, periods_of(place).away) == ((), ("2026",))
