"""Plays see the inventory by the names of its folder and file, and find beside it what lies there."""

import pytest

pytestmark = pytest.mark.fleet

PLAY = """
- hosts: web
  gather_facts: false
  vars_files:
    - ["vars/{{ inventory_file | basename }}", vars/default.yml]
  tasks:
    - name: Names
      ansible.builtin.debug: {msg: "{{ inventory_dir | basename }} {{ inventory_file | basename }} {{ stage }}"}
    - name: Beside
      ansible.builtin.debug: {msg: "{{ lookup('file', inventory_dir ~ '/files/a') }} {{ of_group }} {{ of_host | default('none') }}"}
    - name: Read again
      ansible.builtin.meta: refresh_inventory
    - name: Still
      ansible.builtin.debug: {msg: "{{ inventory_file | basename }}"}
"""


def test_plays_tell_inventories_apart_by_their_names(world):
    world.write("playbooks/vars/lab.yml", "stage: of the lab\n")
    world.write("playbooks/vars/default.yml", "stage: fallen back\n")
    world.write("inventories/files/a", "beside\n")
    world.write("inventories/group_vars/web.yml", "of_group: web\n")
    world.write("inventories/host_vars/web1.yml", "of_host: own\n")
    recorder = world.play(PLAY)
    assert recorder.of("Names", "web1").message == "inventories lab.yml of the lab"
    assert recorder.of("Beside", "web1").message == "beside web own"
    assert recorder.of("Beside", "web2").message == "beside web none"
    assert recorder.of("Still", "web2").message == "lab.yml"


def test_several_sources_have_no_name_and_a_text_that_asks_for_one_is_noted(world):
    world.write("playbooks/play.yml", PLAY)
    assert not [note for note in world.facts().notes if "asks for" in note]
    world.write("more/hosts.yml", "all: {hosts: {other: }}\n")
    world.inventories = ("inventories/lab.yml", "more/hosts.yml")
    (note,) = [note for note in world.facts().notes if "asks for" in note]
    assert note.startswith(
        "playbooks/play.yml asks for inventory_dir and inventory_file, which ends in inventory/hosts"
    )
