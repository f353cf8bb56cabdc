"""Commands from text to plan: init, validate, schema, plan, show, diff."""

import json as jsonlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from itmp.cli.options import Diff, Document, Inventory, Json, Key, PlanName, Preview, Set
from itmp.cli.printing import Answer, colour, safe, say, table, verb
from itmp.errors import InvalidInputError

if TYPE_CHECKING:
    from itmp import workspace


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    for name, function in (
        ("init", init), ("validate", validate), ("schema", schema), ("plan", plan), ("show", show), ("diff", diff),
    ):  # fmt: skip
        app.command(name)(function)


def given(values: list[str] | None) -> dict[str, str]:
    """Read `--set name=value` options; raise for one without an equals sign or named twice."""
    pairs: dict[str, str] = {}
    for value in values or ():
        name, equals, text = value.partition("=")
        if not equals or not name or name in pairs:
            raise InvalidInputError(f"--set {value.partition('=')[0]}: not NAME=VALUE, or given twice")
        pairs[name] = text
    return pairs


@verb
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR")] = Path(),
    key: Key = None,
    organization: Annotated[
        str, typer.Option(metavar="DOMAIN", help="Your domain; it names log and signatures.")
    ] = "",
    signer: Annotated[str, typer.Option(metavar="ID", help="Your id, for example alice@example.com.")] = "",
    policy: Annotated[
        Path | None, typer.Option(metavar="FILE", help="First policy (else a starter policy).")
    ] = None,
    root: Annotated[
        list[Path] | None, typer.Option(metavar="PUB", help="Root person's public key; repeat.")
    ] = None,
    seal: Annotated[
        list[Path] | None, typer.Option(metavar="SIG", help="Signature over an enrol text; repeat.")
    ] = None,
    log_key: Annotated[
        str,
        typer.Option("--log-key", metavar="agent:SHA256:…", help="A log key in the ssh-agent (else a file)."),
    ] = "",
    json: Json = False,
) -> Answer:
    """Make a workspace with its log. Example: itmp init --key ~/.ssh/id_ed25519 --organization example.com

    With --root (once per root person) the texts to sign are printed; with --seal the log is begun.
    """
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    if seal:
        done = workspace.seal(folder, tuple(seal))
    elif root:
        texts = workspace.init_roots(
            folder, tuple(root), organization=organization, policy=policy, log_key=log_key
        )
        lines = tuple(
            line
            for text in texts
            for line in (f"{text.path}: to be signed by {text.signer}", f"  {text.command}")
        )
        return Answer(
            data={"texts": [{"path": str(t.path), "signer": t.signer, "command": t.command} for t in texts]},
            lines=(*lines, "then: itmp init --seal " + " --seal ".join(f"{t.path}.sig" for t in texts)),
        )
    else:
        done = workspace.init(
            folder, key=key, organization=organization, signer=signer, policy=policy, log_key=log_key
        )
    return Answer(
        data={
            "origin": done.origin,
            "vkey": done.vkey,
            "genesis": done.genesis,
            "trust": str(done.trust),
            "next": list(done.next),
        },
        lines=(
            f"log      {done.origin}",
            f"log key  {done.vkey}",
            f"genesis  {done.genesis}",
            f"trust    {done.trust}  (give this folder to your auditors now; it is what they check against)",
            *done.notes,
            *(f"next     {line}  (another account then keeps the log's heads)" for line in done.next),
        ),
    )


@verb
def validate(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...")],
    json: Json = False,
) -> Answer:
    """Check documents and name every problem. Example: itmp validate runbooks/operate/restart-web.yml"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast
    from itmp.workspace.values import DocumentError  # noqa: PLC0415 - as above

    place = workspace.Workspace.here()
    lines: list[str] = []
    problems: list[dict[str, object]] = []
    for file in files:
        try:
            document = workspace.validate(place, file)
            lines.append(f"{file}: {colour('ok', 'ok')}  {safe(document.title or document.name)}")
        except DocumentError as error:
            for problem in error.problems:
                lines.append(safe(str(problem)))
                problems.append({
                    "path": problem.path, "line": problem.line, "column": problem.column,
                    "message": problem.message, "suggestion": problem.suggestion,
                })  # fmt: skip
        except InvalidInputError as error:
            lines.append(f"{safe(file)}: {safe(error.what)}")
            problems.append(
                {"path": str(file), "line": 0, "column": 0, "message": error.what, "suggestion": error.do}
            )
    return Answer(data={"problems": problems}, lines=tuple(lines), exit_code=2 if problems else 0)


@verb
def schema(
    kind: Annotated[
        str, typer.Argument(metavar="KIND", help="runbook, patch-schedule or capacity-adjustment")
    ],
    json: Json = False,
) -> Answer:
    """Print a document kind's JSON Schema. Example: itmp schema runbook > runbook.schema.json"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    value = workspace.schema(kind)
    return Answer(data={"json_schema": value}, lines=(jsonlib.dumps(value, indent=2, sort_keys=True),))


@verb
def plan(
    file: Document,
    inventory: Inventory = None,
    set_: Set = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Plan file (else NAME.plan.tar).")
    ] = None,
    preview: Preview = False,
    key: Key = None,
    json: Json = False,
) -> Answer:
    """Compile a document into a plan file. Example: itmp plan runbooks/operate/restart-web.yml --set drain_seconds=5"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    place = workspace.Workspace.here(say=say)
    built = workspace.compile_plan(place, file, inventories=inventory or (), given=given(set_))
    target = output or Path(built.manifest.name + workspace.SUFFIX)
    workspace.write_plan(built, target)
    seen = workspace.preview(place, built, key=key) if preview else None
    scope = workspace.scope(built.manifest).text
    return Answer(
        data={
            "plan": built.digest,
            "file": str(target),
            "scope": scope,
            "notes": list(built.manifest.notes),
            **({"preview": seen.to_json()} if seen else {}),
        },
        lines=(
            f"{target}",
            f"  plan   {built.digest}",
            f"  scope  {scope}",
            *(f"  note   {safe(n)}" for n in built.manifest.notes),
            *(f"  {safe(line)}" for line in (workspace.preview_lines(seen) if seen else ())),
        ),
    )


@verb
def show(name: PlanName, diff: Diff = False, json: Json = False) -> Answer:
    """Print what an approver needs to know of a plan. Example: itmp show restart-web.plan.tar"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    place = workspace.Workspace.here()
    chosen = workspace.read_plan(place, name)
    sections = workspace.show(chosen)
    seen = workspace.previewed(place, chosen) if place.has_log else None
    lines: list[str] = []
    for section in sections:
        lines += [
            "",
            colour(section.title, "bold"),
            *("  " + row for row in table(section.rows, section.columns)),
        ]
    return Answer(
        data={
            "plan": chosen.digest,
            "sections": [
                {
                    "key": s.key,
                    "title": s.title,
                    "columns": list(s.columns),
                    "rows": [list(row) for row in s.rows],
                }
                for s in sections
            ],
            "preview": seen.to_json(diffs=diff) if seen else None,
        },
        lines=(*lines[1:], *_preview(seen, diffs=diff)),
    )


def _preview(seen: "workspace.Preview | None", *, diffs: bool) -> tuple[str, ...]:
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    head = ("", colour("Preview", "bold"))
    return (
        (*head, *(f"  {safe(line)}" for line in workspace.preview_lines(seen, diffs=diffs))) if seen else ()
    )


@verb
def diff(old: PlanName, new: PlanName, json: Json = False) -> Answer:
    """Print what a new plan changes against an old one. Example: itmp diff CHG-7f3a90c21b restart-web.plan.tar"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    place = workspace.Workspace.here()
    changes = workspace.diff(workspace.read_plan(place, old), workspace.read_plan(place, new))
    lines: list[str] = []
    for change in changes:
        lines.append(f"{colour(change.section, 'bold')}  {change.how}  {safe(change.subject)}")
        if change.text:
            lines += ["    " + safe(line) for line in change.text.splitlines()]
        else:
            lines += [
                f"    {sign} {safe(value)}"
                for sign, value in (("-", change.before), ("+", change.after))
                if value
            ]
    return Answer(
        data={
            "changes": [
                {
                    "section": c.section,
                    "how": c.how,
                    "subject": c.subject,
                    "before": c.before,
                    "after": c.after,
                    "text": c.text,
                }
                for c in changes
            ]
        },
        lines=tuple(lines) or ("the plans are the same",),
    )
