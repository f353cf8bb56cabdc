from dataclasses import replace

import pytest

from itmp.plan import Operation, Plan, PulumiStep, all_steps, delegates, resources, scope, slices, targets
from itmp.plan.freezing import batch_hosts
from itmp.testing.runbooks import HEAD, compile_runbook

TEXT = (
    HEAD
    + """\
steps:
  - {id: before, playbook: touch, hosts: web1}
  - rolling: {hosts: web, batches: [1, 25%]}
    steps:
      - {id: drain, playbook: drain}
      - {id: half, playbook: touch, hosts: "web1:web2:web3:web8"}
undo:
  - {playbook: touch, hosts: web2}
"""
)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return compile_runbook(TEXT.encode())


def test_each_batch_passes_all_steps_before_the_next(plan: Plan):
    work = [(step.id, batch, hosts) for step, batch, hosts in slices(plan.manifest)]
    assert work == [
        ("before", 0, ("web1",)),
        ("drain", 1, ("web1",)),
        ("half", 1, ("web1",)),
        ("drain", 2, ("web2", "web3")),
        ("half", 2, ("web2", "web3")),
        ("drain", 3, ("web4", "web5")),
        ("drain", 4, ("web6", "web7")),
        ("drain", 5, ("web8",)),
        ("half", 5, ("web8",)),
    ]


def test_undo_has_its_own_order(plan: Plan):
    assert [(part.step.id, part.batch, part.hosts) for part in slices(plan.manifest, "undo")] == [
        ("undo-1", 0, ("web2",))
    ]


def test_targets_stand_in_inventory_order(plan: Plan):
    assert targets(plan.manifest) == tuple(f"web{n}" for n in range(1, 9))
    assert targets(plan.manifest, "undo") == ("web2",)
    assert delegates(plan.manifest) == ("lb1",)
    assert [step.id for step in all_steps(plan.manifest)] == ["before", "drain", "half", "undo-1"]


def test_scope_counts_hosts_of_both_phases_and_changed_resources(plan: Plan):
    assert scope(plan.manifest).text == "env=lab hosts=8 resources=0"
    work = tuple(
        Operation(urn=f"urn:{n}", op=op, type="t", name=op, inputs={})
        for n, op in enumerate(("same", "update", "create"))
    )
    step = PulumiStep(
        id="up", title="Up", program="program/x", stack="s", config={}, operations=work, present=()
    )
    manifest = replace(plan.manifest, steps=(step,))
    assert resources(manifest) == ("urn:1", "urn:2")
    assert scope(manifest).text == "env=lab hosts=1 resources=2"


@pytest.mark.parametrize(
    ("count", "sizes", "expected"),
    [
        (8, (1, "25%"), [1, 2, 2, 2, 1]),
        (3, (1, "25%"), [1, 1, 1]),
        (10, ("33%",), [3, 3, 3, 1]),
        (4, ("100%",), [4]),
        (5, (2,), [2, 2, 1]),
        (5, (1, 2, 50), [1, 2, 2]),
        (1, (7,), [1]),
        (199, ("1%", "50%"), [1, 99, 99]),
    ],
)
def test_batch_sizes(count: int, sizes: tuple[int | str, ...], expected: list[int]):
    hosts = tuple(f"h{n}" for n in range(count))
    batches = batch_hosts(hosts, sizes)
    assert [len(batch) for batch in batches] == expected
    assert tuple(host for batch in batches for host in batch) == hosts
