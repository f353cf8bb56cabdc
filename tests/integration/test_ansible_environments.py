"""Ansible in a container of the image that the plan names by digest: what it sees, what it holds, how it ends."""

import json
import stat
from dataclasses import replace
from pathlib import Path

import environments
import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret
from conftest import Recorder, World
from dying import die_in, left
from places import carriers, wait_for

from itmp.adapters import containers
from itmp.adapters.supervisor import custody
from itmp.documents import DocumentError
from itmp.errors import RefusedError, StaleError, ToolMissingError
from itmp.plan import Plan

pytestmark = [
    pytest.mark.hosts,
    pytest.mark.fleet,
    pytest.mark.xdist_group("podman"),
    pytest.mark.skipif(bool(environments.why_not()), reason=environments.why_not()),
]
HERE = "  connection: local\n  gather_facts: false\n"
"""A play on localhost acts in the container."""


_storage = pytest.fixture(scope="module", autouse=True)(environments.storage)


@pytest.fixture(scope="module")
def image() -> str:
    return environments.image()


@pytest.fixture
def inside(world: World, image: str) -> World:
    """A world whose plays run in the image."""
    world.image = image
    return world


def test_the_plan_is_made_and_run_by_the_images_own_ansible(inside, image):
    tasks = "[{name: Hello, lab.demo.hello: }, {name: Where, ansible.builtin.command: ls /etc/itmp-image}]"
    inside.write("playbooks/play.yml", f"- hosts: localhost\n{HERE}  tasks: {tasks}\n")
    plan = inside.plan()
    versions = plan.manifest.versions
    assert versions["execution_environment"] == image
    assert versions["collection lab.demo of the image"] == "1.2.3"
    assert versions["python"] == "3.11"
    assert {task.action for task in plan.manifest.steps[0].expected} == {
        "lab.demo.hello",
        "ansible.builtin.command",
    }
    recorder = inside.run(plan)
    assert recorder.of("Hello").message == "hello from the image"
    assert recorder.outcomes("Where") == {"localhost": "changed"}
    assert not Path("/etc/itmp-image").exists()
    assert list(inside.room().folder.iterdir()) == []
    assert environments.containers(inside.token) == []


def test_hosts_are_reached_with_their_pinned_keys_secrets_and_the_inventorys_own_key_file(inside, tmp_path):
    for name, text in (("secret", "fröm-the-store"), ("password", "vault-pw")):
        (tmp_path / name).write_text(text)
    sealed = VaultLib([("default", VaultSecret(b"vault-pw"))]).encrypt("deep: fröm-a-vault\n").decode()
    inside.write("playbooks/group_vars/web.yml", sealed)
    recorder = inside.play(
        "- hosts: web\n  gather_facts: true\n  gather_subset: [min]\n  tasks:\n"
        '    - {name: Put, ansible.builtin.copy: {content: "{{ given }} {{ deep }}", dest: "{{ host_root }}/put"}}\n'
        '    - {name: Aloud, ansible.builtin.debug: {msg: "{{ given }} {{ deep }}"}}\n',
        secrets={"given": f"file:{tmp_path}/secret"},
        options={"vault_passwords": {"default": f"file:{tmp_path}/password"}},
    )
    assert recorder.outcomes("Put") == {"web1": "changed", "web2": "changed"}
    assert (inside.fleet.host("web2").root / "put").read_text() == "fröm-the-store fröm-a-vault"
    assert recorder.of("Aloud", "web1").message == "******** ********"


def test_keys_named_by_a_home_and_the_users_usual_ones_are_found_inside(inside, tmp_path, monkeypatch):
    (tmp_path / "home" / ".ssh").mkdir(parents=True)
    for name in ("named", ".ssh/id_ed25519"):
        (tmp_path / "home" / name).write_bytes(inside.fleet.login.key.read_bytes())
        (tmp_path / "home" / name).chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    inventory = inside.root / "inventories" / "lab.yml"
    tree = yaml.safe_load(inventory.read_text())
    del tree["all"]["vars"]["ansible_ssh_private_key_file"]
    tree["all"]["hosts"]["web1"]["ansible_ssh_private_key_file"] = "~/named"
    inventory.write_text(yaml.safe_dump(tree))
    recorder = inside.play(
        "- {hosts: web, gather_facts: false, tasks: [{name: Ping, ansible.builtin.ping: }]}\n"
    )
    assert recorder.outcomes("Ping") == {"web1": "ok", "web2": "ok"}


def test_a_container_sees_neither_the_state_nor_anything_else_that_it_was_not_given(inside, tmp_path):
    state = tmp_path / "ws" / ".itmp"
    (state / "keys").mkdir(parents=True)
    (state / "keys" / "log.key").write_text("the log's key")
    (tmp_path / "bystander").write_text("none of its business")
    custody.close(state)
    names = [
        state / "keys" / "log.key",
        state,
        tmp_path / "bystander",
        inside.root / "playbooks",
        Path.home() / ".cache",
    ]
    looks = "".join(
        f"    - {{name: Look {number}, ansible.builtin.stat: {{path: '{name}'}}, register: r{number}}}\n"
        f"    - {{name: Seen {number}, ansible.builtin.debug: {{msg: 'there: {{{{ r{number}.stat.exists }}}}'}}}}\n"
        for number, name in enumerate(names)
    )
    # A host's key file may name anything: the log's key is not handed in as one.
    inventory = inside.root / "inventories" / "lab.yml"
    text = inventory.read_text().replace(str(inside.fleet.login.key), str(state / "keys" / "log.key"))
    inventory.write_text(text)
    mounts = "    - {name: Mount, ansible.builtin.command: mount -t tmpfs none /mnt, ignore_errors: true}\n"
    recorder = inside.play(f"- hosts: localhost\n{HERE}  tasks:\n{looks}{mounts}")
    seen = {str(name): recorder.of(f"Seen {number}").message for number, name in enumerate(names)}
    assert seen == dict.fromkeys(map(str, names), "there: False")
    assert recorder.outcomes("Mount") == {"localhost": "failed"}


def test_a_refusal_ends_the_container_too(inside):
    def veto(action):
        if action.name == "Second":
            raise RefusedError("not in the plan")

    tasks = (
        "[{name: First, ansible.builtin.command: 'true'}, {name: Second, ansible.builtin.command: 'true'}]"
    )
    with pytest.raises(RefusedError, match="not in the plan"):
        inside.play(f"- hosts: localhost\n{HERE}  tasks: {tasks}\n", Recorder(veto=veto))
    assert (carriers(inside.token), environments.containers(inside.token)) == ({}, [])


def test_when_the_time_is_up_the_container_ends(inside):
    with pytest.raises(Exception, match="time was up"):
        inside.play(
            f"- hosts: localhost\n{HERE}  tasks: [{{name: Slow, ansible.builtin.command: sleep 600}}]\n",
            timeout=6,
        )
    assert (carriers(inside.token), environments.containers(inside.token)) == ({}, [])


def test_after_the_executors_death_no_process_of_the_container_lives_and_a_sweep_removes_it(inside):
    root = inside.fleet.host("web1").root
    tasks = f"[{{name: Slow, ansible.builtin.shell: 'touch {root}/started; sleep 3'}}]"
    plan, part = die_in(inside, f"- {{hosts: web1, gather_facts: false, tasks: {tasks}}}\n")
    wait_for(lambda: not carriers(inside.token), "the run's processes to end")
    found = left(inside, plan, part)
    assert (
        any(line.startswith("here: container itmp-") for line in found)
        or environments.containers(inside.token) == []
    )
    assert environments.containers(inside.token) == []
    assert list(inside.room().folder.iterdir()) == []


def test_an_image_that_is_not_here_is_missing_and_the_command_is_given(inside, image):
    other = f"{image.partition('@')[0]}@sha256:{'0' * 64}"
    with pytest.raises(ToolMissingError) as caught:
        containers.find(other)
    assert caught.value.do == f"Type: podman pull {other}"
    assert image.partition("@")[2] in caught.value.what
    plan = _with_image(inside, other)
    recorder = Recorder()
    with pytest.raises(ToolMissingError):
        inside.run(plan, recorder)
    assert recorder.actions == []


def test_without_an_engine_it_is_missing_and_the_command_is_given(image, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissingError, match="neither podman nor docker") as caught:
        containers.find(image)
    assert caught.value.do.endswith(f"podman pull {image}")


def test_an_engine_that_gives_another_image_for_the_digest_is_refused(image, tmp_path, monkeypatch):
    told = [{"Id": "a" * 64, "Digest": f"sha256:{'b' * 64}", "RepoDigests": []}]
    (tmp_path / "podman").write_text(f"#!/bin/sh\necho '{json.dumps(told)}'\n")
    (tmp_path / "podman").chmod(0o755 | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StaleError, match="another digest"):
        containers.find(image)


def test_a_role_of_the_image_is_refused_because_its_tasks_stand_in_no_plan(inside):
    inside.write("playbooks/play.yml", "- {hosts: web1, gather_facts: false, roles: [lab.demo.greet]}\n")
    with pytest.raises(DocumentError, match="stands in no plan"):
        inside.plan()


def _with_image(world: World, name: str) -> Plan:
    world.write(
        "playbooks/play.yml", "- {hosts: web1, gather_facts: false, tasks: [{ansible.builtin.ping: }]}\n"
    )
    plan = world.plan()
    versions = {**plan.manifest.versions, "execution_environment": name}
    artifacts = {path: plan.artifact(path) for path in plan.manifest.artifacts}
    return Plan.build(replace(plan.manifest, versions=versions, artifacts={}), artifacts)
