"""`itmp`: one program, one verb per command (docs/formats/cli.md).

Rules kept here: parsing and printing only; every command's work is one function of `itmp.workspace`, imported when the
command runs, so that help stays fast and a missing extra hurts only the commands that need it.
"""

import gc
import os
import sys
from collections.abc import Sequence
from copy import copy
from typing import Annotated, Any, Final

import typer

from itmp.cli import changes, documents, offline, people, proof, runs, tools
from itmp.cli.printing import refuse_usage, say

app = typer.Typer(
    name="itmp",
    help="Runbooks, patch schedules and capacity adjustments as approved, provable runs.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 - only when asked

        typer.echo(version("itmp"))
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Accept the options that stand before the verb."""


for room in (documents, changes, offline, runs, proof, people, tools):
    room.register(app)


_UsageError: Final[type[Any]] = typer.BadParameter.__bases__[0]
"""What a wrong command line raises; typer keeps it in click, or in a click of its own, by version."""


def _example(error: Any) -> str:
    """Return the example that the command's help gives."""
    words = (getattr(getattr(error.ctx, "command", None), "help", "") or "").partition("\n")[0]
    return str(words.partition("Example: ")[2])


def narrowed(whole: typer.Typer, words: Sequence[str]) -> typer.Typer:
    """Return the program with the one command that `words` begin with, else the whole program.

    Typer builds every command that it holds, each time: that takes longer than many a command does.
    """
    name, *rest = [*words, ""]
    commands = [one for one in whole.registered_commands if one.name == name]
    groups = [one for one in whole.registered_groups if one.name == name]
    if not commands and not groups:
        return whole
    chosen = copy(whole)
    chosen.registered_commands, chosen.registered_groups = commands, [copy(one) for one in groups]
    for group in chosen.registered_groups:
        if group.typer_instance is not None:
            group.typer_instance = narrowed(group.typer_instance, rest)
    return chosen


_GARBAGE: Final = 50_000
"""Objects between two searches for cycles. At Python's 700 a command that only loads its rooms searches 100 times."""


def _start_light() -> None:
    """Spare a short command what costs it a quarter of its time and gives it nothing."""
    gc.set_threshold(_GARBAGE)
    # No package of this Python is to plug itself into the reading of documents; looking for one reads all metadata.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")


def main() -> None:
    """Run the command line; the exit code is the contract of docs/formats/cli.md."""
    _start_light()
    try:
        code = narrowed(app, sys.argv[1:])(standalone_mode=False)
    except typer.Abort:
        say("aborted: nothing was done")
        code = 1
    except _UsageError as error:
        error.show()
        code = refuse_usage(error.format_message(), machine="--json" in sys.argv, example=_example(error))
    gc.freeze()  # the process ends: what is left needs no last search for cycles
    sys.exit(code if isinstance(code, int) else 0)
