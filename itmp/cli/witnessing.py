"""Commands of anchors (audit anchor, audit separate) and of a witness, which another team runs (witness key, serve)."""

from pathlib import Path
from typing import Annotated, Final

import typer

from itmp.cli.options import Json
from itmp.cli.printing import Answer, colour, safe, say, table, verb
from itmp.errors import InvalidInputError

witness_app = typer.Typer(help="A witness of other people's logs (C2SP tlog-witness).", no_args_is_help=True)
State = Annotated[
    Path, typer.Option("--state", metavar="DIR", help="The witness's own folder: its key and its memory.")
]
_PORTS: Final = 65535
_FORK: Final = 42


def register(app: typer.Typer, audit: typer.Typer) -> None:
    """Add these commands to the program and to `itmp audit`."""
    audit.command("anchor")(anchor)
    audit.command("separate")(separate)
    app.add_typer(witness_app, name="witness")


@verb
def anchor(json: Json = False) -> Answer:
    """Have every anchor remember the newest checkpoint. Example: itmp audit anchor"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    found = workspace.audit_anchor(workspace.Workspace.here())
    styles = {"ok": "ok", "failed": "unknown", "fork": "failed"}
    rows = [(one.name, one.kind, one.size, one.state, one.why) for one in found]
    lines = table(rows, ("ANCHOR", "KIND", "SIZE", "STATE", "WHY")) or ("no anchors: name some in itmp.yml",)
    states = {one.state for one in found}
    worst = next((state for state in ("fork", "failed") if state in states), "ok")
    return Answer(
        data={
            "anchors": [
                {"name": one.name, "kind": one.kind, "size": one.size, "state": one.state, "why": one.why}
                for one in found
            ]
        },
        lines=(*lines, *([colour(worst, styles[worst])] if found else [])),
        exit_code={"fork": _FORK, "failed": 16, "ok": 0}[worst],
    )


@verb
def separate(
    user: Annotated[
        str, typer.Option("--for", metavar="ACCOUNT", help="Who runs itmp here, if not root.")
    ] = "",
    json: Json = False,
) -> Answer:
    """As root, once: have another account keep anchors. Example: itmp audit separate --for deploy"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    made = workspace.audit_separate(user)
    who = f"{made.user} and root" if made.user else "root alone"
    return Answer(
        data={
            "account": made.account,
            "store": str(made.store),
            "rule": str(made.rule) if made.rule else None,
            "user": made.user or None,
        },
        lines=(f"account {made.account} keeps heads in {made.store}; {who} may hand them over",),
    )


@witness_app.command("key")
@verb
def key(
    state: State,
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Name of a new witness.")] = "",
    json: Json = False,
) -> Answer:
    """Make a witness, or print the key of one. Example: itmp witness key audit.example.com/w1 --state w1"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    vkey = workspace.witness_key(state, name)
    return Answer(data={"vkey": vkey}, lines=(vkey,))


@witness_app.command("serve")
@verb
def serve(
    state: State,
    log: Annotated[
        list[str], typer.Option("--log", metavar="VKEY", help="A log's public key; repeat for several.")
    ],
    listen: Annotated[
        str, typer.Option("--listen", metavar="ADDRESS", help="Address and port; 0 takes a free port.")
    ] = "127.0.0.1:8418",
    json: Json = False,
) -> Answer:
    """Cosign checkpoints until interrupted. Example: itmp witness serve --state w1 --log VKEY"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    with workspace.witness_server(state, log, _address(listen)) as server:
        host, port = server.server_address[:2]
        say(f"http://{safe(host)}:{port}/add-checkpoint  (Ctrl-C ends it)")
        server.serve_forever()
    return Answer()


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > _PORTS:
        raise InvalidInputError(f"not ADDRESS:PORT: {text!r:.80}", where="--listen")
    return host.strip("[]"), int(port)
