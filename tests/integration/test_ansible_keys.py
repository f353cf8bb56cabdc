"""Private keys among the playbooks: in no plan in clear, and where one is public, as ssh takes it."""

import pytest
import yaml

from itmp.documents import DocumentError

pytestmark = pytest.mark.fleet

PLAY = """
- hosts: web1
  gather_facts: false
  tasks: [{name: Go, ansible.builtin.raw: "true"}]
"""


@pytest.mark.parametrize("place", ["playbooks/roles/nginx/files/server.key", "roles/nginx/files/chain.pem"])
def test_a_private_key_in_clear_is_in_no_plan(world, place):
    world.write("playbooks/play.yml", PLAY)
    world.write(place, world.fleet.login.key.read_text())
    with pytest.raises(DocumentError, match="holds a private key in clear") as caught:
        world.facts()
    (problem,) = caught.value.problems
    assert problem.path == place
    assert f"public_vars: [{place}]" in problem.suggestion
    world.write(place, "$ANSIBLE_VAULT;1.1;AES256\n3133\n")
    assert f"project/{place}" in world.facts().artifacts


def test_a_key_that_is_public_is_laid_out_as_ssh_takes_it(world):
    place = "playbooks/keys/deploy.pem"
    world.write(place, world.fleet.login.key.read_text())
    lab = world.root / "inventories" / "lab.yml"
    tree = yaml.safe_load(lab.read_text())
    tree["all"].setdefault("vars", {}).pop("ansible_ssh_private_key_file", None)
    for host in tree["all"]["hosts"].values():
        host["ansible_ssh_private_key_file"] = "{{ playbook_dir }}/keys/deploy.pem"
    lab.write_text(yaml.safe_dump(tree))
    recorder = world.play(PLAY, public_vars=(place,))
    assert recorder.outcomes("Go") == {"web1": "changed"}
    assert f"{place} holds a private key in clear" in world.facts(public_vars=(place,)).notes
