"""The lookup `password` keeps what it makes where it stays, or not at all: a slice's own folder goes with the slice."""

import re

import pytest

from itmp.documents import DocumentError

pytestmark = pytest.mark.fleet

KEPT = """
- hosts: web1
  gather_facts: false
  vars:
    where: "{{ playbook_dir }}/words"
  tasks:
    - name: One
      ansible.builtin.debug: {msg: "{{ lookup('ansible.builtin.password', where + '/one', length=30) }}"}
"""
READ = """
- hosts: web1
  gather_facts: false
  tasks:
    - name: Read
      ansible.builtin.debug: {msg: "{{ lookup('password', 'credentials/held') }}"}
    - name: Salted
      ansible.builtin.debug: {msg: "{{ lookup('password', 'credentials/held encrypt=sha512_crypt') }}"}
"""


def test_a_password_that_the_slice_would_forget_is_not_made(world):
    recorder = world.play(KEPT)
    assert recorder.outcomes("One") == {"web1": "failed"}
    told = recorder.of("One").message
    assert (
        "project/playbooks/words/one would be forgotten with its slice, and the next one would make another"
        in told
    )
    assert "(`secrets:`)" in told


def test_one_that_stays_on_the_executor_is_the_same_in_every_slice(world):
    words = [world.play(KEPT, vars={"where": f"{world.root}/words"}).of("One").message for _ in range(2)]
    assert words == [(world.root / "words/one").read_text().strip()] * 2
    assert re.fullmatch(r"\S{30}", words[0])


def test_one_that_the_plan_holds_is_read_and_never_written(world):
    world.write("playbooks/credentials/held", "of the plan\n")
    recorder = world.play(READ)
    assert recorder.of("Read").message == "of the plan"
    assert recorder.outcomes("Salted") == {"web1": "failed"}
    assert "project/playbooks/credentials/held would be forgotten" in recorder.of("Salted").message


WRITTEN = """\
- hosts: web1
  gather_facts: false
  vars:
    one: "{{ lookup('password', 'credentials/one') }}"
  roles: [app]
  tasks:
    - ansible.builtin.debug: {msg: "{{ lookup('password', inventory_dir ~ '/../secret/' ~ inventory_hostname) }}"}
    - ansible.builtin.debug: {msg: "{{ item }}"}
      with_password: [credentials/three, /dev/null]
    - ansible.builtin.debug: {msg: "{{ lookup('password', '/dev/null') + lookup('password', '~/x') }}"}
    - ansible.builtin.debug: {msg: "{{ lookup('password', 'credentials/perhaps') }}"}
      when: inventory_hostname == 'none'
"""


def test_a_path_that_is_written_out_into_a_slice_is_refused_with_its_line(world):
    world.write("playbooks/play.yml", WRITTEN)
    world.write(
        "playbooks/roles/app/tasks/main.yml", "- {name: T, ansible.builtin.template: {src: a.j2, dest: /x}}\n"
    )
    world.write(
        "playbooks/roles/app/templates/a.j2", "x\n{{ lookup('password', role_path + '/files/four') }}\n"
    )
    word = "word: \"{{ lookup('password', 'credentials/five') }}\"\n"
    world.write("playbooks/roles/app/defaults/main.yml", f"---\n{word}")
    world.write("playbooks/roles/other/defaults/main.yml", word)
    world.write(
        "inventories/group_vars/web.yml", "six: \"{{ query('password', playbook_dir ~ '/six') | first }}\"\n"
    )
    with pytest.raises(DocumentError) as caught:
        world.facts()
    found = {
        f"{one.path}:{one.line}": re.search(r"password: (\S+) would", one.message)[1]
        for one in caught.value.problems
    }
    assert found == {
        "playbooks/play.yml:1": "credentials/one",
        "playbooks/play.yml:7": "inventory_dir/../secret/…",
        "playbooks/play.yml:8": "credentials/three",
        "playbooks/roles/app/templates/a.j2:2": "role_path/files/four",
        "playbooks/roles/app/defaults/main.yml:2": "credentials/five",
        "inventories/group_vars/web.yml:1": "playbook_dir/six",
    }
    assert all("absolute path" in one.suggestion for one in caught.value.problems)


def test_what_the_step_or_another_place_sets_or_the_plan_holds_is_no_reason_to_refuse(world):
    play = "- {hosts: web1, gather_facts: false, vars: {one: \"{{ lookup('password', 'c/one') }}\"}, roles: [app]}\n"
    world.write("playbooks/play.yml", play)
    world.write("playbooks/roles/app/tasks/main.yml", "- {name: T, ansible.builtin.ping: }\n")
    lookup = "lookup('password', '{}')"
    names = {"two": "c/two", "three": "c/three", "held": "c/held"}
    defaults = "".join(f'{name}: "{{{{ {lookup.format(path)} }}}}"\n' for name, path in names.items())
    world.write("playbooks/roles/app/defaults/main.yml", defaults)
    world.write("playbooks/c/held", "x\n")
    world.write("inventories/group_vars/web.yml", "two: given\n")
    assert world.facts(vars={"one": "x"}, secrets={"three": "env:THREE"}).plays["a"].hosts == ("web1",)
