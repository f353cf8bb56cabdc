"""A project's own ansible.cfg and search paths, on real hosts."""

import pytest

pytestmark = pytest.mark.fleet

CONFIG = """
[defaults]
forks = 1
stdout_callback = json
roles_path = galaxy
filter_plugins = plugins/filter
library = modules
host_key_checking = True
remote_tmp = /tmp/elsewhere
[ssh_connection]
pipelining = False
"""
FILTER = "class FilterModule:\n    def filters(self):\n        return {'shout': lambda text: text.upper()}\n"
MODULE = '#!/bin/sh\necho \'{"changed": false, "msg": "own module"}\'\n'
PLAY = """
- hosts: web1
  gather_facts: false
  roles: [greet]
  tasks:
    - name: Filter
      ansible.builtin.debug: {msg: "{{ 'quiet' | shout }}"}
    - name: Own module
      own:
"""


def test_search_paths_of_the_configuration_are_part_of_the_plan_and_used(world):
    world.write("ansible.cfg", CONFIG)
    world.write("galaxy/greet/tasks/main.yml", "- {name: Greet, ansible.builtin.ping: }\n")
    world.write("plugins/filter/shout.py", FILTER)
    world.write("modules/own.sh", MODULE)
    world.write("playbooks/play.yml", PLAY)
    plan = world.plan()
    assert {
        "project/galaxy/greet/tasks/main.yml",
        "project/plugins/filter/shout.py",
        "project/modules/own.sh",
    } <= (plan.manifest.artifacts.keys())
    notes = world.facts().notes
    assert "plugins/filter holds code that runs on the executor's own machine" in notes
    assert any(note.startswith("ansible.cfg: [defaults] stdout_callback is not honoured: ") for note in notes)
    assert any(note.startswith("ansible.cfg: [defaults] remote_tmp is not honoured: ") for note in notes)
    recorder = world.run(plan)
    assert recorder.outcomes("greet : Greet") == {"web1": "ok"}
    assert recorder.of("Filter").message == "QUIET"
    assert recorder.outcomes("Own module") == {"web1": "ok"}
