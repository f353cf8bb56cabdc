"""A workspace with stacks, the real engine and a cloud double: plan, run, resume and undo through the run loop."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from itmp import capacity, documents
from itmp.adapters.aws import GROUP, SERVICE
from itmp.adapters.pulumi import engine
from itmp.adapters.pulumi.place import CloudPlace
from itmp.adapters.pulumi.runner import PulumiRunner
from itmp.adapters.pulumi.sources import PulumiSources
from itmp.canonical import digest
from itmp.execution import Reprise, RunSummary, Wiring, execute, resume, undo
from itmp.execution.doors import Room, Slice
from itmp.plan import Plan, Source
from itmp.testing.rig import Rig

ROOT = Path(__file__).parents[2]
TEXT = """itmp: capacity-adjustment/v1
name: wide
title: Widen
owner: team
environment: lab
risk: low
inputs:
  size: {type: integer, default: 8}
  count: {type: integer, default: 5}
adjust:
  - {id: web, knob: autoscaling-group, name: web-asg, to: "${inputs.size}"}
  - {id: api, knob: ecs-service, name: prod/api, to: "${inputs.count}"}
"""
__all__ = ["GROUP", "SERVICE", "TEXT", "Stacks"]


class Stacks:
    """One workspace at `folder`, whose cloud is at `endpoint`."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        self.folder, self.cloud = folder, CloudPlace(region="us-east-1", endpoint=endpoint)
        self.state, self.engine = folder / "pulumi", engine.find()
        self.runner = PulumiRunner(self.state, engine=self.engine, cloud=self.cloud)
        self.token = secrets.token_hex(8)

    def plan(self, text: str = TEXT, **given: str) -> Plan:
        """Compile a document."""
        document = documents.parse("d.yml", text.encode(), capacity.KINDS)
        inputs = documents.resolve_inputs(document.inputs, given)
        sources = PulumiSources(ROOT, state=self.state, engine=self.engine, cloud=self.cloud)
        facts = sources.gather(capacity.needs(document, inputs))
        return capacity.freeze(
            document, inputs, facts, source=Source(path="d.yml", digest=digest(text.encode()))
        )

    def wiring(self, rig: Rig, run: str = "RUN-1") -> Wiring:
        """Return the rig's wiring with the real runner."""
        room = Room(folder=self.folder / secrets.token_hex(4), token=self.token, run=run)
        return replace(rig.wiring(run), runners={"pulumi": self.runner}, room=room)

    def run(self, rig: Rig) -> RunSummary:
        """Run the rig's plan."""
        return execute(rig.permit(), rig.plan, wiring=self.wiring(rig))

    def resume(self, rig: Rig) -> RunSummary:
        """Take it up again."""
        return resume(
            rig.permit("resume"),
            rig.plan,
            wiring=self.wiring(rig),
            story=rig.story(),
            prober=self.runner,
            reprise=Reprise(retry=frozenset({"failed"}), skip=frozenset()),
        )

    def undo(self, rig: Rig) -> RunSummary:
        """Undo it."""
        wiring = self.wiring(rig, "RUN-2")
        return undo(rig.permit("undo", run="RUN-2"), rig.plan, wiring=wiring, story=rig.story())


def part(plan: Plan) -> Slice:
    """Return the plan's one slice."""
    (step,) = plan.manifest.steps
    return Slice(key=step.id, step=step, hosts=())  # type: ignore[arg-type]


def urn(plan: Plan, name: str) -> str:
    """Return the urn of the resource called `name`."""
    (step,) = plan.manifest.steps
    return next(one.urn for one in step.operations if one.name == name)  # type: ignore[union-attr]


def outcomes(rig: Rig) -> dict[str, str]:
    """Return the last outcome of each resource in the log, by name."""
    return {
        event.target["id"].rpartition("::")[2]: event.outcome
        for event in rig.journal.events
        if event.type == "action.finished" and event.target
    }


def states(summary: RunSummary) -> Mapping[str, str]:
    """Return each resource's state, by name."""
    return {urn.rpartition("::")[2]: str(state) for urn, state in summary.resources.items()}


def alive(token: str) -> dict[int, str]:
    """Return the processes that carry a run token: pid → command name."""
    found: dict[int, str] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                if f"ITMP_RUN_TOKEN={token}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                    found[int(folder.name)] = (folder / "comm").read_text().strip()
            except OSError:
                continue
    return found
