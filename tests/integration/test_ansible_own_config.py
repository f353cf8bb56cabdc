"""A project's own ansible.cfg and search paths, on real hosts."""

from pathlib import Path

import pytest

from itmp.adapters.ansible._slicing import remote_token
from itmp.errors import Error

pytestmark = pytest.mark.fleet

CONFIG = """
[defaults]
forks = 1
stdout_callback = json
roles_path = galaxy
filter_plugins = plugins/filter
library = modules
host_key_checking = True
jinja2_extensions = jinja2.ext.do
remote_tmp = /tmp/$(id)
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
    - name: Extension
      ansible.builtin.debug: {msg: "{% set found = [] %}{% do found.append(inventory_hostname) %}{{ found | join }}"}
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
    assert recorder.of("Extension").message == "web1"
    assert recorder.outcomes("Own module") == {"web1": "ok"}


def test_a_host_is_reached_at_the_port_of_the_configuration_where_its_own_says_none(world):
    lab, port = world.root / "inventories/lab.yml", world.fleet.host("web1").port
    lines = lab.read_text().splitlines(keepends=True)
    lab.write_text("".join(line for line in lines if str(port) not in line))
    world.write("ansible.cfg", f"[defaults]\nremote_port = {port}\n")
    world.write("playbooks/play.yml", "- {hosts: web, gather_facts: false, tasks: [{name: Go, ping: }]}\n")
    plan = world.plan()
    frozen = {host.name: host.port for host in plan.manifest.inventory.hosts}
    assert frozen == {name: world.fleet.host(name).port for name in ("web1", "web2", "lb1")}
    assert world.run(plan).outcomes("Go") == {"web1": "ok", "web2": "ok"}


CALLBACK = """
import os
from ansible.plugins.callback import CallbackBase

class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = 'notification'
    CALLBACK_NAME = 'tell'
    CALLBACK_NEEDS_ENABLED = True
    def v2_runner_on_ok(self, result):
        with open(__TOLD__, 'a') as file:
            file.write(result._host.get_name() + ' ' + result._task.get_name() + chr(10))
"""
PING = "- hosts: web1\n  gather_facts: false\n  tasks: [{name: Ping, ansible.builtin.ping: }]\n"


def test_a_listed_callback_runs_beside_ours_and_is_part_of_the_plan(world):
    told = world.root / "told"
    world.write("plugins/tell.py", CALLBACK.replace("__TOLD__", repr(str(told))))
    world.write("plugins/other.py", CALLBACK.replace("__TOLD__", repr(str(world.root / "other"))))
    world.looking = {"callbacks": ("plugins/tell.py",)}
    world.write("playbooks/play.yml", PING)
    plan = world.plan()
    assert [path for path in plan.manifest.artifacts if "callback" in path] == [
        "project/_itmp_callbacks/tell.py"
    ]
    assert any("tell.py is a callback that sees every result" in note for note in world.facts().notes)
    world.write("plugins/tell.py", "raise SystemExit(9)\n")  # edited after approval
    recorder = world.run(plan)
    assert recorder.outcomes("Ping") == {"web1": "ok"}
    assert told.read_text() == "web1 Ping\n"
    assert not (world.root / "other").exists()


def test_a_callback_in_its_usual_place_is_listed_there_and_runs_once(world):
    told = world.root / "told"
    name = "playbooks/callback_plugins/tell.py"
    world.write(
        name, CALLBACK.replace("__TOLD__", repr(str(told))).replace("    CALLBACK_NEEDS_ENABLED = True\n", "")
    )
    world.write("playbooks/play.yml", PING)
    with pytest.raises(Error, match=rf"without being asked[\s\S]*`callbacks: \[{name}\]`"):
        world.facts()
    world.looking = {"callbacks": (name,)}
    plan = world.plan()
    assert [path for path in plan.manifest.artifacts if "callback" in path] == [
        "project/_itmp_callbacks/tell.py"
    ]
    world.run(plan)
    assert told.read_text() == "web1 Ping\n"
    world.write("playbooks/callback_plugins/other.py", CALLBACK)
    with pytest.raises(Error, match=r"other\.py"):
        world.facts()


@pytest.mark.parametrize("name", ["plugins/none.py", "../up.py", "plugins/itmp_actions.py"])
def test_a_callback_from_elsewhere_or_in_our_place_is_refused(world, name):
    world.write("plugins/itmp_actions.py", "")
    world.write("../up.py", "")
    world.write("playbooks/play.yml", PING)
    world.looking = {"callbacks": (name,)}
    with pytest.raises(Error):
        world.facts()


SHELL = """
DOCUMENTATION = '''
name: loud
short_description: says so
extends_documentation_fragment: [shell_common]
'''
from ansible.plugins.shell.sh import ShellModule as Plain

class ShellModule(Plain):
    COMPATIBLE_SHELLS = frozenset()
    def env_prefix(self, **variables):
        return 'SAID=loud ' + super().env_prefix(**variables)
"""
SHOUT = """
- hosts: web1
  gather_facts: false
  vars: {ansible_shell_type: loud}
  tasks: [{name: Say, ansible.builtin.command: printenv SAID, register: said}, {name: Tell, ansible.builtin.debug: {msg: "{{ said.stdout }}"}}]
"""


def test_a_shell_plugin_of_the_project_is_named_and_used(world):
    world.write("playbooks/shell_plugins/loud.py", SHELL)
    recorder = world.play(SHOUT)
    assert recorder.of("Tell").message == "loud"
    noted = "project/playbooks/shell_plugins/loud.py is code that runs on the executor's own machine"
    assert noted in world.facts().notes


def test_what_is_copied_to_a_host_carries_the_runs_mark_and_leaves_nothing(world):
    mark, there = remote_token(world.room()), Path("~/.ansible/tmp").expanduser()
    names = world.fleet.host("web1").root / "names"
    world.write("ansible.cfg", "[ssh_connection]\npipelining = False\n")
    told = f"ls ~/.ansible/tmp >{names}; cat /proc/$PPID/cmdline >>{names}"
    world.play(f'- {{hosts: web1, gather_facts: false, tasks: [{{ansible.builtin.shell: "{told}"}}]}}\n')
    assert f"/.ansible/tmp/ansible-tmp-{mark}-" in names.read_text()
    assert not [path for path in there.parent.glob("**/*") if mark in path.name]


def test_temporary_folders_lie_where_the_project_wants_them_and_carry_the_runs_mark(world):
    mark, root = remote_token(world.room()), world.fleet.host("web1").root
    world.write(
        "ansible.cfg", f"[defaults]\nremote_tmp = {root}/scratch\n[ssh_connection]\npipelining = False\n"
    )
    told = f"cat /proc/$PPID/cmdline >{root}/where"
    world.play(f'- {{hosts: web1, gather_facts: false, tasks: [{{ansible.builtin.shell: "{told}"}}]}}\n')
    assert f"{root}/scratch/ansible-tmp-{mark}-" in (root / "where").read_text()
    assert list((root / "scratch").iterdir()) == []
