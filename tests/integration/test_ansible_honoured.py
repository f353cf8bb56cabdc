"""Every setting of an ansible.cfg that a run honours reaches Ansible itself: its own configuration says so."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from itmp.adapters.ansible import _config, layout


class Setting(NamedTuple):
    """One setting: what a project writes, Ansible's name for it, and the value that Ansible then has.

    Without a name it is read no longer by the ansible-core that is here, but by older ones, as an image may have.
    """

    section: str
    key: str
    written: str
    name: str
    value: Any


def of(section: str, *more: tuple[str, str, str, Any]) -> list[Setting]:
    return [Setting(section, *one) for one in more]


SETTINGS = [
    *of(
        "defaults",
        ("admin_users", "root, admin", "sh admin_users", ["root", "admin"]),
        ("allow_world_readable_tmpfiles", "True", "sh world_readable_temp", True),
        ("any_errors_fatal", "True", "ANY_ERRORS_FATAL", True),
        ("common_remote_group", "staff", "sh common_remote_group", "staff"),
        ("error_on_undefined_vars", "False", "DEFAULT_UNDEFINED_VAR_BEHAVIOR", False),
        ("executable", "/bin/dash", "DEFAULT_EXECUTABLE", "/bin/dash"),
        ("force_handlers", "True", "DEFAULT_FORCE_HANDLERS", True),
        ("forks", "7", "DEFAULT_FORKS", 7),
        ("gather_subset", "min", "", "min"),
        ("gather_timeout", "3", "", "3"),
        ("gathering", "explicit", "DEFAULT_GATHERING", "explicit"),
        ("hash_behaviour", "merge", "DEFAULT_HASH_BEHAVIOUR", "merge"),
        ("inject_facts_as_vars", "False", "INJECT_FACTS_AS_VARS", False),
        ("interpreter_python", "/usr/bin/python3", "INTERPRETER_PYTHON", "/usr/bin/python3"),
        ("no_log", "True", "DEFAULT_NO_LOG", True),
        ("no_target_syslog", "True", "DEFAULT_NO_TARGET_SYSLOG", True),
        ("poll_interval", "4", "DEFAULT_POLL_INTERVAL", 4),
        ("private_key_file", "/srv/key", "DEFAULT_PRIVATE_KEY_FILE", "/srv/key"),
        ("private_role_vars", "True", "DEFAULT_PRIVATE_ROLE_VARS", True),
        ("remote_port", "2200", "DEFAULT_REMOTE_PORT", 2200),
        ("remote_tmp", "~/.x-${USER}", "sh remote_tmp", "~/.x-${USER}"),
        ("remote_user", "deploy", "DEFAULT_REMOTE_USER", "deploy"),
        ("strategy", "free", "DEFAULT_STRATEGY", "free"),
        ("system_tmpdirs", "/srv/tmp, /srv", "sh system_tmpdirs", ["/srv/tmp", "/srv"]),
        ("task_timeout", "91", "TASK_TIMEOUT", 91),
        ("timeout", "33", "DEFAULT_TIMEOUT", 33),
        ("transport", "ssh", "DEFAULT_TRANSPORT", "ssh"),
        ("allow_broken_conditionals", "True", "ALLOW_BROKEN_CONDITIONALS", True),
        ("allow_embedded_templates", "False", "ALLOW_EMBEDDED_TEMPLATES", False),
        ("ansible_managed", "Ours, hands off", "DEFAULT_MANAGED_STR", "Ours, hands off"),
        (
            "collections_on_ansible_version_mismatch",
            "error",
            "COLLECTIONS_ON_ANSIBLE_VERSION_MISMATCH",
            "error",
        ),
        ("duplicate_dict_key", "error", "DUPLICATE_YAML_DICT_KEY", "error"),
        ("error_on_missing_handler", "False", "ERROR_ON_MISSING_HANDLER", False),
        ("force_valid_group_names", "silently", "TRANSFORM_INVALID_GROUP_CHARS", "silently"),
        ("invalid_task_attribute_failed", "False", "INVALID_TASK_ATTRIBUTE_FAILED", False),
        (
            "jinja2_extensions",
            "jinja2.ext.do, jinja2.ext.loopcontrols",
            "DEFAULT_JINJA2_EXTENSIONS",
            ["jinja2.ext.do", "jinja2.ext.loopcontrols"],
        ),
        ("jinja2_native", "False", "DEFAULT_JINJA2_NATIVE", False),
        ("max_diff_size", "99", "MAX_FILE_SIZE_FOR_DIFF", 99),
        ("module_compression", "ZIP_STORED", "DEFAULT_MODULE_COMPRESSION", "ZIP_STORED"),
        ("module_ignore_exts", ".md, .txt", "MODULE_IGNORE_EXTS", [".md", ".txt"]),
        ("module_strict_utf8_response", "False", "MODULE_STRICT_UTF8_RESPONSE", False),
        ("network_group_modules", "ios, own", "NETWORK_GROUP_MODULES", ["ios", "own"]),
        ("null_representation", "none", "DEFAULT_NULL_REPRESENTATION", "none"),
        ("pipelining", "True", "", "True"),
        ("playbook_vars_root", "all", "PLAYBOOK_VARS_ROOT", "all"),
        (
            "precedence",
            "all_inventory, groups_inventory",
            "VARIABLE_PRECEDENCE",
            ["all_inventory", "groups_inventory"],
        ),
        ("python_module_rlimit_nofile", "512", "PYTHON_MODULE_RLIMIT_NOFILE", "512"),
        ("syslog_facility", "LOG_LOCAL3", "DEFAULT_SYSLOG_FACILITY", "LOG_LOCAL3"),
        ("target_log_info", "from itmp", "TARGET_LOG_INFO", "from itmp"),
        ("validate_action_group_metadata", "False", "VALIDATE_ACTION_GROUP_METADATA", False),
        ("vault_id_match", "True", "DEFAULT_VAULT_ID_MATCH", "True"),
        ("win_async_startup_timeout", "8", "WIN_ASYNC_STARTUP_TIMEOUT", 8),
    ),
    *of(
        "privilege_escalation",
        ("agnostic_become_prompt", "False", "AGNOSTIC_BECOME_PROMPT", False),
        ("become", "True", "DEFAULT_BECOME", True),
        ("become_allow_same_user", "True", "BECOME_ALLOW_SAME_USER", True),
        ("become_exe", "/opt/sudo", "DEFAULT_BECOME_EXE", "/opt/sudo"),
        ("become_flags", "-E", "DEFAULT_BECOME_FLAGS", "-E"),
        ("become_method", "su", "DEFAULT_BECOME_METHOD", "su"),
        ("become_user", "app", "DEFAULT_BECOME_USER", "app"),
    ),
    *of("connection", ("pipelining", "True", "ANSIBLE_PIPELINING", True)),
    *of(
        "ssh_connection",
        ("pipelining", "True", "ssh pipelining", True),
        ("retries", "5", "ssh reconnection_retries", 5),
        ("scp_if_ssh", "True", "", "True"),
        ("sftp_batch_mode", "False", "ssh sftp_batch_mode", False),
        ("timeout", "44", "ssh timeout", 44),
        ("transfer_method", "piped", "ssh ssh_transfer_method", "piped"),
        ("usetty", "False", "ssh use_tty", False),
    ),
    *of(
        "persistent_connection",
        ("command_timeout", "61", "PERSISTENT_COMMAND_TIMEOUT", 61),
        ("connect_retry_timeout", "16", "PERSISTENT_CONNECT_RETRY_TIMEOUT", 16),
        ("connect_timeout", "62", "PERSISTENT_CONNECT_TIMEOUT", 62),
    ),
    *of(
        "selinux",
        ("libvirt_lxc_noseclabel", "True", "DEFAULT_LIBVIRT_LXC_NOSECLABEL", True),
        ("special_context_filesystems", "nfs, own", "DEFAULT_SELINUX_SPECIAL_FS", ["nfs", "own"]),
    ),
    *of("jinja2", ("dont_type_filters", "string, own", "STRING_TYPE_FILTERS", ["string", "own"])),
]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What Ansible says of itself where a slice of a project with all these settings is laid out."""
    folder, scratch = tmp_path_factory.mktemp("layout"), tmp_path_factory.mktemp("scratch")
    sections = {one.section: "" for one in SETTINGS}
    for one in SETTINGS:
        sections[one.section] += f"{one.key} = {one.written}\n"
    lines = "".join(f"[{name}]\n{text}" for name, text in sections.items())
    layout.lay_out(folder, [(layout.PROJECT_CONFIG, lines.encode())])
    words = ["config", "dump", "--only-changed", "--type", "all", "--format", "json"]
    done = subprocess.run(
        [sys.executable, "-m", "ansible", *words],
        env=layout.environment(folder, temporary=scratch),
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    return dict(_settled(json.loads(done.stdout), str(folder / "ansible.cfg"))) | {
        "file": (folder / "ansible.cfg").read_text()
    }


def _settled(value: Any, origin: str, plugin: str = "") -> Iterator[tuple[str, Any]]:
    """Yield name and value of what the file decides; `ssh NAME` and `sh NAME` for an option of that plugin."""
    if isinstance(value, list):
        for one in value:
            yield from _settled(one, origin, plugin)
    elif isinstance(value, dict) and "origin" in value:
        if value["origin"] == origin:
            yield f"{plugin} {value['name']}".lstrip(), value["value"]
    elif isinstance(value, dict):
        for name, one in value.items():
            yield from _settled(one, origin, name)


def test_no_setting_that_is_honoured_is_forgotten_here() -> None:
    honoured = {(section, key) for section, keys in _config.HONOURED.items() for key in keys}
    assert {(one.section, one.key) for one in SETTINGS} == honoured | {
        ("defaults", "jinja2_extensions"),
        ("defaults", "private_key_file"),
        ("defaults", "strategy"),
        ("defaults", "transport"),
    }


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda one: f"{one.section}.{one.key}")
def test_an_honoured_setting_reaches_ansible(setting: Setting, told: dict[str, Any]) -> None:
    if setting.name:
        assert told[setting.name] == setting.value
    else:
        assert f"\n{setting.key} = {setting.written}\n" in told["file"]
