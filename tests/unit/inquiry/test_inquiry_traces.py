from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itmp.inquiry import Case, Trace, TraceError, gaps, read_traces, reconcile
from itmp.testing.story import Story

CLOCK = b"2026-01-02T00:30:00+0100\n"
KEY = "ED25519 SHA256:abc"


def read(**files: bytes) -> list[tuple[str, str, str]]:
    named = {"clock": CLOCK, **{name.replace("_", "."): data for name, data in files.items()}}
    return [(t.kind, t.at.isoformat(), t.what) for t in read_traces("web1", named)]


def test_traditional_syslog_gets_its_year_and_zone_from_the_collection() -> None:
    lines = f"Jan  2 00:10:00 web1 sshd[7]: Accepted publickey for root from 10.0.0.1 port 5 ssh2: {KEY}\n"
    lines += f"Dec 31 23:59:59 web1 sshd[7]: Accepted publickey for bob from 10.0.0.1 port 5 ssh2: {KEY}\n"
    assert read(auth_log=lines.encode()) == [
        ("login", "2025-12-31T22:59:59+00:00", f"bob from 10.0.0.1 by publickey {KEY}"),
        ("login", "2026-01-01T23:10:00+00:00", f"root from 10.0.0.1 by publickey {KEY}"),
    ]


def test_the_journal_and_rfc_3339_are_read_alike() -> None:
    lines = f"2026-01-01T23:00:00.123456+0100 web1 sshd[7]: Accepted publickey for root from ::1 port 5 ssh2: {KEY}\n"
    lines += (
        "2026-01-01T22:00:01.5+00:00 web1 sshd-session[8]: Accepted password for root from ::1 port 5 ssh2\n"
    )
    lines += "2026-01-01T22:00:02Z web1 sudo: bob : TTY=pts/0 ; USER=root ; COMMAND=/bin/sh\n"
    lines += "2026-01-01T22:00:03Z web1 python3[9]: ansible-ansible.builtin.apt Invoked with name=x\n"
    lines += "2026-01-01T22:00:03Z web1 ansible-ansible.builtin.apt[9]: Invoked with name=x\n"
    lines += "2026-01-01T22:00:04Z web1 cron[9]: Accepted nothing\n"
    kinds = [(kind, what) for kind, _, what in read(auth_log=lines.encode())]
    assert kinds == [
        ("login", f"root from ::1 by publickey {KEY}"),
        ("login", "root from ::1 by password"),
        ("command", "bob : TTY=pts/0 ; USER=root ; COMMAND=/bin/sh"),
        ("ansible", "ansible.builtin.apt"),
        ("ansible", "ansible.builtin.apt"),
    ]


def test_packages_are_in_the_hosts_own_zone_and_boots_in_theirs() -> None:
    dpkg = (
        b"2026-01-02 00:00:00 upgrade itmp-demo:all 1.0 2.0\n2026-01-02 00:00:00 status installed x:all 1\n"
    )
    assert read(dpkg_log=dpkg, boots=b"2026-01-01T20:00:00Z\n2026-01-01T22:00:00+0100\nnone\n") == [
        ("boot", "2026-01-01T20:00:00+00:00", "started"),
        ("boot", "2026-01-01T21:00:00+00:00", "started"),
        ("package", "2026-01-01T23:00:00+00:00", "upgrade itmp-demo:all 1.0 2.0"),
    ]


@pytest.mark.parametrize("clock", [b"", b"yesterday", b"2026-01-02T00:30:00\n"])
def test_records_without_a_clock_are_refused(clock: bytes) -> None:
    with pytest.raises(TraceError, match="time of collection"):
        read_traces("web1", {"clock": clock})


@given(
    st.dictionaries(
        st.sampled_from(["auth.log", "journal", "dpkg.log", "boots", "notes"]), st.binary(max_size=300)
    )
)
def test_no_bytes_of_a_host_break_the_reading(files: dict[str, bytes]) -> None:
    whole = {"clock": CLOCK, **files}
    gaps("web1", whole, read_traces("web1", whole))


DAYS = st.sampled_from(["0000-00-00", "0001-01-01", "2026-02-30", "9999-12-31"])
TIMES = st.sampled_from(["00:00:00", "23:59:59"])
ZONES = st.sampled_from(["Z", "+0100", "-0100", "+2359", "-23:59", "+9999"])
CLOCKS = st.sampled_from(["2026-01-02", "0001-01-01", "9999-12-31"])


@given(CLOCKS, TIMES, DAYS, TIMES, ZONES)
def test_no_date_of_a_host_breaks_the_reading(clock: str, noted: str, day: str, time: str, zone: str) -> None:
    said = "sshd[7]: Accepted publickey for root from ::1 port 5 ssh2"
    lines = [
        f"{day}T{time}{zone} web1 {said}",
        *(f"{date} {time} web1 {said}" for date in ("Dec 31", "Jan  1")),
    ]
    files = {
        "clock": f"{clock}T{noted}{zone if zone != 'Z' else '+0000'}".encode(),
        "auth.log": "\n".join(lines).encode(),
        "dpkg.log": f"{day} {time} upgrade itmp-demo:all 1.0 2.0".encode(),
        "boots": f"{day}T{time}{zone}".encode(),
    }
    with suppress(TraceError):  # of the clock alone, which is then no time
        gaps("web1", files, read_traces("web1", files))


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+0100", "9999-12-31T23:59:59-0100"])
def test_a_time_outside_the_calendar_is_none(text: str) -> None:
    assert read(auth_log=f"{text} web1 {ACCEPTED}".encode(), boots=text.encode()) == []
    with pytest.raises(TraceError, match="time of collection"):
        read_traces("web1", {"clock": text.encode()})


def test_a_clock_at_the_end_of_the_calendar_still_dates_lines_without_a_year() -> None:
    files = {"clock": b"9999-12-31T00:00:00+0000", "auth.log": f"Dec 30 10:00:00 web1 {ACCEPTED}".encode()}
    assert [trace.at.year for trace in read_traces("web1", files)] == [9999]


def told() -> Case:
    story = Story().tell()
    return Case.of(
        story.log.of_change(story.change), story.history, manifest=story.plan.manifest, blob=story.log.blob
    )


def login(host: str, at: datetime) -> Trace:
    return Trace(host=host, kind="login", at=at, what="root from 10.0.0.1")


def test_what_a_slice_covers_is_no_question_and_what_it_does_not_is() -> None:
    case = told()
    [run] = case.runs
    assert run.ended
    inside, late = run.started, run.ended + timedelta(hours=1)
    found = reconcile([case], [login("web1", inside), login("web2", inside), login("web2", late)])
    assert [(item.name, item.place, item.at) for item in found] == [("login-outside-run", "web2", late)]


def test_a_slice_covers_its_host_to_its_own_end_and_no_further() -> None:
    case = told()
    end = max(until for host, _, until in case.runs[0].spans if host == "web1" and until)
    assert end < case.last  # the run goes on elsewhere, and the change is closed later
    late = [end + timedelta(microseconds=100), case.last]
    traces = [login("web1", at) for at in (end, *late)]
    found = reconcile([case], traces, slack=timedelta(0))
    assert [item.at for item in found if item.name == "login-outside-run"] == late


def test_another_hosts_slice_covers_nothing() -> None:
    case = told()
    names = {item.name for item in reconcile([case], [login("db1", case.runs[0].started)])}
    assert names == {"login-outside-run"}


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("login-outside-run", "sshd[7]: Accepted password for root from ::1 port 5 ssh2"),
        (
            "login-outside-run",
            "login[7]: pam_unix(login:session): session opened for user root(uid=0) by (uid=0)",
        ),
        ("command-outside-run", "sudo: bob : TTY=pts/0 ; USER=root ; COMMAND=/bin/sh"),
        ("command-outside-run", "su[9]: (to root) bob on pts/0"),
        ("run-without-change", "python3[9]: ansible-ansible.builtin.apt Invoked with name=x"),
        ("run-without-change", "ansible-ansible.builtin.apt[9]: Invoked with name=x"),
    ],
)
def test_what_a_host_wrote_down_is_named_by_its_kind_beside_a_run_and_covered_within(
    name: str, line: str
) -> None:
    case = told()
    [run] = case.runs
    assert run.ended
    late = run.ended + timedelta(hours=1)
    files = {"clock": f"{late:%Y-%m-%dT%H:%M:%S+0000}".encode()}
    within, beside = (f"{at:%Y-%m-%dT%H:%M:%SZ} h {line}\n".encode() for at in (run.started, late))
    assert name not in {
        item.name for item in reconcile([case], read_traces("web1", files | {"journal": within}))
    }
    found = reconcile([case], read_traces("db1", files | {"journal": within + beside}))
    assert [(item.name, item.place, item.at) for item in found] == [
        (name, "db1", run.started.replace(microsecond=0)),
        (name, "db1", late.replace(microsecond=0)),
    ]


@pytest.mark.parametrize("days", [(-1,), (1,), (-1, 1), (2, -3, 1)])
def test_results_on_a_host_that_knows_of_no_login_are_named(days: tuple[int, ...]) -> None:
    case = told()
    others = [login("web1", case.last + timedelta(days=day)) for day in days]
    found = reconcile(iter([case]), [*others, login("web2", case.runs[0].started)])
    assert {(item.name, item.place) for item in found} == {
        ("login-outside-run", "web1"),
        ("results-without-login", "web1"),
    }


def test_a_period_leaves_out_what_is_not_in_it() -> None:
    case = told()
    early = datetime(2020, 1, 1, tzinfo=UTC)
    assert reconcile([case], [login("db1", early)], start=case.first) == ()


ACCEPTED = f"sshd[7]: Accepted publickey for root from 10.0.0.1 port 5 ssh2: {KEY}\n"


def test_two_logs_of_one_login_are_one_login_and_what_one_of_them_hides_is_told() -> None:
    auth = f"Jan  2 00:10:00 web1 {ACCEPTED}"
    journal = (
        f"2026-01-02T00:10:00.999999+0100 web1 {ACCEPTED}2026-01-02T00:20:00.000000+0100 web1 {ACCEPTED}"
    )
    logins = [at for kind, at, _ in read(auth_log=auth.encode(), journal=journal.encode())]
    assert logins == ["2026-01-01T23:10:00.999999+00:00", "2026-01-01T23:20:00+00:00"]
    twice = auth + f"Jan  2 00:10:00 web1 {ACCEPTED}"
    assert len(read(auth_log=twice.encode())) == 2, "one log's own lines are never taken for one"


def test_su_is_a_privileged_command_and_a_forged_line_within_a_message_is_none() -> None:
    lines = "2026-01-01T22:00:02.1+0000 web1 su[9]: (to root) bob on pts/0\n"
    lines += "2026-01-01T22:00:03.1+0000 web1 su[9]: FAILED SU (to root) eve on pts/1\n"
    lines += f"    2026-01-01T22:00:04.1+0000 web1 {ACCEPTED}"
    assert [what for _, _, what in read(journal=lines.encode())] == [
        "bob : su to root on pts/0",
        "eve : su to root on pts/1, refused",
    ]


SESSION = "pam_unix({}:session): session opened for user {} by {}"


def test_a_session_is_a_login_unless_its_act_has_a_line_of_its_own_or_nobody_comes_in() -> None:
    told = {
        "login[1]": ("login", "root(uid=0)", "LOGIN(uid=0)"),
        "gdm-password][2]": ("gdm-password", "eve(uid=1000)", "(uid=0)"),
        "(sh)[3]": ("login", "root", "(uid=0)"),
        "systemd-run0[4]": ("systemd-run0", "root(uid=0)", "bob(uid=1000)"),
        **{
            f"{name}[5]": (name, "bob(uid=1000)", "(uid=0)")
            for name in ("sshd", "sudo", "su-l", "cron", "systemd-user", "gdm-launch-environment", "runuser")
        },
    }
    lines = [
        f"2026-01-01T22:00:{at:02}Z web1 {name}: {SESSION.format(*said)}\n"
        for at, (name, said) in enumerate(told.items())
    ]
    lines.append(
        "2026-01-01T22:01:00Z web1 login[1]: pam_unix(login:session): session closed for user root\n"
    )
    lines.append("2026-01-01T22:01:01Z web1 systemd-logind[1]: New session 3 of user bob.\n")
    lines.append(f"2026-01-01T22:01:02Z web1 login[1]: said {SESSION.format('login', 'eve', '')}\n")
    found = read(auth_log="".join(lines).encode())
    assert [(kind, what) for kind, _, what in found] == [
        ("session", "root by login for LOGIN"),
        ("session", "eve by gdm-password"),
        ("session", "root by login"),
        ("session", "root by systemd-run0 for bob"),
    ]


def test_a_session_at_a_console_is_no_record_of_ssh() -> None:
    """A host that is reached over ssh and hides those logins must not be excused by somebody at its console."""
    case = told()
    [run] = case.runs
    at_console = Trace(host="web1", kind="session", at=run.started, what="root by login")
    others = login("web1", case.last + timedelta(days=1))
    names = {item.name for item in reconcile([case], [at_console, others])}
    assert "results-without-login" in names
    assert reconcile([case], [at_console]) == (), "and alone it is no record that knows of no login"
    line = f"2026-01-01T22:00:00Z web1 login[1]: {SESSION.format('login', 'root(uid=0)', '(uid=0)')}\n"
    assert lacks(journal=line.encode()) == [("logins", "journal tells of none", False)]


WHOLE = {
    "clock": CLOCK,
    "journal": f"2026-01-01T22:00:00Z web1 {ACCEPTED}".encode(),
    "dpkg.log": b"2026-01-02 00:00:00 upgrade itmp-demo:all 1.0 2.0\n",
    "boots": b"2026-01-01T20:00:00Z\n",
}


def lacks(**files: bytes) -> list[tuple[str, str, bool]]:
    named = {name.replace("_", "."): data for name, data in files.items()}
    whole = WHOLE | named
    return [(gap.kind, gap.why, gap.stated) for gap in gaps("web1", whole, read_traces("web1", whole))]


def test_each_kind_of_record_that_tells_nothing_is_a_gap() -> None:
    assert lacks() == []
    assert [(gap.kind, gap.why) for gap in gaps("web1", {"clock": CLOCK}, ())] == [
        ("logins", "auth.log or journal is missing or empty"),
        ("packages", "dpkg.log is missing or empty"),
        ("boots", "boots is missing or empty"),
    ]
    assert lacks(journal=b"2026-01-01T22:00:00Z web1 cron[9]: nothing\n") == [
        ("logins", "journal tells of none", False)
    ]


def test_what_a_host_keeps_none_of_is_said_by_the_collector_and_never_taken_from_absence() -> None:
    assert lacks(dpkg_log=b"", notes=b"none packages: the host has no dpkg\n") == [
        ("packages", "the host has no dpkg", True)
    ]
    assert lacks(notes=b"none packages: the host has no dpkg\n") == [], "it told of some all the same"
    assert lacks(dpkg_log=b"?\n", notes=b"none packages: so\n") == [
        ("packages", "dpkg.log tells of none", False)
    ]
    assert lacks(boots=b"", notes=b"none everything: so\nnone boots:\n") == [
        ("boots", "boots is missing or empty", False)
    ]


def test_a_record_of_which_the_collector_left_something_out_is_a_gap_though_it_tells() -> None:
    assert lacks(notes=b"cut logins: more than 1 bytes\n") == [
        ("logins", "not whole: more than 1 bytes", False)
    ]
