"""Commands of the trail: audit list, show, verify, checkpoint, reindex, and evidence."""

from pathlib import Path
from typing import Annotated

import typer

from itmp.cli import exporting, inquiries, keeping, periods, viewing, witnessing
from itmp.cli.options import Id, Json
from itmp.cli.printing import Answer, colour, columns, count, safe, say, verb

Period = Annotated[str, typer.Option("--period", metavar="NAME", help="An earlier period of the log.")]
audit_app = typer.Typer(help="The audit trail: read it, verify it, ask it.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.add_typer(audit_app, name="audit")
    inquiries.register(audit_app)
    exporting.register(audit_app)
    viewing.register(audit_app)
    witnessing.register(app, audit_app)
    keeping.register(audit_app)
    periods.register(audit_app)
    app.command("evidence")(evidence)


@audit_app.command("list")
@verb
def list_(
    change: Annotated[str, typer.Option("--change", metavar="ID", help="Only this change.")] = "",
    kind: Annotated[str, typer.Option("--type", metavar="TYPE", help="Only this type of event.")] = "",
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=0, help="Only the newest N (0: all).")
    ] = 0,
    period: Period = "",
    json: Json = False,
) -> Answer:
    """List events, oldest first. Example: itmp audit list --change CHG-7f3a90c21b"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    place = workspace.of_period(workspace.Workspace.here(say=say).for_reading(), period)
    leaves = workspace.audit_list(place, change, kind=kind, limit=limit)
    rows = (
        (leaf.index, event.t, event.type, event.actor.get("id", ""), event.change, event.step,
         (event.target or {}).get("id", ""), event.outcome)
        for leaf in leaves for event in (leaf.event,)
    )  # fmt: skip
    header = ("INDEX", "TIME", "TYPE", "ACTOR", "CHANGE", "STEP", "TARGET", "OUTCOME")
    if json:
        return Answer(data={"events": [dict(zip(map(str.lower, header), row, strict=True)) for row in rows]})
    return Answer(lines=columns(rows, header), paged=True)


@audit_app.command("reindex")
@verb
def reindex(json: Json = False) -> Answer:
    """Make the search index anew; nothing is proven by it. Example: itmp audit reindex"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    found = workspace.reindex(workspace.Workspace.here(say=say))
    return Answer(data={"events": found}, lines=(f"the index leads to {count(found, 'event')}",))


@audit_app.command("show")
@verb
def show(
    name: Annotated[str, typer.Argument(metavar="ID", help="Leaf index or leaf hash.")],
    period: Period = "",
    json: Json = False,
) -> Answer:
    """Print one event, exactly as logged. Example: itmp audit show 12"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    leaf = workspace.audit_show(workspace.of_period(workspace.Workspace.here().for_reading(), period), name)
    return Answer(
        data={"index": leaf.index, "leaf_hash": leaf.hash, "leaf": leaf.data.decode()},
        lines=(f"index      {leaf.index}", f"leaf hash  {leaf.hash}", safe(leaf.data.decode())),
    )


@audit_app.command("verify")
@verb
def verify(
    strict: Annotated[
        bool, typer.Option("--strict", help="Also ask stock ssh-keygen about every signature.")
    ] = False,
    trust: Annotated[Path | None, typer.Option("--trust", metavar="DIR", help="Else ./trust.")] = None,
    kept: Annotated[
        Path | None, typer.Option("--kept", metavar="FILE", help="A checkpoint that you kept.")
    ] = None,
    json: Json = False,
) -> Answer:
    """Recompute the whole log from its raw entries. Example: itmp audit verify"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    report = workspace.audit_verify(workspace.Workspace.here(), strict=strict, trust=trust, kept=kept)
    findings = [
        f"  {colour('rule ' + str(f.rule), 'failed')}  {safe(f.name)}  {safe(f.place)}  {safe(f.message)}"
        for f in report.findings
    ]
    bad = {0: ("sound", "ok"), 41: ("incomplete", "failed"), 42: ("fork or rollback", "failed")}
    word = colour(*bad.get(report.exit_code, ("damaged", "failed")))
    covered = [
        f"  anchor {safe(c.name)} ({c.kind}) covers {c.size}, {c.tail} not"
        + (f"; {c.note}" if c.note else "")
        for c in report.coverage
    ] or ["  no anchor: a rollback to an older copy would not show here"]
    trusted = [f"  trusted {safe(one)}" for one in report.trusted] or [
        "  nothing was brought (--trust, --kept): a new log in this one's place would not show here"
    ]
    before = [f"  period {safe(name)}  {size} events" for name, size in report.older]
    if before and report.coverage:
        covered.append(
            "  of periods before, only anchors on this machine were asked, and only where the log is here"
        )
    return Answer(
        data={
            "size": report.size,
            "root": report.root,
            "unsigned": report.unsigned,
            "trusted": list(report.trusted),
            "older": [{"period": name, "size": size} for name, size in report.older],
            "findings": [
                {"rule": f.rule, "name": f.name, "place": f.place, "message": f.message, "grave": f.grave}
                for f in report.findings
            ],
            "anchors": [
                {"name": c.name, "kind": c.kind, "size": c.size, "tail": c.tail, "note": c.note}
                for c in report.coverage
            ],
        },
        lines=(
            f"{word}  {count(report.size, 'event')}  root {report.root}",
            *trusted,
            *before,
            *covered,
            *findings,
        ),
        exit_code=report.exit_code,
    )


@audit_app.command("checkpoint")
@verb
def checkpoint(
    vkey: Annotated[bool, typer.Option("--vkey", help="Print the log's public key instead.")] = False,
    json: Json = False,
) -> Answer:
    """Sign and print the newest checkpoint. Example: itmp audit checkpoint > kept.note"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    place = workspace.Workspace.here()
    if vkey:
        text = workspace.log_vkey(place)
        return Answer(data={"vkey": text}, lines=(text,))
    note = workspace.audit_checkpoint(place)
    return Answer(data={"note": note}, lines=(note.rstrip("\n"),))


@verb
def evidence(
    name: Id,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE")],
    since: Annotated[
        Path | None, typer.Option("--since", metavar="CHECKPOINT", help="Checkpoint that the auditor kept.")
    ] = None,
    json: Json = False,
) -> Answer:
    """Write one change's evidence. Example: itmp evidence CHG-7f3a90c21b -o CHG-7f3a90c21b.evidence.tar"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    written = workspace.evidence(workspace.Workspace.here(), name, output, since=since)
    return Answer(
        data={"file": str(output), "digest": written.digest, "bytes": written.size},
        lines=(
            f"{output}",
            f"  {written.digest}  {written.size} bytes",
            f"  check it: itmp-verify {output} --trust TRUST",
        ),
    )
