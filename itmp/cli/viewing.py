"""Commands of the auditor's view: audit serve, audit report."""

import gc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from itmp.cli.options import Id, Json
from itmp.cli.printing import Answer, say, verb
from itmp.errors import ToolMissingError

if TYPE_CHECKING:
    from itmp.workspace import Trust

TrustFolder = Annotated[
    Path | None,
    typer.Option(
        "--trust", metavar="DIR", help="Judge proofs against this folder (else the log's own word)."
    ),
]


def register(audit: typer.Typer) -> None:
    """Add these commands to `itmp audit`."""
    audit.command("serve")(serve)
    audit.command("report")(report)


@verb
def serve(
    listen: Annotated[
        str, typer.Option("--listen", metavar="ADDRESS", help="Loopback address and port.")
    ] = "127.0.0.1:8417",
    trust: TrustFolder = None,
    json: Json = False,
) -> Answer:
    """Show the trail in a browser, read-only, until interrupted. Example: itmp audit serve --trust trust"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    _require()
    import uvicorn  # noqa: PLC0415 - needs the view extra

    from itmp.viewer.serving import application, listening  # noqa: PLC0415 - as above

    with listening(listen) as (socket, address):
        app = application(workspace.Workspace.here(), trust=_trust(trust))
        say(f"http://{address}/  (Ctrl-C ends it)")
        gc.collect()
        gc.freeze()  # what was loaded stays: looking through it again and again made every tenth page slow
        config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False)
        uvicorn.Server(config).run(sockets=[socket])
    return Answer()


@verb
def report(
    name: Id,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE")],
    trust: TrustFolder = None,
    json: Json = False,
) -> Answer:
    """Write one change as one page that needs nothing else; where the log's key is, under a head signed for it.

    Example: itmp audit report CHG-7f3a90c21b -o change.html
    """
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    _require()
    from itmp.viewer import report as written  # noqa: PLC0415 - needs the view extra
    from itmp.viewer.account import account  # noqa: PLC0415 - as above

    place = workspace.Workspace.here()
    if place.keyed and not workspace.in_its_period(place.for_reading(), name).period:
        workspace.audit_checkpoint(place)  # whoever has the key may sign for the page
    found = account(place.for_reading(), name, trust=_trust(trust))
    workspace.write_file(output, written(found).encode())
    verdict = found.report.exit_code if found.report else 41
    return Answer(
        data={"file": str(output), "change": found.case.id, "verdict": verdict},
        lines=(str(output),),
    )


def _require() -> None:
    try:
        import fastapi  # noqa: F401, PLC0415 - only whether it is there
        import jinja2  # noqa: F401, PLC0415 - as above
    except ImportError as error:
        raise ToolMissingError(
            "the auditor's pages need the extra `view`", do="Install it: pip install 'itmp[view]'"
        ) from error


def _trust(folder: Path | None) -> "Trust | None":
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    return workspace.read_trust(folder) if folder else None
