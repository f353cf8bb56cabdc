"""Commands of what is kept and for how long: audit open, redact, retention, restore, health."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from itmp.cli.options import Json, Key
from itmp.cli.printing import Answer, colour, count, safe, table, verb

if TYPE_CHECKING:
    from itmp.workspace import Sent, Shown

_NOT_YET = 10
Name = Annotated[str, typer.Argument(metavar="LEAF", help="Leaf index or leaf hash.")]


def register(audit: typer.Typer) -> None:
    """Add these commands to `itmp audit`."""
    audit.command("open")(open_)
    audit.command("redact")(redact)
    audit.command("retention")(retention)
    audit.command("restore")(restore)
    audit.command("health")(health)


@verb
def open_(
    name: Name,
    pointer: Annotated[str, typer.Argument(metavar="[POINTER]", help="Only this one, e.g. /diff.")] = "",
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="One line, signed and logged.")
    ] = "",
    key: Key = None,
    json: Json = False,
) -> Answer:
    """Sign for reading what a leaf commits to, and show it, verified. Example: itmp audit open 12 /diff"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    found = workspace.audit_open(workspace.Workspace.here(), name, pointer, reason=reason, key=key)
    gone = [item for item in found if item.value is None and item.state not in {"redacted", "returned"}]
    return Answer(
        data={"contents": [_data(item) for item in found]},
        lines=tuple(line for item in found for line in _lines(item)),
        exit_code=41 if gone else 0,
    )


@verb
def redact(
    name: Name,
    pointer: Annotated[str, typer.Argument(metavar="POINTER", help="Where in the leaf, e.g. /diff.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="One line, signed and logged.")],
    key: Key = None,
    json: Json = False,
) -> Answer:
    """Sign that one content may go for good. Example: itmp audit redact 12 /diff --reason 'a password was shown'"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    shown = workspace.audit_redact(workspace.Workspace.here(), name, pointer, reason=reason, key=key)
    data = {**_data(shown), "needed": shown.needed or None, "signed": list(shown.signed)}
    data |= {name: list(getattr(shown, name)) for name in ("unjudged", "behind", "previews")}
    more = (
        f"  another person signs with: itmp audit redact {shown.content.index} {safe(pointer)} --reason TEXT",
    )
    return Answer(
        data=data,
        lines=(*_lines(shown), *(more if shown.needed else ())),
        exit_code=_NOT_YET if shown.needed else 0,
    )


@verb
def retention(
    apply: Annotated[bool, typer.Option("--apply", help="Destroy what may be dropped, logged.")] = False,
    json: Json = False,
) -> Answer:
    """List which contents may be dropped by the policy. Example: itmp audit retention"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    kept = workspace.audit_retention(workspace.Workspace.here(), apply=apply)
    shards: dict[tuple[str, str], int] = {}
    for content, state in kept.contents:
        shard = (f"{content.at:%Y-%m}", state)
        shards[shard] = shards.get(shard, 0) + 1
    rows = [(shard, state, count) for (shard, state), count in sorted(shards.items())]
    rows += [(stray.partition("/")[0], "stray", 1) for stray in kept.strays]
    rows += [(stray.partition("/")[0], "spared", 1) for stray in kept.spared]
    rows += [(month, "preview", count) for month, count in sorted(Counter(kept.previews).items())]
    foot = f"contents are kept for {kept.keep} days, at hand for {kept.hot}; leaves stay for ever"
    done = f"{kept.dropped} dropped" if apply else f"{kept.due} may be dropped: --apply"
    wrong = f", {kept.wrong} gone without a reason in the log" if kept.wrong else ""
    return Answer(
        data={
            "keep_days": kept.keep,
            "hot_days": kept.hot,
            "dropped": kept.dropped,
            "strays": list(kept.strays),
            "spared": list(kept.spared),
            "behind": list(kept.behind),
            "previews": len(kept.previews),
            "contents": [
                {"leaf": item.leaf, "index": item.index, "pointer": item.pointer, "state": state}
                for item, state in kept.contents
            ],
        },
        lines=(
            *table(rows, ("PERIOD", "STATE", "CONTENTS")),
            foot,
            done + wrong,
            *_spared(kept.spared, kept.behind),
        ),
        exit_code=41 if kept.wrong else 0,
    )


def _spared(files: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
    if not files:
        return ()
    why = f"{len(files)} spared: leaves that are missing here may name them; put the newest copy of the log back"
    return (why, *(f"  {safe(one)}" for one in known))


@verb
def restore(
    copy: Annotated[Path, typer.Argument(metavar="COPY", help="A copy of .itmp/log, or of .itmp.")],
    check: Annotated[bool, typer.Option("--check", help="Only check; nothing else is done.")] = False,
    trust: Annotated[Path | None, typer.Option("--trust", metavar="DIR", help="Else ./trust.")] = None,
    kept: Annotated[
        list[Path] | None, typer.Option("--kept", metavar="FILE", help="A checkpoint; repeat for several.")
    ] = None,
    json: Json = False,
) -> Answer:
    """Check whether a copy could take the log's place. Example: itmp audit restore /backup/log --check"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast
    from itmp.errors import InvalidInputError  # noqa: PLC0415 - as above

    if not check:
        raise InvalidInputError(
            "restoring itself is done by hand", do="Add --check; then put the copy's folders where they were."
        )
    found = workspace.audit_restore(workspace.Workspace.here(), copy, trust=trust, kept=kept or ())
    drill, word = found.drill, {0: "sound", 40: "damaged", 42: "forked"}
    style = "ok" if drill.exit_code == 0 else "failed"
    lacks = "" if drill.lacks is None else f", {drill.lacks} fewer than the live log"
    head = f"{drill.size} signed events, {drill.beyond} beyond them{lacks}"
    return Answer(
        data={
            "size": drill.size,
            "root": drill.root,
            "beyond": drill.beyond,
            "lacks": drill.lacks,
            "findings": [
                {"rule": f.rule, "name": f.name, "place": f.place, "message": f.message, "grave": f.grave}
                for f in drill.findings
            ],
            "present": list(found.present),
            "absent": list(found.absent),
            "notes": list(found.notes),
        },
        lines=(
            f"{colour(word[drill.exit_code], style)}  {head}",
            *(f"  {safe(f.name)}  {safe(f.place)}  {safe(f.message)}" for f in drill.findings),
            *(f"  there    {safe(name)}" for name in found.present),
            *(f"  missing  {safe(name)}" for name in found.absent),
            *(f"  note     {safe(note)}" for note in found.notes),
        ),
        exit_code=drill.exit_code,
    )


@verb
def health(
    test: Annotated[
        bool,
        typer.Option("--test-alert", help="Send a test by every route of alerts, and say what became of it."),
    ] = False,
    trust: Annotated[Path | None, typer.Option("--trust", metavar="DIR", help="Else ./trust.")] = None,
    json: Json = False,
) -> Answer:
    """Say in one line whether the log is fit, for a monitor. Example: itmp audit health"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    if test:
        return _tested(workspace.alert_test(workspace.Workspace.here()))
    fitness = workspace.audit_health(workspace.Workspace.here(), trust=trust)
    faults = "; ".join(f"{name}: {message}" for name, message in fitness.faults)
    word = colour("unfit", "failed") if fitness.faults else colour("healthy", "ok")
    said = safe(faults.replace("\n", " ")) or count(fitness.size, "event")
    return Answer(
        data={
            "size": fitness.size,
            "faults": [{"name": name, "message": message} for name, message in fitness.faults],
            "notes": list(fitness.notes),
        },
        lines=(f"{word}  {said}" + "".join(f"; {safe(note)}" for note in fitness.notes),),
        exit_code=fitness.exit_code,
    )


def _tested(sent: "tuple[Sent, ...]") -> Answer:
    lines = [
        f"{colour('failed', 'failed') if one.why else colour('ok    ', 'ok')}  {one.route}  {safe(one.why)}".rstrip()
        for one in sent
    ]
    return Answer(
        data={"alerts": [{"route": one.route, "at": one.at, "why": one.why} for one in sent]},
        lines=lines,
        exit_code=16 if any(one.why for one in sent) else 0,
    )


def _lines(shown: "Shown") -> tuple[str, ...]:
    head = f"leaf {shown.content.index} {safe(shown.content.pointer)}  {shown.state}"
    if shown.value is None:
        return (f"{head}  {safe(shown.why)}",)
    text = shown.value if isinstance(shown.value, str) else repr(shown.value)
    return (f"{head}  opens {shown.content.commitment}", *(f"  {safe(line)}" for line in text.splitlines()))


def _data(shown: "Shown") -> dict[str, Any]:
    return {
        "leaf": shown.content.leaf,
        "index": shown.content.index,
        "pointer": shown.content.pointer,
        "commitment": shown.content.commitment,
        "state": shown.state,
        "value": shown.value,
        "why": shown.why,
    }
