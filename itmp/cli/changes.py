"""Commands of the change record: propose, change …, approve, reject, revoke."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from itmp.cli.documents import given
from itmp.cli.options import (
    Diff,
    Document,
    Id,
    Inventory,
    Json,
    Key,
    PlanName,
    Preview,
    Reason,
    Set,
    Yes,
    window,
)
from itmp.cli.printing import Answer, colour, columns, safe, say, verb

if TYPE_CHECKING:
    from itmp.workspace import Acted
    from itmp.workspace.values import ChangeRecord

change_app = typer.Typer(
    help="The change record: open, list, show, cancel, review, close.", no_args_is_help=True
)

_NEXT = {
    "assess": ("itmp show {}", "itmp approve {}"),
    "authorize": ("itmp approve {}",),
    "scheduled": ("itmp run {}",),
    "review": ("itmp change close {} --reason TEXT",),
}
"""What a person would type next, by the change's state."""

Type = Annotated[str, typer.Option("--type", help="standard, normal or emergency.")]
From = Annotated[str | None, typer.Option("--from", metavar="TIME", help="Start of the window (RFC 3339).")]
To = Annotated[str | None, typer.Option("--to", metavar="TIME", help="End of the window.")]
Ref = Annotated[str, typer.Option("--external", metavar="REF", help="Reference in another change system.")]


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    for name, function in (
        ("propose", propose),
        ("approve", approve),
        ("reject", reject),
        ("revoke", revoke),
    ):
        app.command(name)(function)
    app.add_typer(change_app, name="change")


def _facts(record: "ChangeRecord") -> dict[str, Any]:
    return {"change": record.id, "plan": record.plan, "state": record.state}


def _acted(done: "Acted", word: str) -> Answer:
    record = done.change
    return Answer(
        data={**_facts(record), "leaf": done.leaf, "statement": done.text},
        lines=(
            f"{colour(record.id, 'bold')}  {word}  ({record.state})",
            f"  plan  {record.plan}",
            f"  leaf  {done.leaf}",
            *(f"  next: {command.format(record.id)}" for command in _NEXT.get(record.state, ())),
        ),
    )


def _opened(done: "Acted") -> Answer:
    request = done.change.request
    if request and request.external:
        say(
            f"note: no external change system is configured, so check 9 will refuse a run of {request.external}"
        )
    run = done.change.run
    if not done.text and run:
        say(f"note: the same plan ran here before ({run.state}); to run it anew, close that change first:")
        say(f"      itmp change close {done.change.id} --reason TEXT")
    return _acted(done, "open" if done.text else "is open already")


def _confirm(text: str, *, sure: bool) -> None:
    say(text.rstrip("\n"))
    if not sure and sys.stdin.isatty() and sys.stderr.isatty():
        typer.confirm("Sign this statement?", abort=True, err=True)


@verb
def propose(
    file: Document, reason: Reason, inventory: Inventory = None, set_: Set = None, type_: Type = "normal",
    start: From = None, end: To = None, external: Ref = "", preview: Preview = False, key: Key = None,
    json: Json = False,
) -> Answer:  # fmt: skip
    """Validate, plan and open a change in one. Example: itmp propose runbooks/operate/restart-web.yml --reason leak"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    place = workspace.Workspace.here(say=say)
    plan = workspace.compile_plan(place, file, inventories=inventory or (), given=given(set_))
    seen = workspace.preview(place, plan, key=key) if preview else None
    for line in workspace.preview_lines(seen) if seen else ():
        say(safe(line))
    done = workspace.open_change(
        place, plan, reason=reason, kind=type_, window=window(start, end), external=external, key=key
    )
    return _opened(done)


@change_app.command("open")
@verb
def open_(
    name: PlanName, reason: Reason, type_: Type = "normal", start: From = None, end: To = None, external: Ref = "",
    key: Key = None, json: Json = False,
) -> Answer:  # fmt: skip
    """Open a change over a plan. Example: itmp change open restart-web.plan.tar --reason 'memory leak'"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    place = workspace.Workspace.here(say=say)
    done = workspace.open_change(
        place,
        workspace.read_plan(place, name),
        reason=reason,
        kind=type_,
        window=window(start, end),
        external=external,
        key=key,
    )
    return _opened(done)


@change_app.command("list")
@verb
def list_(
    waiting: Annotated[
        bool, typer.Option("--waiting-for-me", help="Only those that my key could approve now.")
    ] = False,
    key: Key = None,
    json: Json = False,
) -> Answer:
    """List the changes of this log. Example: itmp change list --waiting-for-me"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    place = workspace.Workspace.here(say=say)
    found = workspace.waiting_for(place, key) if waiting else workspace.listed(place)
    header = ("CHANGE", "STATE", "TYPE", "REQUESTER", "REASON")
    rows = (
        (r.id, r.state, r.request.type, r.request.requester, r.request.given.line("reason"))
        for r in found
        if r.request
    )
    if json:
        return Answer(data={"changes": (dict(zip(map(str.lower, header), row, strict=True)) for row in rows)})
    return Answer(lines=_or_none(columns(rows, header)), paged=True)


def _or_none(lines: Iterator[str]) -> Iterator[str]:
    first = next(lines, "no changes")
    yield first
    yield from lines


@change_app.command("show")
@verb
def show(name: Id, diff: Diff = False, json: Json = False) -> Answer:
    """Show one change: who asked, who voted, what ran. Example: itmp change show CHG-7f3a90c21b"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    place = workspace.in_its_period(workspace.Workspace.here(say=say), name)
    story = workspace.change_story(place, name)
    plan = story.to_json()["plan"]
    seen = workspace.previewed(place, workspace.read_plan(place, plan)) if plan else None
    found = (
        ("  preview", *(f"    {line}" for line in workspace.preview_lines(seen, diffs=diff))) if seen else ()
    )
    preview = seen.to_json(diffs=diff) if seen else None
    return Answer(
        data={**story.to_json(), "preview": preview}, lines=tuple(map(safe, (*story.lines, *found)))
    )


@change_app.command("cancel")
@verb
def cancel(name: Id, reason: Reason, key: Key = None, json: Json = False) -> Answer:
    """End a change that shall not run. Example: itmp change cancel CHG-7f3a90c21b --reason 'not needed'"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    return _acted(workspace.cancel(workspace.Workspace.here(), name, reason=reason, key=key), "canceled")


@change_app.command("review")
@verb
def review(name: Id, reason: Reason, key: Key = None, json: Json = False) -> Answer:
    """Record the review after a run. Example: itmp change review CHG-7f3a90c21b --reason 'went as planned'"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    return _acted(workspace.review(workspace.Workspace.here(), name, reason=reason, key=key), "reviewed")


@change_app.command("close")
@verb
def close(name: Id, reason: Reason, key: Key = None, json: Json = False) -> Answer:
    """Close a change; its evidence is then complete. Example: itmp change close CHG-7f3a90c21b --reason done"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    return _acted(workspace.close(workspace.Workspace.here(), name, reason=reason, key=key), "closed")


@verb
def approve(
    name: Id,
    key: Key = None,
    valid: Annotated[
        str,
        typer.Option(
            "--valid", metavar="D", help="For how long, such as 4h (else to the window's end, or 24h)."
        ),
    ] = "",
    yes: Yes = False,
    json: Json = False,
) -> Answer:
    """Sign an approval of exactly this plan. Example: itmp approve CHG-7f3a90c21b --key ~/.ssh/id_ed25519"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast
    from itmp.workspace.values import parse_duration  # noqa: PLC0415 - as above

    done = workspace.approve(
        workspace.Workspace.here(),
        name,
        key=key,
        valid=parse_duration(valid) if valid else None,
        confirm=lambda text: _confirm(text, sure=yes or json),
    )
    return _acted(done, "approved")


@verb
def reject(name: Id, key: Key = None, yes: Yes = False, json: Json = False) -> Answer:
    """Sign a rejection. Example: itmp reject CHG-7f3a90c21b"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    done = workspace.reject(
        workspace.Workspace.here(), name, key=key, confirm=lambda text: _confirm(text, sure=yes or json)
    )
    return _acted(done, "rejected")


@verb
def revoke(name: Id, key: Key = None, json: Json = False) -> Answer:
    """Take back one's own vote. Example: itmp revoke CHG-7f3a90c21b"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    return _acted(workspace.revoke(workspace.Workspace.here(), name, key=key), "vote revoked")
