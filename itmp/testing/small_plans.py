"""Small plans, built in one line, for tests of everything that takes a plan.

Rules kept here: they are ordinary plans, built through `Plan.build`; every task has its own line, so that an
action can be told from any other.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from itmp.canonical import digest
from itmp.plan.bundle import Plan
from itmp.plan.model import (
    AnsibleStep,
    AskStep,
    Change,
    CheckStep,
    ExpectedTask,
    Host,
    HttpProbe,
    Inventory,
    LeafStep,
    Manifest,
    Operation,
    PulumiStep,
    Risk,
    RollingStep,
    Source,
    Step,
    WaitStep,
)
from itmp.plan.order import all_steps

Reaction = str
PROJECT = "project/"
PLAYBOOK: Final = f"{PROJECT}playbooks/restart.yml"


def hosts(count: int, name: str = "web") -> tuple[str, ...]:
    """Return `count` host names."""
    return tuple(f"{name}{number}" for number in range(1, count + 1))


def ansible(
    id: str,  # noqa: A002 -- the plan's own word
    names: Iterable[str],
    *,
    tasks: int = 2,
    handlers: int = 0,
    always: bool = False,
    on_failure: Reaction = "stop",
    delegates: Iterable[str] = (),
    opaque: Iterable[str] = (),
) -> AnsibleStep:
    """Return a playbook step of `tasks` tasks (lines 1…) and `handlers` handlers (lines 101…)."""
    path = f"{PROJECT}{id}.yml"
    work = [(line, "task") for line in range(1, tasks + 1)] + [
        (line, "handler") for line in range(101, 101 + handlers)
    ]
    return AnsibleStep(
        id=id,
        title=id,
        playbook=path,
        hosts=tuple(names),
        expected=tuple(
            ExpectedTask(
                path=path,
                line=line,
                action="ansible.builtin.command",
                name=f"{id} {line}",
                section="task" if section == "task" else "handler",
            )
            for line, section in work
        ),
        delegates=tuple(delegates),
        opaque=tuple(opaque),
        always=always,
        on_failure=on_failure,
    )


def check(id: str, names: Iterable[str], *, on_failure: Reaction = "stop") -> CheckStep:  # noqa: A002 -- as above
    """Return a step that asks each host over HTTP."""
    probes = {name: HttpProbe(url=f"http://{name}.example/health") for name in names}
    return CheckStep(id=id, title=id, hosts=tuple(probes), probes=probes, within=60, on_failure=on_failure)


def stack(id: str, names: Iterable[str], *, on_failure: Reaction = "stop") -> PulumiStep:  # noqa: A002 -- as above
    """Return a stack update with one operation per name, from 1 to 2."""
    operations = tuple(
        Operation(
            urn=f"urn:pulumi:prod::shop::itmp:Knob::{name}",
            op="update",
            type="itmp:Knob",
            name=name,
            inputs={"desired": Change(old=1, new=2)},
        )
        for name in names
    )
    return PulumiStep(
        id=id,
        title=id,
        program="program",
        stack="prod",
        config={},
        operations=operations,
        present=(),
        on_failure=on_failure,
    )


def ask(
    id: str,  # noqa: A002 -- as above
    *,
    choices: Iterable[str] = (),
    roles: Iterable[str] = (),
    after: Iterable[int] = (),
    anew: bool = False,
    on_failure: Reaction = "stop",
) -> AskStep:
    """Return a question: true or false, or one of `choices`; inside rolling it is asked `after` these batches."""
    texts = tuple(choices)
    return AskStep(
        id=id,
        title=id,
        question=f"{id}?",
        answer="choice" if texts else "boolean",
        choices=texts,
        roles=tuple(roles),
        after=tuple(after),
        anew=anew,
        on_failure=on_failure,
    )


def wait(id: str, *, seconds: int = 0, until: str = "") -> WaitStep:  # noqa: A002 -- as above
    """Return a wait."""
    return WaitStep(id=id, title=id, seconds=seconds, until=until)


def rolling(
    names: Iterable[str],
    steps: Iterable[AnsibleStep | CheckStep | AskStep | WaitStep],
    *,
    size: int = 2,
    max_failures: int = 0,
    on_failure: Reaction = "stop",
    id: str = "rolling",  # noqa: A002 -- as above
) -> RollingStep:
    """Return a rolling block of batches of `size`."""
    every = tuple(names)
    return RollingStep(
        id=id,
        title=id,
        hosts=every,
        batches=tuple(every[at : at + size] for at in range(0, len(every), size)),
        max_failures=max_failures,
        steps=tuple(steps),
        on_failure=on_failure,
    )


def plan(
    steps: Iterable[Step],
    *,
    undo: Iterable[LeafStep] = (),
    extra: Iterable[str] = (),
    guards: Mapping[str, str] | None = None,
) -> Plan:
    """Return the plan of `steps`; `extra` are further artifact paths, `guards` map steps to CEL texts."""
    every, back = tuple(steps), tuple(undo)
    names = dict.fromkeys(host for step in (*every, *back) for host in getattr(step, "hosts", ()))
    manifest = Manifest(
        kind="runbook",
        name="restart-web",
        title="Restart the web tier",
        owner="team-web",
        environment="production",
        risk="moderate",
        document=Source(path="runbooks/restart-web.yml", digest=digest(b"document")),
        inputs={},
        steps=every,
        undo=back,
        artifacts={},
        versions={"ansible-core": "2.19.0"},
        guards=dict(guards or {}),
        inventory=Inventory(
            sources=("inventories/prod",),
            snapshot="inventory.json",
            hosts=tuple(
                Host(name=name, address=name, port=22, groups=("web",), vars=digest(b"{}")) for name in names
            ),
        ),
    )
    books = [f"{PROJECT}{step.id}.yml" for step in all_steps(manifest) if isinstance(step, AnsibleStep)]
    paths = ("inventory.json", "program/__main__.py", *books, *extra)
    return Plan.build(manifest, dict.fromkeys(paths, b"---\n"))


def small_plan(
    *,
    hosts: Sequence[str] = ("web1", "web2"),
    environment: str = "production",
    risk: Risk = "low",
    group: str = "web",
    unpinned: Sequence[str] = (),
) -> Plan:
    """Return a plan of two Ansible steps over `hosts`, all in `group`, and one undo step."""
    play = b"- hosts: all\n  tasks:\n  - ansible.builtin.service: {name: nginx, state: restarted}\n"
    task = ExpectedTask(path=PLAYBOOK, line=3, action="ansible.builtin.service", name="Restart nginx")
    names = tuple(hosts)

    def step(name: str) -> AnsibleStep:
        return AnsibleStep(id=name, title=name, playbook=PLAYBOOK, hosts=names, expected=(task,))

    manifest = Manifest(
        kind="runbook",
        name="restart-web",
        title="Rolling restart of the web tier",
        owner="team-web",
        environment=environment,
        risk=risk,
        document=Source(path="runbooks/restart.yml", digest=digest(b"document")),
        inputs={},
        steps=(step("drain"), step("restart")),
        undo=(step("back"),),
        artifacts={},
        versions={"ansible-core": "2.19.0"},
        inventory=_one_group(names, group, unpinned),
    )
    return Plan.build(manifest, {PLAYBOOK: play, "inventory/snapshot.json": b"{}"})


def _one_group(names: Sequence[str], group: str, unpinned: Sequence[str]) -> Inventory:
    return Inventory(
        sources=("inventories/hosts.yml",),
        snapshot="inventory/snapshot.json",
        unpinned=tuple(unpinned),
        hosts=tuple(
            Host(name=name, address=f"10.0.0.{at}", port=22, groups=(group,), vars=digest(name.encode()))
            for at, name in enumerate(names, 1)
        ),
    )
