"""A project's ansible.cfg: honoured, searched, or not honoured with its reason."""

import pytest

from itmp.adapters.ansible import _config
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
        ("defaults", "strategy", "mitogen_linear", "not among"),
        ("defaults", "strategy_plugins", "plugins/strategy", "acts without a task"),
        ("defaults", "remote_tmp", "/srv/$(reboot)", "the target's shell would run"),
        ("defaults", "remote_tmp", "/srv/x; reboot", "the target's shell would run"),
        ("defaults", "remote_tmp", '/srv/x"', "the target's shell would run"),
        ("defaults", "system_tmpdirs", "/srv/`reboot`", "the target's shell would run"),
        ("defaults", "vault_password_file", "~/.vault", "secret reference"),
        ("defaults", "log_path", "ansible.log", "what the log masks"),
        ("defaults", "fact_caching", "jsonfile", "facts of another run"),
        ("ssh_connection", "ssh_args", "-o StrictHostKeyChecking=no", "the plan alone"),
        ("ssh_connection", "control_path", "/srv/x", "private folder"),
        ("paramiko_connection", "host_key_auto_add", "True", "not among"),
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
    assert not read("[defaults]\nhost_key_checking = True\n").unpinned


def test_a_broken_file_is_refused():
    with pytest.raises(InvalidInputError):
        read("forks = 3\n")
