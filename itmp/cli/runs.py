"""Commands of a run: run, resume, stop, undo, answer, reconcile, status, logs, wait."""

import re
import sys
from typing import TYPE_CHECKING, Annotated, Final

import typer

from itmp.cli.live import watching
from itmp.cli.narration import summary
from itmp.cli.options import Id, Json, Key, Reason, Recorded, states
from itmp.cli.printing import Answer, columns, say, verb
from itmp.errors import InvalidInputError

if TYPE_CHECKING:
    from itmp.workspace import Result

Wait = Annotated[
    str, typer.Option("--wait", metavar="D", help="Wait so long for another change that holds a host (30m).")
]
Stream = Annotated[
    bool, typer.Option("--stream", help="Print each event as a line of JSON, the result last.")
]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Also print actions that changed nothing.")]

_OPTION: Final = re.compile(r"--?[A-Za-z]")


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    for name, function in (
        ("run", run), ("resume", resume), ("stop", stop), ("undo", undo),
        ("reconcile", reconcile),
        ("status", status), ("logs", logs), ("wait", wait),
    ):  # fmt: skip
        app.command(name)(function)
    app.command("answer", context_settings={"ignore_unknown_options": True})(
        answer
    )  # -12 is an answer, no option


def _answer(result: "Result") -> Answer:
    return Answer(data=result.to_json(), lines=summary(result), exit_code=result.exit_code)


@verb
def run(
    name: Id,
    limit: Annotated[
        str | None,
        typer.Option("--limit", metavar="HOSTS", help="Comma-separated hosts or globs; narrows only."),
    ] = None,
    wait: Wait = "0s",
    key: Key = None,
    recorded: Recorded = False,
    verbose: Verbose = False,
    stream: Stream = False,
    json: Json = False,
) -> Answer:
    """Run an approved change. Example: itmp run CHG-7f3a90c21b --key ~/.ssh/id_ed25519"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    place = workspace.Workspace.here(say=say)
    with watching(lambda: workspace.outline(place, name), verbose=verbose, stream=stream) as told:
        return _answer(
            workspace.run(place, name, limit=limit, wait=wait, key=key, recorded=recorded, on_event=told)
        )


@verb
def resume(
    name: Id,
    retry: Annotated[
        str | None,
        typer.Option("--retry", metavar="STATES", help="failed,unreachable: try these hosts again."),
    ] = None,
    skip: Annotated[
        list[str] | None, typer.Option("--skip", metavar="HOST", help="Leave this host out; repeat.")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why hosts are skipped.")] = "",
    wait: Wait = "0s",
    key: Key = None,
    recorded: Recorded = False,
    verbose: Verbose = False,
    stream: Stream = False,
    json: Json = False,
) -> Answer:
    """Go on after a crash or a stop. Example: itmp resume CHG-7f3a90c21b --retry failed"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    place = workspace.Workspace.here(say=say)
    with watching(lambda: workspace.outline(place, name), verbose=verbose, stream=stream) as told:
        return _answer(
            workspace.resume(
                place,
                name,
                retry=states(retry),
                skip=tuple(skip or ()),
                reason=reason,
                wait=wait,
                key=key,
                recorded=recorded,
                on_event=told,
            )
        )


@verb
def stop(name: Id, reason: Reason, key: Key = None, json: Json = False) -> Answer:
    """Ask a run to stop after the action in flight. Example: itmp stop CHG-7f3a90c21b --reason 'errors rise'"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    return _answer(workspace.stop(workspace.Workspace.here(), name, reason=reason, key=key))


@verb
def undo(
    name: Id,
    hosts: Annotated[str | None, typer.Option("--hosts", metavar="HOSTS", help="Only these hosts.")] = None,
    wait: Wait = "0s",
    key: Key = None,
    recorded: Recorded = False,
    verbose: Verbose = False,
    stream: Stream = False,
    json: Json = False,
) -> Answer:
    """Run the plan's undo steps where something was begun. Example: itmp undo CHG-7f3a90c21b"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    place = workspace.Workspace.here(say=say)
    with watching(lambda: workspace.outline(place, name), verbose=verbose, stream=stream) as told:
        return _answer(
            workspace.undo(place, name, hosts=hosts, wait=wait, key=key, recorded=recorded, on_event=told)
        )


@verb
def answer(
    name: Id,
    step: Annotated[
        str, typer.Argument(metavar="STEP", help="The question's id, as `itmp status` prints it.")
    ],
    value: Annotated[str, typer.Argument(metavar="VALUE")],
    key: Key = None,
    json: Json = False,
) -> Answer:
    """Sign the answer to a question that a run asks. Example: itmp answer CHG-7f3a90c21b confirm true"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    if _OPTION.match(value) and "--" not in sys.argv:
        raise InvalidInputError(
            f"{value!r:.40} looks like an option, and answer has none of that name",
            where="VALUE",
            do="If it is the answer, write -- before it.",
        )
    result = workspace.answer(workspace.Workspace.here(), name, step, value, key=key)
    return Answer(data=result.to_json(), lines=summary(result))


@verb
def reconcile(
    name: Id,
    host: Annotated[str, typer.Argument(metavar="HOST")],
    outcome: Annotated[str, typer.Argument(metavar="ok|failed")],
    reason: Reason,
    key: Key = None,
    json: Json = False,
) -> Answer:
    """Say by hand what became of an unknown host. Example: itmp reconcile CHG-7f3a90c21b web1 ok --reason looked"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    return _answer(
        workspace.reconcile(workspace.Workspace.here(), name, host, outcome, reason=reason, key=key)
    )


@verb
def status(name: Id, json: Json = False) -> Answer:
    """Say where a change and each of its hosts stand. Example: itmp status CHG-7f3a90c21b"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    result = workspace.status(workspace.Workspace.here(say=say), name)
    return Answer(data=result.to_json(), lines=summary(result))


@verb
def logs(
    name: Id,
    host: Annotated[str, typer.Option("--host", metavar="HOST", help="Only this host or resource.")] = "",
    step: Annotated[str, typer.Option("--step", metavar="STEP", help="Only this step.")] = "",
    search: Annotated[str, typer.Option("--search", metavar="TEXT", help="Only where TEXT stands.")] = "",
    failed: Annotated[bool, typer.Option("--failed", help="Only what is not fine.")] = False,
    since: Annotated[str, typer.Option("--since", metavar="TIME", help="From a time on, or 15m ago.")] = "",
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=0, help="Only the newest N (0: all).")
    ] = 0,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on while the run goes on.")] = False,
    json: Json = False,
) -> Answer:
    """Print what happened, by host and step. Example: itmp logs CHG-7f3a90c21b --host web1 --failed"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    entries = workspace.logs(
        workspace.Workspace.here(say=say),
        name,
        host=host,
        step=step,
        search=search,
        failed=failed,
        since=since,
        limit=limit,
        follow=follow,
    )
    if json:
        return Answer(data={"entries": [entry._asdict() for entry in entries]})
    rows = ((f"{e.time[:19]}Z", e.step, e.host, e.outcome, e.what) for e in entries)
    header = ("TIME", "STEP", "HOST", "OUTCOME", "WHAT")
    return Answer(lines=columns(rows, header, styled=3), paged=not follow)


@verb
def wait(
    name: Id,
    what: Annotated[str, typer.Option("--for", metavar="runnable|asked|finished")] = "finished",
    timeout: Annotated[str, typer.Option("--timeout", metavar="D", help="Duration such as 10m.")] = "1h",
    json: Json = False,
) -> Answer:
    """Wait until a change may run, asks, or has finished. Example: itmp wait CHG-7f3a90c21b --for asked"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    result = workspace.wait(workspace.Workspace.here(say=say), name, what=what, timeout=timeout)
    return Answer(data=result.to_json(), lines=summary(result), exit_code=result.exit_code)
