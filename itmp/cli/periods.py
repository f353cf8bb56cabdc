"""Commands of the log's periods: audit rotate, revoke-key, archive."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from itmp.cli.options import Json, Key
from itmp.cli.printing import Answer, safe, say, table, verb

if TYPE_CHECKING:
    from itmp.workspace import Rotation, Shard

Period = Annotated[str, typer.Option("--period", metavar="NAME", help="The new period (else the year).")]
LogKey = Annotated[
    str, typer.Option("--log-key", metavar="agent:SHA256:…", help="A log key in the ssh-agent (else a file).")
]
Text = Annotated[
    str, typer.Option("--text", metavar="SIGNER", help="Print what SIGNER shall sign elsewhere.")
]
Seal = Annotated[
    list[Path] | None, typer.Option("--seal", metavar="SIG", help="Take TEXT.sig beside its TEXT; repeat.")
]


def register(audit: typer.Typer) -> None:
    """Add these commands to `itmp audit`."""
    audit.command("rotate")(rotate)
    audit.command("revoke-key")(revoke_key)
    audit.command("archive")(archive)


@verb
def rotate(
    period: Period = "",
    log_key: LogKey = "",
    text: Text = "",
    seal: Seal = None,
    abandon: Annotated[bool, typer.Option("--abandon", help="Give up what is proposed.")] = False,
    key: Key = None,
    json: Json = False,
) -> Answer:
    """End this log and begin the next period with a new key; the quorum signs. Example: itmp audit rotate"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    place = workspace.Workspace.here()
    if abandon:
        there = workspace.rotation_abandon(place)
        return Answer(data={"abandoned": there}, lines=("given up" if there else "no rotation was proposed",))
    if text:
        return _text(workspace.rotation_text(place, text))
    if seal:
        return _rotated(workspace.rotation_seal(place, tuple(seal)))
    return _rotated(workspace.rotate(place, period=period, log_key=log_key, key=key))


@verb
def revoke_key(
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="One line, signed and logged.")
    ] = "",
    period: Period = "",
    log_key: LogKey = "",
    text: Text = "",
    act: Annotated[
        str, typer.Option("--act", metavar="ACT", help="With --text: rotate or recover.")
    ] = "recover",
    key: Key = None,
    json: Json = False,
) -> Answer:
    """Revoke this log's key at its size, and rotate. Example: itmp audit revoke-key --reason 'the disk was copied'"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast
    from itmp.errors import InvalidInputError  # noqa: PLC0415 - as above

    place = workspace.Workspace.here()
    if text:
        return _text(workspace.rotation_text(place, text, act=act))
    if not reason:
        raise InvalidInputError("a revocation needs a reason", do="Say why: --reason TEXT.")
    return _rotated(workspace.rotate(place, period=period, log_key=log_key, key=key, revoke=reason))


@verb
def archive(
    period: Annotated[str, typer.Argument(metavar="[PERIOD]", help="A period that has ended.")] = "",
    back: Annotated[bool, typer.Option("--back", help="Unpack it again.")] = False,
    drop: Annotated[
        bool, typer.Option("--drop", help="Remove the packed file, where the policy allows.")
    ] = False,
    json: Json = False,
) -> Answer:
    """List the log's periods, or pack one that is no longer hot. Example: itmp audit archive 2026"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    place = workspace.Workspace.here()
    if period:
        shards: tuple[Shard, ...] = (workspace.audit_archive(place, period, back=back, drop=drop),)
    else:
        shards = workspace.audit_periods(place)
    rows = [
        (s.name, s.where, s.size, f"{s.ended:%Y-%m-%d}" if s.ended else "-",
         f"{s.hot:%Y-%m-%d}" if s.hot else "-", f"{s.keep:%Y-%m-%d}" if s.keep else "-")
        for s in shards
    ]  # fmt: skip
    files = [f"  {safe(s.file)}  {s.digest}" for s in shards if s.file]
    return Answer(
        data={"periods": [_shard(shard) for shard in shards]},
        lines=(*table(rows, ("PERIOD", "WHERE", "EVENTS", "ENDED", "HOT UNTIL", "KEPT UNTIL")), *files),
    )


def _shard(shard: "Shard") -> dict[str, Any]:
    times = {name: getattr(shard, name) for name in ("ended", "hot", "keep")}
    return {
        "period": shard.name,
        "where": shard.where,
        "size": shard.size,
        **{name: at.isoformat() if at else None for name, at in times.items()},
        "file": shard.file,
        "digest": shard.digest,
    }


def _text(statement: Any) -> Answer:
    say(f"sign with: ssh-keygen -Y sign -n {statement.namespace} -f KEY FILE")
    return Answer(
        data={"text": statement.text, "namespace": statement.namespace},
        lines=(statement.text.rstrip("\n"),),
    )


def _rotated(done: "Rotation") -> Answer:
    data = {
        "from": done.old,
        "to": done.new,
        "vkey": done.vkey,
        "signers": list(done.signers),
        "needed": done.needed,
        "revokes": done.revokes,
        "done": done.done,
        "size": done.size,
        "genesis": done.genesis,
    }
    who = f"  signed by {', '.join(done.signers)}"
    if not done.done:
        state = f"{len(done.signers)} of {done.needed} signatures"
        verb_ = "revoke-key --reason TEXT" if done.revokes else "rotate"
        return Answer(data=data, lines=(f"{done.new}  {state}", who, f"  next: itmp audit {verb_} --key KEY"))
    lines = [
        f"{done.old}  ended with {done.size} events" + ("; its key is revoked" if done.revokes else ""),
        f"{done.new}  begun",
        who,
        f"log key  {done.vkey}",
        f"genesis  {done.genesis}",
        "auditors who trust the old period are led on by the evidence itself; witnesses need the new log key",
    ]
    if done.revokes:
        lines.append(
            f"give your auditors trust/revoked now: the old key counts for {done.size} events at most"
        )
    return Answer(data=data, lines=tuple(lines))
