"""What `ansible.posix.synchronize` is given; that it does what it does bare: `tests/foreign`, with the collection itself."""

import json

import pytest

from itmp.adapters.ansible._rsync import unbound

pytestmark = pytest.mark.fleet
POSIX = "playbooks/collections/ansible_collections/ansible/posix/plugins"
# The action starts its module here, whatever connects the host, with the task's own arguments.
ACTION = """
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import connection_loader
class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        args = {"verify_host": False, "_ssh_args": "-F /of/this/machine", **self._task.args}
        if args.pop("here"):
            self._connection = connection_loader.get("local", self._play_context)
        return self._execute_module("ansible.posix.synchronize", module_args=args, task_vars=task_vars)
"""
MODULE = """#!/usr/bin/python3
import json, sys  # WANT_JSON
given = json.load(open(sys.argv[1]))
print(json.dumps({"msg": json.dumps([given["verify_host"], given.get("_ssh_args")])}))
"""
PLAY = "- {{hosts: web1, gather_facts: false, tasks: [{{name: Sync, ansible.posix.synchronize: {{here: {here}}}}}]}}\n"


@pytest.mark.parametrize("here", [True, False])
def test_rsync_that_starts_here_asks_for_the_plans_keys_and_a_hosts_own_does_not(world, here):
    world.write(f"{POSIX}/action/synchronize.py", ACTION)
    world.write(f"{POSIX}/modules/synchronize.py", MODULE)
    said = world.play(PLAY.format(here=here)).of("Sync").message
    if here:
        assert said.startswith('[true, "-F /')
        assert "-o StrictHostKeyChecking=yes -o UserKnownHostsFile=/" in said
    else:
        assert said == "[false, null]"


OWN = ("-ze ssh", "{{ flags }}", ["'unclosed"])
MORE_OWN = (
    *("-e ssh", "--rsh=ssh -p 23", "--archive,-e ssh", "--archive -e 'ssh -F /dev/null'"),
    *(["--archive", "-e", "ssh"], ["--stats --rsh=/tmp/x"], ["'-e'", "ssh"], ["\\-e", "ssh"]),
)


@pytest.mark.parametrize("options", [*OWN, *(pytest.param(one, marks=pytest.mark.long) for one in MORE_OWN)])
def test_a_remote_shell_of_the_tasks_own_is_refused_where_its_options_are_known(world, options):
    world.write(f"{POSIX}/action/synchronize.py", ACTION)
    world.write(f"{POSIX}/modules/synchronize.py", MODULE)
    task = {"name": "Sync", "ansible.posix.synchronize": {"here": True, "rsync_opts": options}}
    play = {"hosts": "web1", "gather_facts": False, "vars": {"flags": ["--rsh", "ssh"]}, "tasks": [task]}
    result = world.play(json.dumps([play])).of("Sync")
    assert result.outcome == "failed"
    assert "no plan binds whom such an rsync reaches" in result.message


def test_what_else_would_start_a_program_or_an_option_is_refused() -> None:
    plain = {
        "src": "/a",
        "dest": "root@web1:/b",
        "rsync_opts": ["--exclude=.e"],
        "_local_rsync_path": "rsync",
    }
    assert [*unbound(plain)] == []
    assert [*unbound({**plain, "_local_rsync_path": "/opt/new/bin/rsync"})] == []
    for name, value in (
        ("_local_rsync_path", "sh -c 'id' #"),
        ("_local_rsync_path", "/srv/mine"),
        ("link_dest", ["/x --rsh=/srv/evil"]),
        ("src", "--rsh=/srv/evil:"),
        ("dest", "'--rsh=/tmp/evil:'"),
    ):
        assert len([*unbound({**plain, name: value})]) == 1, (name, value)


def test_the_engine_that_the_action_names_for_a_container_is_no_shell_of_the_tasks_own() -> None:
    added = {"rsync_opts": ["--exclude=.git", "--blocking-io", "--rsh='docker exec -i'"]}
    assert [*unbound(added, contained=True)] == []
    assert [*unbound(added)] != []
    assert [*unbound({"rsync_opts": ["-e ssh", *added["rsync_opts"]]}, contained=True)] != []


SYNCS = """
- hosts: web1
  gather_facts: false
  tasks:
    - {name: Ours, ansible.posix.synchronize: {src: sent, dest: /srv/sent}}
    - {name: Away, ansible.posix.synchronize: {src: /etc/motd, dest: /srv/motd}}
    - {name: Pulled, ansible.posix.synchronize: {mode: pull, src: /srv/one, dest: /var/kept}}
    - {name: Beside, ansible.posix.synchronize: {mode: pull, src: /srv/one, dest: kept}}
    - {name: There, ansible.posix.synchronize: {mode: pull, src: /srv/one, dest: /srv/two}, delegate_to: web1}
    - {name: Own, ansible.posix.synchronize: {src: sent, dest: /srv/sent, rsync_opts: ["-e", "ssh -p 23"]}}
    - {name: Daemon, ansible.posix.synchronize: {src: sent, dest: "rsync://other/sent"}}
"""


def test_what_rsync_reaches_here_is_named(world):
    world.write(f"{POSIX}/action/synchronize.py", ACTION)
    world.write(f"{POSIX}/modules/synchronize.py", MODULE)
    world.write("playbooks/files/sent", "x")
    world.write("playbooks/play.yml", SYNCS)
    outside = [said.partition(" ")[2] for said in world.facts().plays["a"].outside]
    assert outside == [
        "path /etc/motd",
        "synchronize to /var/kept: the executor's own machine, where it acts",
        "synchronize to kept: beside the playbook, gone when its slice ends",
        "rsync from web1 by that host's own ssh, which looks at no key",
        "rsync over a remote shell of the task's own: no plan binds it, so the task fails",
        "url rsync://other/sent",
    ]
