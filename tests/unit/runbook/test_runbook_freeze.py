from dataclasses import replace

import pytest
import yaml

from itmp.documents import DocumentError
from itmp.errors import InvalidInputError
from itmp.plan import AnsibleStep, CheckStep, CommandProbe, HttpProbe, RollingStep, TcpProbe
from itmp.plan.showing import describe_probe
from itmp.runbook import needs
from itmp.testing.runbooks import HEAD, compile_runbook, read_runbook, small_world

TEXT = (
    HEAD
    + """\
reviewed: {on: 2026-10-01, every: 90d}
moved: {gone: skip up to 2, new: ignore}
inputs: {n: {type: integer, default: 2}, wait: {type: duration, default: 45s}, name: {type: string, default: abc}}
steps:
  - rolling: {hosts: web, batches: ["${inputs.n}", 50%], max_failures: "${inputs.n}"}
    on_failure: undo
    steps:
      - {id: drain, playbook: drain, vars: {n: "${inputs.n}", text: "n=${inputs.n}", k: {secret: "file:/run/k"}}, delegates: [lb1], timeout: "${inputs.wait}"}
      - id: inline
        hosts: web1:web5
        tasks: [{name: "Say ${inputs.name}", ansible.builtin.command: {argv: [echo, "${inputs.n}", "${HOME}"]}}]
        probe: {http: {url: "http://${host.address}:8080/${host.name}", contains: "${host.name}"}}
      - {id: asked, playbook: touch, probe: {command: {argv: [test, -e, "/var/${host.name}/${inputs.n}"], rc: 1, become: true}}}
      - {id: port, check: {tcp: {port: "${host.port}"}}, within: "${inputs.wait}"}
      - {id: run, check: {command: {argv: [check, "${inputs.name}"], rc: 3, contains: fine, every: 5s}}, within: 20s, always: true}
undo:
  - {playbook: touch}
"""
)


def refused(text: str, **world: object) -> str:
    with pytest.raises(DocumentError) as caught:
        compile_runbook((HEAD + text).encode(), sources=replace(small_world(), **world))
    return str(caught.value)


def test_needs_stand_in_the_order_of_the_document():
    document = read_runbook(TEXT.encode())
    wanted = needs(document, {"n": 2, "wait": "45s", "name": "abc"})
    assert [(play.id, play.playbook, play.pattern, play.sliced) for play in wanted.plays] == [
        ("drain", "drain", "web", True),
        ("inline", "_itmp_inline", "web1:web5", True),
        ("asked", "touch", "web", True),
        ("run", "_itmp_run", "web", True),
        ("undo-1", "touch", "", False),
    ]
    assert wanted.patterns == ("web", "web1:web5")
    assert wanted.plays[0].mark == "runbooks/test.yml:14:9"
    assert (wanted.plays[0].vars, wanted.plays[0].secrets) == ({"n": 2, "text": "n=2"}, {"k": "file:/run/k"})
    assert wanted.plays[0].delegates == ("lb1",)


def test_the_block_is_frozen_with_its_steps():
    manifest = compile_runbook(TEXT.encode(), given={"n": "3"}).manifest
    (block,) = manifest.steps
    assert isinstance(block, RollingStep)
    assert [len(batch) for batch in block.batches] == [3, 4, 1]
    assert (block.id, block.max_failures, block.on_failure) == ("rolling-1", 3, "undo")
    drain, inline, asked, port, run = block.steps
    assert isinstance(drain, AnsibleStep)
    assert (drain.vars, drain.secrets) == ({"n": 3, "text": "n=3"}, {"k": "file:/run/k"})
    assert (drain.delegates, drain.timeout) == (("lb1",), 45)
    assert inline.hosts == ("web1", "web5")
    assert isinstance(inline, AnsibleStep)
    assert inline.probes["web5"] == HttpProbe(url="http://10.0.0.5:8080/web5", contains="web5")
    assert isinstance(asked, AnsibleStep)
    there = CommandProbe(argv=("test", "-e", "/var/web2/3"), rc=1, become=True)
    assert asked.probes["web2"] == there
    assert describe_probe(there) == "as root, test -e /var/web2/3 exits with 1"
    assert isinstance(port, CheckStep)
    assert port.within == 45
    assert port.probes["web2"] == TcpProbe(host="10.0.0.2", port=22)
    assert isinstance(run, AnsibleStep)
    assert run.always


def test_inline_tasks_become_a_play_with_inputs_and_without_surprises():
    plan = compile_runbook(TEXT.encode())
    (play,) = yaml.safe_load(plan.artifact("project/playbooks/_itmp_inline.yml"))
    assert play == {
        "name": "inline",
        "hosts": "web1:web5",
        "gather_facts": False,
        "tasks": [{"name": "Say abc", "ansible.builtin.command": {"argv": ["echo", 2, "${HOME}"]}}],
    }


def test_a_command_check_repeats_and_changes_nothing():
    plan = compile_runbook(TEXT.encode())
    (play,) = yaml.safe_load(plan.artifact("project/playbooks/_itmp_run.yml"))
    (task,) = play["tasks"]
    assert task["ansible.builtin.command"] == {"argv": ["check", "abc"]}
    assert (task["retries"], task["delay"], task["changed_when"]) == (4, 5, False)
    assert (
        task["until"]
        == "itmp_check.rc | default(-1) == 3 and itmp_contains in (itmp_check.stdout | default(''))"
    )
    assert task["failed_when"] == f"not ({task['until']})"
    assert task["vars"] == {"itmp_contains": "fine"}


def test_the_head_is_frozen():
    manifest = compile_runbook(TEXT.encode()).manifest
    assert manifest.reviewed is not None
    assert (manifest.reviewed.on, manifest.reviewed.due) == ("2026-10-01", "2026-12-30")
    assert (manifest.moved.gone, manifest.moved.skip, manifest.moved.new) == ("skip", 2, "ignore")
    assert manifest.inputs == {"n": 2, "name": "abc", "wait": "45s"}
    assert (manifest.kind, manifest.environment, manifest.risk) == ("runbook", "lab", "low")
    assert manifest.document.path == "runbooks/test.yml"
    assert manifest.versions == {"ansible-core": "2.19.0"}


def test_only_touched_hosts_and_delegates_are_frozen_by_name():
    manifest = compile_runbook(
        (HEAD + "steps: [{id: drain, playbook: drain, hosts: web2}]\n").encode()
    ).manifest
    assert manifest.inventory is not None
    assert [host.name for host in manifest.inventory.hosts] == ["web2", "lb1"]


def test_an_address_of_version_6_stands_in_brackets():
    text = (
        HEAD
        + "steps: [{id: a, hosts: web1, check: {http: {url: 'http://${host.address}/'}}}, {id: b, hosts: web1, check: {tcp: {port: 80}}}]\n"
    )
    world = replace(small_world(), addresses={"web1": "fe80::1"})
    first, second = compile_runbook(text.encode(), sources=world).manifest.steps
    assert isinstance(first, CheckStep)
    assert isinstance(second, CheckStep)
    assert first.probes["web1"] == HttpProbe(url="http://[fe80::1]/")
    assert second.probes["web1"] == TcpProbe(host="fe80::1", port=80)


@pytest.mark.parametrize(
    "step",
    ["{id: a, hosts: all, check: {tcp: {port: 80}}}", "{id: a, playbook: touch}", "{rolling: {hosts: web, batches: [1]}, steps: [{id: a, playbook: touch}]}"],
)  # fmt: skip
def test_no_plan_acts_on_a_host_that_the_log_cannot_name_and_one_may_delegate_to_it(step: str) -> None:
    world = replace(small_world(), hosts={"web1": ("web",), "bücher": ("web",)})
    with pytest.raises(InvalidInputError, match="acts on host 'bücher', and the log names"):
        compile_runbook((HEAD + f"steps: [{step}]\n").encode(), sources=world)
    world = replace(small_world(), hosts={"web1": ("web",), "bücher": ("lb",), "fe80::1": ("lb",)})
    text = HEAD + "steps: [{id: a, playbook: touch, delegates: [bücher, 'fe80::1']}]\n"
    (made,) = compile_runbook(text.encode(), sources=world).manifest.steps
    assert isinstance(made, AnsibleStep)
    assert (made.hosts, made.delegates) == (("web1",), ("bücher", "fe80::1"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "steps: [{rolling: {hosts: db, batches: [25%]}, steps: [{id: a, playbook: touch}]}]\n",
            "7:27: the pattern 'db' matches no host",
        ),
        ("steps: [{id: a, hosts: db, check: {tcp: {port: 1}}}]\n", "7:24: the pattern 'db' matches no host"),
        ("steps: [{id: a, hosts: lb, playbook: touch}]\n", "7:9: this step within 'lb' acts on no host"),
        (
            "steps: [{rolling: {hosts: web, batches: [1]}, steps: [{id: a, hosts: lb1, check: {tcp: {port: 1}}}]}]\n",
            "7:70: this step asks no host of the block",
        ),
        (
            "inputs: {u: {type: string, default: x}}\nsteps: [{id: a, hosts: web1, check: {http: {url: '${inputs.u}'}}}]\n",
            "8:50: String should match",
        ),
        (
            "inputs: {u: {type: string, default: 'http:// x'}}\nsteps: [{id: a, hosts: web1, check: {http: {url: '${inputs.u}'}}}]\n",
            "8:50: String should match",
        ),
    ],
)
def test_what_the_facts_leave_open_is_named(text: str, says: str):
    assert says in refused(text)


def test_a_missing_address_is_named_with_its_host():
    text = "steps: [{id: a, hosts: web, check: {http: {url: 'http://${host.address}/'}}}]\n"
    assert "not a URL for host 'web3'" in refused(text, addresses={"web3": ""})
    text = "steps: [{id: a, hosts: web, check: {tcp: {port: 5}}}]\n"
    assert "no address for host 'web3'" in refused(text, addresses={"web3": ""})


def test_all_open_places_are_named_at_once():
    text = "steps: [{id: a, hosts: db, check: {tcp: {port: 1}}}, {id: b, hosts: lb, playbook: touch}]\n"
    assert len(refused(text).splitlines()) == 2


def test_a_missing_playbook_is_the_sources_problem():
    with pytest.raises(InvalidInputError, match="no playbook 'nope'"):
        compile_runbook((HEAD + "steps: [{id: a, playbook: nope}]\n").encode())


OWN = """\
steps:
  - rolling: {hosts: web, batches: [1]}
    steps:
      - {id: a, playbook: drain, delegates: [lb1], undo: {playbook: touch}}
      - {id: b, tasks: [{ansible.builtin.command: x}], undo: {id: b-back, tasks: [{ansible.builtin.command: y}]}}
  - {id: c, hosts: web1:web5, tasks: [{ansible.builtin.command: x}], on_failure: undo, undo: {tasks: [{ansible.builtin.command: y}]}}
"""


def test_what_takes_a_step_back_stands_in_it_and_runs_last_step_first_before_the_rest() -> None:
    text = OWN + "undo:\n  - {hosts: web, tasks: [{ansible.builtin.command: z}]}\n"
    manifest = compile_runbook((HEAD + text).encode(), sources=small_world()).manifest
    backs = [step for step in manifest.undo if isinstance(step, AnsibleStep)]
    assert [(step.id, step.undoes) for step in backs] == [
        ("undo-c", "c"),
        ("b-back", "b"),
        ("undo-a", "a"),
        ("undo-1", ""),
    ]
    assert backs[0].hosts == ("web1", "web5")
    assert len(backs[1].hosts) > 2


@pytest.mark.parametrize(
    ("undo", "message"),
    [
        ("{playbook: touch, always: true}", "neither always"),
        ("{playbook: touch, undo: {playbook: touch}}", "not itself taken back"),
        ("{check: {tcp: {port: 80}}}", "has one of the keys playbook, tasks"),
    ],
)
def test_what_takes_a_step_back_is_an_ordinary_playbook(undo: str, message: str) -> None:
    text = f"steps:\n  - {{id: a, hosts: web, playbook: drain, undo: {undo}}}\n"
    assert message in refused(text)
