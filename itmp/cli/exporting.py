"""The command that hands the trail to other systems: audit export."""

from pathlib import Path
from typing import Annotated

import typer

from itmp.cli.options import Json
from itmp.cli.printing import Answer, count, safe, say, verb
from itmp.errors import InvalidInputError


def register(audit: typer.Typer) -> None:
    """Add this command to `itmp audit`."""
    audit.command("export")(export)


@verb
def export(
    form: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="jsonl, ocsf, cloudevents or ecs.")
    ] = "jsonl",
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Append to a file, from its last record on."),
    ] = None,
    syslog: Annotated[
        str, typer.Option("--syslog", metavar="URL", help="Send to tcp://HOST:PORT or tls://HOST:PORT.")
    ] = "",
    https: Annotated[
        str, typer.Option("--https", metavar="URL", help="POST to a receiver, in batches.")
    ] = "",
    token: Annotated[
        str, typer.Option("--token", metavar="REF", help="Bearer token by reference: env:NAME or file:PATH.")
    ] = "",
    start: Annotated[
        int | None,
        typer.Option(
            "--from-index", metavar="N", help="Begin with this leaf (else where the last one ended)."
        ),
    ] = None,
    period: Annotated[
        str, typer.Option("--period", metavar="NAME", help="An earlier period of the log.")
    ] = "",
    json: Json = False,
) -> Answer:
    """Hand the trail to another system. Example: itmp audit export --format ocsf -o trail.ocsf.jsonl"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    targets = [target for target in (str(output) if output else "", syslog, https) if target]
    if len(targets) > 1:
        raise InvalidInputError("several targets", do="Choose one of -o, --syslog and --https.")
    if json and not targets:
        raise InvalidInputError("--json needs a target of its own", do="Add -o FILE, --syslog or --https.")
    target = targets[0] if targets else workspace.STREAM
    place = workspace.of_period(workspace.Workspace.here(), period)
    done = workspace.audit_export(place, form=form, target=target, start=start, token=token)
    text = f"{count(done.end - done.start, 'event')}, {done.start} to {done.end}, as {done.format}"
    if not targets:
        say(text)
        return Answer()
    return Answer(
        data={"format": done.format, "target": done.target, "from": done.start, "to": done.end},
        lines=(f"{safe(target)}", f"  {text}"),
    )
