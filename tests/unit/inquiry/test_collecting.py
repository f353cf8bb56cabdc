"""What the collecting playbook's own script gathers, from a tree of files as a host keeps them, by the real shell."""

import gzip
import os
import subprocess
from pathlib import Path

import yaml

from itmp.inquiry import gaps, read_traces

PLAYBOOK = Path(__file__).parents[3] / "playbooks/collect_host_records.yml"
DAY = 24 * 3600
LOGIN = "web1 sshd[7]: Accepted publickey for {} from 10.0.0.1 port 5 ssh2: ED25519 SHA256:abc\n"


def script() -> str:
    """Return the script as Ansible hands it to the shell: it holds no template."""
    [play] = yaml.safe_load(PLAYBOOK.read_text())
    [text] = [
        task["ansible.builtin.shell"]["cmd"] for task in play["tasks"] if "ansible.builtin.shell" in task
    ]
    assert not any(mark in text for mark in ("{{", "{%", "{#", "\\"))
    return str(text)


def gathered(root: Path, *, most: int = 100_000) -> dict[str, bytes]:
    kept = root.parent / "kept"
    kept.mkdir()
    given = {"KEPT": str(kept), "ROOT": str(root), "MOST": str(most), "DAYS": "40", "LC_ALL": "C"}
    done = subprocess.run(
        ["sh", "-c", script()],
        env={"PATH": os.environ["PATH"], **given},
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == b""
    return {path.name: path.read_bytes() for path in kept.iterdir()}


def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "root/var/log"
    folder.mkdir(parents=True)
    return folder


def users(files: dict[str, bytes]) -> list[str]:
    return [trace.what.split()[0] for trace in read_traces("web1", files) if trace.kind == "login"]


def lacks(files: dict[str, bytes]) -> list[tuple[str, bool]]:
    found = gaps("web1", files, read_traces("web1", files))
    return [(gap.kind, gap.stated) for gap in found]


def test_rotated_logs_are_read_oldest_first_and_old_ones_are_left(tmp_path: Path) -> None:
    log = logs(tmp_path)
    now = (tmp_path).stat().st_mtime
    rotated = gzip.compress(("2026-01-01T10:00:00Z " + LOGIN.format("bob")).encode())
    told = {
        "auth.log": ("2026-01-03T10:00:00Z " + LOGIN.format("dave")).encode()
        + b"2026-01-03T10:00:01Z web1 cron[1]: x\n",
        "auth.log.1": ("2026-01-02T10:00:00Z " + LOGIN.format("carol")).encode(),
        "auth.log.2.gz": rotated,
        "auth.log.3.gz": gzip.compress(("2025-01-01T10:00:00Z " + LOGIN.format("old")).encode()),
    }
    for age, (name, data) in zip((0, 7, 14, 60), told.items(), strict=True):
        (log / name).write_bytes(data)
        os.utime(log / name, (now - age * DAY, now - age * DAY))
    files = gathered(tmp_path / "root")
    assert users(files) == ["bob", "carol", "dave"]
    assert b"cron" not in files["auth.log"]


def test_red_hats_secure_is_a_login_record_and_a_host_without_dpkg_is_said_to_be_one(tmp_path: Path) -> None:
    (logs(tmp_path) / "secure").write_text("2026-01-03T10:00:00Z " + LOGIN.format("dave"))
    files = gathered(tmp_path / "root")
    assert users(files) == ["dave"]
    assert lacks(files) == [("packages", True), ("boots", True)]


def test_modules_stand_where_syslog_puts_a_users_words_and_one_file_tells_them(tmp_path: Path) -> None:
    log = logs(tmp_path)
    (log / "auth.log").write_text("2026-01-03T10:00:00Z " + LOGIN.format("dave"))
    module = "2026-01-03T10:00:0{}Z web1 python3[9]: ansible-ansible.builtin.{} Invoked with name=s3cret\n"
    (log / "syslog.1").write_text(module.format(1, "apt"))
    (log / "syslog").write_text(module.format(2, "copy") + "2026-01-03T10:00:03Z web1 cron[1]: x\n")
    (log / "user.log").write_text(module.format(2, "copy"))  # rsyslog writes a user's words into both
    files = gathered(tmp_path / "root")
    told = [trace.what for trace in read_traces("web1", files) if trace.kind == "ansible"]
    assert told == ["ansible.builtin.apt", "ansible.builtin.copy"]
    assert b"s3cret" not in files["auth.log"], "what a module was told is left out"
    assert users(files) == ["dave"]


def test_sessions_are_gathered_but_for_those_of_jobs(tmp_path: Path) -> None:
    said = "{} web1 {}[9]: pam_unix({}:session): session opened for user {}(uid=0) by (uid=0)\n"
    modern, old = "2026-01-03T10:00:00Z", "Jan  3 10:00:00"
    lines = [
        said.format(time, program, service, user)
        for time in (modern, old)
        for program, service, user in (
            ("login", "login", "erin"), ("CRON", "cron", "root"), ("systemd", "systemd-user", "erin"),
            ("sudo", "sudo", "root"),
        )
    ]  # fmt: skip
    hiding = f"{modern} web1 sudo: eve : COMMAND=/bin/echo x web1 y: pam_unix(cron:session): \n"
    (logs(tmp_path) / "auth.log").write_text("".join(lines) + hiding)
    files = gathered(tmp_path / "root")
    assert files["auth.log"].decode() == lines[0] + lines[4] + hiding
    found = read_traces("web1", files)
    assert [trace.what for trace in found if trace.kind == "session"] == ["erin by login", "erin by login"]


def test_emptied_logins_are_a_gap_though_modules_are_told(tmp_path: Path) -> None:
    log = logs(tmp_path)
    (log / "auth.log").write_text("")
    (log / "messages").write_text("2026-01-03T10:00:01Z web1 ansible-ping[9]: Invoked with data=pong\n")
    assert ("logins", False) in lacks(gathered(tmp_path / "root"))


def test_emptied_logs_are_gaps_and_a_host_that_keeps_none_says_so(tmp_path: Path) -> None:
    log = logs(tmp_path)
    for name in ("auth.log", "dpkg.log", "wtmp"):
        (log / name).write_text("")
    files = gathered(tmp_path / "root")
    assert lacks(files)[:2] == [
        ("logins", False),
        ("packages", False),
    ]
    bare = tmp_path / "bare"
    logs(bare)
    files = gathered(bare / "root")
    assert lacks(files)[0] == ("logins", True)


def test_what_is_too_much_is_cut_to_the_newest_and_noted(tmp_path: Path) -> None:
    lines = [f"2026-01-03T10:00:0{n}Z " + LOGIN.format(f"user{n}") for n in range(5)]
    (logs(tmp_path) / "auth.log").write_text("".join(lines))
    files = gathered(tmp_path / "root", most=len(lines[0]) * 2)
    assert users(files)[-1] == "user4"
    assert "user0" not in users(files)
    assert ("logins", False) in lacks(files)


def test_what_modules_were_told_stays_on_the_host(tmp_path: Path) -> None:
    line = (
        "2026-01-03T10:00:00Z web1 python3[9]: ansible-ansible.builtin.user Invoked with password=hunter2\n"
    )
    (logs(tmp_path) / "auth.log").write_text(line)
    files = gathered(tmp_path / "root")
    assert b"hunter2" not in files["auth.log"]
    assert [trace.what for trace in read_traces("web1", files)] == ["ansible.builtin.user"]
