"""Options that several commands share, each with one meaning."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from itmp.errors import InvalidInputError

if TYPE_CHECKING:
    from itmp.workspace import Window

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Key = Annotated[
    str | None, typer.Option("--key", metavar="FILE", help="SSH key to sign with (else ITMP_KEY, me, agent).")
]
Inventory = Annotated[
    list[str] | None,
    typer.Option(
        "-i", "--inventory", metavar="PATH", help="Inventory source; repeat for several (else itmp.yml's)."
    ),
]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Give an input; repeat for several.")
]
Id = Annotated[str, typer.Argument(metavar="ID", help="Change id (CHG-…) or its external reference.")]
Document = Annotated[
    Path, typer.Argument(metavar="FILE", help="Runbook, patch schedule or capacity adjustment.")
]
PlanName = Annotated[str, typer.Argument(metavar="PLAN", help="Plan file, plan digest or change id.")]
Reason = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why, in one line; it is signed and logged.")
]
Preview = Annotated[
    bool,
    typer.Option(
        "--preview", help="Ask the hosts, by check mode, what the plan would change; changes nothing."
    ),
]
Diff = Annotated[bool, typer.Option("--diff", help="Print the preview's differences too.")]
Yes = Annotated[bool, typer.Option("--yes", help="Sign without asking on a terminal.")]
Recorded = Annotated[
    bool,
    typer.Option(
        "--recorded",
        help="Start by the newest statement that was signed elsewhere and recorded; no key is used.",
    ),
]


def states(retry: str | None) -> tuple[str, ...]:
    """Read `--retry`; one that is given and names nothing stays such, and is refused where it is used."""
    if retry is None:
        return ()
    return tuple(part.strip() for part in retry.split(",") if part.strip()) or ("",)


def window(start: str | None, end: str | None) -> "Window | None":
    """Read `--from` and `--to`; both or neither."""
    from itmp.workspace.values import Window, parse_time  # noqa: PLC0415 - help stays fast

    if not start and not end:
        return None
    if not start or not end:
        raise InvalidInputError("a window needs both ends", do="Give --from TIME and --to TIME.")
    return Window(start=parse_time(start), end=parse_time(end))
