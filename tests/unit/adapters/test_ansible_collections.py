"""Collections: asked for, held, found elsewhere alone."""

import json
from typing import Any

import pytest

from itmp.adapters.ansible import _collections, _versions

ASKED = b"collections:\n- {name: acme.tools, version: 1.5.4}\n- acme.more:>=2.0.0,<3\n- acme.any\n"
FORCE = "ansible-galaxy collection install -r requirements.yml -p collections --force"


def built(name: str, version: str, place: str = "collections") -> dict[str, bytes]:
    folder = f"project/{place}/ansible_collections/{name.replace('.', '/')}"
    return {f"{folder}/MANIFEST.json": json.dumps({"collection_info": {"version": version}}).encode()}


def told(
    artifacts: dict[str, bytes], *, path: str = "requirements.yml", data: bytes = ASKED, **more: Any
) -> list[str]:
    every = {f"project/{path}": data, **artifacts}
    return list(_collections.notes(every, _versions.held(every), more))


def test_what_is_asked_for_and_there_as_asked_is_quiet():
    there = built("acme.tools", "1.5.4") | built("acme.more", "2.9.1") | built("acme.any", "0.1.0")
    assert told(there) == []


def test_another_version_and_none_at_all_are_named_with_what_to_type():
    there = built("acme.tools", "0.0.1") | built("acme.more", "3.0.0")
    assert told(there) == [
        f"requirements.yml asks for collection acme.tools 1.5.4, 0.0.1 is in the project: {FORCE}",
        f"requirements.yml asks for collection acme.more >=2.0.0,<3, 3.0.0 is in the project: {FORCE}",
        f"requirements.yml asks for collection acme.any: {FORCE.removesuffix(' --force')}",
    ]


def test_a_collection_that_states_no_version_is_not_taken_for_the_one_that_is_asked_for():
    there = {"project/collections/ansible_collections/acme/tools/plugins/modules/x.py": b""}
    assert "acme.tools 1.5.4, the one in the project states no version" in told(there)[0]


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        ("playbooks/requirements.yml", "playbooks/collections"),
        ("collections/requirements.yml", "collections"),
        ("playbooks/roles/requirements.yaml", "playbooks/collections"),
    ],
)
def test_the_command_puts_it_where_a_plan_reads(path, folder):
    assert told({}, path=path)[0].endswith(f"ansible-galaxy collection install -r {path} -p {folder}")


def test_the_version_is_that_of_the_collection_which_ansible_finds_first():
    both = built("acme.tools", "0.0.1") | built("acme.tools", "1.5.4", "playbooks/collections")
    assert _versions.held(both) == {"acme.tools": "1.5.4"}
    vendored = both | built("acme.tools", "7.0.0", "vendor")
    searched = _versions.places(("vendor/ansible_collections",))
    assert _versions.of_collections(vendored, searched) == {"collection acme.tools": "7.0.0"}
    assert _versions.held(built("acme.tools", "7.0.0", "playbooks/files")) == {}


def asking(name: str, version: str, **asked: str) -> dict[str, bytes]:
    said = {"version": version, "dependencies": {one.replace("_", "."): text for one, text in asked.items()}}
    ((path, _),) = built(name, version).items()
    return {path: json.dumps({"collection_info": said}).encode()}


def followed(artifacts: dict[str, bytes]) -> list[str]:
    return list(_collections.notes(artifacts, _versions.held(artifacts), {}, _versions.needed(artifacts)))


def test_what_collections_ask_for_themselves_is_followed_from_one_to_the_next():
    first = asking("acme.tools", "1.0.0", acme_base=">=2.0.0,<3.0.0", acme_any="*")
    typed = "ansible-galaxy collection install"
    assert followed(first) == [
        f"collection acme.tools of the project asks for collection acme.any: {typed} acme.any -p collections",
        f"collection acme.tools of the project asks for collection acme.base: {typed} acme.base -p collections",
    ]
    asked, again = ">=2.0.0,<3.0.0", f"{typed} acme.base -p collections --force"
    there = first | built("acme.any", "0.0.1") | asking("acme.base", "3.1.0", acme_deep=">=1.0.0")
    assert followed(there) == [
        f"collection acme.base of the project asks for collection acme.deep: {typed} acme.deep -p collections",
        f"collection acme.tools of the project asks for collection acme.base {asked}, 3.1.0 is in the project: {again}",
    ]
    assert followed(there | built("acme.base", "2.5.0") | built("acme.deep", "1.0.0")) == []


@pytest.mark.parametrize("text", [b"", b"[", b"{", b'{"collection_info": 3}', b"dependencies: [a]", b"\xff"])
def test_a_collection_that_says_nothing_useful_of_itself_asks_for_nothing(text):
    assert _versions.needed(dict.fromkeys(built("acme.tools", "1"), text)) == {}


@pytest.mark.parametrize(
    ("asked", "version", "fits"),
    [
        ("1.5.4", "1.5.4", True),
        ("==1.5.4", "1.5.5", False),
        ("*", "0.0.1", True),
        (">=1.0.0", "1.0.0-rc.1", False),
        (">1.0.0-rc.1", "1.0.0-rc.2", True),
        (">1.0.0-rc.10", "1.0.0-rc.2", False),
        ("!=1.5.4", "1.5.4", False),
        (">=1.9.0", "1.10.0", True),
        ("<=2,>1", "2.0.1", False),
        ("main", "1.0.0", True),
    ],
)
def test_versions_are_compared_as_numbers(asked, version, fits):
    assert _collections.fits(asked, version) is fits


def test_one_that_is_used_and_stands_elsewhere_alone_is_named():
    play = {"project/playbooks/p.yml": b"# acme.away.unused\n- hosts: all\n  tasks: [{acme.home.greet: }]\n"}
    lies = {"acme.home": "~/.ansible/collections", "acme.away": "~/.ansible/collections"}
    said = "collection acme.home is in ~/.ansible/collections alone, which no plan reads: "
    assert told(play, data=b"", **lies) == [
        f"{said}ansible-galaxy collection install acme.home -p collections"
    ]
    assert told(play | built("acme.home", "1.0.0"), data=b"", **lies) == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[",
        b"collections: text",
        b"collections: [3, {}, {name: }]",
        b"collections: {a: b}",
        b"\xff",
        b"[[[" * 9999,
    ],
)
def test_a_file_that_says_nothing_useful_is_quiet(data):
    assert told({}, data=data) == []


def test_a_source_is_named_by_its_last_word_alone():
    (line,) = told(
        {}, data=b"collections: [{name: 'https://user:word@example.com/acme/tools.git', type: git}]"
    )
    assert (
        line
        == "requirements.yml asks for a collection by its source (tools.git): its version is not compared"
    )


UNMET = {
    "project/playbooks/roles/web/templates/site.conf.j2": b"{{ x | acme.net.address('ip') }} {# y | acme.no.b #}",
    "project/playbooks/roles/web/templates/plain": b"{% if x is acme.checks.up %}{{ x | acme.net.mask }}{% endif %}",
    "project/playbooks/group_vars/all.yml": b'key: "{{ lookup(\\"acme.vaults.read\\", x) }}"\n',
    "inventory/host_vars/web1.yml": b'zone: "{{ name | acme.tools.zone }}"\n',
    "project/playbooks/roles/web/files/other.conf": b"{{ x | acme.never.read }}",
    "project/collections/ansible_collections/acme/tools/roles/a/templates/b.j2": b"{{ x | acme.never.read }}",
}


def test_what_only_a_template_or_a_variable_needs_is_named_once_with_what_to_type():
    install = "and the project has no such collection: ansible-galaxy collection install"
    assert list(_collections.unmet(UNMET, {"acme.tools": "1.5.4"}, {})) == [
        f"playbooks/group_vars/all.yml uses the lookup acme.vaults.read, {install} acme.vaults -p collections",
        f"playbooks/roles/web/templates/plain uses the test acme.checks.up, {install} acme.checks -p collections",
        f"playbooks/roles/web/templates/plain uses the filter acme.net.mask, {install} acme.net -p collections",
    ]
    assert (
        list(
            _collections.unmet(
                UNMET, {"acme.tools": ""}, dict.fromkeys(("acme.net", "acme.vaults", "acme.checks"), "")
            )
        )
        == []
    )
