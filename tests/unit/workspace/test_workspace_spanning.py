"""Questions that span periods, and those that say which one they are about."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from two_periods import pass_on
from typer.testing import CliRunner

from itmp.adapters.posix_log import packed
from itmp.calendars import format_time
from itmp.cli.main import app
from itmp.inquiry import Case
from itmp.testing.on_disk import story_on_disk
from itmp.workspace import Workspace, audit_population, audit_reconcile, of_period, periods_of


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


@pytest.mark.parametrize("question", ["population", "exceptions", "access", "sample"])
def test_an_answer_about_one_period_says_so(
    place: Workspace, monkeypatch: pytest.MonkeyPatch, question: str
) -> None:
    monkeypatch.setenv("ITMP_WORKSPACE", str(place.root))
    words = ["audit", question, *(("--seed", "x") if question == "sample" else ())]
    assert "this is period 2027 alone; --period 2026" in CliRunner().invoke(app, words).stdout
    words += ["--period", "2026"]
    assert "this is period 2026 alone; --period 2027" in CliRunner().invoke(app, words).stdout
    assert json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)["period"] == "2026"


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
