"""Hosts behind a bastion, aliases of an ssh configuration, hosts without a pinned key, connection plugins: on real sshd."""

from typing import Any

import pytest
import yaml

from itmp.documents import DocumentError
from itmp.errors import ToolMissingError
from itmp.lab.fleet import Login

pytestmark = pytest.mark.fleet

PLAY = """
- hosts: web1
  gather_facts: false
  tasks:
    - name: Ping
      ansible.builtin.ping:
"""


@pytest.fixture
def behind(world):
    """web1 is reached over the host `bastion`, which the user's configuration explains: it is lb1."""
    change(world, "web1", ansible_ssh_common_args="-o ProxyJump=bastion -o ControlMaster=auto")
    bastion = world.fleet.host("lb1")
    world.write(
        "ssh_config",
        f"Host bastion\n  HostName {bastion.address}\n  Port {bastion.port}\n  User {login(world).user}\n"
        f"  IdentityFile {login(world).key}\n",
    )
    world.looking = {"ssh_config": world.root / "ssh_config"}
    return world


def login(world) -> Login:
    found: Login = world.fleet.login
    return found


def change(world, host: str, **values: Any) -> None:
    path = world.root / "inventories" / "lab.yml"
    tree = yaml.safe_load(path.read_text())
    before = tree["all"]["hosts"][host]
    tree["all"]["hosts"][host] = {
        name: value for name, value in {**before, **values}.items() if value is not None
    }
    path.write_text(yaml.safe_dump(tree))


def pinned(world, *hosts: str) -> None:
    text = "".join(world.fleet.host(name).known_hosts for name in hosts)
    world.write("inventories/known_hosts", text)


def test_a_host_behind_a_bastion_is_reached_over_it_and_frozen(behind):
    before = behind.fleet.connections("lb1")
    behind.write("playbooks/play.yml", PLAY)
    plan = behind.plan()
    way = plan.manifest.inventory.ways["web1"]
    bastion = behind.fleet.host("lb1")
    assert way == f"ssh over {login(behind).user}@{bastion.address}:{bastion.port} with {login(behind).key}"
    behind.write(
        "ssh_config", "Host bastion\n  HostName 192.0.2.1\n"
    )  # edited after approval: the frozen way counts
    assert behind.run(plan).outcomes("Ping") == {"web1": "ok"}
    assert behind.fleet.connections("lb1") == before + 1


def test_the_bastions_key_is_checked_too(behind):
    pinned(behind, "web1", "web2")
    assert behind.play(PLAY).outcomes("Ping") == {"web1": "unreachable"}


CFG = """
[defaults]
private_key_file = {key}
[ssh_connection]
ssh_args = -F ./ssh_config -o ControlMaster=auto -o ControlPersist=60s
ssh_common_args = -o ProxyJump=bastion
"""


@pytest.fixture
def configured(behind):
    """The same way, by an ansible.cfg alone: neither inventory nor itmp.yml says anything of it."""
    change(behind, "web1", ansible_ssh_common_args=None)
    tree = yaml.safe_load((behind.root / "inventories/lab.yml").read_text())
    del tree["all"]["vars"]["ansible_ssh_private_key_file"]
    behind.write("inventories/lab.yml", yaml.safe_dump(tree))
    behind.write("ansible.cfg", CFG.format(key=login(behind).key))
    behind.looking = {}
    return behind


def test_an_ansible_cfg_alone_leads_over_the_bastion_with_its_key(configured):
    before = configured.fleet.connections("lb1")
    configured.write("playbooks/play.yml", PLAY)
    plan = configured.plan()
    bastion = configured.fleet.host("lb1")
    assert plan.manifest.inventory.ways == {
        "web1": f"ssh over {login(configured).user}@{bastion.address}:{bastion.port} with {login(configured).key}"
    }
    assert configured.run(plan).outcomes("Ping") == {"web1": "ok"}
    assert configured.fleet.connections("lb1") == before + 1


def test_a_variable_of_the_inventory_comes_before_the_ansible_cfg(configured):
    change(configured, "web1", ansible_ssh_common_args="")
    configured.write("playbooks/play.yml", PLAY)
    assert configured.plan().manifest.inventory.ways == {}
    change(configured, "web1", ansible_ssh_common_args=None, ansible_ssh_private_key_file="/nowhere")
    assert configured.play(PLAY).outcomes("Ping") == {"web1": "unreachable"}


def test_the_key_of_a_bastion_of_the_ansible_cfg_is_checked_too(configured):
    pinned(configured, "web1", "web2")
    assert configured.play(PLAY).outcomes("Ping") == {"web1": "unreachable"}


@pytest.mark.parametrize("text", ["-o ProxyCommand='nc %h %p'", "-F ~/.ssh/config"])
def test_what_an_ansible_cfg_would_lead_elsewhere_by_is_refused_in_its_place(configured, text):
    configured.write("ansible.cfg", f"[ssh_connection]\nssh_args = {text}\n")
    configured.write("playbooks/play.yml", PLAY)
    with pytest.raises(DocumentError, match="by which ssh would reach web1") as found:
        configured.plan()
    assert [one.path for one in found.value.problems] == ["ansible.cfg"]


def test_an_alias_of_the_ssh_configuration_leads_where_it_says(world):
    change(world, "web1", ansible_host="some-alias", ansible_port=None)
    web1 = world.fleet.host("web1")
    world.write("ssh_config", f"Host some-alias\n  HostName {web1.address}\n  Port {web1.port}\n")
    world.looking = {"ssh_config": world.root / "ssh_config"}
    assert world.play(PLAY).outcomes("Ping") == {"web1": "ok"}


def test_a_host_without_a_pinned_key_needs_a_written_policy(world):
    pinned(world, "web2", "lb1")
    change(
        world, "web1", ansible_ssh_common_args="-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
    )
    with pytest.raises(DocumentError, match="changes how host keys are checked"):
        world.play(PLAY)
    world.looking = {"unpinned": True}
    world.write("playbooks/play.yml", PLAY)
    plan = world.plan()
    assert plan.manifest.inventory.unpinned == ("web1",)
    assert world.run(plan).outcomes("Ping") == {"web1": "ok"}


def test_also_where_the_policy_allows_it_a_wrong_key_of_a_pinned_host_is_refused(world):
    change(world, "web1", ansible_host_key_checking=False)
    wrong = world.fleet.host("lb1").known_hosts.split()[1:3]
    place = world.fleet.host("web1").known_hosts.split()[0]
    world.write("inventories/known_hosts", f"{place} {' '.join(wrong)}\n")
    world.looking = {"unpinned": True}
    assert world.play(PLAY).outcomes("Ping") == {"web1": "unreachable"}


def test_a_local_connection_of_the_inventory_is_recorded(world):
    change(world, "web1", ansible_connection="local")
    world.write("playbooks/play.yml", PLAY)
    plan = world.plan()
    assert plan.manifest.inventory.ways == {"web1": "local"}
    assert world.run(plan).outcomes("Ping") == {"web1": "ok"}


OWN = """
from ansible.plugins.connection.local import Connection as Local

DOCUMENTATION = '''
name: here
short_description: a connection of the project's own
options: {}
'''

class Connection(Local):
    transport = 'here'
"""


def test_a_connection_plugin_of_the_project_is_carried_recorded_and_used(world):
    change(world, "web1", ansible_connection="here")
    world.write("playbooks/connection_plugins/here.py", OWN)
    world.write("playbooks/play.yml", PLAY)
    plan = world.plan()
    assert plan.manifest.inventory.ways == {"web1": "here"}
    assert "project/playbooks/connection_plugins/here.py" in plan.manifest.artifacts
    assert any("connection_plugins/here.py is code" in note for note in world.facts().notes)
    assert world.run(plan).outcomes("Ping") == {"web1": "ok"}


def test_a_connection_that_the_plan_does_not_show_is_not_made(world):
    world.write("playbooks/connection_plugins/here.py", OWN)
    recorder = world.play(PLAY.replace("  tasks:", "  vars: {ansible_connection: here}\n  tasks:"))
    assert "ok" not in recorder.outcomes("Ping").values()


@pytest.mark.parametrize(
    ("plugin", "says"),
    [("winrm", "pywinrm"), ("psrp", "pypsrp"), ("ansible.netcommon.network_cli", "is not there")],
)
def test_a_connection_whose_plugin_or_package_is_missing_is_refused_before_anything(world, plugin, says):
    change(world, "web1", ansible_connection=plugin)
    world.write("playbooks/play.yml", PLAY)
    with pytest.raises(ToolMissingError, match=says) as caught:
        world.facts()
    assert caught.value.exit_code == 17
    change(world, "web1", ansible_connection="ssh")
    change(world, "web2", ansible_connection=plugin)  # the play does not touch it
    assert world.facts().inventory.ways == {}


NAMESAKE = """
from ansible.plugins.connection.local import Connection as Local

DOCUMENTATION = '''
name: {name}
short_description: a collection's own, called like one of Ansible's
options:
  host: {{description: unused, vars: [{{name: ansible_host}}]}}
  port: {{description: unused, vars: [{{name: ansible_port}}]}}
'''

class Connection(Local):
    transport = '{name}'
"""
TURNED = """
- hosts: web1
  gather_facts: false
  tasks:
    - {{name: Before, ansible.builtin.raw: "true", ignore_errors: true}}
    - {{name: Turn, ansible.builtin.set_fact: {{ansible_connection: {plugin}}}}}
    - {{name: After, ansible.builtin.raw: "true", ignore_errors: true}}
"""


@pytest.mark.parametrize(
    ("named", "turned"),
    [
        ("ssh", "acme.tools.ssh"),
        ("acme.tools.ssh", "acme.more.ssh"),
        ("acme.tools.local", "ansible.legacy.local"),
    ],
)
def test_a_collections_plugin_that_is_called_like_ansibles_is_another_one(world, named, turned):
    change(world, "web1", ansible_connection=named)
    for folder in ("tools/plugins/connection", "more/plugins/connection"):
        for name in ("ssh", "local"):
            path = f"collections/ansible_collections/acme/{folder}/{name}.py"
            world.write(path, NAMESAKE.format(name=name))
    world.write("playbooks/play.yml", TURNED.format(plugin=turned))
    plan = world.plan()
    assert plan.manifest.inventory.ways == ({} if named == "ssh" else {"web1": named})
    recorder = world.run(plan)
    assert (recorder.outcomes("Before"), recorder.outcomes("After")) == (
        {"web1": "changed"},
        {"web1": "failed"},
    )
    what = "a local connection" if turned.endswith(".local") else f"a connection by {turned}"
    assert {action.outside for action in recorder.actions} == {"", f"{what} for 'web1'"}


def test_a_redirected_name_of_the_inventory_is_the_plugin_that_it_leads_to(world):
    change(world, "web1", ansible_connection="acme.tools.old")
    folder = "collections/ansible_collections/acme/tools"
    world.write(f"{folder}/plugins/connection/new.py", NAMESAKE.format(name="new"))
    world.write(
        f"{folder}/meta/runtime.yml", "plugin_routing: {connection: {old: {redirect: acme.tools.new}}}\n"
    )
    assert world.play(PLAY).outcomes("Ping") == {"web1": "ok"}


@pytest.mark.parametrize(
    ("asked", "outcome"),
    [
        ("-o Ciphers=aes128-cbc", "unreachable"),  # what no server of today takes
        ("-o Ciphers=aes256-ctr -o HostKeyAlgorithms=ssh-ed25519 -4", "ok"),
    ],
)
def test_options_of_the_inventory_are_frozen_and_reach_ssh(world, asked, outcome):
    change(world, "web1", ansible_ssh_common_args=asked)
    world.write("playbooks/play.yml", PLAY)
    plan = world.plan()
    change(world, "web1", ansible_ssh_common_args=None)  # edited after approval: the frozen options count
    recorder = world.run(plan)
    assert recorder.outcomes("Ping") == {"web1": outcome}
    if outcome == "ok":
        said = "ssh; Ciphers aes256-ctr; HostKeyAlgorithms ssh-ed25519; AddressFamily inet"
        assert plan.manifest.inventory.ways == {"web1": said}
    else:
        assert "no matching cipher" in recorder.of("Ping").message


def test_what_the_plan_decides_itself_is_named_in_it(world):
    change(world, "web1", ansible_ssh_common_args="-o PasswordAuthentication=yes")
    world.write("playbooks/play.yml", PLAY)
    assert [note for note in world.facts().notes if "passwordauthentication is not honoured" in note]
