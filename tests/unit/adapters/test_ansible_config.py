"""A project's ansible.cfg: honoured, searched, or not honoured with its reason."""

from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from itmp.adapters.ansible import _config, _settings, layout
from itmp.errors import InvalidInputError


def read(text: str) -> _config.Settings:
    return _config.read(text.encode())


def test_settings_that_shape_a_run_are_honoured():
    said = read(
        "[defaults]\nforks = 7\nstrategy = free\ntimeout=30\ngathering = smart\n"
        "[privilege_escalation]\nbecome = true\nbecome_exe = /opt/su\n[ssh_connection]\npipelining = False\n"
    )
    assert said.honoured["defaults"] == {
        "forks": "7",
        "strategy": "free",
        "timeout": "30",
        "gathering": "smart",
    }
    assert said.honoured["privilege_escalation"] == {"become": "true", "become_exe": "/opt/su"}
    assert said.honoured["ssh_connection"] == {"pipelining": "False"}
    assert said.ignored == ()


@pytest.mark.parametrize(
    ("section", "key", "value", "why"),
    [
        ("defaults", "host_key_checking", "False", "host keys are checked"),
        ("defaults", "stdout_callback", "yaml", "itmp's own callback"),
        ("defaults", "callback_plugins", "plugins/callback", "acts without a task"),
        ("defaults", "callbacks_enabled", "timer", "listed under `callbacks`"),
        ("defaults", "strategy", "mitogen_linear", "without asking"),
        ("defaults", "jinja2_extensions", "jinja2.ext.do, own.ext.do", "no plan holds"),
        ("defaults", "jinja2_extensions", "jinja2.ext", "no plan holds"),
        ("defaults", "jinja2_extensions", "jinja2.ext.do.own", "no plan holds"),
        ("defaults", "jinja2_extensions", "", "no plan holds"),
        ("defaults", "strategy_plugins", "plugins/strategy", "acts without a task"),
        ("defaults", "remote_tmp", "/srv/$(reboot)", "the target's shell would run"),
        ("defaults", "remote_tmp", "/srv/x; reboot", "the target's shell would run"),
        ("defaults", "remote_tmp", '/srv/x"', "the target's shell would run"),
        ("defaults", "system_tmpdirs", "/srv/`reboot`", "the target's shell would run"),
        ("defaults", "vault_password_file", "~/.vault", "secret reference"),
        ("defaults", "log_path", "ansible.log", "what the log masks"),
        ("defaults", "fact_caching", "jsonfile", "facts of another run"),
        ("ssh_connection", "scp_extra_args", "-l 800", "the plan alone"),
        ("defaults", "private_key_file", "keys/deploy.pem", "no plan holds a key of the workspace"),
        ("defaults", "private_key_file", "~other/.ssh/deploy", "name it from `/` or `~/`"),
        ("defaults", "private_key_file", "/srv/$USER/deploy", "name it from `/` or `~/`"),
        ("ssh_connection", "control_path", "/srv/x", "private folder"),
        ("paramiko_connection", "host_key_auto_add", "True", "host keys are checked"),
    ],
)
def test_what_is_not_honoured_is_named_with_its_reason(section, key, value, why):
    said = read(f"[{section}]\n{key} = {value}\n")
    (line,) = said.ignored
    assert line.startswith(f"[{section}] {key} is not honoured: ")
    assert why in line
    assert key not in said.honoured.get(section, {})


@pytest.mark.parametrize("name", ["~/.ansible/tmp", "/srv/.ansible-${USER}/tmp", "$HOME/tmp", "/srv/a b"])
def test_a_folder_of_the_target_may_be_named_as_its_shell_reads_names(name):
    assert read(f"[defaults]\nremote_tmp = {name}\n").honoured == {"defaults": {"remote_tmp": name}}


def test_extensions_that_come_with_jinja_are_honoured():
    said = read("[defaults]\njinja2_extensions = jinja2.ext.do,jinja2.ext.loopcontrols\n")
    assert said.honoured == {"defaults": {"jinja2_extensions": "jinja2.ext.do,jinja2.ext.loopcontrols"}}
    assert said.ignored == ()


def test_search_paths_are_honoured_inside_the_workspace():
    said = read(
        "[defaults]\nroles_path = ./galaxy/roles:vendor:~/.ansible/roles:/etc/x:../up\nlibrary=modules\n"
    )
    assert read("[defaults]\nlibrary = _itmp_callbacks\n").folders == {"ANSIBLE_LIBRARY": ()}
    assert said.folders == {"ANSIBLE_ROLES_PATH": ("galaxy/roles", "vendor"), "ANSIBLE_LIBRARY": ("modules",)}
    assert [line.split(": ")[1] for line in said.ignored] == [
        "../up is outside the workspace",
        "/etc/x is outside the workspace",
        "~/.ansible/roles is outside the workspace",
    ]


@pytest.mark.parametrize("word", ["False", "no", "0", "off"])
def test_switching_host_keys_off_is_noticed(word):
    assert read(f"[defaults]\nhost_key_checking = {word}\n").unpinned
    assert read(f"[ssh_connection]\nhost_key_checking = {word}\n").unpinned
    assert not read("[defaults]\nhost_key_checking = True\n").unpinned


def test_arguments_for_ssh_are_read_as_ansible_reads_them():
    said = read(
        '[ssh_connection]\nssh_args = -o ProxyCommand="ssh -W %h:%p bastion"\n  -C\n'
        "ssh_common_args = '-J gate'\nssh_extra_args =\n"
    )
    assert said.ssh == {
        "ssh_args": '-o ProxyCommand="ssh -W %h:%p bastion"\n-C',
        "ssh_common_args": "-J gate",
    }
    assert (said.honoured, said.ignored) == ({}, ())


@pytest.mark.parametrize("name", ["~/.ssh/deploy", "/etc/keys/a b.pem", "$HOME/.ssh/deploy"])
def test_a_key_that_ssh_reads_where_it_is_is_handed_on(name):
    assert read(f"[defaults]\nprivate_key_file = {name}\n").honoured == {
        "defaults": {"private_key_file": name}
    }


def test_a_broken_file_is_refused():
    with pytest.raises(InvalidInputError):
        read("forks = 3\n")


def known() -> list[tuple[str, str]]:
    """Every setting of an ansible.cfg that the ansible-core that is here knows."""
    spec = find_spec("ansible")
    assert spec
    assert spec.origin
    text = (Path(spec.origin).parent / "config/base.yml").read_text()
    options = yaml.load(text, Loader=yaml.CSafeLoader).values()
    return sorted({(one["section"], one["key"]) for option in options for one in option.get("ini") or ()})


def fates(section: str, key: str) -> list[str]:
    """What becomes of a setting: one thing, and one alone."""
    by_value = section == "defaults" and key in {"strategy", "transport", "inventory", "private_key_file"}
    ignored = read(f"[{section}]\n{key} = something\n").ignored
    named = any(line.startswith(f"[{section}] {key} is not honoured: ") for line in ignored)
    quiet = key in _settings.HARMLESS.get(section, ()) or section in _settings.HARMLESS_SECTIONS
    found = {
        "honoured": key in _settings.HONOURED.get(section, ()),
        "searched": section == "defaults" and key in _settings.FOLDERS,
        "read with the inventory": key in _settings.READING.get(section, ()),
        "harmless": quiet,
        "named": named and _settings.OTHER not in ignored[0] and not by_value,
        "by its value": by_value,
        "settled with the ways of hosts": key in read(f"[{section}]\n{key} = something\n").ssh,
    }
    return [fate for fate, holds in found.items() if holds]


@pytest.mark.parametrize(("section", "key"), known())
def test_each_setting_that_ansible_core_knows_is_honoured_harmless_or_named_with_its_own_reason(section, key):
    assert len(fates(section, key)) == 1, fates(section, key)


def test_what_is_called_harmless_or_read_with_the_inventory_is_never_handed_to_a_run():
    for section, keys in (*_settings.HARMLESS.items(), *_settings.READING.items()):
        said = read(f"[{section}]\n" + "".join(f"{key} = x\n" for key in sorted(keys)))
        assert (said.honoured, said.folders, said.ignored) == ({}, {}, ())


@pytest.mark.parametrize("key", ["retry_files_enabled", "verbosity"])
def test_what_says_what_a_run_does_anyway_is_named_only_where_it_asks_for_more(key):
    assert read(f"[defaults]\n{key} = 0\n").ignored == ()
    assert read(f"[defaults]\n{key} = 1\n").ignored != ()


def test_the_mark_of_managed_files_is_honoured_in_several_lines_and_opens_no_section():
    said = read("[defaults]\nansible_managed = Ours\n  [defaults]\n\n  log_path = /x\n")
    assert said.honoured == {"defaults": {"ansible_managed": "Ours\n[defaults]\n\nlog_path = /x"}}
    assert read(layout.render_config(said.honoured)) == said


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Ansible managed, hands off 100 %", ""),
        ("from {file}", "place, owner or time"),
        ("%Y-%m-%d", "place, owner or time"),
        ("{{ lookup('pipe', 'hostname') }}", "lookup pipe"),
    ],
)
def test_what_a_mark_of_managed_files_takes_from_elsewhere_is_named(text, told):
    ignored = read(f"[defaults]\nansible_managed = {text}\n").ignored
    assert told in "\n".join(ignored)
    assert bool(ignored) == bool(told)


def test_another_inventory_than_the_workspaces_is_named():
    said = read("[defaults]\ninventory = ./hosts, inventories/two.yml\n")
    assert list(_config.other(said, ("hosts", "inventories/two.yml"))) == []
    (line,) = _config.other(said, ("inventories/hosts.yml",))
    assert "it names hosts, inventories/two.yml, and itmp.yml or -i inventories/hosts.yml" in line
    assert list(_config.other(read(""), ("inventories/hosts.yml",))) == []
