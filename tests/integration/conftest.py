"""Real Ansible over real SSH for the adapter's tests: a loopback fleet, a workspace, a plan, a recording observer."""

import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from itmp.adapters import supervisor
from itmp.adapters.ansible import AnsibleRunner, AnsibleSources
from itmp.canonical import digest
from itmp.execution.doors import Action, ActionResult, Room, Slice
from itmp.lab import loopback
from itmp.plan import AnsibleStep, Manifest, Plan, Source
from itmp.plan.model import Inventory
from itmp.plan.sources import Facts, Needs, PlayNeed

PERMIT: Any = object()  # the runner hands nothing of it on; that it exists is the gate's business


@dataclass
class Recorder:
    """Keeps what it is told; `veto` may raise before an action."""

    veto: Callable[[Action], None] = lambda _: None
    actions: list[Action] = field(default_factory=list)
    results: list[ActionResult] = field(default_factory=list)

    def before(self, action: Action) -> None:
        self.veto(action)
        self.actions.append(action)

    def after(self, result: ActionResult) -> None:
        self.results.append(result)

    def outcomes(self, name: str) -> dict[str, str]:
        return {result.host: result.outcome for result in self.results if result.name == name}

    def of(self, name: str, host: str = "") -> ActionResult:
        (found,) = [r for r in self.results if r.name == name and host in {"", r.host}]
        return found


@dataclass
class World:
    """A workspace over a fleet."""

    root: Path
    fleet: loopback.Fleet
    token: str
    looking: dict[str, Any] = field(default_factory=dict)
    image: str = ""
    inventories: tuple[str, ...] = ("inventories/lab.yml",)

    def write(self, path: str, text: str) -> Path:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        return target

    def facts(self, **need: Any) -> Facts:
        values = {"id": "a", "playbook": "play", "mark": "doc.yml:3:5", **need}
        sources = AnsibleSources(self.root, self.inventories, **self.looking)
        return sources.gather(Needs(plays=(PlayNeed(**values),), image=self.image))

    def plan(self, *, timeout: int = 60, **need: Any) -> Plan:
        facts = self.facts(**need)
        play = facts.plays["a"]
        assert facts.inventory is not None
        step = AnsibleStep(
            id="a",
            title="a",
            playbook=play.playbook,
            hosts=play.hosts,
            expected=play.expected,
            delegates=play.delegates,
            vars=need.get("vars", {}),
            secrets=need.get("secrets", {}),
            opaque=play.opaque,
            adds=need.get("new", ()),
            tags=need.get("tags", ()),
            timeout=timeout,
        )
        manifest = Manifest(
            kind="runbook",
            name="t",
            title="t",
            owner="t",
            environment="lab",
            risk="low",
            document=Source(path="doc.yml", digest=digest(b"")),
            inputs={},
            steps=(step,),
            undo=(),
            artifacts={},
            versions=facts.versions,
            inventory=Inventory(
                sources=facts.inventory.sources,
                snapshot="inventory/snapshot.json",
                hosts=facts.inventory.hosts,
                ways=facts.inventory.ways,
                unpinned=facts.inventory.unpinned,
            ),
        )
        return Plan.build(manifest, facts.artifacts)

    def room(self) -> Room:
        return Room(folder=self.root / ".run", token=self.token, run="r1")

    def run(
        self, plan: Plan, recorder: Recorder | None = None, *, hosts: tuple[str, ...] = (), **options: Any
    ) -> Recorder:
        recorder = recorder or Recorder()
        part = part_of(plan, hosts)
        AnsibleRunner(**options).run(PERMIT, plan, part, room=self.room(), observer=recorder)
        return recorder

    def play(
        self,
        text: str,
        recorder: Recorder | None = None,
        *,
        options: Mapping[str, Any] | None = None,
        **need: Any,
    ) -> Recorder:
        self.write("playbooks/play.yml", text)
        return self.run(self.plan(**need), recorder, **(options or {}))


def part_of(plan: Plan, hosts: tuple[str, ...] = ()) -> Slice:
    """Return the slice of a world's plan, which has one step, on `hosts` or on all of them."""
    step = plan.manifest.steps[0]
    assert isinstance(step, AnsibleStep)
    return Slice(key="a@0", step=step, hosts=hosts or step.hosts)


@pytest.fixture(scope="session")
def ansible_fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[loopback.Fleet]:
    with loopback.up(
        tmp_path_factory.mktemp("fleet"),
        3,
        names=["web1", "web2", "lb1"],
        groups={"web": ["web1", "web2"], "lb": ["lb1"]},
    ) as fleet:
        yield fleet


@pytest.fixture
def world(tmp_path: Path, ansible_fleet: loopback.Fleet) -> Iterator[World]:
    token = secrets.token_hex(16)
    (tmp_path / "ws" / "inventories").mkdir(parents=True)
    ansible_fleet.write_inventory(tmp_path / "ws" / "inventories" / "lab.yml")
    (tmp_path / "ws" / "inventories" / "known_hosts").write_text(ansible_fleet.known_hosts)
    yield World(root=tmp_path / "ws", fleet=ansible_fleet, token=token)
    supervisor.sweep(token)
