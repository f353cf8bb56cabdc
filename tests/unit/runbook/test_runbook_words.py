"""Questions, waits, pauses, guards and jumps in a runbook: what is refused where, and what they become in the plan."""

import pytest

from itmp.documents import DocumentError, parse
from itmp.plan import AskStep, Plan, RollingStep, WaitStep, decode, show, slice_key, slices
from itmp.runbook import Runbook
from itmp.testing.runbooks import compile_runbook
from itmp.testing.sources import FakeSources

HEAD = """\
itmp: runbook/v1
name: words
title: Words
owner: team-web
environment: lab
risk: low
inputs: {quick: {type: boolean, default: true}, size: {type: string, default: small, choices: [small, big]}}
"""
GOOD = """\
steps:
  - rolling: {hosts: web, batches: [1], pause: {after: [1, 9], roles: [sre]}}
    id: tier
    on_failure: repair
    steps:
      - {id: restart, hosts: web, tasks: [{ansible.builtin.ping: {}}]}
      - {id: soak, wait: {for: 15m}, when: "!inputs.quick"}
  - {id: late, wait: {until: "2026-11-29T02:00 Europe/Berlin"}}
  - {id: how, ask: {question: How far?, answer: [canary, all]}}
  - {id: more, hosts: web, tasks: [{ansible.builtin.ping: {}}], when: steps.how.answer == "all"}
  - {id: repair, hosts: web, tasks: [{ansible.builtin.ping: {}}], when: 'steps.tier.outcome == "failed"'}
"""


def compiled() -> Plan:
    return compile_runbook(
        (HEAD + GOOD).encode(), sources=FakeSources(hosts={f"web{n}": ("web",) for n in (1, 2, 3)})
    )


def test_words_become_steps_without_hosts_and_guards_stand_in_the_manifest() -> None:
    manifest = compiled().manifest
    block, late, how, *_ = manifest.steps
    assert isinstance(block, RollingStep)
    assert block.on_failure == "repair"
    pause = block.steps[-1]
    assert isinstance(pause, AskStep)
    assert (pause.id, pause.after, pause.roles) == ("tier-pause", (1,), ("sre",))
    assert isinstance(late, WaitStep)
    assert late.until == "2026-11-29T01:00:00Z"
    assert isinstance(how, AskStep)
    assert (how.answer, how.choices) == ("choice", ("canary", "all"))
    assert manifest.guards == {
        "more": 'steps.how.answer == "all"',
        "repair": 'steps.tier.outcome == "failed"',
        "soak": "!inputs.quick",
    }
    assert [slice_key(part) for part in slices(manifest)] == [
        "restart@1", "soak@1", "tier-pause@1", "restart@2", "soak@2", "restart@3", "soak@3",
        "late", "how", "more", "repair",
    ]  # fmt: skip


def test_the_approver_sees_questions_waits_and_what_will_not_run() -> None:
    plan = compiled()
    assert decode(plan.manifest_bytes) == plan.manifest
    told = {section.key: section.rows for section in show(plan)}
    assert ("soak", "!inputs.quick", "not run: guard") in told["guards"]
    assert ("more", 'steps.how.answer == "all"', "decided while it runs") in told["guards"]
    assert ("how", "How far?", "one of: canary, all", "any role that the policy lets answer") in told[
        "questions"
    ]
    assert ("late", "until 2026-11-29T01:00:00Z") in told["waits"]
    order = {row[0].strip(): row for row in told["order"]}
    assert order["soak"][3] == "wait, not run: guard"
    assert order["tier"][4] == "go on at repair"


@pytest.mark.parametrize(
    ("old", "new", "where", "says"),
    [
        ("[canary, all]", "float", "16:49", "write boolean, integer, string, or a list of choices"),
        ("[canary, all]", "[canary]", "16:49", "at least two choices"),
        ("{for: 15m}", "{for: 15m, until: 2026-11-29T02:00:00Z}", "14:26", "either for"),
        ("2026-11-29T02:00 Europe/Berlin", "tomorrow", "15:30", "not a time"),
        ("pause: {after: [1, 9], roles: [sre]}", "pause: false", "9:48", "write true"),
        (
            "id: soak, wait: {for: 15m}",
            "id: soak, ask: {question: q, answer: boolean}",
            "14:9",
            "write pause",
        ),
        ("on_failure: repair", "on_failure: repare", "11:17", "did you mean 'repair'?"),
        ("id: how, ask", "id: how, on_failure: tier, ask", "16:27", "only goes forward"),
        ('== "all"', '== "al"', "17:71", "did you mean 'all'?"),
        ("!inputs.quick", "steps.restart.outcome == 'failed'", "14:44", "does not come before"),
        ("!inputs.quick", "inputs.size == 'smal'", "14:44", "did you mean 'small'?"),
        ("!inputs.quick", "inputs.quick &&", "14:44", "character 16"),
        ("id: how", "id: undo", "16:10", "cannot be called undo"),
        ("id: how", "id: tier-pause", "9:5", "belongs to the block's pause"),
    ],
)
def test_mistakes_are_named_at_their_place(old: str, new: str, where: str, says: str) -> None:
    assert old in GOOD
    with pytest.raises(DocumentError) as caught:
        parse("r.yml", (HEAD + GOOD.replace(old, new)).encode(), {"runbook/v1": Runbook})
    lines = [str(problem) for problem in caught.value.problems]
    assert any(line.startswith(f"r.yml:{where}:") and says in line for line in lines), lines


def test_undo_neither_asks_nor_waits_nor_branches() -> None:
    for step in ("wait: {for: 1m}", "ask: {question: q, answer: boolean}"):
        with pytest.raises(DocumentError, match="undo neither asks nor waits"):
            parse("r.yml", (HEAD + GOOD + f"undo: [{{{step}}}]\n").encode(), {"runbook/v1": Runbook})
    with pytest.raises(DocumentError, match="no guard"):
        parse(
            "r.yml",
            (HEAD + GOOD + "undo: [{playbook: back, when: inputs.quick}]\n").encode(),
            {"runbook/v1": Runbook},
        )
