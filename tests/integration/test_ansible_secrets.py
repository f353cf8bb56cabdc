"""What is secret reaches the task that needs it, and nothing else."""

import base64
import json
import os
import subprocess
import sys
import urllib.parse
from pathlib import Path

import pytest
from conftest import Recorder

pytestmark = pytest.mark.fleet

MEMORY = Path("/dev/shm")  # noqa: S108 -- the private folders in it are what is looked at
SECRET = 'hunter2 "quoted"/&é\\tail'
FORMS = [
    form.encode()
    for form in (
        SECRET,
        base64.b64encode(SECRET.encode()).decode().rstrip("="),
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
        urllib.parse.quote(SECRET, safe=""),
    )
]
PLAY = """
- hosts: web1
  gather_facts: false
  tasks:
    - name: Use {{ db_password }}
      ansible.builtin.copy: {content: "{{ db_password }}", dest: "{{ host_root }}/secret", mode: "0600"}
    - name: Say
      ansible.builtin.debug: {msg: "it is {{ db_password }} or {{ db_password | b64encode }} or {{ db_password | urlencode }}"}
    - name: Show
      ansible.builtin.command: {argv: [cat, "{{ host_root }}/secret"]}
      register: shown
      failed_when: true
      ignore_errors: true
    - name: Quiet
      ansible.builtin.debug: {msg: a plain word}
      no_log: true
"""


def leaks(data: bytes) -> list[bytes]:
    return [form for form in FORMS if form in data]


def processes(token: str) -> bytes:
    """Command lines and environments of everything that the run has started."""
    seen = b""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                environment = (folder / "environ").read_bytes()
                if token.encode() in environment:
                    seen += environment + (folder / "cmdline").read_bytes()
            except OSError:
                continue
    return seen


def files(*roots: Path) -> bytes:
    seen = b""
    for root in roots:
        for path in root.rglob("*"):
            if path.is_file():
                seen += path.read_bytes()
    return seen


def test_a_secret_reaches_its_task_and_no_disk_argument_environment_or_result(world, monkeypatch):
    monkeypatch.setenv("DB_PASSWORD", SECRET)
    seen: list[bytes] = []

    def look(_):
        seen.append(processes(world.token) + files(world.root, *MEMORY.glob(f"itmp-*/{world.token[:12]}-*")))

    recorder = world.play(PLAY, Recorder(veto=look), secrets={"db_password": "env:DB_PASSWORD"})
    root = world.fleet.host("web1").root
    assert (root / "secret").read_text() == SECRET
    (root / "secret").unlink()
    assert len(seen) == 4
    assert all(world.token.encode() in look for look in seen)
    assert [leaks(look) for look in seen] == [[]] * 4
    told = (
        repr((recorder.actions, recorder.results)).encode()
        + json.dumps([r.message for r in recorder.results]).encode()
    )
    assert leaks(told) == []
    assert "********" in recorder.of("Say").message
    assert recorder.of("Quiet").message == ""
    assert "a plain word" not in repr(recorder.results)
    assert leaks(files(world.root)) == []


def test_a_template_in_a_document_variable_is_data(world, tmp_path):
    text = "{{ lookup('pipe', 'touch " + str(tmp_path / "executed") + "') }}"
    play = """
- hosts: web1
  gather_facts: false
  tasks:
    - {name: Say, ansible.builtin.debug: {msg: "{{ word }}"}}
    - {name: Inner, ansible.builtin.debug: {msg: "{{ deep.list[0] }}"}}
"""
    recorder = world.play(play, vars={"word": text, "deep": {"list": [text]}})
    assert recorder.of("Say").message == text
    assert recorder.of("Inner").message == text
    assert not (tmp_path / "executed").exists()


def test_a_template_in_a_secret_is_data(world, tmp_path, monkeypatch):
    monkeypatch.setenv("DB_PASSWORD", "{{ lookup('pipe', 'touch " + str(tmp_path / "executed") + "') }}")
    play = (
        "- {hosts: web1, gather_facts: false, tasks: [{name: Say, ansible.builtin.debug: {msg: 'x{{ s }}'}}]}"
    )
    recorder = world.play(play, secrets={"s": "env:DB_PASSWORD"})
    assert recorder.of("Say").message == "x********"
    assert not (tmp_path / "executed").exists()


def test_only_declared_secrets_are_given(world):
    play = "- {hosts: web1, gather_facts: false, tasks: [{name: Say, ansible.builtin.debug: {msg: \"{{ lookup('itmp_secret', 'other') }}\"}}]}"
    recorder = world.play(play)
    assert recorder.of("Say").outcome == "failed"
    assert "declares no secret" in recorder.of("Say").message


def vault(path: Path, password: str, ids: str = "") -> None:
    keyfile = path.with_suffix(".key")
    keyfile.write_text(password)
    label = ["--encrypt-vault-id", ids] if ids else []
    subprocess.run(
        [
            sys.executable,
            "-m",
            "ansible",
            "vault",
            "encrypt",
            "--vault-id",
            f"{ids or 'default'}@{keyfile}",
            *label,
            str(path),
        ],
        check=True,
        capture_output=True,
        env={**os.environ, "ANSIBLE_HOME": str(path.parent)},
    )
    keyfile.unlink()


def test_vaulted_variables_stay_ciphertext_until_the_run(world, tmp_path):
    vault(world.write("inventories/group_vars/web.yml", "motd_password: open sesame\n"), "vault-pw", "prod")
    (tmp_path / "pw").write_text("vault-pw\n")
    play = "- {hosts: web1, gather_facts: false, tasks: [{name: Say, ansible.builtin.debug: {msg: '{{ motd_password | length }}'}}]}"
    world.write("playbooks/play.yml", play)
    plan = world.plan()
    assert all(b"open sesame" not in data for data in plan.artifacts.values())
    recorder = world.run(plan, vault_passwords={"prod": f"file:{tmp_path / 'pw'}"})
    assert recorder.of("Say").message == "11"
    assert b"vault-pw" not in files(world.root)
