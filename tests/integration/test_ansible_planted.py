"""A play that may write to its slice's layout plants code there, and dies: whoever asks for left-overs runs none of it."""

from pathlib import Path

import environments
import pytest
from conftest import PERMIT, Recorder, World, part_of
from dying import die_in, left
from places import carriers, wait_for

from itmp.adapters.ansible import AnsibleRunner
from itmp.adapters.supervisor import custody
from itmp.execution.doors import Room, Slice
from itmp.plan import Plan

pytestmark = [pytest.mark.fleet, pytest.mark.hosts, pytest.mark.xdist_group("podman")]
podman = pytest.mark.skipif(bool(environments.why_not()), reason=environments.why_not())
PLANTS = """\
#!/bin/sh
layout="$1" marks="$2"
cd "$layout"
mkdir planted
cp inventory/snapshot.json planted/snapshot.json
printf '#!/bin/sh\\ntouch %s/script; exec cat "$(dirname "$0")/snapshot.json"\\n' "$marks" > inventory/lab.yml
plugin() { printf 'open("%s/%s", "w").close()\\nfrom %s import *\\n' "$marks" "$1" "$2"; }
plugin connection ansible.plugins.connection.ssh > planted/ssh.py
plugin action ansible.plugins.action.raw > planted/raw.py
mkdir -p project/playbooks/action_plugins project/playbooks/connection_plugins
cp planted/raw.py project/playbooks/action_plugins; cp planted/ssh.py project/playbooks/connection_plugins
printf '[defaults]\\nconnection_plugins = %s/planted\\naction_plugins = %s/planted\\n' "$layout" "$layout" > ansible.cfg
printf '{"ansible_shell_type": "{{ lookup(\\047pipe\\047, \\047touch %s/vars; echo sh\\047) }}"}' "$marks" > vars.json
printf 'Host *\\n  ProxyCommand touch %s/proxy\\n' "$marks" > ssh_config
touch planted/done
"""
PLAY = """\
- hosts: localhost
  connection: local
  gather_facts: false
  tasks: [{name: Plant, ansible.builtin.script: "plant.sh {{ playbook_dir }}/../.. %(marks)s"}]
- hosts: web1
  gather_facts: false
  tasks: [{name: Slow, ansible.builtin.shell: "touch %(root)s/started; sleep 3; touch %(root)s/finished"}]
"""


_storage = pytest.fixture(scope="module", autouse=True)(environments.storage)


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    """A folder that no container sees: what lies in it was written on this machine."""
    (tmp_path / "marks").mkdir()
    return tmp_path / "marks"


def planted(world: World, marks: Path) -> tuple[Plan, Slice]:
    """Run a play that plants code in its layout, in an executor that dies while web1 works."""
    world.write("playbooks/files/plant.sh", PLANTS)
    plan, part = die_in(world, PLAY % {"root": world.fleet.host("web1").root, "marks": marks})
    wait_for(lambda: not carriers(world.token), "the run's processes to end")
    assert list(world.room().folder.glob("*/planted/done"))
    for mark in marks.iterdir():  # a local play on the host may write here itself
        mark.unlink()
    return plan, part


def nothing_planted_runs(world: World, marks: Path) -> None:
    """Ask for left-overs of a play that plants code, and see that the question ran none of it."""
    found = left(world, *planted(world, marks))
    assert list(marks.iterdir()) == []
    assert not any("cannot be asked" in line for line in found)
    wait_for((world.fleet.host("web1").root / "finished").exists, "web1 to finish")


@podman
def test_what_a_container_left_in_its_layout_is_never_run_here(world, marks):
    world.image = environments.image()
    nothing_planted_runs(world, marks)


def test_what_a_local_play_left_in_its_layout_is_never_run_by_the_question(world, marks):
    nothing_planted_runs(world, marks)


@pytest.mark.parametrize("contained", [False, pytest.param(True, marks=podman)], ids=["here", "inside"])
def test_a_file_of_the_project_is_no_module_of_the_programs_that_start_ansible(world, marks, contained):
    """`json.py` beside a playbook is a file: bare `ansible-playbook` does not import it either."""
    world.image = environments.image() if contained else ""
    text = f"open('{marks}/imported', 'w').close()\nraise SystemExit('imported')\n"
    world.write("playbooks/json.py", text)
    world.write("json.py", text)
    task = "{name: Here, ansible.builtin.command: cat json.py, args: {chdir: '{{ playbook_dir }}'}}"
    recorder = world.play(
        f"- {{hosts: localhost, connection: local, gather_facts: false, tasks: [{task}]}}\n"
    )
    assert recorder.outcomes("Here") == {"localhost": "changed"}
    assert list(marks.iterdir()) == []


def test_a_play_finds_no_other_slices_layout(world):
    """What a slice before left lies in the run's folder, and is no business of this one."""
    room = Room(folder=world.root / ".itmp" / "1", token=world.token, run="r1")
    left = room.folder / "b-0-left" / "inventory"
    left.mkdir(parents=True)
    (left / "hosts").write_text("the plan's bytes")
    custody.close(world.root / ".itmp")
    task = f"{{name: Write, ansible.builtin.shell: 'echo planted > {left}/hosts', ignore_errors: true}}"
    play = f"- {{hosts: localhost, connection: local, gather_facts: false, tasks: [{task}]}}\n"
    world.write("playbooks/play.yml", play)
    plan = world.plan()
    recorder = Recorder()
    AnsibleRunner().run(PERMIT, plan, part_of(plan), room=room, observer=recorder)
    assert recorder.outcomes("Write") == {"localhost": "failed"}
    assert (left / "hosts").read_text() == "the plan's bytes"
