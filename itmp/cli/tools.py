"""Commands around the work: doctor, hosts, patch, engine, lab, demo."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from itmp.cli.options import Document, Inventory, Json, Set
from itmp.cli.printing import Answer, colour, safe, say, table, verb

if TYPE_CHECKING:
    from itmp.workspace import ToolFinding

hosts_app = typer.Typer(help="Host keys: scan and list.", no_args_is_help=True)
patch_app = typer.Typer(help="Patch schedules: resolve versions.", no_args_is_help=True)
engine_app = typer.Typer(help="The Pulumi engine: install, status.", no_args_is_help=True)
lab_app = typer.Typer(help="Throw-away SSH fleets for rehearsal.", no_args_is_help=True)

LabFolder = Annotated[Path, typer.Option("--dir", metavar="DIR", help="Where the fleet's state lives.")]


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    for name, function in (("doctor", doctor), ("demo", demo)):
        app.command(name)(function)
    for name, group in (("hosts", hosts_app), ("patch", patch_app), ("engine", engine_app), ("lab", lab_app)):
        app.add_typer(group, name=name)


@verb
def doctor(json: Json = False) -> Answer:
    """Say which needed tools are here and what to do about the rest. Example: itmp doctor"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    findings = workspace.doctor()
    width = max(len(f.name) for f in findings)
    lines = [
        f"{_word(f)}  {safe(f.name.ljust(width))}  {safe(f.what)}" + (f"  ({safe(f.do)})" if f.do else "")
        for f in findings
    ]
    lacking = [f.name for f in findings if not (f.ok or f.optional)]
    return Answer(
        data={"findings": [{"name": f.name, "ok": f.ok, "what": f.what, "do": f.do} for f in findings]},
        lines=(
            *lines,
            f"every use needs {', '.join(lacking)}" if lacking else "what every use needs is here",
        ),
        exit_code=17 if lacking else 0,
    )


def _word(finding: "ToolFinding") -> str:
    """Say how it stands: what is not here, and what is here and failed the last time."""
    if finding.ok:
        return colour("ok     ", "ok")
    failed = finding.name.startswith(("anchor ", "alert "))
    return colour(
        "failed " if failed else "missing", "failed" if not finding.optional or failed else "skipped"
    )


@hosts_app.command("scan")
@verb
def scan(
    inventory: Inventory = None,
    pin: Annotated[
        bool, typer.Option("--pin", help="Write unknown keys to inventories/known_hosts.")
    ] = False,
    json: Json = False,
) -> Answer:
    """Read host keys and compare them with the pinned ones. Example: itmp hosts scan --pin

    Nothing is accepted by itself: compare the fingerprints with the machines' own, then commit the file.
    """
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    found = workspace.hosts_scan(workspace.Workspace.here(), inventory or (), pin=pin)
    rows = [(f.host, f.state, f.fingerprint, f.note) for f in found]
    bad = any(f.state in {"changed", "unreachable"} for f in found)
    return Answer(
        data={"hosts": [{"host": r[0], "state": r[1], "fingerprint": r[2], "note": r[3]} for r in rows]},
        lines=table(rows, ("HOST", "STATE", "FINGERPRINT", "NOTE")) or ("no hosts",),
        exit_code=13 if bad else 0,
    )


@hosts_app.command("list")
@verb
def list_(inventory: Inventory = None, json: Json = False) -> Answer:
    """List hosts with their pinned fingerprints, without connecting. Example: itmp hosts list"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    rows = workspace.hosts_list(workspace.Workspace.here(), inventory or ())
    return Answer(
        data={"hosts": [{"host": r[0], "address": r[1], "groups": r[2], "fingerprint": r[3]} for r in rows]},
        lines=table(rows, ("HOST", "ADDRESS", "GROUPS", "PINNED")) or ("no hosts",),
    )


@patch_app.command("resolve")
@verb
def resolve(file: Document, inventory: Inventory = None, set_: Set = None, json: Json = False) -> Answer:
    """Ask the first ring which versions it would install, and lock them. Example: itmp patch resolve FILE"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast
    from itmp.cli.documents import given  # noqa: PLC0415 - as above

    done = workspace.patch_resolve(
        workspace.Workspace.here(), file, inventories=inventory or (), given=given(set_)
    )
    rows = [(p.name, p.old or "(new)", "->", p.new) for p in done.packages]
    return Answer(
        data={
            "lock": str(done.file),
            "digest": done.digest,
            "packages": [{"name": r[0], "from": r[1], "to": r[3]} for r in rows],
        },
        lines=(
            f"{done.file}  {done.digest}",
            *("  " + line for line in table(rows)),
            "commit this file; `itmp plan` freezes it",
        ),
    )


@engine_app.command("install")
@verb
def install(json: Json = False) -> Answer:
    """Install the Pulumi engine of the pinned version. Example: itmp engine install"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    status = workspace.engine_install(say)
    return Answer(data=status.to_json(), lines=(f"{status.version}  {status.path}  ({status.source})",))


@engine_app.command("status")
@verb
def engine_status(json: Json = False) -> Answer:
    """Say which engine would run. Example: itmp engine status"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    status = workspace.engine_status()
    return Answer(data=status.to_json(), lines=(f"{status.version}  {status.path}  ({status.source})",))


@lab_app.command("up")
@verb
def up(
    count: Annotated[int, typer.Argument(metavar="N", min=1, max=200)],
    folder: LabFolder = Path(".lab"),
    kind: Annotated[str, typer.Option("--kind", metavar="auto|loopback|namespaces")] = "auto",
    names: Annotated[
        str, typer.Option("--names", metavar="A,B,…", help="Names instead of host1, host2, ….")
    ] = "",
    group: Annotated[
        list[str] | None, typer.Option("--group", metavar="NAME=A,B,…", help="Inventory group; repeat.")
    ] = None,
    json: Json = False,
) -> Answer:
    """Start N throw-away hosts and write their inventory. Example: itmp lab up 3"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast
    from itmp.cli.documents import given  # noqa: PLC0415 - as above

    groups = {name: tuple(hosts.split(",")) for name, hosts in given(group).items()}
    fleet = workspace.lab_up(
        folder, count, kind, say, names=tuple(filter(None, names.split(","))), groups=groups
    )
    rows = [(host.name, host.address, host.port) for host in fleet.hosts]
    files = {"inventory": str(fleet.inventory), "known_hosts": str(fleet.known_hosts)}
    return Answer(
        data={**files, "hosts": [{"name": row[0], "address": row[1], "port": row[2]} for row in rows]},
        lines=(
            *table(rows, ("HOST", "ADDRESS", "PORT")),
            f"inventory    {fleet.inventory}",
            f"known hosts  {fleet.known_hosts}",
        ),
    )


@lab_app.command("prepare")
@verb
def prepare(json: Json = False) -> Answer:
    """Build what the lab's Debian hosts start from, once. Example: itmp lab prepare"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    kinds = workspace.lab_prepare(say)
    return Answer(data={"kinds": list(kinds)}, lines=(f"ready: {', '.join(kinds)}",))


@lab_app.command("down")
@verb
def down(folder: LabFolder = Path(".lab"), json: Json = False) -> Answer:
    """Stop the hosts that `lab up` started here. Example: itmp lab down"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    stopped = workspace.lab_down(folder)
    return Answer(data={"stopped": list(stopped)}, lines=(f"stopped {len(stopped)} hosts",))


@lab_app.command("exec", context_settings={"ignore_unknown_options": True})
@verb
def execute(
    host: Annotated[str, typer.Argument(metavar="HOST")],
    command: Annotated[list[str], typer.Argument(metavar="COMMAND...")],
    folder: LabFolder = Path(".lab"),
    json: Json = False,
) -> Answer:
    """Run a command inside a lab host. Example: itmp lab exec host1 hostname"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    rc = workspace.lab_exec(folder, host, tuple(command))
    return Answer(data={"rc": rc}, exit_code=13 if rc else 0)


@verb
def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the demo's folder and print where it is.")
    ] = False,
    json: Json = False,
) -> Answer:
    """Tell the whole story on throw-away hosts. Example: itmp demo"""
    from itmp.cli.demo import tell  # noqa: PLC0415 - help stays fast

    proved = tell(say, keep=keep)
    lines = table([(colour("proved", "ok") if p.ok else colour("FAILED", "failed"), p.what) for p in proved])
    return Answer(
        data={"proved": [{"what": p.what, "ok": p.ok} for p in proved]},
        lines=lines,
        exit_code=0 if all(p.ok for p in proved) else 70,
    )
