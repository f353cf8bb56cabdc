"""Callbacks of ansible-core that an ansible.cfg asks for: the plan names them, and they have no hand in the run."""

import pytest

pytestmark = pytest.mark.fleet

PLAY = """
- hosts: web1
  gather_facts: false
  tasks:
    - name: Told
      ansible.builtin.debug:
        msg: "{{ lookup('ansible.builtin.config', 'DEFAULT_STDOUT_CALLBACK') }} {{ lookup('ansible.builtin.config', 'CALLBACKS_ENABLED') | length }}"
"""


@pytest.mark.parametrize(
    "name",
    [
        "default",
        "junit",
        *(pytest.param(one, marks=pytest.mark.long) for one in ("minimal", "oneline", "tree")),
    ],
)
def test_a_callback_of_ansible_core_is_named_and_sees_no_result(world, monkeypatch, name):
    home, written = world.root / "home", world.root / "written"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("JUNIT_OUTPUT_DIR", str(written))
    asked = f"[defaults]\nstdout_callback = {name}\ncallbacks_enabled = {name}\n"
    world.write("ansible.cfg", f"{asked}[callback_tree]\ndirectory = {written}\n")
    world.write("playbooks/play.yml", PLAY)
    plan = world.plan()
    notes = world.facts().notes
    for key in ("stdout_callback", "callbacks_enabled"):
        assert any(note.startswith(f"ansible.cfg: [defaults] {key} is not honoured: ") for note in notes), key
    recorder = world.run(plan)
    assert recorder.of("Told").message == "itmp_actions 0"
    assert not written.exists()
    assert not (home / ".ansible.log").exists()  # where junit writes by itself
