"""What `ansible-playbook` can be told when it is typed, and `itmp` cannot, because it was not approved."""

import typer

from itmp.adapters.ansible import _ssh
from itmp.adapters.ansible._ways import Ways
from itmp.cli.main import app

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
