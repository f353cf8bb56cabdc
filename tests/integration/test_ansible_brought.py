"""Collections of a project: locked with their version; what is missing, or lies elsewhere, is named with what to type."""

from pathlib import Path

import pytest

from itmp.adapters.ansible import AnsibleSources
from itmp.documents import DocumentError
from itmp.plan.sources import Facts, Needs, PlayNeed

TOOLS = "ansible_collections/acme/tools"
PLAY = "- {hosts: all, gather_facts: false, tasks: [{name: Greet, acme.tools.greet: }]}\n"
GREET = "#!/bin/sh\necho '{\"changed\": false}'\n"
ASKS = "collections: [{name: acme.tools, version: 1.5.4}]\n"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    here = tmp_path / "ws"
    write(here, "inventories/lab.yml", "all: {hosts: {web1: }}\n")
    write(here, "inventories/known_hosts", "x\n")
    write(here, "playbooks/play.yml", PLAY)
    return here


def write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def collection(root: Path, version: str) -> None:
    write(root, f"{TOOLS}/galaxy.yml", f"namespace: acme\nname: tools\nversion: {version}\n")
    write(root, f"{TOOLS}/plugins/modules/greet.sh", GREET)


def gather(root: Path, *books: str) -> Facts:
    needs = tuple(PlayNeed(id=name, playbook=name, mark="doc.yml:3:5") for name in books or ("play",))
    return AnsibleSources(root, ("inventories/lab.yml",)).gather(Needs(plays=needs))


def refused(root: Path, *books: str) -> str:
    with pytest.raises(DocumentError) as caught:
        gather(root, *books)
    return str(caught.value)


def test_a_collection_of_the_project_is_locked_and_another_version_than_asked_is_named(root: Path) -> None:
    collection(root / "collections", "0.0.1")
    write(root, "requirements.yml", ASKS)
    facts = gather(root)
    assert facts.versions["collection acme.tools"] == "0.0.1"
    assert {f"project/collections/{TOOLS}/plugins/modules/greet.sh", "project/requirements.yml"} <= set(
        facts.artifacts
    )
    said = "requirements.yml asks for collection acme.tools 1.5.4, 0.0.1 is in the project: "
    assert facts.notes == (
        f"{said}ansible-galaxy collection install -r requirements.yml -p collections --force",
    )
    collection(root / "collections", "1.5.4")
    assert gather(root).notes == ()


def test_a_collection_beside_a_playbook_in_a_folder_is_found_as_bare_ansible_finds_it(root: Path) -> None:
    collection(root / "playbooks/deploy/collections", "1.5.4")
    book = "- {hosts: all, gather_facts: false, tasks: [{acme.tools.greet: }, {debug: , when: 1 is acme.tools.odd}]}\n"
    write(root, "playbooks/deploy/site.yml", book)
    facts = gather(root, "deploy/site")
    assert [task.action for task in facts.plays["deploy/site"].expected] == [
        "acme.tools.greet",
        "ansible.builtin.debug",
    ]
    assert facts.versions["collection acme.tools"] == "1.5.4"
    assert facts.plays["deploy/site"].outside == ()
    assert "couldn't resolve module/action 'acme.tools.greet'" in refused(root, "play")


MISSING = (
    PLAY,
    "- {hosts: all, roles: [acme.tools.setup]}\n",
    "- import_playbook: acme.tools.more\n",
    "- {hosts: all, tasks: [{ping: , with_acme.tools.words: [1]}]}\n",
    "- {hosts: all, module_defaults: {group/acme.tools.all: {a: 1}}, tasks: [{ping: }]}\n",
)


def test_one_that_is_missing_is_refused_by_its_name_with_what_to_type(root: Path) -> None:
    typed = "ansible-galaxy collection install acme.tools -p collections"
    assert f"(The project has no collection acme.tools: {typed})" in refused(root)
    write(root, "requirements.yml", ASKS)
    typed = "ansible-galaxy collection install -r requirements.yml -p collections"
    for number, play in enumerate(MISSING):
        write(root, f"playbooks/missing{number}.yml", play)
    said = refused(root, *(f"missing{number}" for number in range(len(MISSING))))
    assert said.count(f"(The project has no collection acme.tools: {typed})") == len(MISSING)


def test_a_module_that_moved_into_a_collection_is_refused_by_where_it_is_now(root: Path) -> None:
    for name in ("firewalld", "ansible.builtin.firewalld"):
        write(root, "playbooks/play.yml", task(f"{name}: "))
        typed = "ansible-galaxy collection install ansible.posix -p collections"
        assert f"(The project has no collection ansible.posix: {typed})" in refused(root)
    write(root, "playbooks/play.yml", task("no_such_module: "))
    assert "put the collection that has it into collections/" in refused(root)


def test_one_that_lies_with_the_user_alone_is_not_read_and_said_to_lie_there(root: Path) -> None:
    collection(root.parent / "home/.ansible/collections", "1.5.4")
    typed = "ansible-galaxy collection install acme.tools -p collections"
    said = f"acme.tools is in ~/.ansible/collections alone, which no plan reads: {typed}"
    assert f"({said})" in refused(root)
    short = "- {hosts: all, gather_facts: false, collections: [acme.tools], tasks: [{greet: }]}\n"
    write(root, "playbooks/play.yml", short)
    assert f"({said})" in refused(root)
    unread = "- {hosts: all, gather_facts: false, tasks: [{debug: {msg: \"{{ 'a' | acme.tools.shout }}\"}, when: x}]}\n"
    write(root, "playbooks/play.yml", unread)
    assert gather(root).notes == (f"collection {said}",)


def test_what_a_collection_publishes_is_no_secret_and_noted(root: Path) -> None:
    collection(root / "collections", "1.5.4")
    write(root, f"collections/{TOOLS}/roles/db/defaults/main.yml", "port: 1\nadmin_password: hunter2\n")
    write(root, f"collections/{TOOLS}/roles/db/vars/main.yml", "api_token: hunter2\n")
    own = refused(root)  # nobody has built it: it may be the workspace's own
    assert f"collections/{TOOLS}/roles/db/defaults/main.yml:2" in own
    assert f"collections/{TOOLS}/roles/db/vars/main.yml:1" in own
    write(root, f"collections/{TOOLS}/MANIFEST.json", '{"collection_info": {"version": "1.5.4"}}\n')
    (note,) = gather(root).notes
    assert note.startswith("collection acme.tools: admin_password is named like a secret and stands in clear")
    assert note.endswith(f"(collections/{TOOLS}/roles/db/defaults/main.yml:2), and 1 more")
    write(root, "playbooks/roles/db/defaults/main.yml", "admin_password: hunter2\n")
    assert "playbooks/roles/db/defaults/main.yml:1" in refused(root)


def test_arguments_to_ssh_in_variables_of_a_role_are_not_used_and_the_plan_says_so(root: Path) -> None:
    collection(root / "collections", "1.5.4")
    write(
        root, "playbooks/roles/db/defaults/main.yml", "ansible_ssh_common_args: -o StrictHostKeyChecking=no\n"
    )
    assert "changes how host keys are checked" in refused(root)
    need = PlayNeed(id="a", playbook="play", mark="doc.yml:3:5")
    facts = AnsibleSources(root, ("inventories/lab.yml",), unpinned=True).gather(Needs(plays=(need,)))
    said = "ansible_ssh_common_args is not used: of arguments to ssh those of the inventory alone count"
    assert facts.notes == (f"project/playbooks/roles/db/defaults/main.yml: {said}",)


def task(text: str, play: str = "") -> str:
    return f"- {{hosts: all, gather_facts: false, {play}tasks: [{{{text}}}]}}\n"


NEEDED = {
    "connection": task("ping: , connection: acme.tools.wire"),
    "connection of a play": task("ping: ", "connection: acme.tools.wire, "),
    "connection of a block": task("block: [{ping: }], connection: acme.tools.wire"),
    "become_method": task("ping: , become: true, become_method: acme.tools.other"),
    "lookup": task("debug: {msg: \"{{ lookup('acme.tools.words', 1) }}\"}"),
    "filter": task("debug: {msg: \"{{ 'a' | acme.tools.shout }}\"}"),
    "filter by name": task("debug: {msg: \"{{ ['a'] | map('acme.tools.shout') | list }}\"}"),
    "test": task("command: id, register: r, failed_when: r is not acme.tools.fine"),
    "test by name": task("debug: {msg: \"{{ ['a'] | select('acme.tools.fine') | list }}\"}"),
}


def test_what_no_parser_of_ansible_looks_for_is_refused_too(root: Path) -> None:
    books = [f"needed{number}" for number in range(len(NEEDED))]
    for book, text in zip(books, NEEDED.values(), strict=True):
        write(root, f"playbooks/{book}.yml", text)
    said = refused(root, *books)
    typed = "(The project has no collection acme.tools: ansible-galaxy collection install acme.tools -p collections)"
    for book in books:
        (line,) = (one for one in said.splitlines() if f"{book}.yml" in one)
        assert typed in line
    collection(root / "collections", "1.5.4")
    said = refused(root, *books)
    assert said.count("is not to be found (Correct the playbook.)") == 4, "the collection has no such plugins"
    for kind in ("connection", "become"):
        write(root, f"collections/{TOOLS}/plugins/{kind}/wire.py", "raise RuntimeError('loaded')\n")
        write(root, f"collections/{TOOLS}/plugins/{kind}/other.py", "raise RuntimeError('loaded')\n")
    assert len(gather(root, *books).plays) == len(books)


def test_text_for_another_tool_needs_no_collection(root: Path) -> None:
    for number, text in enumerate(
        ("{% raw %}{{ x | acme.tools.shout }}{% endraw %}", "{# {{ x | acme.tools.shout }} #}y")
    ):
        write(root, f"playbooks/carried{number}.yml", task(f'copy: {{content: "{text}", dest: /tmp/x}}'))
    assert gather(root, "carried0", "carried1").notes == ()


REACHED_PERHAPS = (
    task("ping: , connection: acme.tools.wire, when: ansible_os_family == 'Windows'"),
    task("debug: {msg: \"{{ 'a' | acme.tools.shout }}\"}, when: x is defined"),
    task("block: [{command: 'false'}], rescue: [{ping: , connection: acme.tools.wire}]"),
)
HARMLESS = (
    task("ping: , become: false, become_method: acme.tools.other"),
    task("command: cat x | acme.tools.shout"),
    task("debug: {msg: \"{{ 'x | acme.tools.shout' }}\"}"),
    task("debug: {msg: \"{{ 'a' | ansible.builtin.upper is ansible.builtin.match('A') }}\"}"),
    task('ping: , connection: "{{ wire }}"'),
)


def test_what_is_perhaps_never_reached_is_listed_and_what_is_no_name_of_a_plugin_is_let_be(
    root: Path,
) -> None:
    for number, text in enumerate((*REACHED_PERHAPS, *HARMLESS)):
        write(root, f"playbooks/p{number}.yml", text)
    facts = gather(root, *(f"p{number}" for number in range(len(REACHED_PERHAPS) + len(HARMLESS))))
    listed = [any("is not to be found" in one for one in play.outside) for play in facts.plays.values()]
    assert listed == [True] * len(REACHED_PERHAPS) + [False] * len(HARMLESS)


def test_what_a_collection_itself_asks_for_is_named_where_it_is_missing(root: Path) -> None:
    collection(root / "collections", "1.5.4")
    asks = (
        "namespace: acme\nname: tools\nversion: 1.5.4\ndependencies: {acme.base: '>=2.0.0', acme.any: '*'}\n"
    )
    write(root, f"collections/{TOOLS}/galaxy.yml", asks)
    typed = "ansible-galaxy collection install"
    assert gather(root).notes == (
        f"collection acme.tools of the project asks for collection acme.any: {typed} acme.any -p collections",
        f"collection acme.tools of the project asks for collection acme.base: {typed} acme.base -p collections",
    )
