"""Every kind of inventory source at once, as Ansible reads them: frozen host by host, group by group."""

import json
from pathlib import Path

import pytest

from itmp.adapters.ansible import AnsibleSources
from itmp.documents import DocumentError
from itmp.errors import InvalidInputError
from itmp.plan.sources import Facts, Needs, PlayNeed

INI = """
bare
[web]
web[01:03].example.org ansible_port=2222
[db]
db-[a:b]
[db:vars]
tier=data
[site:children]
web
db
[six]
v6 ansible_host=2001:db8::7
2001:db8::8
"""
YAML = """
all:
  hosts:
    bücher: {ansible_host: 192.0.2.9, role: shop}
    web01.example.org: {role: front}
    db-a: {role: store}
"""
SCRIPT = """#!/bin/sh
echo '{"cloud": {"hosts": ["vm1", "vm2"], "vars": {"zone": "a"}}, "_meta": {"hostvars": {"vm1": {"role": "shop"}}}}'
"""
CONSTRUCTED = """
plugin: ansible.builtin.constructed
strict: false
groups: {shops: "role | default('') == 'shop'"}
keyed_groups: [{key: role, prefix: role}]
compose: {double: "role * 2"}
"""
GENERATOR = """
plugin: ansible.builtin.generator
hosts: {name: "{{ app }}-{{ stage }}", parents: [{name: "{{ app }}"}]}
layers: {app: [api, job], stage: [test, live]}
"""
PLUGIN = """
from ansible.plugins.inventory import BaseInventoryPlugin

DOCUMENTATION = '''
name: shelf
short_description: hosts from a shelf
options:
  plugin: {description: its name, required: true}
'''

class InventoryModule(BaseInventoryPlugin):
    NAME = 'shelf'
    def verify_file(self, path):
        return path.endswith('shelf.yml')
    def parse(self, inventory, loader, path, cache=True):
        super().parse(inventory, loader, path, cache)
        self.inventory.add_host('from-shelf')
        self.inventory.set_variable('from-shelf', 'shelf', 3)
"""
CONFIG = """
[defaults]
inventory_plugins = plugins/inventory
[inventory]
enable_plugins = host_list, script, auto, yaml, ini, constructed, generator, shelf
"""


def write(root: Path, path: str, text: str) -> None:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    target.chmod(0o755 if text.startswith("#!") else 0o644)


def gather(root: Path, *sources: str) -> Facts:
    return AnsibleSources(root, sources).gather(
        Needs(patterns=("all", "web:!web02.example.org", "~db-.*", "shops"))
    )


def test_all_kinds_of_sources_together(tmp_path):
    write(tmp_path, "ansible.cfg", CONFIG)
    write(tmp_path, "plugins/inventory/shelf.py", PLUGIN)
    write(tmp_path, "one/hosts", INI)
    write(tmp_path, "one/group_vars/web.yml", "from_one: 1\n")
    write(tmp_path, "two/hosts.yml", YAML)
    write(tmp_path, "two/host_vars/bücher.yml", "from_two: 2\n")
    write(tmp_path, "two/group_vars/web/more.yml", "more: 1\n")
    write(tmp_path, "three/cloud.sh", SCRIPT)
    write(tmp_path, "three/generated.yml", GENERATOR)
    write(tmp_path, "three/shelf.yml", "plugin: shelf\n")
    write(tmp_path, "three/zz_constructed.yml", CONSTRUCTED)
    facts = gather(
        tmp_path, "one/hosts", "two/hosts.yml", "three/cloud.sh", "three/generated.yml", "three/shelf.yml",
        "three/zz_constructed.yml",
    )  # fmt: skip
    assert facts.inventory is not None
    hosts = {host.name: host for host in facts.inventory.hosts}
    web = [f"web0{number}.example.org" for number in (1, 2, 3)]
    made = {f"{app}-{stage}" for app in ("api", "job") for stage in ("test", "live")}
    assert hosts.keys() == {
        *web, *made, "bare", "db-a", "db-b", "v6", "2001:db8::8", "bücher", "vm1", "vm2", "from-shelf",
    }  # fmt: skip
    assert [hosts[name].port for name in web] == [2222] * 3
    assert (hosts["v6"].address, hosts["2001:db8::8"].address) == ("2001:db8::7", "2001:db8::8")
    assert {"site", "web", "role_front"} <= set(hosts["web01.example.org"].groups)
    assert {"shops", "role_shop", "cloud"} <= set(hosts["vm1"].groups)
    assert "shops" in hosts["bücher"].groups
    assert facts.inventory.patterns["web:!web02.example.org"] == (web[0], web[2])
    assert facts.inventory.patterns["~db-.*"] == ("db-a", "db-b")
    assert {"inventory/group_vars/web.yml", "inventory/group_vars/web/more.yml"} <= facts.artifacts.keys()
    assert "inventory/host_vars/bücher.yml" in facts.artifacts
    snapshot = json.loads(facts.artifacts["inventory/snapshot.json"])
    assert snapshot["_meta"]["hostvars"]["from-shelf"] == {"shelf": 3}
    assert snapshot["_meta"]["hostvars"]["vm1"]["double"] == {"__ansible_unsafe": "shopshop"}
    assert snapshot["_meta"]["hostvars"]["bare"] == {}


MADE = "plugin: constructed\nuse_vars_plugins: {}\ngroups: {{heavy: weight | default(0) > 5}}\ncompose: {{twice: weight * 2}}\n"


@pytest.mark.parametrize(("asked", "twice"), [("true", {"twice": 18}), ("false", {})])
def test_groups_are_made_of_files_beside_the_sources_where_one_asks_for_it(tmp_path, asked, twice):
    """The files themselves stay files: the plan lists of a host what its sources say."""
    write(tmp_path, "hosts", "web1\nweb2\n")
    write(tmp_path, "host_vars/web1.yml", "weight: 9\n")
    write(tmp_path, "zz_made.yml", MADE.format(asked))
    facts = gather(tmp_path, "hosts", "zz_made.yml")
    assert facts.inventory is not None
    heavy = [host.name for host in facts.inventory.hosts if "heavy" in host.groups]
    assert heavy == (["web1"] if twice else [])
    snapshot = json.loads(facts.artifacts["inventory/snapshot.json"])
    assert snapshot["_meta"]["hostvars"]["web1"] == twice


def test_no_group_is_made_of_an_encrypted_file(tmp_path):
    write(tmp_path, "hosts", "web1\n")
    write(tmp_path, "host_vars/web1.yml", "$ANSIBLE_VAULT;1.1;AES256\n3132\n")
    write(tmp_path, "zz_made.yml", MADE.format("true"))
    with pytest.raises(InvalidInputError, match=r"zz_made\.yml"):
        gather(tmp_path, "hosts", "zz_made.yml")


@pytest.mark.parametrize("folder", ["collections", "playbooks/collections", "vendor"])
@pytest.mark.parametrize("config", ["ansible.cfg", "playbooks/ansible.cfg"])
def test_an_inventory_plugin_of_a_collection_is_found_where_the_project_keeps_it(tmp_path, config, folder):
    vendor = "vendor" if config == "ansible.cfg" else "../vendor"
    write(tmp_path, config, f"[defaults]\ncollections_path = {vendor}\n")
    place = f"{folder}/ansible_collections/acme/shelves"
    write(tmp_path, f"{place}/galaxy.yml", "namespace: acme\nname: shelves\nversion: 1.0.0\n")
    write(tmp_path, f"{place}/plugins/inventory/shelf.py", PLUGIN.replace("shelf'", "acme.shelves.shelf'", 1))
    write(tmp_path, "shelf.yml", "plugin: acme.shelves.shelf\n")
    facts = gather(tmp_path, "shelf.yml")
    assert facts.inventory is not None
    assert [host.name for host in facts.inventory.hosts] == ["from-shelf"]


def test_a_declared_delegate_is_found_by_any_name_that_an_inventory_holds(tmp_path):
    write(
        tmp_path,
        "hosts.yml",
        "all: {hosts: {web1: {}, '2001:db8::8': {}, 'fe80::1': {}, bücher: {}, core@site: {}}}\n",
    )
    task = "[{ansible.builtin.raw: id, delegate_to: '{{ chosen }}'}]"
    write(tmp_path, "playbooks/a.yml", f"[{{hosts: web1, gather_facts: false, tasks: {task}}}]\n")
    names = ("2001:db8::8", "fe80::1", "bücher", "core@site")
    need = PlayNeed(id="a", playbook="a", mark="a.yml:1:1", delegates=names)
    facts = AnsibleSources(tmp_path, ("hosts.yml",)).gather(Needs(plays=(need,)))
    assert (facts.plays["a"].hosts, set(facts.plays["a"].delegates)) == (("web1",), set(names))


@pytest.mark.parametrize("name", ["a,b", "a:b", "!a", "&a", "~a", "a b", "a*"])
def test_a_name_that_means_more_in_a_pattern_is_refused(tmp_path, name):
    write(tmp_path, "hosts.json", json.dumps({"all": {"hosts": {name: {}, "b": {}}}}))
    with pytest.raises(DocumentError, match="means something else in a host pattern"):
        gather(tmp_path, "hosts.json")


def test_the_same_vars_file_beside_two_sources_must_agree(tmp_path):
    for place in ("one", "two"):
        write(tmp_path, f"{place}/hosts", f"[web]\n{place}\n")
        write(tmp_path, f"{place}/group_vars/web.yml", f"x: {place}\n")
    with pytest.raises(DocumentError, match="another inventory has this file too"):
        gather(tmp_path, "one/hosts", "two/hosts")


def test_each_plugin_that_ships_with_ansible_core_reads_its_source(tmp_path):
    """`auto` finds generator and constructed by their own word; advanced_host_list has to be enabled, as bare Ansible asks."""
    write(
        tmp_path,
        "ansible.cfg",
        "[inventory]\nenable_plugins = advanced_host_list, script, auto, yaml, ini, toml\n",
    )
    write(tmp_path, "hosts.toml", '[t]\nvars = {from = "toml"}\n[t.hosts.from-toml]\nansible_port = 2200\n')
    write(tmp_path, "generated.yml", GENERATOR)
    write(tmp_path, "zz_constructed.yml", CONSTRUCTED)
    write(tmp_path, "cloud.sh", SCRIPT)
    sources = (
        "web[1:3].example.org,10.0.0.[7:8]:2222,",
        "hosts.toml",
        "generated.yml",
        "cloud.sh",
        "zz_constructed.yml",
    )
    facts = AnsibleSources(tmp_path, sources).gather(Needs(patterns=("all", "shops")))
    hosts = {host.name: host for host in facts.inventory.hosts}
    web = {f"web{number}.example.org" for number in (1, 2, 3)}
    made = {f"{app}-{stage}" for app in ("api", "job") for stage in ("test", "live")}
    assert hosts.keys() == {*web, *made, "10.0.0.7", "10.0.0.8", "from-toml", "vm1", "vm2"}
    assert (hosts["10.0.0.7"].port, hosts["from-toml"].port) == (2222, 2200)
    assert facts.inventory.patterns["shops"] == ("vm1",)
    assert facts.inventory.sources == sources


def test_a_list_of_hosts_needs_no_file_and_takes_no_ranges_by_itself(tmp_path):
    facts = AnsibleSources(tmp_path, ("a.example.org,192.0.2.7:2222,",)).gather(Needs(patterns=("all",)))
    assert [(host.name, host.port) for host in facts.inventory.hosts] == [
        ("a.example.org", 22),
        ("192.0.2.7", 2222),
    ]
    with pytest.raises(DocumentError, match=r"web\[1:3\].*advanced_host_list"):
        AnsibleSources(tmp_path, ("web[1:3],",)).gather(Needs(patterns=("all",)))


def test_vars_beside_a_file_count_also_after_a_list_of_hosts(tmp_path):
    write(tmp_path, "inv/hosts", "[web]\nweb1\n")
    write(tmp_path, "inv/group_vars/web.yml", "x: 1\n")
    facts = AnsibleSources(tmp_path, ("other,", "inv/hosts")).gather(Needs(patterns=("all",)))
    assert "inventory/group_vars/web.yml" in facts.artifacts
    assert "inv/group_vars/web.yml" in {source.path for source in facts.sources}


def test_what_is_no_inventory_inside_of_a_folder_is_named_and_a_source_of_nothing_refused(tmp_path):
    write(tmp_path, "inv/cluster/hosts.yml", "all: {hosts: {web1: }}\n")
    write(tmp_path, "inv/cluster/patches/one.yaml", "- op: add\n  path: /spec\n")
    write(tmp_path, "inv/cluster/credentials/db.creds", "{[\n")
    write(tmp_path, "inv/cluster/group_vars/all.yml", "a: 1\n")
    asked = Needs(patterns=("all",))
    facts = AnsibleSources(tmp_path, ("inv/cluster",)).gather(asked)
    assert facts.inventory is not None
    assert [host.name for host in facts.inventory.hosts] == ["web1"]
    said = "is no inventory that Ansible reads: hosts of it are not in the plan"
    assert [note for note in facts.notes if note.endswith(said)] == [
        f"inv/cluster/credentials/db.creds {said}",
        f"inv/cluster/patches/one.yaml {said}",
    ]
    write(tmp_path, "inv/broken.yml", "all: [\n")
    (tmp_path / "inv/empty").mkdir()
    for bad in ("inv/broken.yml", "inv/empty"):
        for sources in ((bad,), ("inv/cluster", bad), (bad, "inv/cluster")):
            with pytest.raises(InvalidInputError, match="Ansible cannot read the inventory") as caught:
                AnsibleSources(tmp_path, sources).gather(asked)
            assert caught.value.where == bad
            assert "ansible-inventory --list warns of the same" in caught.value.do
    write(tmp_path, "ansible.cfg", "[inventory]\nany_unparsed_is_failed = true\n")
    with pytest.raises(InvalidInputError, match="credentials"):
        AnsibleSources(tmp_path, ("inv/cluster",)).gather(asked)
