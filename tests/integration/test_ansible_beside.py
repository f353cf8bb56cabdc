"""What lies beside the playbooks is part of the plan where they reach it by a path, and nothing else is."""

import shutil

import pytest

from itmp.errors import Error

pytestmark = pytest.mark.fleet

PLAY = """
- hosts: web1
  gather_facts: false
  vars_files: [../vars/common.yml]
  tasks:
    - ansible.builtin.include_tasks: ../tasks/x.yml
"""
KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nx\n-----END OPENSSH PRIVATE KEY-----\n"


@pytest.fixture
def beside(world):
    """A project with folders beside its playbooks, of which one reaches two, and a third from there."""
    world.write("playbooks/play.yml", PLAY)
    world.write("vars/common.yml", "common: said\n")
    world.write(
        "tasks/x.yml", "- {name: Say, ansible.builtin.debug: {msg: '{{ common }}'}}\n- include_tasks: y.yml\n"
    )
    world.write(
        "tasks/y.yml",
        "- {name: Copy, ansible.builtin.copy: {src: ../files/a, dest: /dev/null}, when: false}\n",
    )
    world.write("files/a", "a\n")
    return world


def beside_playbooks(facts):
    return {
        path.removeprefix("project/")
        for path in facts.artifacts
        if path.startswith("project/") and not path.startswith("project/playbooks/")
    }


def test_what_playbooks_reach_beside_them_is_laid_out_at_the_same_place_and_used(beside):
    facts = beside.facts()
    assert beside_playbooks(facts) == {"vars/common.yml", "tasks/x.yml", "tasks/y.yml", "files/a"}
    assert facts.plays["a"].outside == ()
    assert {task.path for task in facts.plays["a"].expected} == {
        "project/playbooks/play.yml",
        "project/tasks/x.yml",
        "project/tasks/y.yml",
    }
    recorder = beside.run(beside.plan())
    assert recorder.of("Say").message == "said"


def test_nothing_that_is_not_reached_counts(beside):
    before = beside.facts().artifacts
    for path in ("more/x.yml", "other.yml", "playbooks/unasked.yml", "templates/t.j2"):
        beside.write(path, "- hosts: web1\n  vars_files: [../handlers/main.yml]\n  tasks: []\n")
    beside.write("handlers/main.yml", "x: 1\n")
    assert beside.facts().artifacts == before


def test_keys_the_state_and_hidden_folders_are_swept_into_no_plan(beside):
    reaching = "[../vars/.itmp/log, ../.ssh/id, ../.itmp/policy, ../alice, ../inventories/lab.yml, ../vars/common.yml]"
    beside.write(
        "playbooks/play.yml", PLAY.replace("[../vars/common.yml]", f"[{reaching}]").replace("x.yml", "y.yml")
    )
    for path in (
        "vars/.itmp/log",
        ".ssh/id",
        ".itmp/policy",
        ".git/config",
        "vars/.git/config",
        "inventories/other",
    ):
        beside.write(path, "x: 1\n")
    beside.write("alice", KEY)
    beside.write("files/host.pem", KEY)
    facts = beside.facts()
    kept = beside_playbooks(facts)
    assert "files/a" in kept
    assert not {"alice", "files/host.pem", "inventories/other"} & kept
    assert [path for path in kept if any(part.startswith(".") for part in path.split("/"))] == []
    assert "files/host.pem holds a private key and is left out: encrypt it with ansible-vault" in facts.notes


def test_a_link_beside_that_leaves_the_workspace_is_refused(beside, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "secret"
    outside.write_text("x: 1\n")
    (beside.root / "vars" / "away.yml").symlink_to(outside)
    with pytest.raises(Error, match="a symlink that leaves the project"):
        beside.facts()


def test_what_is_not_there_stays_named_or_refused(beside):
    shutil.rmtree(beside.root / "tasks")
    with pytest.raises(Error, match="no such file"):
        beside.facts()


CONFIG = "[defaults]\nroles_path = ./galaxy:../shared\nlibrary = ../../up\nstdout_callback = json\n"
ROLES = "- hosts: web1\n  gather_facts: false\n  roles: [one, two]\n"


def test_a_configuration_among_the_playbooks_counts_where_the_workspace_has_none(world):
    world.write("playbooks/ansible.cfg", CONFIG + "forks = 1\n")
    world.write("playbooks/galaxy/one/tasks/main.yml", "- {name: One, ansible.builtin.ping: }\n")
    world.write("shared/two/tasks/main.yml", "- {name: Two, ansible.builtin.ping: }\n")
    recorder = world.play(ROLES)
    assert recorder.outcomes("one : One") == recorder.outcomes("two : Two") == {"web1": "ok"}
    notes = world.facts().notes
    assert any(
        note.startswith("playbooks/ansible.cfg: [defaults] stdout_callback is not honoured") for note in notes
    )
    assert "playbooks/ansible.cfg: [defaults] library: ../../up is outside the workspace" in notes


def test_the_workspaces_own_configuration_comes_before_one_among_the_playbooks(world):
    world.write("playbooks/ansible.cfg", "[defaults]\nroles_path = nowhere\n")
    world.write("ansible.cfg", "[defaults]\nroles_path = galaxy\n")
    for name in ("one", "two"):
        world.write(f"galaxy/{name}/tasks/main.yml", f"- {{name: Say {name}, ansible.builtin.ping: }}\n")
    assert world.play(ROLES).outcomes("two : Say two") == {"web1": "ok"}
    assert "playbooks/ansible.cfg is not read: the workspace's own ansible.cfg counts" in world.facts().notes
