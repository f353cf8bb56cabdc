import json

import pytest
import yaml

from itmp.documents import DocumentError, json_schema
from itmp.runbook import Runbook
from itmp.runbook.model import PlaybookStep, RollingStep, TasksStep
from itmp.testing.runbooks import HEAD, read_runbook


def refused(text: str) -> list[str]:
    with pytest.raises(DocumentError) as caught:
        read_runbook((HEAD + text).encode(), "r.yml")
    return [f"{p.line}:{p.column} {p.message} ({p.suggestion})" for p in caught.value.problems]


def test_flow_and_block_style_mean_the_same():
    flow = read_runbook(
        (HEAD + "steps:\n  - {id: a, playbook: touch, vars: {n: 1}, delegates: [lb1]}\n").encode()
    )
    block = read_runbook(
        (
            HEAD
            + "steps:\n  - id: a\n    playbook: touch\n    vars:\n      n: 1\n    delegates:\n      - lb1\n"
        ).encode()
    )
    assert flow.steps == block.steps


def test_all_kinds_of_step_are_read():
    runbook = read_runbook(
        (
            HEAD
            + """\
steps:
  - rolling: {hosts: web, batches: [1, 25%], max_failures: 1}
    steps:
      - id: restart
        tasks:
          - {name: Restart, ansible.builtin.service: {name: nginx, state: restarted}}
        probe: {http: {url: "http://${host.address}:8080/v"}}
  - {id: ok, hosts: web, check: {command: {argv: [test, -f, /x]}}, always: true, on_failure: continue}
undo:
  - {playbook: web_previous_config}
"""
        ).encode()
    )
    block = runbook.steps[0]
    assert isinstance(block, RollingStep)
    assert isinstance(block.steps[0], TasksStep)
    assert [runbook.step_id(loc) for loc, _, _ in runbook.placed()] == ["restart", "ok", "undo-1"]
    assert runbook.step_id(("steps", 0)) == "rolling-1"


@pytest.mark.parametrize(
    ("text", "where", "says"),
    [
        ("steps: []\n", "7:8", "may not be empty"),
        ("steps: [{playbook: touch}]\n", "7:9", "'id' is missing"),
        ("steps: [{id: a}]\n", "7:9", "one of the keys playbook, tasks, check, stack, rolling"),
        ("steps: [5]\n", "7:9", "one of the keys"),
        ("steps: [{id: A b, playbook: touch}]\n", "7:14", "pattern"),
        ("steps: [{id: a, playbook: touch}, {id: a, playbook: touch}]\n", "7:40", "occurs twice"),
        ("steps: [{id: a, playbook: touch}]\nundo: [{id: a, playbook: touch}]\n", "8:13", "occurs twice"),
        ("steps: [{id: undo-1, playbook: touch}]\nundo: [{playbook: touch}]\n", "8:8", "occurs twice"),
        ("steps: [{id: a, playbook: ../touch}]\n", "7:27", "pattern"),
        ("steps: [{id: a, playbok: touch}]\n", "7:17", "did you mean 'playbook'?"),
        ("steps: [{id: a, playbook: touch, delegats: [x]}]\n", "7:34", "did you mean 'delegates'?"),
        ("steps: [{id: a, playbook: touch, tasks: []}]\n", "7:34", "unknown key 'tasks'"),
        ("steps: [{id: a, tasks: [{a: b}]}]\n", "7:9", "needs the key 'hosts'"),
        ("steps: [{id: a, tasks: [], hosts: web}]\n", "7:24", "may not be empty"),
        ("steps: [{id: a, check: {tcp: {port: 1}}}]\n", "7:9", "needs the key 'hosts'"),
        ("steps: [{id: a, hosts: web, check: {}}]\n", "7:36", "exactly one of http, tcp and command"),
        (
            "steps: [{id: a, hosts: web, check: {tcp: {port: 1}, http: {url: 'http://x'}}}]\n",
            "7:36",
            "exactly one of",
        ),
        ("steps: [{id: a, hosts: web, check: {tcp: {port: 70000}}}]\n", "7:49", "65535"),
        ("steps: [{id: a, hosts: web, check: {http: {url: 'ftp://x'}}}]\n", "7:49", "pattern"),
        (
            "steps: [{id: a, hosts: web, check: {command: {argv: [x], contains: '{{ y }}'}}}]\n",
            "7:68",
            "template",
        ),
        (
            "steps: [{id: a, playbook: touch, probe: {command: {argv: [x, '{{ y }}']}}}]\n",
            "7:62",
            "template",
        ),
        ("steps: [{id: a, playbook: touch, probe: {}}]\n", "7:41", "exactly one of http, tcp and command"),
        (
            "steps: [{rolling: {hosts: web, batches: [0]}, steps: [{id: a, playbook: touch}]}]\n",
            "7:42",
            "percentage",
        ),
        (
            "steps: [{rolling: {hosts: web, batches: [101%]}, steps: [{id: a, playbook: touch}]}]\n",
            "7:42",
            "percentage",
        ),
        (
            "steps: [{rolling: {hosts: web, batches: []}, steps: [{id: a, playbook: touch}]}]\n",
            "7:41",
            "may not be empty",
        ),
        (
            "steps: [{rolling: {hosts: web, batches: [1], max_failures: -1}, steps: [{id: a, playbook: touch}]}]\n",
            "7:60",
            "greater",
        ),
        ("steps: [{rolling: {hosts: web, batches: [1]}, steps: []}]\n", "7:54", "may not be empty"),
        (
            "steps: [{rolling: {hosts: web, batches: [1]}, steps: [{rolling: {}, steps: []}]}]\n",
            "7:55",
            "rolling cannot stand here",
        ),
        (
            "steps: [{id: a, playbook: touch}]\nundo: [{rolling: {}, steps: []}]\n",
            "8:8",
            "rolling cannot stand here",
        ),
        (
            "steps: [{id: a, playbook: touch}]\nundo: [{playbook: touch, always: true}]\n",
            "8:8",
            "neither always",
        ),
        ("steps: [{id: a, playbook: touch, on_failure: undo}]\n", "7:9", "there is no undo"),
        (
            "steps: [{rolling: {hosts: web, batches: [1]}, steps: [{id: a, playbook: touch, on_failure: undo}]}]\n",
            "7:9",
            "there is no undo",
        ),
        ("steps: [{id: a, playbook: touch, hosts: '@/etc/passwd'}]\n", "7:41", "pattern"),
        ("steps: [{id: a, playbook: touch, hosts: '--help'}]\n", "7:41", "pattern"),
    ],
)
def test_mistakes_are_named_at_their_place(text: str, where: str, says: str):
    lines = refused(text)
    assert any(line.startswith(where + " ") and says in line for line in lines), lines


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("steps: [{id: a, playbook: touch, vars: {db_password: hunter2}}]\n", "7:54"),
        ("steps: [{id: a, playbook: touch, vars: {db: {token: hunter2}}}]\n", "7:53"),
        ("steps: [{id: a, hosts: web, tasks: [{user: {name: x, password: hunter2}}]}]\n", "7:64"),
        ("steps: [{id: a, hosts: web, tasks: [{debug: {}, vars: {api_key: hunter2}}]}]\n", "7:65"),
        ("steps: [{id: a, playbook: touch}]\nundo: [{playbook: touch, vars: {api_key: hunter2}}]\n", "8:42"),
        (
            "inputs: {s: {type: string, default: hunter2}}\nsteps: [{id: a, playbook: touch, vars: {pwd: '${inputs.s}'}}]\n",
            "8:46",
        ),
        (
            "inputs: {db_password: {type: string, default: hunter2}}\nsteps: [{id: a, playbook: touch}]\n",
            "7:23",
        ),
        ("steps: [{id: a, playbook: touch, vars: {t: {secret: hunter2}}}]\n", "7:53"),
        ("steps: [{id: a, playbook: touch, vars: {t: {deep: {secret: 'env:hunter2'}}}}]\n", "7:44"),
        ("steps: [{id: a, hosts: web, tasks: [{x: {secret: 'env:hunter2'}}]}]\n", "7:37"),
    ],
)
def test_a_secret_written_out_is_refused_and_never_printed(text: str, where: str):
    (line,) = refused(text)
    assert line.startswith(where + " ")
    assert "secret" in line
    assert "hunter2" not in line


@pytest.mark.parametrize(
    "name",
    [
        "web1",
        "fe80::1",
        "::1",
        "::ffff:10.0.0.1",
        "bücher",
        "מחשב1",
        "シャ-1",
        "core@site",
        "a+b",
        "10.0.0.1",
        "_x.y",
    ],
)
def test_a_declared_host_has_any_name_that_an_inventory_may_hold(name: str) -> None:
    step = yaml.safe_dump(
        [{"id": "a", "playbook": "touch", "delegates": [name], "adds": [name]}], allow_unicode=True
    )
    found = read_runbook(f"{HEAD}steps:\n{step}".encode()).steps[0]
    assert isinstance(found, PlaybookStep)
    assert (found.delegates, found.adds) == ((name,), (name,))


@pytest.mark.parametrize(
    "name",
    [
        "", "web,db", "web:db", "!web", "&web", "web*", "web?", "~web.*", "@file", "-x", "web[1:3]", "[::1]", "fe80::1%eth0",
        "10.0.0.1:22", "a b", "a/b", "{{ x }}", "{% x %}", "$(id)", "`id`", "a\nb", "a\n", "a\tb", "a\x85b", "a\u202eb", "a\u200bb",
        "a" * 254,
    ],
)  # fmt: skip
@pytest.mark.parametrize("where", ["delegates", "adds"])
def test_what_is_no_name_or_means_more_is_refused_and_shown_harmless(where: str, name: str) -> None:
    lines = refused(f"steps: [{{id: a, playbook: touch, {where}: [{json.dumps(name)}]}}]\n")
    assert lines
    assert all(line.isprintable() and len(line) < 400 for line in lines)


@pytest.mark.parametrize(
    ("address", "good"),
    [("fe80::1", True), ("10.0.0.9", True), ("new.example.org", True), ("[::1]", False), ("bücher", False), ("a@b", False)],
)  # fmt: skip
def test_a_new_host_answers_at_a_name_or_an_address(address: str, good: object) -> None:
    step = f"steps: [{{id: a, playbook: touch, adds: [{{name: 'fe80::2', address: '{address}'}}]}}]\n"
    if good:
        read_runbook((HEAD + step).encode())
    else:
        assert any("not an address" in line or "not a host's name" in line for line in refused(step))


def test_public_vars_are_let_through():
    read_runbook(
        (
            HEAD
            + "public_vars: [db_password]\nsteps: [{id: a, playbook: touch, vars: {db_password: demo}}]\n"
        ).encode()
    )


def test_host_references_stand_in_http_and_tcp_alone():
    for text in (
        "tasks: [{x: '${host.name}'}], hosts: web",
        "playbook: touch, vars: {a: '${host.address}'}",
        "hosts: web, check: {command: {argv: ['${host.name}']}}",
    ):
        (line,) = refused("steps: [{id: a, " + text + "}]\n")
        assert "cannot stand here" in line
    (line,) = refused("steps: [{id: a, hosts: web, check: {http: {url: 'http://${host.vars}/'}}}]\n")
    assert "cannot stand here" in line


def test_every_problem_of_the_document_comes_at_once():
    lines = refused(
        "inputs: {t: {type: string, defalt: x}}\nsteps:\n  - {id: a, playbook: touch, tsks: 1}\n  - {id: b, wait: {for: 5}}\n  - {id: c}\n"
    )
    assert [line.split()[0] for line in lines] == ["7:28", "9:30", "10:25", "11:5"]


def test_the_schema_offers_no_key_that_this_version_refuses():
    text = str(json_schema(Runbook))
    assert "Misplaced" not in text
    assert "'batches'" in text
