"""What `ansible-playbook` can be told when it is typed, and `itmp` cannot, because it was not approved."""

import shlex
import subprocess
from pathlib import Path

import pytest
import typer
from places import BIN

from itmp.adapters.ansible import _ssh
from itmp.adapters.ansible._ways import Ways
from itmp.canonical import digest
from itmp.cli.main import app
from itmp.plan.model import Host

VERBS = ("plan", "propose", "run", "resume", "undo")
PAST = {
    *(
        "--step",
        "--start-at-task",
        "--flush-cache",
        "--extra-vars",
        "-e",
        "--tags",
        "--skip-tags",
        "--ask-pass",
        "-k",
    ),
    *(
        "--ask-become-pass",
        "-K",
        "--ask-vault-pass",
        "-J",
        "--sftp-extra-args",
        "--scp-extra-args",
        "--check",
    ),
}


def options(verb: str) -> set[str]:
    group = typer.main.get_command(app)
    command = group.commands[verb]  # type: ignore[attr-defined]  # the app is a group
    return {text for parameter in command.params for text in (*parameter.opts, *parameter.secondary_opts)}


def test_what_would_lead_past_a_plan_is_no_option() -> None:
    for verb in VERBS:
        assert "--json" in options(verb)
        assert options(verb) & PAST == set(), verb


def test_what_is_asked_of_any_program_is_an_option() -> None:
    assert {"-v", "--verbose"} <= options("run")
    assert "--version" in {text for one in typer.main.get_command(app).params for text in one.opts}
    names = typer.main.get_command(app).context_settings["help_option_names"]
    assert set(names) == {"-h", "--help"}


def test_ssh_enters_no_host_by_a_password() -> None:
    assert "\n  PasswordAuthentication no\n" in _ssh.config((), Ways(of={}))


@pytest.mark.parametrize(
    "words", [["-k"], ["--ask-pass"], ["--connection-password-file", "x"], ["--conn-pass-file", "x"]]
)
def test_a_password_for_ssh_cannot_be_typed(tmp_path: Path, words: list[str]) -> None:
    ended = subprocess.run(
        [BIN / "itmp", "run", "CHG-0000000000", *words],
        cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 2
    assert f"No such option: {words[0]}" in " ".join(ended.stderr.split())


@pytest.mark.parametrize("pinned", [True, False])
def test_ssh_itself_says_that_it_asks_for_no_password(tmp_path: Path, *, pinned: bool) -> None:
    hosts = (Host(name="web1", address="192.0.2.1", port=22, groups=(), vars=digest(b"")),)
    config, known = tmp_path / "ssh_config", tmp_path / "known_hosts"
    config.write_text(_ssh.config(hosts, Ways(of={})))
    given = shlex.split(_ssh.arguments(config, known, pinned=pinned))
    told = subprocess.run(["ssh", *given, "-G", "192.0.2.1"], capture_output=True, text=True, check=True)
    said = dict(line.split(" ", 1) for line in told.stdout.splitlines() if " " in line)
    assert said["passwordauthentication"] == said["kbdinteractiveauthentication"] == "no"
    assert said["batchmode"] == "yes"
