"""A program that holds only the command that is called answers as the whole one would."""

from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from itmp.cli.main import app, narrowed


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, inner in getattr(command, "commands", {}).items():
        yield from leaves(inner, (*path, name))
    if path and not hasattr(command, "commands"):
        yield path, command


def options(command: Any) -> list[str]:
    return [repr(one.opts) for one in command.params]


def test_each_verb_alone_is_the_verb_of_the_whole_program() -> None:
    whole = dict(leaves(typer.main.get_command(app)))
    assert len(whole) > 50
    for path, command in whole.items():
        [(found, alone)] = leaves(typer.main.get_command(narrowed(app, [*path, "--json", "x"])))
        assert (found, alone.help, options(alone)) == (path, command.help, options(command))
    assert dict(leaves(typer.main.get_command(app))).keys() == whole.keys(), "and the whole is left as it was"


def test_what_is_no_command_meets_the_whole_program() -> None:
    for words in ([], ["--help"], ["no-such"], ["--json", "logs"]):
        assert narrowed(app, words) is app
    audit = dict(leaves(typer.main.get_command(narrowed(app, ["audit", "no-such"]))))
    assert len(audit) > 10
    assert {path[0] for path in audit} == {"audit"}


@pytest.mark.parametrize(
    ("words", "refused"),
    [(["--jsno"], True), (["-j"], True), (["-12"], False), (["--", "--jsno"], False), (["yes"], False)],
)
def test_an_option_that_does_not_exist_is_no_answer(words, refused, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    argv = ["answer", "CHG-7f3a90c21b", "confirm", *words]
    monkeypatch.setattr("sys.argv", ["itmp", *argv])
    done = CliRunner().invoke(app, argv)
    assert done.exit_code == 2
    assert ("looks like an option" in done.output) == refused, "the rest finds no workspace here"
