"""By which name plays see the inventory: that of its one source, or itmp's own and a note for who asks."""

from pathlib import Path

import pytest

from itmp.adapters.ansible import _called, layout
from itmp.errors import InvalidInputError

OWN = "inventory/hosts"


@pytest.mark.parametrize(
    ("sources", "name"),
    [
        (("inventories/production/hosts.yml",), "production/hosts.yml"),
        (("./inventories/lab.ini",), "inventories/lab.ini"),
        (("inventories/production",), "production/hosts.yml"),
        (("inventories/several",), "several/hosts"),
        (("hosts.ini",), "inventory/hosts.ini"),
        (("inventory/hosts",), OWN),
        (("inventories/production", "more/hosts"), OWN),
        (("web1,web2",), OWN),
        (("odd name/hosts.yml",), "inventory/hosts.yml"),
        (("inventories/vars",), "inventories/hosts"),
        (("inventories/-x",), "inventories/hosts"),
    ],
)
def test_one_source_keeps_the_names_of_its_folder_and_its_file(
    tmp_path: Path, sources: tuple[str, ...], name: str
) -> None:
    for path in (
        "production/hosts.yml",
        "production/known_hosts",
        "production/group_vars/all",
        "several/a",
        "several/b",
    ):
        (tmp_path / "inventories" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "inventories" / path).touch()
    assert _called.of(tmp_path, sources) == name
    assert _called.artifact(name) == ({} if name == OWN else {layout.CALLED: name.encode()})


@pytest.mark.parametrize(
    ("sources", "text", "named"),
    [
        (("a/hosts.yml",), "{{ inventory_file }} {{ inventory_dir | basename }}", ""),
        (("a/hosts.yml", "b/hosts.yml"), "{{ inventory_dir }}/files/x", ""),
        (("a/hosts.yml", "b/hosts.yml"), "{{ inventory_file }}", "inventory_file"),
        (("a/hosts.yml", "b/hosts.yml"), "{{ inventory_dir.split('/')[-1] }}", "inventory_dir"),
        (("hosts.yml",), "{{ inventory_dir|basename }} {{ inventory_file }}", "inventory_dir"),
        (("web1,",), "{{ inventory_dir | basename ~ inventory_file }}", "inventory_dir and inventory_file"),
    ],
)
def test_a_text_that_asks_for_a_name_of_itmps_own_is_noted(
    tmp_path: Path, sources: tuple[str, ...], text: str, named: str
) -> None:
    (found,) = [*_called.notes(tmp_path, sources, {"project/playbooks/x.yml": text.encode()})] or [""]
    assert found.partition(",")[0] == (f"playbooks/x.yml asks for {named}" if named else "")


@pytest.mark.parametrize("name", [b"../hosts", b"a/b/c", b"/hosts", b"a/", b"a/hosts\n", b".a/hosts", b""])
def test_a_name_that_would_lead_elsewhere_is_refused(tmp_path: Path, name: bytes) -> None:
    with pytest.raises(InvalidInputError, match="no name of an inventory"):
        layout.lay_out(tmp_path, [(layout.CALLED, name)])


def test_the_layout_has_the_inventory_by_its_name_and_in_its_place(tmp_path: Path) -> None:
    given = [(layout.CALLED, b"production/hosts.yml"), (layout.SNAPSHOT, b"{}")]
    layout.lay_out(tmp_path, given)
    script = layout.inventory(tmp_path)
    assert script == tmp_path / "named/production/hosts.yml"
    assert script.resolve() == tmp_path / "inventory/hosts.yml"
    assert (script.parent / "snapshot.json").read_bytes() == b"{}"
