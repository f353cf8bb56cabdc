"""A schedule and its lock become one rolling block per ring, in order, and the way back."""

import json
from dataclasses import replace

import pytest
import yaml

from itmp.canonical import digest
from itmp.documents import DocumentError, parse, resolve_inputs
from itmp.errors import InvalidInputError
from itmp.patching import KINDS, PatchSchedule, freeze, needs
from itmp.plan import AnsibleStep, CheckStep, ExpectedTask, Facts, Host, Plan, RollingStep, Source
from itmp.plan.sources import InventoryFacts, PlayFacts

SCHEDULE = """\
itmp: patch-schedule/v1
name: web-november
title: Web servers, November
owner: team-web
environment: production
risk: moderate
lock: runbooks/patch/web-november.lock.json
inputs:
  spare: {type: integer, default: 1, minimum: 0}
rings:
  - {name: canary, hosts: ring0}
  - {name: rest, hosts: ring1, batches: [1, 50%], max_failures: "${inputs.spare}"}
checks:
  - {id: front, http: {url: "http://${host.address}:8080/health"}, within: 30s}
  - {id: audit, command: {argv: [dpkg, --audit]}}
"""
LOCK = {
    "schema": "itmp-patch-lock/v1",
    "schedule": "web-november",
    "platform": {"distribution": "debian", "release": "bookworm", "architecture": "amd64"},
    "hosts": ["a1"],
    "packages": {
        "demo": {"from": "1.0", "to": "2.0", "origin": "Debian", "architecture": "amd64", "back": True},
        "newdep": {"from": "", "to": "0.5", "origin": "Debian", "architecture": "all", "back": False},
    },
    "removals": {},
    "kept": [],
}
RINGS = {"ring0": ("a1",), "ring1": ("b1", "b2", "b3", "b4")}


def schedule(text: str = SCHEDULE) -> PatchSchedule:
    document = parse("web.yml", text.encode(), KINDS)
    assert isinstance(document, PatchSchedule)
    return document


def lock(**changes: object) -> bytes:
    return (json.dumps({**LOCK, **changes}, sort_keys=True, indent=1) + "\n").encode()


def facts_for(document: PatchSchedule, data: bytes, rings: dict[str, tuple[str, ...]]) -> Facts:
    wanted = needs(document, resolve_inputs(document.inputs, {}), lock=data)
    names = sorted({name for hosts in rings.values() for name in hosts})
    artifacts = {f"project/playbooks/{play.playbook}.yml": play.rendered or b"" for play in wanted.plays}
    return Facts(
        inventory=InventoryFacts(
            sources=("hosts.yml",),
            snapshot=b"{}",
            hosts=tuple(
                Host(name=name, address=f"{name}.example", port=22, groups=(), vars=digest(b""))
                for name in names
            ),
            patterns=rings,
        ),
        plays={
            play.id: PlayFacts(
                playbook=f"project/playbooks/{play.playbook}.yml",
                hosts=rings[play.pattern],
                expected=(
                    ExpectedTask(
                        path=f"project/playbooks/{play.playbook}.yml", line=1, action="a.b.c", name="x"
                    ),
                ),
            )
            for play in wanted.plays
            if rings.get(play.pattern)
        },
        artifacts={**artifacts, "inventory/snapshot.json": b"{}"},
    )


def compiled(
    text: str = SCHEDULE, data: bytes = b"", rings: dict[str, tuple[str, ...]] | None = None
) -> Plan:
    document, data, rings = schedule(text), data or lock(), rings or RINGS
    facts = facts_for(document, data, rings)
    source = Source(path="web.yml", digest=digest(text.encode()))
    return freeze(document, resolve_inputs(document.inputs, {}), facts, source=source, lock=data)


def test_rings_follow_each_other_and_each_batch_passes_all_steps() -> None:
    canary, rest = compiled().manifest.steps
    assert isinstance(canary, RollingStep)
    assert isinstance(rest, RollingStep)
    assert [step.id for step in canary.steps] == [
        "canary-apply", "canary-verify", "canary-reboot", "canary-check-front", "canary-check-audit",
    ]  # fmt: skip
    assert (canary.batches, canary.max_failures) == ((("a1",),), 0)
    assert (rest.batches, rest.max_failures) == ((("b1",), ("b2", "b3"), ("b4",)), 1)


def test_a_ring_that_fails_stops_the_next() -> None:
    assert {step.on_failure for step in compiled().manifest.steps} == {"stop"}


def test_the_way_back_starts_with_the_last_ring() -> None:
    assert [(step.id, step.hosts) for step in compiled().manifest.undo if isinstance(step, AnsibleStep)] == [
        ("rest-undo", RINGS["ring1"]),
        ("canary-undo", RINGS["ring0"]),
    ]


def test_same_input_same_digest_and_the_lock_is_covered() -> None:
    assert compiled().digest == compiled().digest
    assert compiled().artifact("patching/lock.json") == lock()
    other = {**LOCK["packages"], "demo": {**LOCK["packages"]["demo"], "to": "2.1"}}  # type: ignore[dict-item, index]
    assert compiled().digest != compiled(data=lock(packages=other)).digest


def test_checks_ask_each_host_at_its_own_address() -> None:
    (canary, _) = compiled().manifest.steps
    assert isinstance(canary, RollingStep)
    check = canary.steps[3]
    assert isinstance(check, CheckStep)
    assert check.probes["a1"].url == "http://a1.example:8080/health"  # type: ignore[union-attr]


@pytest.mark.parametrize(("policy", "steps"), [("never", 4), ("if-needed", 5), ("always", 5)])
def test_the_reboot_policy_decides_whether_there_is_such_a_step(policy: str, steps: int) -> None:
    canary = compiled(SCHEDULE + f"reboot: {policy}\n").manifest.steps[0]
    assert isinstance(canary, RollingStep)
    assert len(canary.steps) == steps


def test_the_plays_write_versions_out_and_hold_nothing_dynamic() -> None:
    for play in needs(schedule(), {"spare": 1}, lock=lock()).plays:
        (one,) = yaml.safe_load(play.rendered or b"")
        assert one["hosts"] == play.pattern
        assert not {"roles", "handlers", "vars_files", "import_tasks", "include_tasks"} & set(one)
        for task in one["tasks"]:
            assert not [key for key in task if "include" in key or "import" in key or key == "delegate_to"]
    apply = next(
        play for play in needs(schedule(), {"spare": 1}, lock=lock()).plays if play.id == "canary-apply"
    )
    (one,) = yaml.safe_load(apply.rendered or b"")
    assert one["vars"]["itmp_upgrades"] == {"demo=1.0": "demo=2.0"}
    assert one["vars"]["itmp_additions"] == ["newdep=0.5"]
    install = one["tasks"][-1]["ansible.builtin.apt"]
    assert (install["allow_downgrade"], install["fail_on_autoremove"]) == (False, True)


def test_the_approver_is_told_what_undo_cannot_do() -> None:
    gone = {**LOCK["packages"], "demo": {**LOCK["packages"]["demo"], "back": False}}  # type: ignore[dict-item, index]
    notes = " ".join(compiled(data=lock(packages=gone, kept=["held"])).manifest.notes)
    assert "undo would fail: demo 1.0" in notes
    assert "left there by undo: newdep" in notes
    assert "kept back by apt" in notes


def test_a_host_in_two_rings_and_an_empty_ring_are_problems_at_their_place() -> None:
    with pytest.raises(DocumentError, match=r"web\.yml:12:.*'a1' is in ring canary already"):
        compiled(rings={"ring0": ("a1",), "ring1": ("b1", "a1")})
    with pytest.raises(DocumentError, match=r"web\.yml:11:.*'ring0' matches no host"):
        compiled(rings={"ring0": (), "ring1": ("b1",)})


def test_a_lock_of_another_schedule_without_work_or_with_removals_is_refused() -> None:
    for data, why in (
        (lock(schedule="other"), "another schedule"),
        (lock(packages={}), "nothing to upgrade"),
        (lock(removals={"old": "1.0"}), "removes packages"),
    ):
        with pytest.raises(InvalidInputError, match=why):
            needs(schedule(), {"spare": 1}, lock=data)


def test_facts_that_miss_a_play_are_our_defect_and_said_so() -> None:
    document, data = schedule(), lock()
    facts = facts_for(document, data, RINGS)
    less = replace(facts, plays={name: play for name, play in facts.plays.items() if name != "rest-verify"})
    with pytest.raises(DocumentError, match="rest-verify"):
        freeze(document, {"spare": 1}, less, source=Source(path="web.yml", digest=digest(b"")), lock=data)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("name: rest", "name: canary", "12:12: 'canary' occurs twice"),
        ("batches: [1, 50%]", "batches: [0]", "12:42"),
        ("lock: runbooks/patch", "lock: ../patch", "7:7"),
        ("lock: runbooks/patch", "lock: /etc/patch", "7:7"),
        ("{argv: [dpkg, --audit]}", "{argv: [dpkg], rc: 999}", "15:45"),
        ("command: {argv: [dpkg, --audit]}", "within: 5s", "exactly one of"),
        ("rings:", "reboot: maybe\nrings:", "10:9"),
        ("rings:", "packages: [Nginx]\nrings:", "10:12"),
        ("rings:", "ring:", "did you mean 'rings'"),
    ],
)
def test_what_is_wrong_is_named(old: str, new: str, why: str) -> None:
    with pytest.raises(DocumentError) as caught:
        schedule(SCHEDULE.replace(old, new))
    assert why in str(caught.value)
