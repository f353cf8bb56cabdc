"""Commands about people: policy propose, sign, show, test; signers add, remove, list."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from itmp.cli.options import Json, Key, PlanName
from itmp.cli.printing import Answer, safe, table, verb

if TYPE_CHECKING:
    from itmp.workspace import Proposed

policy_app = typer.Typer(help="The logged policy: who may do what.", no_args_is_help=True)
signers_app = typer.Typer(help="The policy's signers.", no_args_is_help=True)

Proposal = Annotated[Path, typer.Argument(metavar="FILE", help="The proposed policy document.")]


def register(app: typer.Typer) -> None:
    """Add these commands to the program."""
    app.add_typer(policy_app, name="policy")
    app.add_typer(signers_app, name="signers")


@policy_app.command("show")
@verb
def show(json: Json = False) -> Answer:
    """Print the policy in force, exactly as logged. Example: itmp policy show > policy/policy.yml"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    current = workspace.Workspace.here().history().latest
    text = current.policy.data.decode()
    return Answer(
        data={"policy": current.policy.digest, "index": current.index, "text": text},
        lines=tuple(safe(line) for line in text.splitlines()),
    )


@policy_app.command("propose")
@verb
def propose(file: Proposal, key: Key = None, json: Json = False) -> Answer:
    """Check a proposed policy and sign it. Example: itmp policy propose policy/policy.yml"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    return _signed(workspace.policy_propose(workspace.Workspace.here(), file, key=key))


@policy_app.command("sign")
@verb
def sign(
    digest: Annotated[str, typer.Argument(metavar="DIGEST", help="The proposal's digest.")],
    key: Key = None,
    json: Json = False,
) -> Answer:
    """Sign a proposal; with the old quorum's last signature it comes into force. Example: itmp policy sign sha256:…"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    return _signed(workspace.policy_sign(workspace.Workspace.here(), digest, key=key))


@policy_app.command("test")
@verb
def test(name: PlanName, json: Json = False) -> Answer:
    """Say what the policy in force would ask of a plan. Example: itmp policy test restart-web.plan.tar"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    place = workspace.Workspace.here()
    rows = workspace.policy_test(place, workspace.read_plan(place, name))
    return Answer(data=dict(rows), lines=table(rows.items()))


@signers_app.command("list")
@verb
def list_(json: Json = False) -> Answer:
    """List signers, roles and key fingerprints. Example: itmp signers list"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    signers = workspace.Workspace.here().history().latest.policy.signers
    rows = [(s.id, s.kind, ",".join(s.roles), " ".join(k.key.fingerprint for k in s.keys)) for s in signers]
    return Answer(
        data={
            "signers": [
                {"id": r[0], "kind": r[1], "roles": r[2].split(","), "keys": r[3].split()} for r in rows
            ]
        },
        lines=table(rows, ("SIGNER", "KIND", "ROLES", "KEYS")),
    )


@signers_app.command("add")
@verb
def add(
    signer: Annotated[str, typer.Argument(metavar="ID")],
    public_key: Annotated[Path, typer.Argument(metavar="PUB")],
    role: Annotated[list[str], typer.Option("--role", metavar="ROLE", help="Repeat for several.")],
    kind: Annotated[str, typer.Option("--kind", metavar="human|machine")] = "human",
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE")] = Path("policy/policy.yml"),
    json: Json = False,
) -> Answer:
    """Write a proposal with one more signer. Example: itmp signers add bob@example.com bob.pub --role approver"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    place = workspace.Workspace.here()
    workspace.signers_add(place, signer, public_key, roles=tuple(role), output=output, kind=kind)
    return Answer(data={"file": str(output)}, lines=(f"{output}", f"  next: itmp policy propose {output}"))


@signers_app.command("remove")
@verb
def remove(
    signer: Annotated[str, typer.Argument(metavar="ID")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE")] = Path("policy/policy.yml"),
    json: Json = False,
) -> Answer:
    """Write a proposal without a signer. Example: itmp signers remove bob@example.com"""
    from itmp import workspace  # noqa: PLC0415 - help stays fast

    workspace.signers_remove(workspace.Workspace.here(), signer, output)
    return Answer(data={"file": str(output)}, lines=(f"{output}", f"  next: itmp policy propose {output}"))


def _signed(done: "Proposed") -> Answer:
    state = "in force" if done.in_force else f"{len(done.signers)} of {done.needed} signatures"
    lines = [f"policy  {done.digest}  {state}", f"  signed by {', '.join(done.signers)}"]
    if not done.in_force:
        lines.append(f"  next: itmp policy sign {done.digest}")
    else:
        lines.append(f"  for auditors' trust/versions: {done.version}")
    return Answer(
        data={
            "policy": done.digest,
            "signers": list(done.signers),
            "needed": done.needed,
            "in_force": done.in_force,
            "version": done.version,
        },
        lines=tuple(lines),
    )
