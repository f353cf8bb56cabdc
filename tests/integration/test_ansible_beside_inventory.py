"""What lies beside an inventory and is reached by `inventory_dir`, as a plan is made."""

from pathlib import Path

import pytest
from test_ansible_gather import INVENTORY, gather, need, write

from itmp.adapters.ansible import AnsibleSources
from itmp.documents import DocumentError
from itmp.plan.sources import Needs


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path, "inventories/lab.yml", INVENTORY)
    write(tmp_path, "inventories/known_hosts", "192.0.2.1 ssh-ed25519 AAAA\n")
    return tmp_path


BESIDE = """\
- hosts: web
  gather_facts: false
  tasks:
    - copy: {src: "{{ inventory_dir }}/files/a", dest: /tmp/a}
    - copy: {content: "{{ lookup('file', inventory_dir ~ '/one') }}", dest: /tmp/b}
"""


LEFT_OUT = "promises a secret and is left out: encrypt it with ansible-vault"


def beside(facts):
    return {path.removeprefix("inventory/") for path in facts.artifacts if path.startswith("inventory/")}


def test_what_lies_beside_the_inventory_is_taken_where_a_text_leads_there(root):
    for name in (
        "files/a",
        "files/.hidden",
        "files/deep/b",
        "templates/t.j2",
        "templates/u.j2",
        "vars/more.yml",
    ):
        write(root, f"inventories/{name}", "x: 1\n")
    write(root, "inventories/files/deep/b", "{{ inventory_dir }}/vars/more.yml\n")
    write(
        root,
        "playbooks/one.yml",
        BESIDE.replace("files/a", "files/{{ kind }}").replace("/one", "/templates/t.j2"),
    )
    facts = gather(root, need())
    assert beside(facts) - {"called", "known_hosts", "snapshot.json", "ways.json"} == {
        "files/a", "files/deep/b", "templates/t.j2", "vars/more.yml",
    }  # fmt: skip
    assert [note for note in facts.notes if "inventory_dir" in note] == []


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("files/key", "-----BEGIN OPENSSH PRIVATE KEY-----\nx\n", "holds a private key"),
        ("files/chain.pem", "-----BEGIN CERTIFICATE-----\nx\n-----BEGIN RSA PRIVATE KEY-----\nx\n", "holds a private key"),
        ("files/admin.conf", "users: [{user: {client-key-data: eA==}}]\n", "holds a private key"),
        ("files/passwords.yml", "root: x\n", LEFT_OUT),
        ("files/db.password.txt", "x\n", LEFT_OUT),
        ("files/tokens.json", "{}\n", LEFT_OUT),
    ],
)  # fmt: skip
def test_what_may_be_a_secret_beside_the_inventory_is_left_out_and_named(root, name, text, why):
    write(root, f"inventories/{name}", text)
    write(root, "playbooks/one.yml", BESIDE.replace("files/a", "files/{{ kind }}").replace("/one", "/files/"))
    facts = gather(root, need())
    assert name not in beside(facts)
    assert [note for note in facts.notes if note.startswith(f"inventory/{name} {why}")]
    write(root, f"inventories/{name}", "$ANSIBLE_VAULT;1.1;AES256\n3132\n")
    assert name in beside(gather(root, need()))


@pytest.mark.parametrize(
    "task",
    [
        "fetch: {src: /etc/admin.conf, dest: '{{ inventory_dir }}/artifacts/admin.conf', flat: true}",
        "debug: {msg: \"{{ lookup('file', inventory_dir ~ '/passwords/root') }}\"}",
        "copy: {src: '{{ inventory_dir }}/hosts.yml', dest: /tmp/x}",
    ],
)
def test_of_other_folders_beside_the_inventory_nothing_is_taken(root, task):
    for name in ("inventories/artifacts/admin.conf", "inventories/passwords/root"):
        write(root, name, "hunter2\n")
    write(root, "playbooks/one.yml", f"- hosts: web\n  gather_facts: false\n  tasks:\n    - {task}\n")
    facts = gather(root, need())
    assert not [path for path, data in facts.artifacts.items() if b"hunter2" in data]
    assert "playbooks/one.yml reaches outside the plan: inventory_dir" in facts.notes


def test_a_folder_that_a_link_leads_to_is_taken_within_the_workspace_and_never_its_state(root):
    write(root, "common/z", "of all\n")
    write(root, ".itmp/keys/log", "hunter2\n")
    write(root, "inventories/files/a", "x\n")
    (root / "inventories/files/d").symlink_to("../../common")
    write(
        root, "playbooks/one.yml", BESIDE.replace("files/a", "files/{{ kind }}").replace("/one", "/files/a")
    )
    assert "files/d/z" in beside(gather(root, need()))
    for link in ("../../.itmp/keys", "../../.itmp/keys/log"):
        (root / "inventories/files/e").symlink_to(link)
        with pytest.raises(DocumentError, match="leaves the project"):
            gather(root, need())
        (root / "inventories/files/e").unlink()


def test_a_file_that_two_inventories_have_differently_is_refused(root):
    sources = AnsibleSources(root, inventories=("one/hosts", "two/hosts"))
    for name in ("one", "two"):
        write(root, f"{name}/hosts", "[web]\nweb1\n")
        write(root, f"{name}/files/a", f"of {name}\n")
    write(root, "playbooks/one.yml", BESIDE.replace("/one", "/files/a"))
    with pytest.raises(DocumentError, match="another inventory has this file too"):
        sources.gather(Needs(plays=(need(),)))
    write(root, "two/files/a", "of one\n")
    write(root, "two/files/b", "x\n")
    assert "files/a" in beside(sources.gather(Needs(plays=(need(),))))


def test_what_is_not_there_or_a_template_names_is_told(root):
    write(root, "inventories/files/b", "x\n")
    write(root, "playbooks/one.yml", BESIDE.replace("/one", "/{{ kind }}/one"))
    notes = [note for note in gather(root, need()).notes if "inventory_dir" in note]
    assert notes == ["playbooks/one.yml reaches outside the plan: inventory_dir/files/a, inventory_dir"]
    write(root, "playbooks/files/README.md", "about inventory_dir\n")
    assert [note for note in gather(root, need()).notes if "README" in note] == []
