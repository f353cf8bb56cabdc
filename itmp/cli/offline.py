"""Commands of statements that are signed on another machine: statement ID, statement add."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from itmp.cli.options import Json, states, window
from itmp.cli.printing import Answer, colour, say, verb
from itmp.errors import InvalidInputError, NotFoundError

if TYPE_CHECKING:
    from itmp.workspace import Added, Words

_MOST = 64 * 1024
_ACTS = (
    "open, approve, reject, revoke, run, resume, undo, preview, stop, answer, reconcile, cancel, review, close, "
    "policy or redact."
)


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.command("statement")(statement)


@verb
def statement(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="ID | add TEXT SIG",
            help="A change (a plan, proposal or leaf for some acts); or two files.",
        ),
    ],
    act: Annotated[str, typer.Option("--act", metavar="ACT", help=_ACTS)] = "approve",
    signer: Annotated[str, typer.Option("--signer", metavar="ID", help="Who will sign it.")] = "",
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, in one line.")] = "",
    type_: Annotated[str, typer.Option("--type", help="open: standard, normal or emergency.")] = "",
    start: Annotated[str | None, typer.Option("--from", metavar="TIME", help="open: the window.")] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="TIME", help="open: the window.")] = None,
    external: Annotated[str, typer.Option("--external", metavar="REF", help="open: a reference.")] = "",
    valid: Annotated[str, typer.Option("--valid", metavar="D", help="approve, reject: for how long.")] = "",
    limit: Annotated[
        str | None, typer.Option("--limit", metavar="HOSTS", help="run, undo: only these.")
    ] = None,
    retry: Annotated[
        str | None, typer.Option("--retry", metavar="STATES", help="resume: failed,unreachable.")
    ] = None,
    skip: Annotated[list[str] | None, typer.Option("--skip", metavar="HOST", help="resume; repeat.")] = None,
    step: Annotated[str, typer.Option("--step", metavar="STEP", help="answer: which question.")] = "",
    value: Annotated[str, typer.Option("--value", metavar="VALUE", help="answer: what.")] = "",
    host: Annotated[str, typer.Option("--host", metavar="HOST", help="reconcile: which host.")] = "",
    outcome: Annotated[str, typer.Option("--outcome", metavar="ok|failed", help="reconcile: what.")] = "",
    pointer: Annotated[str, typer.Option("--pointer", metavar="POINTER", help="redact: e.g. /diff.")] = "",
    json: Json = False,
) -> Answer:
    """Print the text to sign on another machine, or record it. Example: itmp statement CHG-7f3a90c21b --signer bob

    itmp statement add approve.txt approve.txt.sig records what was signed elsewhere.
    """
    from itmp import workspace  # noqa: PLC0415 - help stays fast
    from itmp.workspace.values import parse_duration  # noqa: PLC0415 - as above

    match words:
        case ["add", text, signature]:
            place = workspace.Workspace.here()
            return _added(workspace.add_statement(place, _read(text), _read(signature)))
        case [name] if name != "add":
            said = workspace.Words(
                reason=reason, kind=type_, window=window(start, end), external=external, limit=limit,
                retry=states(retry), skip=tuple(skip or ()), step=step,
                value=value, host=host, outcome=outcome, pointer=pointer,
                valid=parse_duration(valid) if valid else None,
            )  # fmt: skip
            return _text(name, act, signer, said)
    raise InvalidInputError(
        "neither ID nor `add TEXT SIG`", do="itmp statement ID --act ACT --signer ID, or add TEXT SIG."
    )


def _text(name: str, act: str, signer: str, said: "Words") -> Answer:
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    composed = workspace.statement_text(workspace.Workspace.here(), name, act, signer=signer, words=said)
    say(f"sign with: ssh-keygen -Y sign -n {composed.namespace} -f KEY FILE")
    say("then:      itmp statement add FILE FILE.sig")
    return Answer(
        data={"text": composed.text, "namespace": composed.namespace}, lines=(composed.text.rstrip("\n"),)
    )


def _added(done: "Added") -> Answer:
    record = done.change
    data = {
        "act": done.act,
        "change": record.id if record else None,
        "plan": record.plan if record else None,
        "state": record.state if record else None,
        "leaf": done.leaf or None,
        "statement": done.text,
        "said": done.said,
        "next": list(done.next),
    }
    head = f"{colour(record.id, 'bold')}  {done.said}  ({record.state})" if record else ""
    return Answer(
        data=data,
        lines=(
            head or f"{colour(done.act, 'bold')}  {done.said}",
            *((f"  act   {done.act}", f"  plan  {record.plan}") if record else ()),
            *((f"  leaf  {done.leaf}",) if done.leaf else ()),
            *(f"  next: {command}" for command in done.next),
        ),
    )


def _read(name: str) -> str:
    """Return a file's text; what is no ASCII text is left for the statement's own grammar to refuse."""
    try:
        data = Path(name).read_bytes()
    except OSError as error:
        raise NotFoundError(
            f"cannot be read: {error.strerror}", where=name, do="Name the two files."
        ) from error
    if len(data) > _MOST:
        raise InvalidInputError("too large for a statement or a signature", where=name)
    return data.decode("utf-8", errors="replace")
