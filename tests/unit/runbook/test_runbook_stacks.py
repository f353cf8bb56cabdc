"""Stack steps of a runbook: what they may say, what they freeze into, and how they are taken back."""

from dataclasses import replace
from typing import Any

import pytest

from itmp.documents import DocumentError, json_schema
from itmp.errors import InvalidInputError
from itmp.plan import AnsibleStep, CheckStep, Plan, PulumiStep, Sources, scope
from itmp.plan.model import Change
from itmp.plan.sources import Facts, KnobNeed, Needs
from itmp.runbook import Runbook, needs
from itmp.testing.runbooks import HEAD, compile_runbook, read_runbook, small_world
from itmp.testing.stacks import BothSources, FakeStackSources

VALUES = {"web-asg": 4, "prod/api": 2, "spare": 1}
WEB = "{id: web, knob: autoscaling-group, name: web-asg, to: 8}"
API = "{id: api, knob: ecs-service, name: prod/api, to: 5}"
WIDEN = f"{{id: widen, stack: {{name: web, adjust: [{WEB}]}}}}"
TEXT = f"""\
inputs:
  size: {{type: integer, default: 8}}
steps:
  - id: widen
    stack:
      program: aws-capacity
      name: web
      adjust:
        - {{id: web, knob: autoscaling-group, name: web-asg, to: "${{inputs.size}}", limits: {{max_step: 6}}}}
        - {API}
    on_failure: undo
    timeout: 10m
  - {{id: touch, playbook: touch}}
  - {{id: reach, hosts: web, check: {{tcp: {{port: 22}}}}}}
undo:
  - {{id: back, playbook: touch}}
  - {{stack: {{previous: widen}}, timeout: 5m}}
"""


def world(**values: int) -> Sources:
    return BothSources(hosts=small_world(2), stacks=FakeStackSources(values=values or VALUES))


def frozen(text: str = TEXT, sources: Sources | None = None, **given: str) -> Plan:
    return compile_runbook((HEAD + text).encode(), sources=sources or world(), given=given)


def refused(text: str, sources: Sources | None = None, **given: str) -> str:
    with pytest.raises(DocumentError) as caught:
        frozen(text, sources, **given)
    return "\n".join(f"{p.line}:{p.column} {p.message} ({p.suggestion})" for p in caught.value.problems)


def pulumi(plan: Plan, step: str) -> PulumiStep:
    (found,) = [one for one in (*plan.manifest.steps, *plan.manifest.undo) if one.id == step]
    assert isinstance(found, PulumiStep)
    return found


def entry(step: PulumiStep, name: str) -> dict[str, Any]:
    (found,) = [knob for knob in step.config["knobs"] if knob["id"] == name]
    return {key: found[key] for key in ("to", "low", "high", "allow_zero")}


def test_one_plan_holds_both_worlds_in_the_documents_order():
    plan = frozen()
    kinds = [(type(step), step.id) for step in plan.manifest.steps]
    assert kinds == [(PulumiStep, "widen"), (AnsibleStep, "touch"), (CheckStep, "reach")]
    assert [step.id for step in plan.manifest.undo] == ["back", "undo-2"]
    assert scope(plan.manifest).text == "env=lab hosts=2 resources=2"
    assert plan.manifest.versions == {"ansible-core": "2.19.0", "pulumi": "3.259.0"}
    assert plan.digest == frozen().digest
    assert plan.digest != frozen(size="9").digest
    assert plan.digest != frozen(sources=world(**{**VALUES, "web-asg": 5})).digest


def test_the_need_names_stack_knobs_and_place():
    document = read_runbook((HEAD + TEXT).encode(), "r.yml")
    found = needs(document, {"size": 9})
    (stack,) = found.stacks
    assert (stack.id, stack.program, stack.stack) == ("widen", "aws-capacity", "web")
    assert stack.mark == "r.yml:15:9"
    assert stack.knobs[0] == KnobNeed(knob="aws:autoscaling:Group", id="web-asg", field="desired")
    assert [knob["to"] for knob in stack.config["knobs"]] == [9, 5]
    assert [play.id for play in found.plays] == ["touch", "back"]


def test_the_update_is_frozen_with_limits_reaction_and_time():
    step = pulumi(frozen(), "widen")
    assert (step.program, step.stack, step.on_failure, step.timeout) == (
        "program/aws-capacity",
        "web",
        "undo",
        600,
    )
    assert step.title == "Set web-asg to 8, prod/api to 5"
    assert [(one.id, one.low, one.value, one.high) for one in step.present] == [
        ("web-asg", 4, 4, 4),
        ("prod/api", 2, 2, 2),
    ]
    assert "a change of 7, from 4 to 11; the limit is 6" in refused(TEXT, size="11")


def test_previous_sets_back_what_was_read():
    back = pulumi(frozen(), "undo-2")
    assert (back.stack, back.timeout, back.on_failure) == ("web", 300, "stop")
    assert entry(back, "web") == {"to": 4, "low": 8, "high": 8, "allow_zero": False}
    assert entry(back, "api") == {"to": 2, "low": 5, "high": 5, "allow_zero": False}
    assert [one.inputs["desired"] for one in back.operations if one.name == "web"] == [Change(old=8, new=4)]
    assert [(one.low, one.high) for one in back.present] == [(4, 8), (2, 5)]
    assert back.title == "Set back: Set web-asg to 8, prod/api to 5"


def own(adjust: str) -> str:
    return f"steps: [{WIDEN}]\nundo: [{{id: less, stack: {{name: web, adjust: [{adjust}]}}}}]\n"


def test_an_undo_with_values_of_its_own_starts_where_its_step_may_have_left_off():
    plan = frozen(own(WEB.replace("to: 8", "to: 6")))
    back = pulumi(plan, "less")
    assert entry(back, "web") == {"to": 6, "low": 4, "high": 8, "allow_zero": False}
    assert [(one.op, one.inputs["desired"]) for one in back.operations] == [("update", Change(old=8, new=6))]
    assert [(one.low, one.high) for one in back.present] == [(4, 8)]
    zero = WEB.replace("to: 8", "to: 0, allow_zero: true")
    assert entry(pulumi(frozen(own(zero)), "less"), "web")["allow_zero"] is True


def test_limits_of_such_an_undo_hold_from_wherever_it_may_start():
    within = WEB.replace("to: 8", "to: 3, limits: {max_step: 5}")
    assert pulumi(frozen(own(within)), "less")
    assert "a change of 5, from 4..8 to 3; the limit is 4" in refused(own(within.replace("5}", "4}")))
    assert "3 is outside the limits 4 to 9" in refused(own(within.replace("max_step: 5", "min: 4, max: 9")))


def test_an_undo_may_turn_what_no_step_touches():
    spare = "{id: spare, knob: autoscaling-group, name: spare, to: 3}"
    text = f"steps: [{{id: a, playbook: touch}}]\nundo: [{{stack: {{name: spare, adjust: [{spare}]}}}}]\n"
    step = pulumi(frozen(text), "undo-1")
    assert entry(step, "spare") == {"to": 3, "low": 1, "high": 1, "allow_zero": False}


def test_a_runbook_of_stacks_alone_needs_no_inventory():
    text = f"steps: [{WIDEN}]\n"
    assert needs(read_runbook((HEAD + text).encode()), {}).patterns == ()
    plan = frozen(text)
    assert plan.manifest.inventory is None
    assert scope(plan.manifest).text == "env=lab hosts=0 resources=1"


@pytest.mark.parametrize(
    ("text", "where", "says"),
    [
        (
            f"steps: [{{rolling: {{hosts: web, batches: [1]}}, steps: [{WIDEN}]}}]\n",
            "7:55",
            "a stack cannot stand inside rolling: it is updated as a whole, before the block or after it",
        ),
        (
            f"steps: [{WIDEN}, {{id: more, stack: {{name: web, adjust: [{API}]}}}}]\n",
            "7:128",
            "'widen' already",
        ),
        (
            f"steps: [{WIDEN}, {{id: more, stack: {{name: other, adjust: [{WEB}]}}}}]\n",
            "7:192",
            "'web-asg' is adjusted by step 'widen' already (adjust each resource in one step)",
        ),
        (
            f"steps: [{WIDEN}]\nundo: [{{stack: {{name: other, adjust: [{WEB}]}}}}]\n",
            "8:80",
            "'web-asg' is adjusted by step 'widen' already",
        ),
        ("steps: [{id: a, stack: {previous: a}}]\n", "7:35", "previous stands in undo alone"),
        (
            f"steps: [{WIDEN}]\nundo: [{{stack: {{previous: widden}}}}]\n",
            "8:27",
            "no step 'widden' updates a stack (did you mean 'widen'?)",
        ),
        (
            "steps: [{id: touch, playbook: touch}]\nundo: [{stack: {previous: touch}}]\n",
            "8:27",
            "no step 'touch' updates a stack (steps with a stack: none)",
        ),
        (
            f"steps: [{WIDEN}]\nundo: [{{stack: {{previous: widen}}}}, {{stack: {{previous: widen}}}}]\n",
            "8:44",
            "is updated by step 'undo-1' already (keep one of them)",
        ),
        (
            f"steps: [{WIDEN}]\nundo: [{{stack: {{previous: widen, name: web}}}}]\n",
            "8:34",
            "unknown key 'name' (known here: previous)",
        ),
        (own(API), "8:46", "its knobs are not the same (name the same knobs, or write previous: widen)"),
        (
            own(WEB.replace("to: 8", "to: 6, from: {min: 1, max: 9}")),
            "8:110",
            "where it starts follows from step 'widen' (remove the key)",
        ),
        (own(WEB).replace("8}", "0}"), "8:101", "0 switches it off"),
        ("steps: [{id: a, stack: {adjust: [" + WEB + "]}}]\n", "7:24", "the key 'name' is missing"),
        ("steps: [{id: a, stack: {name: web, adjust: []}}]\n", "7:44", "may not be empty"),
        ("steps: [{id: a, stack: 5}]\n", "7:24", "a mapping of keys and values expected"),
        ("steps: [{id: a, stack: {name: web, adjst: [" + WEB + "]}}]\n", "7:36", "did you mean 'adjust'?"),
        (
            f"steps: [{WIDEN.replace('{id: widen', '{id: widen, hosts: web')}]\n",
            "7:21",
            "unknown key 'hosts'",
        ),
        (
            f"steps: [{WIDEN.replace('{id: widen', '{id: widen, always: true')}]\n",
            "7:21",
            "unknown key 'always'",
        ),
        (f"steps: [{WIDEN.replace('{id: widen, ', '{')}]\n", "7:9", "'id' is missing"),
        (
            f"steps: [{WIDEN}]\nundo: [{{stack: {{previous: widen}}, on_failure: undo}}]\n",
            "8:8",
            "neither always",
        ),
        (
            f"steps: [{WIDEN.replace('{id: widen', '{id: widen, on_failure: undo')}]\n",
            "7:9",
            "on_failure: undo, but there is no undo",
        ),
        (
            "steps: [{id: a, stack: {name: web, adjust: [" + WEB + ", " + WEB + "]}}]\n",
            "7:108",
            "occurs twice",
        ),
    ],
)
def test_mistakes_are_named_at_their_place(text: str, where: str, says: str):
    lines = refused(text).splitlines()
    assert any(line.startswith(where + " ") and says in line for line in lines), lines


def test_names_from_inputs_are_compared_once_they_are_known():
    text = "inputs: {group: {type: string, default: web-asg}}\n" + own(WEB.replace("to: 8", "to: 6")).replace(
        "name: web-asg", 'name: "${inputs.group}"', 1
    )
    assert read_runbook((HEAD + text).encode())
    assert pulumi(frozen(text), "less")
    assert "its knobs are not the same" in refused(text, group="spare")


def test_values_that_the_facts_leave_open_are_named():
    assert "the present value of 'web-asg' was not read" in refused(TEXT, world(**{"prod/api": 2}))
    ranged = TEXT.replace(API, API.replace("to: 5", "to: 5, from: {min: 3, max: 4}"))
    assert "prod/api is at 2, outside 3 to 4" in refused(ranged)


class Blind:
    """Sources that gather nothing of stacks."""

    def gather(self, needs: Needs) -> Facts:
        return replace(small_world(2).gather(needs), stacks={})


def test_missing_facts_are_a_problem():
    assert "no facts were gathered for this stack" in refused(TEXT, Blind())


def test_a_stack_without_its_program_is_the_sources_problem(tmp_path):
    pytest.importorskip("pulumi")
    from itmp.adapters.pulumi.sources import PulumiSources  # noqa: PLC0415 - an extra

    real = PulumiSources(tmp_path, state=tmp_path / "s", engine=tmp_path / "none")
    with pytest.raises(InvalidInputError, match="no program stacks/aws-capacity") as caught:
        frozen(f"steps: [{WIDEN}]\n", BothSources(hosts=small_world(), stacks=real))
    assert "runbooks/test.yml:7:" in str(caught.value)


def test_the_schema_knows_both_forms():
    defs = json_schema(Runbook)["$defs"]
    assert {"Stack", "Previous", "Adjust"} <= defs.keys()
    assert defs["Previous"]["required"] == ["previous"]
    assert "Stack" not in str(defs["RollingStep"]["properties"]["steps"])
