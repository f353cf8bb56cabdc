"""Facts of an Ansible project: by Ansible's own parser, without hosts, without effects."""

import itertools
import json
import os
from pathlib import Path

import ansible.modules
import pytest
from ansible.errors import AnsibleParserError, AnsibleUndefinedVariable

from itmp.adapters.ansible import AnsibleSources, _loading
from itmp.documents import DocumentError
from itmp.errors import InvalidInputError, NotFoundError
from itmp.plan.model import Added
from itmp.plan.sources import Needs, PlayNeed

INVENTORY = """
all:
  vars: {site: here}
  children:
    web:
      hosts: {web1: {ansible_host: 192.0.2.1, ansible_port: 2222}, web2: {ansible_host: "10.0.0.{{ n }}", n: 7}, bare: }
      vars: {share: 0.5}
    db: {hosts: {db1: }}
"""
SITE = """\
- hosts: web
  tasks:
    - name: Say {{ site }}
      ansible.builtin.command: echo 1
      notify: Restart
    - block:
        - copy: {content: x, dest: /tmp/x}
          delegate_to: db1
          check_mode: false
      rescue:
        - debug: {msg: r}
      always:
        - include_tasks: more.yml
    - import_role: {name: web}
    - include_role: {name: "{{ role_name_of_the_day }}"}
    - include_tasks: more.yml
  handlers:
    - name: Restart
      service: {name: nginx, state: restarted}
- import_playbook: other.yml
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    files = {
        "inventories/lab.yml": INVENTORY,
        "inventories/group_vars/web.yml": "greeting: hello\n",
        "inventories/known_hosts": "192.0.2.1 ssh-ed25519 AAAA\n",
        "playbooks/site.yml": SITE,
        "playbooks/other.yml": "- {hosts: db, gather_facts: false, tasks: [{shell: \"echo {{ lookup('env', 'HOME') }}\", no_log: true}]}\n",
        "playbooks/unused.yml": "- {hosts: db, tasks: []}\n",
        "playbooks/more.yml": "- {name: More, ping: }\n",
        "playbooks/roles/web/tasks/main.yml": "- {name: Template, template: {src: a.j2, dest: /tmp/a}, notify: told}\n",
        "playbooks/roles/web/handlers/main.yml": "- {name: told, debug: {msg: x}}\n",
        "playbooks/roles/web/templates/a.j2": "x\n",
        "playbooks/one.yml": "- {hosts: all, gather_facts: false, tasks: [{name: P, ping: }]}\n",
    }
    for path, text in files.items():
        write(tmp_path, path, text)
    return tmp_path


def write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def gather(root: Path, *needs: PlayNeed, patterns=()):
    return AnsibleSources(root, ("inventories/lab.yml",)).gather(Needs(plays=needs, patterns=patterns))


def need(playbook="one", **more) -> PlayNeed:
    return PlayNeed(**{"id": "a", "playbook": playbook, "mark": "doc.yml:3:5", **more})


def refused(root: Path, *needs: PlayNeed) -> str:
    with pytest.raises(DocumentError) as caught:
        gather(root, *needs)
    return str(caught.value)


def test_everything_that_may_run_is_expected_at_its_place(root):
    play = gather(root, need("site")).plays["a"]
    found = [
        (
            t.path.removeprefix("project/playbooks/"),
            t.line,
            t.action.removeprefix("ansible.builtin."),
            t.section,
        )
        for t in play.expected
    ]
    assert found == [
        ("site.yml", 1, "gather_facts", "facts"),
        ("site.yml", 3, "command", "task"),
        ("site.yml", 7, "copy", "task"),
        ("site.yml", 11, "debug", "rescue"),
        ("site.yml", 13, "include_tasks", "always"),
        ("more.yml", 1, "ping", "always"),
        ("roles/web/tasks/main.yml", 1, "template", "task"),
        ("site.yml", 15, "include_role", "task"),
        ("site.yml", 16, "include_tasks", "task"),
        ("more.yml", 1, "ping", "task"),
        ("site.yml", 18, "service", "handler"),
        ("roles/web/handlers/main.yml", 1, "debug", "handler"),
        ("other.yml", 1, "shell", "task"),
    ]
    by_place = {(t.path.rpartition("/")[2], t.line): t for t in play.expected}
    assert by_place["site.yml", 3].name == "Say {{ site }}"
    assert [by_place["site.yml", line].check for line in (1, 3, 7, 18)] == ["full", "none", "none", "full"]
    assert by_place["other.yml", 1].no_log
    assert play.hosts == ("web1", "web2", "bare", "db1")
    assert play.delegates == ("db1",)
    assert play.opaque == ("project/playbooks/site.yml:15 {{ role_name_of_the_day }}",)
    assert play.outside == ("project/playbooks/other.yml:1 lookup env",)


def test_the_inventory_is_frozen_with_every_host(root):
    facts = gather(root, need(), patterns=("web", "all:!web", "nobody"))
    assert facts.inventory is not None
    assert [(h.name, h.address, h.port, h.groups) for h in facts.inventory.hosts] == [
        ("web1", "192.0.2.1", 2222, ("web",)),
        ("web2", "10.0.0.7", 22, ("web",)),
        ("bare", "bare", 22, ("web",)),
        ("db1", "db1", 22, ("db",)),
    ]
    assert facts.inventory.patterns == {"web": ("web1", "web2", "bare"), "all:!web": ("db1",), "nobody": ()}
    snapshot = json.loads(facts.inventory.snapshot)
    assert set(snapshot["_meta"]["hostvars"]) == {"web1", "web2", "bare", "db1"}
    assert snapshot["web"]["vars"] == {"share": 0.5}
    assert "greeting" not in facts.inventory.snapshot.decode()
    assert facts.artifacts["inventory/group_vars/web.yml"] == b"greeting: hello\n"


def test_only_reached_playbooks_and_all_that_they_can_reach_are_taken(root):
    artifacts = gather(root, need("site")).artifacts
    assert {
        "project/playbooks/other.yml",
        "project/playbooks/more.yml",
        "project/playbooks/roles/web/templates/a.j2",
    } <= artifacts.keys()
    assert not {"project/playbooks/unused.yml", "project/playbooks/one.yml"} & artifacts.keys()


def test_the_catalog_may_be_a_link_within_the_workspace_and_hold_playbooks_in_folders(root):
    here = gather(root, need("site"))
    (root / "playbooks").rename(root / "ansible")
    (root / "playbooks").symlink_to("ansible")
    assert gather(root, need("site")) == here
    write(root, "ansible/deploy/db.yml", "- {hosts: db, gather_facts: false, roles: [web]}\n")
    assert gather(root, need("deploy/db")).plays["a"].hosts == ("db1",)


def test_what_a_playbook_in_a_folder_includes_is_looked_for_beside_it_first(root):
    """As bare Ansible does, for each play: one that another playbook imports has its own folder."""
    tasks = "[{include_role: {name: near}}, {ping: , delegate_to: '{{ to }}'}]"
    write(root, "playbooks/deploy/site.yml", f"- {{hosts: web, gather_facts: false, tasks: {tasks}}}\n")
    write(root, "playbooks/deploy/group_vars/all.yml", "to: db1\n")
    write(root, "playbooks/deploy/roles/near/tasks/main.yml", "- {name: Near, ping: }\n")
    write(root, "playbooks/all.yml", "- import_playbook: deploy/site.yml\n")
    for book in ("deploy/site", "all"):
        play = gather(root, need(book)).plays["a"]
        assert [task.name for task in play.expected] == ["include_role", "near : Near", "ping"]
        assert play.delegates == ("db1",)


def test_same_world_same_facts_in_any_folder(root, tmp_path_factory):
    other = tmp_path_factory.mktemp("elsewhere") / "deep"
    root.rename(other)
    here = gather(other, need("site"), patterns=("web",))
    other.rename(root)
    (root / "playbooks" / "more.yml").chmod(0o777)
    os.utime(root / "playbooks" / "more.yml", (0, 0))
    assert gather(root, need("site"), patterns=("web",)) == here
    assert str(other).encode() not in b"".join(here.artifacts.values())


def test_a_variable_of_a_host_or_its_group_changes_the_hosts_digest_and_no_other(root):
    def digests():
        facts = gather(root, need())
        assert facts.inventory is not None
        return {host.name: host.vars for host in facts.inventory.hosts}

    before = digests()
    write(root, "inventories/group_vars/web.yml", "greeting: bye\n")
    after = digests()
    assert {name for name in before if before[name] != after[name]} == {"web1", "web2", "bare"}


def test_rendered_plays_stand_beside_the_catalog(root):
    facts = gather(
        root,
        need(
            "restart",
            rendered=b"- {hosts: '{{ target }}', gather_facts: false, tasks: [{include_tasks: more.yml}]}\n",
            vars={"target": "db"},
        ),
    )
    assert facts.plays["a"].playbook == "project/playbooks/_itmp_a.yml"
    assert facts.plays["a"].hosts == ("db1",)
    assert [t.path for t in facts.plays["a"].expected] == [
        "project/playbooks/_itmp_a.yml",
        "project/playbooks/more.yml",
    ]


def test_a_pattern_narrows_and_never_widens(root):
    assert gather(root, need("site", pattern="web1:db")).plays["a"].hosts == ("web1", "db1")


def test_parsing_executes_no_lookup(root):
    mark = root / "executed"
    pipe = "{{ lookup('pipe', 'touch " + str(mark) + "') }}"
    for play in (
        {"hosts": pipe},
        {"hosts": "all", "tasks": [{"import_tasks": pipe}]},
        {"hosts": "all", "vars": {"f": pipe}, "roles": ["{{ f }}"]},
    ):
        write(root, "playbooks/evil.yml", json.dumps([play]))
        assert "lookup" in (said := refused(root, need("evil")))
    assert "give that under `vars:` of the step" in said
    assert not mark.exists()


BAD = {
    "- {hosts: all, tasks: [{ping: , delegate_to: '{{ x }}'}]}": "not known before the run",
    "- {hosts: all, tasks: [{ping: , delegate_to: nobody}]}": "no such host",
    "- {hosts: all, tasks: [{no.such.module: }]}": "no.such.module",
    "- {hosts: all, tasks: [{include_tasks: missing.yml}]}": "no such file",
    "- {hosts: all, vars_prompt: [{name: x}], tasks: []}": "asks a person",
    "- {hosts: all, strategy: debug, tasks: []}": "asks a person",
    "- {hosts: all, connection: paramiko, tasks: []}": "host keys",
    "- {hosts: all, tasks: [{ping: , connection: paramiko_ssh}]}": "host keys",
    "- {hosts: '{{ unknown }}', tasks: []}": "cannot be known",
    "- {hosts: all, tasks: [{ping: , pingg: }]}": "conflicting",
}


def test_what_cannot_be_kept_to_is_refused_all_at_once_with_its_place(root):
    for number, play in enumerate(BAD):
        write(root, f"playbooks/bad{number}.yml", f"# a comment\n{play}\n")
    lines = refused(root, *(need(f"bad{number}", id=f"n{number}") for number in range(len(BAD)))).splitlines()
    for number, said in enumerate(BAD.values()):
        (line,) = [line for line in lines if f"playbooks/bad{number}.yml:2" in line]
        assert said in line


@pytest.mark.parametrize(
    ("play", "said"),
    [
        (
            "- {hosts: all, vars: {ansible_ssh_extra_args: '-o stricthostkeychecking=no'}, tasks: []}",
            "host keys",
        ),
        ("- {hosts: all, vars: {db_password: hunter2}, tasks: []}", "db_password"),
    ],
)
def test_variables_of_a_play_are_looked_at_too(root, play, said):
    write(root, "playbooks/bad.yml", play + "\n")
    text = refused(root, need("bad"))
    assert said in text
    assert "playbooks/bad.yml:1" in text
    assert "hunter2" not in text


def test_what_asks_a_person_is_refused_where_it_is_reached_and_listed_where_it_may_be(root):
    book = "- {hosts: db, gather_facts: false, tasks: [{pause: {prompt: Where?}, when: to is undefined}, {debug: , debugger: always}]}\n"
    write(root, "playbooks/asks.yml", book)
    text = refused(root, need("asks"))
    assert "debugger asks a person" in text
    assert "pause" not in text
    write(root, "playbooks/asks.yml", book.replace(", {debug: , debugger: always}", ""))
    (line,) = gather(root, need("asks")).plays["a"].outside
    assert line.endswith(
        "asks.yml:1 pause without a time waits for a person: a run that comes to it stops there"
    )


def test_once_only_work_is_refused_in_batches_unless_asked_for(root):
    plays = (
        "- {hosts: all, serial: 1, tasks: []}",
        "- {hosts: all, tasks: [{ping: , run_once: true}]}",
        "[{hosts: web, tasks: []}, {hosts: db, tasks: []}]",
    )
    for number, play in enumerate(plays):
        write(root, f"playbooks/batch{number}.yml", play + "\n")
    numbers = range(len(plays))
    text = refused(root, *(need(f"batch{n}", id=f"n{n}", sliced=True) for n in numbers))
    assert [text.count(f"playbooks/batch{n}.yml") for n in numbers] == [1, 1, 1]
    assert text.count("batch by batch") == len(plays)
    asked = [need(f"batch{n}", id=f"n{n}", sliced=True, per_slice=True) for n in numbers]
    gather(root, *asked, *(need(f"batch{n}", id=f"m{n}") for n in numbers))


TAGGED = """
- hosts: web
  tasks:
    - {name: Wanted, ping: , tags: [a]}
    - {name: Unwanted, ping: , tags: [b]}
    - {name: Never, ping: , tags: [never]}
    - {name: Always, ping: , tags: [always]}
    - {name: By a fact, ping: , tags: ["{{ some_fact }}"]}
    - {include_tasks: more.yml, tags: [a]}
- {hosts: db, gather_facts: false, tasks: [{name: Elsewhere, ping: , tags: [b]}]}
"""


def test_what_the_tags_leave_out_is_not_expected_and_reaches_nobody(root):
    write(root, "playbooks/tagged.yml", TAGGED)

    def names(**more) -> list[str]:
        play = gather(root, need("tagged", **more)).plays["a"]
        return [task.name for task in play.expected] + list(play.hosts)

    web = ["web1", "web2", "bare"]
    first = ["Gathering Facts", "Wanted"]
    assert names(tags=("a",)) == [*first, "Always", "By a fact", "include_tasks", *web]
    assert names(tags=("a",), skip_tags=("always",)) == ["Wanted", "By a fact", "include_tasks", *web]
    assert names()[-2:] == ["bare", "db1"]
    assert "Never" not in names()
    assert "Never" in names(tags=("never",))


def test_delegates_that_the_inventory_determines_are_found(root):
    write(
        root,
        "playbooks/one.yml",
        '- {hosts: web, gather_facts: false, vars: {to: db}, tasks: [{ping: , delegate_to: "{{ groups[to] | first }}"}]}\n',
    )
    assert gather(root, need()).plays["a"].delegates == ("db1",)


def test_hosts_that_are_added_stand_in_the_inventory_or_are_new(root):
    book = "- {hosts: web, gather_facts: false, tasks: [{add_host: {name: x}}]}\n"
    write(root, "playbooks/one.yml", book)
    assert "adds:" in refused(root, need())
    new = Added(name="fresh", address="192.0.2.9")
    assert gather(root, need(adds=("db",), new=(new,))).plays["a"].hosts == (
        "web1",
        "web2",
        "bare",
        "db1",
        "fresh",
    )
    assert "no host of the inventory" in refused(root, need(adds=("fresh",)))
    assert "its address is there" in refused(root, need(new=(Added(name="db1", address="192.0.2.9"),)))


def test_templated_delegates_are_declared(root):
    write(root, "playbooks/lb.yml", "- {hosts: web, tasks: [{ping: , delegate_to: '{{ x }}'}]}\n")
    assert gather(root, need("lb", delegates=("db",))).plays["a"].delegates == ("db1",)


SECRET_PLACES = {
    "inventories/lab.yml": "all: {hosts: {web1: {api_key: hunter2}}}\n",
    "inventories/group_vars/all.yml": "nested: {smtp: {Password: hunter2}}\n",
    "inventories/host_vars/web1/x.yml": "list: [{auth_token: hunter2}]\n",
    "playbooks/group_vars/web": "tls_private_key: hunter2\n",
    "playbooks/vars/x.yml": "client_secret: hunter2\n",
    "playbooks/roles/web/defaults/main.yml": "db_passwd: hunter2\n",
    "playbooks/vars/camel.yml": "dbPassword: hunter2\n",
    "playbooks/vars/short.yml": "pwd: hunter2\n",
    "playbooks/vars/number.yml": "door_token: 271828\n",
    "playbooks/vars/list.yml": "root_password: [hunter2]\n",
    "playbooks/vars/mixed.yml": "proxy_password: \"hunter2{{ '' }}\"\n",
}


def test_every_secret_in_clear_is_refused_unprinted(root):
    for path, text in SECRET_PLACES.items():
        write(root, path, text)
    text = refused(root, need(vars={"smtp_pass": "hunter2"}))
    assert text.count("named like a secret") == len(SECRET_PLACES) + 1
    assert all(path in text for path in SECRET_PLACES)
    assert "doc.yml:3:5" in text
    assert "hunter2" not in text
    assert "271828" not in text
    names = (
        "api_key",
        "Password",
        "auth_token",
        "tls_private_key",
        "client_secret",
        "db_passwd",
        "smtp_pass",
        "dbPassword",
        "pwd",
        "door_token",
        "root_password",
        "proxy_password",
    )
    gather(root, need(vars={"smtp_pass": "hunter2"}, public_vars=names))


def test_what_is_held_against_a_plan_and_not_kept_may_hold_what_its_document_allowed(root):
    asked = Needs(patterns=("all",), compared=True)
    for path, text in SECRET_PLACES.items():
        write(root, path, text)
    assert AnsibleSources(root, ("inventories/lab.yml",)).gather(asked).inventory is not None
    write(root, "playbooks/vars/loose.yml", "ansible_host_key_checking: false\n")
    with pytest.raises(DocumentError, match="host_key_checking"):
        AnsibleSources(root, ("inventories/lab.yml",)).gather(asked)


def test_references_ciphertext_and_other_names_are_not_secrets(root):
    text = 'password: "{{ vaulted }}"\nvaulted_password: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  00\npassword_length: 12\ntoken: null\nsecret: ""\n'
    write(root, "inventories/group_vars/all.yml", text)
    write(root, "inventories/group_vars/db.yml", "$ANSIBLE_VAULT;1.1;AES256\n3030\n")
    write(root, "playbooks/templates/x.yml", "password: in-a-template\n")
    assert b"$ANSIBLE_VAULT" in gather(root, need()).artifacts["inventory/group_vars/db.yml"]


LOOSE = (
    "ansible_ssh_common_args: -o StrictHostKeyChecking=no",
    "ansible_ssh_args: -o UserKnownHostsFile=/dev/null",
    "ansible_ssh_extra_args: -F /dev/null",
    "ansible_ssh_executable: /bin/x",
    "ansible_host_key_checking: false",
    "ansible_connection: paramiko",
    "ansible_libssh_host_key_checking: false",
    "ansible_netconf_host_key_checking: false",
    "ansible_libssh_config_file: /dev/null",
    "ansible_netconf_ssh_config: true",
    "ansible_paramiko_proxy_command: touch /dev/null",
    "ansible_libssh_proxy_command: touch /dev/null",
    "ansible_netconf_proxy_command: touch /dev/null",
)


def test_an_inventory_cannot_switch_host_key_checks_off(root):
    hosts = ", ".join(f"h{number}: {{{line}}}" for number, line in enumerate(LOOSE))
    write(root, "inventories/lab.yml", f"all: {{hosts: {{{hosts}}}}}\n")
    write(root, "inventories/group_vars/all.yml", "\n".join(LOOSE) + "\n")
    text = refused(root, need())
    for number in range(len(LOOSE)):
        assert f"inventories/lab.yml: host h{number}" in text
        assert f"inventories/group_vars/all.yml:{number + 1}" in text


def test_host_names_that_are_patterns_are_refused(root):
    write(
        root,
        "inventories/lab.yml",
        json.dumps(
            {
                "all": {
                    "hosts": {"web1,web2": {}, "!x": {}, "both": {}},
                    "children": {"both": {"hosts": {"z": {}}}},
                }
            }
        ),
    )
    text = refused(root, need())
    assert "'web1,web2'" in text
    assert "'!x'" in text
    assert "both is the name of a host and of a group" in text


GUARDED = "- {hosts: all, tasks: [{block: [{include_tasks: gone.yml}], when: missing_switch is defined}]}\n"


def test_an_include_that_may_never_be_reached_needs_no_file(root):
    """Bare Ansible looks for the file when a host comes to it."""
    write(root, "playbooks/guarded.yml", GUARDED)
    plan = gather(root, need("guarded")).plays["a"]
    assert [what for what in plan.opaque if "gone.yml" in what] == [
        "project/playbooks/guarded.yml:1 gone.yml"
    ]


def test_an_include_that_may_never_be_reached_needs_no_module_that_is_not_here(root):
    """Roles for several systems hold files that name modules of collections which nobody here has."""
    write(root, "playbooks/other_system.yml", "- {no_such_module: {path: /tmp/x}}\n")
    write(root, "playbooks/roles/other/tasks/main.yml", "- {no_such_module: {path: /tmp/x}}\n")
    book = "- {hosts: db, gather_facts: false, tasks: [%s]}\n"
    for what in ("include_tasks: other_system.yml", "include_role: {name: other}"):
        write(root, "playbooks/systems.yml", book % f"{{{what}, when: ansible_os_family == 'Other'}}")
        (opaque,) = gather(root, need("systems")).plays["a"].opaque
        assert "which cannot be read: couldn't resolve module/action 'no_such_module'" in opaque
        write(root, "playbooks/systems.yml", book % f"{{{what}}}")
        assert "no_such_module" in refused(root, need("systems"))


def test_an_include_that_the_run_could_read_and_the_parser_cannot_is_refused_wherever_it_stands(root):
    """Its tasks would run unlisted: what only the parser may not do is no sign that they never run."""
    names = ("lookup('env', 'HOME')", "'web' | acme.tools.same", "of_a_vaulted_file")
    whats = ("include_tasks: in%d.yml", "include_role: {name: in%d}")
    places = ("{%s, when: x is defined}", "{block: [{ping: }], rescue: [{%s}]}")
    cases = [*itertools.product(names, whats, places)]
    for number, (name, what, place) in enumerate(cases):
        inner = f'- import_role: {{name: "{{{{ {name} }}}}"}}\n'
        write(root, f"playbooks/in{number}.yml", inner)
        write(root, f"playbooks/roles/in{number}/tasks/main.yml", inner)
        task = place % (what % number)
        write(root, f"playbooks/out{number}.yml", f"- {{hosts: db, gather_facts: false, tasks: [{task}]}}\n")
    with pytest.raises(DocumentError) as caught:
        gather(root, *(need(f"out{number}", id=f"n{number}") for number in range(len(cases))))
    assert len(caught.value.problems) == len(cases), caught.value


def test_a_plan_that_grows_too_large_is_no_include_that_cannot_be_read():
    assert not _loading.is_lasting(ValueError("more than 20000 tasks"))
    assert _loading.is_lasting(AnsibleParserError("no such module"))
    wrapped = AnsibleParserError("Error loading tasks.")
    wrapped.__cause__ = AnsibleUndefinedVariable("x")
    assert not _loading.is_lasting(wrapped)


def test_a_strategy_by_a_template_is_the_one_that_variables_name(root):
    book = "- {hosts: db, strategy: \"{{ how | default('%s') }}\", tasks: [{ping: }]}\n"
    write(root, "playbooks/how.yml", book % "free")
    gather(root, need("how"))
    for more in ({"vars": {"how": "debug"}}, {"secrets": {"how": "env:HOW"}}):
        assert "asks a person" in refused(root, need("how", **more))
    write(root, "playbooks/how.yml", book % "debug")
    assert "strategy debug asks a person" in refused(root, need("how"))


def test_a_password_for_ssh_is_named_because_it_is_not_used(root):
    text = "ansible_password: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  00\n"
    write(root, "inventories/group_vars/db.yml", text)
    said = "ansible_password is not used over ssh, which enters hosts by key alone"
    assert gather(root, need()).notes == (f"inventory/group_vars/db.yml: {said}",)


def test_a_local_connection_stands_where_the_plan_shows_it(root):
    write(root, "inventories/group_vars/db.yml", "ansible_connection: local\n")
    text = refused(root, need())
    assert "inventories/group_vars/db.yml:1" in text
    assert "set it for the host in the inventory itself" in text


def test_an_inventory_among_the_playbooks_is_an_inventory(root):
    """What it says of hosts stands in the snapshot, which is judged; it is not taken for a file of variables."""
    text = "all: {vars: {ansible_connection: local}, hosts: {web1: {%s}}}\n"
    write(root, "playbooks/staging/hosts.yml", text % "")
    sources = AnsibleSources(root, ("playbooks/staging/hosts.yml",))
    needs = Needs(plays=(need(),))
    (local,) = sources.gather(needs).plays["a"].outside
    assert "host web1 is the executor's own machine" in local
    write(root, "playbooks/staging/hosts.yml", text % "api_token: hunter2")
    with pytest.raises(DocumentError, match=r"playbooks/staging/hosts\.yml: host web1: api_token"):
        sources.gather(needs)
    write(root, "playbooks/other/hosts.yml", text % "")
    with pytest.raises(DocumentError, match=r"other/hosts\.yml:1:14: ansible_connection leads"):
        sources.gather(needs)


def test_what_a_folder_of_inventories_holds_beside_them_is_judged_as_ever(root):
    """Ansible reads no host of a role's variables: the snapshot, which is judged, has nothing of them."""
    write(root, "playbooks/staging/hosts.yml", "all: {vars: {ansible_connection: local}, hosts: {web1: }}\n")
    write(root, "playbooks/staging/roles/db/defaults/main.yml", "db_password: hunter2\n")
    write(root, "playbooks/staging/roles/db/tasks/main.yml", "[{ping: }]\n")
    write(root, "playbooks/staging/vars/all.yml", "api_token: hunter2\n")
    play = "[{hosts: web1, gather_facts: false, vars: {smtp_password: hunter2}, roles: [db]}]\n"
    write(root, "playbooks/staging/site.yml", play)
    with pytest.raises(DocumentError) as caught:
        AnsibleSources(root, ("playbooks/staging/",)).gather(Needs(plays=(need("staging/site"),)))
    found = sorted((one.path, one.message.partition(" ")[0]) for one in caught.value.problems)
    assert found == [
        ("playbooks/staging/roles/db/defaults/main.yml", "db_password"),
        ("playbooks/staging/site.yml", "smtp_password"),
        ("playbooks/staging/vars/all.yml", "api_token"),
    ]


def test_symlinks_stay_inside(root, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret").write_text("x")
    (root / "playbooks" / "files").symlink_to(outside)
    (root / "playbooks" / "templates").mkdir()
    (root / "playbooks" / "templates" / "away").symlink_to(outside / "secret")
    (root / "playbooks" / "templates" / "near").symlink_to("../more.yml")
    text = refused(root, need())
    assert "playbooks/files: a symlink that leaves" in text
    assert "playbooks/templates/away: a symlink that leaves" in text
    assert "near" not in text
    (root / "playbooks" / "files").unlink()
    (root / "playbooks" / "templates" / "away").unlink()
    assert gather(root, need()).artifacts["project/playbooks/templates/near"] == b"- {name: More, ping: }\n"


def test_plugins_with_our_names_are_refused(root):
    write(root, "playbooks/callback_plugins/itmp_actions.py", "x = 1\n")
    assert "itmp_" in refused(root, need())


def test_what_is_missing_or_broken_is_said(root):
    assert "no playbook 'nothing'" in refused(root, need("nothing"))
    with pytest.raises(NotFoundError):
        AnsibleSources(root, ("inventories/none.yml",)).gather(Needs(plays=(need(),)))
    write(root, "inventories/lab.yml", "all: [\n")
    with pytest.raises(InvalidInputError, match="cannot read the inventory"):
        gather(root, need())


def test_ten_thousand_hosts_are_quick_enough_to_count(root):
    hosts = {f"h{n:05}": {"ansible_host": f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}"} for n in range(10_000)}
    write(root, "inventories/lab.yml", json.dumps({"all": {"children": {"web": {"hosts": hosts}}}}))
    facts = gather(root, need(), patterns=("web", "h000*"))
    assert facts.inventory is not None
    assert len(facts.inventory.hosts) == 10_000
    assert len(facts.inventory.patterns["h000*"]) == 100


def test_a_device_whose_key_is_not_checked_by_the_plan_is_named(root):
    write(root, "inventories/group_vars/db.yml", "ansible_connection: ansible.netcommon.network_cli\n")
    plugin = "collections/ansible_collections/ansible/netcommon/plugins/connection/network_cli.py"
    write(root, plugin, "DOCUMENTATION = 'name: network_cli'\n")
    said = "ansible.netcommon.network_cli checks the device's key by the executor's ~/.ssh/known_hosts"
    more = "not by the plan's pinned keys: pin one (itmp hosts scan)"
    assert gather(root, need()).notes == (f"host db1: {said}, {more}",)
    write(root, "inventories/known_hosts", "db1 ssh-ed25519 AAAA\n")
    (note,) = gather(root, need()).notes
    assert note.startswith(
        "hosts db1: their SSH library also takes a key of a type that the plan does not pin"
    )


def test_a_device_that_a_keyword_names_is_told_with_what_checks_its_key(root):
    plugin = "collections/ansible_collections/ansible/netcommon/plugins/connection/network_cli.py"
    write(root, plugin, "DOCUMENTATION = 'name: network_cli'\n")
    tasks = "  tasks: [{ansible.builtin.ping: }]\n"
    play = f"- hosts: db\n  gather_facts: false\n  connection: ansible.netcommon.network_cli\n{tasks}"
    write(root, "playbooks/keyword.yml", play)
    told = gather(root, need("keyword")).plays["a"].outside
    ending = " by the known_hosts of the account that it runs in, not by the plan's pinned keys"
    assert told
    assert all(line.endswith(f"connection ansible.netcommon.network_cli{ending}") for line in told)


NOT_OF_HOSTS = {"add_host", "async_wrapper", "import_playbook", "import_role", "import_tasks", "include_role", "include_tasks", "meta"}  # fmt: skip


def test_every_module_of_ansible_core_is_expected_by_its_full_name(root):
    folder = Path(ansible.modules.__file__).parent
    names = {file.stem for file in folder.glob("*.py") if not file.stem.startswith("_")} - NOT_OF_HOSTS
    free = {"command", "raw", "script", "shell"}
    tasks = [{name: "true" if name in free else {"seconds": 1}} for name in sorted(names)]
    write(root, "playbooks/every.yml", json.dumps([{"hosts": "db", "gather_facts": False, "tasks": tasks}]))
    found = {task.action for task in gather(root, need("every")).plays["a"].expected}
    assert found == {f"ansible.builtin.{name}" for name in names}


BY_TEMPLATE = """\
- {hosts: db, gather_facts: false, tasks: [{name: First, ping: }]}
- import_playbook: "envs/{{ target_env }}{% if blue | default(false) %}-blue{% endif %}.yml"
"""


def test_an_import_by_a_template_finds_what_the_step_s_variables_name(root):
    write(root, "playbooks/by.yml", BY_TEMPLATE)
    for name in ("prod", "prod-blue", "test"):
        text = f"- import_playbook: '{{{{ inner }}}}.yml'\n  vars: {{inner: {name}/site}}\n"
        write(root, f"playbooks/envs/{name}.yml", text)
        play = f"- {{hosts: web, gather_facts: false, tasks: [{{name: In {name}, ping: }}]}}\n"
        write(root, f"playbooks/envs/{name}/site.yml", play)
    for given, found in (
        ({"target_env": "prod", "inner": "prod/site"}, "In prod"),
        ({"target_env": "prod", "blue": True, "inner": "prod-blue/site"}, "In prod-blue"),
    ):
        facts = gather(root, need("by", vars=given))
        assert [task.name for task in facts.plays["a"].expected] == ["First", found]
        assert "project/playbooks/envs/test.yml" in facts.artifacts, "the template may mean it"
        assert "project/playbooks/unused.yml" not in facts.artifacts
    assert "target_env" in refused(root, need("by"))


UNREAD_BY_ANSIBLE = {
    "inventories/group_vars/web/README.md": "# Web\n\n- a: [\n",
    "inventories/group_vars/web/.draft.yml": "a: [\n",
    "inventories/group_vars/web/old.bak": "a: [\n",
    "inventories/host_vars/web1/tls.gpg": "\x00\x01: [\n",
    "inventories/group_vars/web/off.d/x.yml": "a: [\n",
    "playbooks/vars/hosts.csv": "name,owner\nweb1,{a: [\n",
    "playbooks/roles/web/molecule/default/group_vars/all.yml": "a: [\n",
    "playbooks/roles/web/tests/vars/main.yml": "a: [\n",
    "playbooks/roles/web/tasks/never.yml": "- {name: [\n",
}


def test_files_that_ansible_does_not_read_refuse_no_plan_and_hide_no_secret(root):
    for path, text in UNREAD_BY_ANSIBLE.items():
        write(root, path, text)
    notes = gather(root, need()).notes
    broken = [note for note in notes if "not readable as YAML" in note]
    assert len(broken) == sum(path.endswith(".yml") for path in UNREAD_BY_ANSIBLE), notes
    assert any(note.startswith("playbooks/roles/web/tasks/never.yml:2 is not readable") for note in broken)
    for path, text in UNREAD_BY_ANSIBLE.items():
        write(root, path, f'{text}\n  "db_password": "hunter2",\nansible_host_key_checking = false\n')
    told = refused(root, need())
    assert told.count("db_password is named like a secret and stands in clear") == len(UNREAD_BY_ANSIBLE)
    assert told.count("ansible_host_key_checking takes the plan's control") == len(UNREAD_BY_ANSIBLE)
    assert "hunter2" not in told


@pytest.mark.parametrize(
    "path",
    [
        "inventories/group_vars/web/main.yml",
        "inventories/group_vars/web/deep/plain",
        "inventories/host_vars/web1.json",
        "playbooks/roles/web/vars/Debian.yaml",
        "playbooks/roles/web/defaults/main.yml",
    ],
)
def test_variables_that_ansible_reads_must_be_readable(root, path):
    write(root, path, "a: [\n")
    told = refused(root, need())
    assert path in told
    assert "not readable as YAML" in told


def test_a_broken_file_of_tasks_is_refused_where_the_parser_comes_to_it(root):
    write(root, "playbooks/more.yml", "- {name: [\n")
    assert "more.yml" in refused(root, need("site"))
    assert any("playbooks/more.yml:2 is not readable as YAML" in note for note in gather(root, need()).notes)
