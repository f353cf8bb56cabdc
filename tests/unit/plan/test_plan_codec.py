import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from itmp import canonical
from itmp.errors import Error, InvalidInputError, StaleError
from itmp.plan import (
    AnsibleStep,
    AskStep,
    Change,
    Host,
    Manifest,
    Operation,
    Plan,
    Present,
    PulumiStep,
    RollingStep,
    decode,
    encode,
)
from itmp.testing.runbooks import HEAD, compile_runbook

TEXT = (
    HEAD
    + """\
inputs: {n: {type: integer, default: 2}}
steps:
  - rolling: {hosts: web, batches: [1, 50%], max_failures: 1}
    steps:
      - {id: drain, playbook: drain, vars: {seconds: "${inputs.n}", deep: [{a: null}, true]}, probe: {tcp: {port: 22}}}
      - {id: ask, check: {http: {url: "http://${host.address}/", contains: ok}}}
undo:
  - {playbook: touch, vars: {token: {secret: "env:TOKEN"}}}
"""
)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return compile_runbook(TEXT.encode())


def stack() -> PulumiStep:
    operation = Operation(
        urn="urn:1", op="update", type="t", name="n", inputs={"size": Change(old=None, new=4)}
    )
    present = Present(knob="aws:autoscaling:Group", id="web", field="desired", value=3, low=3, high=5)
    return PulumiStep(
        id="up",
        title="Up",
        program="program/web",
        stack="prod",
        config={"size": 4},
        operations=(operation,),
        present=(present,),
    )


def test_bytes_come_back_as_the_same_values(plan: Plan):
    manifest = decode(plan.manifest_bytes)
    assert manifest == plan.manifest
    assert encode(manifest) == plan.manifest_bytes


def test_stack_updates_too(plan: Plan):
    made = Plan.build(
        replace(plan.manifest, steps=(stack(),)), {"program/web/__main__.py": b"", **by_path(plan)}
    )
    assert decode(made.manifest_bytes).steps == (stack(),)


def by_path(plan: Plan) -> dict[str, bytes]:
    return {path: plan.artifact(path) for path in plan.manifest.artifacts}


def edited(plan: Plan, edit: Callable[[Any], object]) -> bytes:
    value = json.loads(plan.manifest_bytes)
    edit(value)
    return canonical.dumps(value)


def test_a_field_that_came_later_stands_in_a_manifest_only_where_it_says_something(plan: Plan):
    def with_question(**more: bool) -> Plan:
        asked = AskStep(id="go", title="Go?", question="Go?", answer="boolean", **more)
        return Plan.build(replace(plan.manifest, steps=(*plan.manifest.steps, asked)), by_path(plan))

    plain, anew = with_question(), with_question(anew=True)
    for made in (plain, anew):
        assert decode(made.manifest_bytes) == made.manifest
    assert b'"anew"' not in plain.manifest_bytes
    assert json.loads(anew.manifest_bytes)["steps"][-1]["anew"] is True
    with pytest.raises(InvalidInputError):
        decode(edited(plain, lambda m: m["steps"][-1].update(anew=False)))


EDITS: dict[str, Callable[[Any], object]] = {
    "unknown key": lambda m: m.update(extra=1),
    "unknown key in a step": lambda m: m["steps"][0]["steps"][0].update(extra=1),
    "missing key with a default": lambda m: m.pop("notes"),
    "wrong type": lambda m: m["steps"][0].update(max_failures="1"),
    "boolean for a number": lambda m: m["steps"][0].update(max_failures=True),
    "unknown kind of step": lambda m: m["steps"][0].update(kind="shell"),
    "no kind": lambda m: m["steps"][0].pop("kind"),
    "unknown risk": lambda m: m.update(risk="none"),
    "another schema": lambda m: m.update(schema="itmp-plan/v2"),
    "no steps": lambda m: m.update(steps=[]),
    "path upward": lambda m: m["artifacts"].update({"../x": m["document"]["digest"]}),
    "absolute path": lambda m: m["artifacts"].update({"/etc/x": m["document"]["digest"]}),
    "backslash": lambda m: m["artifacts"].update({"a\\b": m["document"]["digest"]}),
    "newline": lambda m: m["artifacts"].update({"a\nb": m["document"]["digest"]}),
    "bad digest": lambda m: m["document"].update(digest="sha256:00"),
    "step id twice": lambda m: m["steps"][0]["steps"][1].update(id="drain"),
    "undo id twice": lambda m: m["undo"][0].update(id="drain"),
    "step id": lambda m: m["undo"][0].update(id="../x"),
    "unknown host": lambda m: m["undo"][0]["hosts"].append("db1"),
    "host twice": lambda m: m["undo"][0]["hosts"].append("web1"),
    "no hosts": lambda m: m["undo"][0].update(hosts=[]),
    "host outside the block": lambda m: m["steps"][0]["steps"][0]["hosts"].append("lb1"),
    "batches lose a host": lambda m: m["steps"][0]["batches"].pop(),
    "batches in another order": lambda m: m["steps"][0]["batches"].reverse(),
    "empty batch": lambda m: m["steps"][0]["batches"].append([]),
    "negative failures": lambda m: m["steps"][0].update(max_failures=-1),
    "playbook is no artifact": lambda m: m["undo"][0].update(playbook="project/playbooks/other.yml"),
    "task is no artifact": lambda m: m["undo"][0]["expected"][0].update(path="project/x.yml"),
    "snapshot is no artifact": lambda m: m["inventory"].update(snapshot="x"),
    "no inventory": lambda m: m.update(inventory=None),
    "check misses a host": lambda m: m["steps"][0]["steps"][1]["probes"].pop("web1"),
    "probe of another host": lambda m: m["steps"][0]["steps"][0]["probes"].update(
        lb1={"host": "x", "kind": "tcp", "port": 1}
    ),
    "plain and secret": lambda m: m["undo"][0]["vars"].update(token="x"),
    "host name with a pattern": lambda m: m["inventory"]["hosts"][0].update(name="web*"),
    "frozen host twice": lambda m: m["inventory"]["hosts"].append(m["inventory"]["hosts"][0]),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_manifest_that_makes_no_sense_is_refused(plan: Plan, name: str):
    with pytest.raises(InvalidInputError):
        decode(edited(plan, EDITS[name]))


def test_the_message_names_the_unknown_key(plan: Plan):
    with pytest.raises(InvalidInputError, match="extra"):
        decode(edited(plan, EDITS["unknown key in a step"]))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"schema":"itmp-plan/v1"}',
        b"\xff",
        b"[" * 100_000,
        b'{"a":1.5}',
        b'{"schema": "itmp-plan/v1"}',
    ],
)
def test_other_bytes_are_refused(data: bytes):
    with pytest.raises(InvalidInputError):
        decode(data)


def test_every_flipped_byte_is_refused_or_changes_the_digest(plan: Plan):
    data = plan.manifest_bytes
    for at in range(0, len(data), 7):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        try:
            again = encode(decode(changed))
        except Error:
            continue
        assert again == changed
        assert canonical.digest(again) != plan.digest


def test_floats_and_foreign_values_cannot_stand_in_a_plan(plan: Plan):
    for value in (1.5, object(), {1: 2}):
        with pytest.raises(InvalidInputError):
            encode(replace(plan.manifest, inputs={"x": value}))


def test_artifacts_are_checked_when_they_are_read(plan: Plan):
    blobs = dict(plan.artifacts)
    path = "project/playbooks/touch.yml"
    victim = plan.manifest.artifacts[path]
    blobs[victim] = blobs[victim].replace(b"touch", b"rm -f")
    lazy = Plan.from_bytes(plan.manifest_bytes, blobs.__getitem__)
    assert lazy == plan
    assert lazy.artifact("inventory/snapshot.json") == plan.artifact("inventory/snapshot.json")
    with pytest.raises(StaleError, match=path):
        lazy.artifact(path)
    with pytest.raises(InvalidInputError, match="no artifact"):
        lazy.artifact("project/other.yml")


def test_equal_contents_share_one_blob(plan: Plan):
    made = Plan.build(plan.manifest, {**by_path(plan), "project/a": b"x", "project/b": b"x"})
    assert made.manifest.artifacts["project/a"] == made.manifest.artifacts["project/b"]
    assert len(made.artifacts) == len(made.manifest.artifacts) - 1


def test_hosts_of_any_script_are_refused_but_addresses_pass(plan: Plan):
    inventory = plan.manifest.inventory
    assert inventory is not None
    for name, fine in (
        ("fe80::1", True),
        ("10.0.0.1", True),
        ("a b", False),
        ("a,b", False),
        ("!a", False),
        ("@f", False),
        ("a\u202e", False),
        ("-x", False),
    ):
        extra = Host(name=name, address="x", port=22, groups=(), vars=canonical.digest(b""))
        manifest: Manifest = replace(
            plan.manifest, inventory=replace(inventory, hosts=(*inventory.hosts, extra))
        )
        if fine:
            encode(manifest)
        else:
            with pytest.raises(InvalidInputError, match="host name"):
                encode(manifest)


def test_the_implicit_localhost_may_be_acted_on(plan: Plan):
    step = plan.manifest.undo[0]
    assert isinstance(step, AnsibleStep)
    encode(replace(plan.manifest, undo=(replace(step, hosts=("localhost",)),)))


def test_a_rolling_block_needs_steps(plan: Plan):
    block = plan.manifest.steps[0]
    assert isinstance(block, RollingStep)
    with pytest.raises(InvalidInputError, match="no steps"):
        encode(replace(plan.manifest, steps=(replace(block, steps=()),)))
