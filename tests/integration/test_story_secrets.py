"""What is secret reaches the host and nothing else: no file, no output, no argument, in no encoding.

Every secret of this story is planted in its own way and is looked for, byte by byte, in all that the run has written,
printed or started: the workspace, the home, temporary folders, captured output, arguments and environments.
"""

import os
import subprocess
import sys

import pytest
import yaml
from places import PATIENCE, Place, wait_for
from traces import Search, memory

pytestmark = pytest.mark.fleet

NAMES = ("vaulted", "inline", "from_env", "from_file", "unrelated", "hidden", "key")
# Where a play may put one; each has a secret of its own, so that what is found names the place that let it out.
PLACES = ("args", "stdout", "stderr", "diff", "exception", "environment", "task name", "failure")
SECRETS = {name: f'{name}:S3cr/t &"{name.upper()}" é+{index}' for index, name in enumerate((*NAMES, *PLACES))}
DOCUMENT = """
itmp: runbook/v1
name: secrets
title: Secrets
owner: team-web
environment: production
risk: moderate
steps:
  - id: use
    hosts: web1
    playbook: use
    vars:
      from_env: {secret: "env:APP_SECRET"}
      from_file: {secret: "file:SECRETFILE"}
"""
PLAY = """
- hosts: web1
  gather_facts: false
  tasks:
    - name: Write what the host needs
      ansible.builtin.template: {src: app.j2, dest: "{{ host_root }}/app.conf", mode: "0600"}
      diff: true
    - name: Say {{ db_password }} aloud
      ansible.builtin.command: {argv: [echo, "{{ db_password }} {{ api_token }} {{ from_env }} {{ from_file }}"]}
    - name: Fail aloud
      ansible.builtin.shell: {cmd: "cat {{ host_root }}/app.conf; cat {{ host_root }}/app.conf >&2; exit 3"}
      ignore_errors: true
    - name: Encode aloud
      ansible.builtin.debug:
        msg: "{{ db_password | b64encode }} {{ api_token | urlencode }} {{ ('x' ~ from_env) | b64encode }} {{ ('xy' ~ from_file) | b64encode }}"
    - name: Structure aloud
      ansible.builtin.debug: {msg: "{{ {'a': db_password, 'b': [api_token]} | to_json }}"}
    - name: Read quietly
      ansible.builtin.command: {argv: [cat, "{{ host_root }}/hidden"]}
      no_log: true
      register: hidden
    - name: Fail on a missing word
      ansible.builtin.fail: {msg: "wrong {{ item }}"}
      loop: ["{{ db_password }}"]
      ignore_errors: true
    - name: Put one into the arguments, and {{ put.task_name }} into the name
      ansible.builtin.command: {argv: [test, -n, "{{ put.args }}"]}
    - name: Use the environment
      ansible.builtin.shell: {cmd: 'printf %s "$PUT" > {{ host_root }}/put; printenv PUT; printenv PUT >&2; exit 3'}
      environment: {PUT: "{{ put.environment }}"}
      ignore_errors: true
    - name: Print it
      ansible.builtin.shell: {cmd: "cat; cat {{ host_root }}/put.err >&2", stdin: "{{ put.stdout }}"}
    - name: Show a difference
      ansible.builtin.copy: {content: "{{ put.diff }}", dest: "{{ host_root }}/put.diff", mode: "0600"}
      diff: true
    - name: Raise
      ansible.builtin.set_fact: {raised: "{{ put.exception | from_json }}"}
      ignore_errors: true
    - name: Fail
      ansible.builtin.fail: {msg: "{{ put.failure }}"}
      ignore_errors: true
    - name: Wait
      ansible.builtin.command: {argv: [sh, "{{ host_root }}/act", wait]}
"""


SOUGHT = Search.of(SECRETS)


def vault(place: Place, text: str, *, name: str = "") -> str:
    """Encrypt as a person would, with stock ansible-vault; `name`: as one inline value."""
    words = ["encrypt_string", "--stdin-name", name] if name else ["encrypt", "--output", "-"]
    keyfile = place.root.parent / "vault.key"
    keyfile.write_text(SECRETS["key"])
    try:
        done = subprocess.run(
            [sys.executable, "-m", "ansible", "vault", *words, "--vault-password-file", str(keyfile)],
            input=text,
            env={**os.environ, "ANSIBLE_HOME": str(place.root.parent / "ansible")},
            capture_output=True,
            text=True,
            check=True,
            timeout=PATIENCE,
        )
    finally:
        keyfile.unlink()
    return done.stdout


@pytest.fixture
def secretive(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A workspace that knows each secret in its own way."""
    outside = tmp_path_factory.mktemp("outside") / "secret"
    outside.write_text(SECRETS["from_file"] + "\n")
    put = {place.replace(" ", "_"): SECRETS[place] for place in PLACES}
    whole = yaml.safe_dump({"db_password": SECRETS["vaulted"], "put": put}, allow_unicode=True)
    place.write("inventories/group_vars/web.yml", vault(place, whole))
    place.write("inventories/group_vars/all.yml", vault(place, SECRETS["inline"], name="api_token"))
    place.write("playbooks/use.yml", PLAY)
    place.write(
        "playbooks/templates/app.j2", "{{ db_password }}\n{{ api_token }}\n{{ from_env }}\n{{ from_file }}\n"
    )
    place.write("itmp.yml", (place.root / "itmp.yml").read_text() + "vault: {default: 'env:VAULT_KEY'}\n")
    (place.on("web1") / "hidden").write_text(SECRETS["hidden"])
    (place.on("web1") / "put.err").write_text(SECRETS["stderr"])
    place.environ |= {
        "APP_SECRET": SECRETS["from_env"],
        "UNRELATED_TOKEN": SECRETS["unrelated"],
        "VAULT_KEY": SECRETS["key"],
    }
    place.write("runbooks/r.yml", DOCUMENT.replace("SECRETFILE", str(outside)))
    return place


def test_every_secret_reaches_the_host_and_stands_nowhere_else(secretive: Place) -> None:
    place = secretive
    change = place.json("propose", "runbooks/r.yml", "--reason", "test", "--key", "alice")["change"]
    place.approve(change)
    place.hold("web1", "wait")
    run = place.start("run", change, "--key", "alice", "--verbose")
    with SOUGHT.watching(run.pid) as seen:
        wait_for(lambda: "begin wait" in place.journal("web1") or run.poll() is not None, "the play's end")
        held = SOUGHT.started(run.pid)
        lying = SOUGHT.files(place.root, place.root.parent / "home", *memory())
        place.let_go("web1", "wait")
        done = place.ended(run)
    assert done.rc == 0, done
    assert (place.on("web1") / "app.conf").read_text().splitlines() == [
        SECRETS[name] for name in ("vaulted", "inline", "from_env", "from_file")
    ]
    assert (place.on("web1") / "put").read_text() == SECRETS["environment"], "it came where it was needed"
    assert (place.on("web1") / "put.diff").read_text() == SECRETS["diff"]
    assert held[0] >= 2
    assert held[1] == set(), "arguments and environments of what the held run has started"
    # A task's `environment:` is Ansible's own to hand over: words before the command that its ssh carries, for that long.
    assert seen <= {"environment"}, "arguments and environments of whatever it ever started"
    assert lying == {}, "files, while it ran"
    for verb in (
        ("logs", change),
        ("logs", change, "--json"),
        ("audit", "list", "--json"),
        ("show", change, "--json"),
    ):
        told = place.itmp(*verb, expect=0)
        assert SOUGHT.leaks((told.out + told.err).encode()) == [], verb
    place.itmp("change", "close", change, "--reason", "done", "--key", "alice", expect=0)
    place.itmp("evidence", change, "-o", "e.tar", expect=0)
    kept = SOUGHT.files(place.root, place.root.parent)
    for name in SECRETS:
        assert [file for file, found in kept.items() if name in found] == [], f"of {name}, in files"
        assert name not in SOUGHT.leaks((done.out + done.err).encode()), f"of {name}, on the terminal"
    assert kept == {}
    told = place.itmp("logs", change, expect=0).out
    for task in (
        "Fail aloud",
        "Use the environment",
        "Print it",
        "Show a difference",
        "Raise",
        "Put one into",
    ):
        assert task in told
    assert SECRETS["task name"] not in told
    assert "********" in told


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("inventories/group_vars/web.yml", "db_password: {value}\n"),
        ("inventories/host_vars/web1.yml", "app: {{api_token: {value}}}\n"),
        ("playbooks/use.yml", "- hosts: web1\n  vars: {{db_password: {value}}}\n  tasks: []\n"),
        ("runbooks/r.yml", "      db_password: {value}\n"),
    ],
)
def test_a_secret_written_out_is_refused_by_its_name_and_never_printed(
    place: Place, path: str, text: str
) -> None:
    place.write("playbooks/use.yml", "- {hosts: web1, gather_facts: false, tasks: []}\n")
    document = DOCUMENT.replace('{secret: "file:SECRETFILE"}', '{secret: "env:APP_SECRET"}')
    place.write("runbooks/r.yml", document)
    value = "hunter2-plain-value"
    old = (place.root / path).read_text() if path.startswith("runbooks") else ""
    place.write(path, old + text.format(value=value))
    for words in (
        ("plan", "runbooks/r.yml"),
        ("propose", "runbooks/r.yml", "--reason", "x", "--key", "alice"),
    ):
        done = place.itmp(*words, expect=2)
        assert path in done.err, done
        assert "db_password" in done.err or "api_token" in done.err
        assert value not in done.out + done.err
    (place.root / path).unlink()
    assert not [
        file for file in place.root.rglob("*") if file.is_file() and value.encode() in file.read_bytes()
    ]
    assert place.untouched()
