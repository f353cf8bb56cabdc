"""Reads a project's ansible.cfg: what a run honours, where it searches, and what it does not honour and why.

Rules kept here: a setting is honoured only if it stands on the list, because a setting can run code, reach outside the
plan or weaken a check; every other one is named with its reason when the plan is made. Folders are honoured where
they lie in the workspace, and are then artifacts of the plan like any other. Values are data: nothing is expanded.
"""

import configparser
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from itmp.errors import InvalidInputError

HONOURED: Final[Mapping[str, frozenset[str]]] = {
    "defaults": frozenset(
        [
            "admin_users",
            "allow_world_readable_tmpfiles",
            "any_errors_fatal",
            "common_remote_group",
            "error_on_undefined_vars",
            "executable",
            "force_handlers",
            "forks",
            "gather_subset",
            "gather_timeout",
            "gathering",
            "hash_behaviour",
            "inject_facts_as_vars",
            "interpreter_python",
            "no_log",
            "no_target_syslog",
            "poll_interval",
            "private_role_vars",
            "remote_port",
            "remote_tmp",
            "remote_user",
            "system_tmpdirs",
            "task_timeout",
            "timeout",
        ]
    ),
    "privilege_escalation": frozenset(
        ["become", "become_allow_same_user", "become_exe", "become_flags", "become_method", "become_user"]
    ),
    "connection": frozenset({"pipelining"}),
    "ssh_connection": frozenset(
        ["pipelining", "retries", "scp_if_ssh", "sftp_batch_mode", "timeout", "transfer_method", "usetty"]
    ),
    "persistent_connection": frozenset(["command_timeout", "connect_retry_timeout", "connect_timeout"]),
}
_TARGET_FOLDERS: Final = frozenset({"remote_tmp", "system_tmpdirs"})
_FOLDER_NAME: Final = re.compile(r"(?:[\w./~+, -]|\$\w+|\$\{\w+\})+")
"""What a target's shell takes for a name: Ansible hands it these texts unquoted, and a preview does as well."""
_STRATEGIES: Final = frozenset({"linear", "free", "host_pinned"})
_FOLDERS: Final[Mapping[str, str]] = {
    "roles_path": "ANSIBLE_ROLES_PATH",
    "collections_path": "ANSIBLE_COLLECTIONS_PATH",
    "collections_paths": "ANSIBLE_COLLECTIONS_PATH",
    "library": "ANSIBLE_LIBRARY",
    "module_utils": "ANSIBLE_MODULE_UTILS",
    "action_plugins": "ANSIBLE_ACTION_PLUGINS",
    "become_plugins": "ANSIBLE_BECOME_PLUGINS",
    "filter_plugins": "ANSIBLE_FILTER_PLUGINS",
    "lookup_plugins": "ANSIBLE_LOOKUP_PLUGINS",
    "test_plugins": "ANSIBLE_TEST_PLUGINS",
}
"""Settings of [defaults] that name folders, with the variable that hands them to Ansible."""

CODE: Final = frozenset(
    f"ANSIBLE_{kind}_PLUGINS" for kind in ("ACTION", "BECOME", "FILTER", "LOOKUP", "TEST")
)
"""Variables that name folders of code which runs on the controller."""

# What the layout fulfils by itself, or what has no meaning in a run that prints nothing: named nowhere.
_FULFILLED: Final[Mapping[str, frozenset[str]]] = {
    "defaults": frozenset(
        [
            "inventory",
            "deprecation_warnings",
            "command_warnings",
            "system_warnings",
            "retry_files_enabled",
            "retry_files_save_path",
            "nocows",
            "nocolor",
            "display_skipped_hosts",
            "display_ok_hosts",
            "display_args_to_stdout",
            "show_custom_stats",
            "localhost_warning",
            "ansible_managed",
            "force_color",
            "verbosity",
            "cow_selection",
        ]
    ),
    "inventory": frozenset(["enable_plugins", "unparsed_is_failed", "any_unparsed_is_failed", "cache"]),
    "colors": frozenset(),
    "diff": frozenset(),
}
_SILENT: Final = frozenset({"colors", "diff"})
_KEYS: Final = "host keys are checked against the plan's known_hosts alone"
_OURS: Final = "results go to the log through itmp's own callback"
_LISTED: Final = "callbacks of yours are listed under `callbacks` in itmp.yml"
_UNASKED: Final = "it is code that acts without a task of the plan"
_SHELL: Final = "it is no plain name of a folder, and the target's shell would run what it holds"
_REASONS: Final[Mapping[str, str]] = {
    "host_key_checking": _KEYS,
    "ssh_args": "the plan alone gives ssh its arguments; `-J` and ProxyJump are read from the inventory",
    "ssh_common_args": "the plan alone gives ssh its arguments; `-J` and ProxyJump are read from the inventory",
    "ssh_extra_args": "the plan alone gives ssh its arguments",
    "sftp_extra_args": "the plan alone gives ssh its arguments",
    "scp_extra_args": "the plan alone gives ssh its arguments",
    "ssh_executable": "the system's own ssh is used",
    "control_path": "sockets lie in the run's private folder",
    "control_path_dir": "sockets lie in the run's private folder",
    "stdout_callback": _OURS,
    "callback_result_format": _OURS,
    "bin_ansible_callbacks": _OURS,
    "callbacks_enabled": _LISTED,
    "callback_whitelist": _LISTED,
    "log_path": "it would write what the log masks",
    "remote_tmp": _SHELL,
    "system_tmpdirs": _SHELL,
    "local_tmp": "scratch lies in the run's private folder",
    "vault_password_file": "passwords come by secret reference: `vault` in itmp.yml",
    "vault_identity_list": "passwords come by secret reference: `vault` in itmp.yml",
    "ask_vault_pass": "nobody is there to ask: `vault` in itmp.yml",
    "ask_pass": "nobody is there to ask: pass a secret of the step",
    "become_ask_pass": "nobody is there to ask: pass ansible_become_password as a secret of the step",
    "private_key_file": "keys come from the SSH agent or the host's ansible_ssh_private_key_file",
    "callback_plugins": _UNASKED,
    "strategy_plugins": _UNASKED,
    "connection_plugins": _UNASKED,
    "vars_plugins": _UNASKED,
    "cache_plugins": _UNASKED,
    "fact_caching": "facts of another run are not part of the plan",
    "fact_caching_connection": "facts of another run are not part of the plan",
    "fact_caching_timeout": "facts of another run are not part of the plan",
}
_OTHER: Final = "it is not among the settings that a run honours"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an ansible.cfg says.

    `honoured` by section; `folders` maps Ansible's variable to folders of the workspace; `ignored` are lines for the
    approver; `unpinned` says that it switches the check of host keys off.
    """

    honoured: Mapping[str, Mapping[str, str]]
    folders: Mapping[str, tuple[str, ...]]
    ignored: tuple[str, ...]
    unpinned: bool = False


def read(config: bytes) -> Settings:
    """Read an ansible.cfg; raise `InvalidInputError` for one that is none."""
    parser = configparser.ConfigParser(interpolation=None, strict=True, inline_comment_prefixes=(";",))
    try:
        parser.read_string(config.decode())
    except (configparser.Error, UnicodeDecodeError) as error:
        raise InvalidInputError(f"not a readable configuration file: {error}", where="ansible.cfg") from error
    honoured: dict[str, dict[str, str]] = {}
    folders: dict[str, tuple[str, ...]] = {}
    ignored: list[str] = []
    for section in parser.sections():
        for key, value in parser.items(section):
            if _honours(section, key, value):
                honoured.setdefault(section, {})[key] = value
            elif section == "defaults" and key in _FOLDERS:
                folders[_FOLDERS[key]] = tuple(_inside(value))
                ignored += [f"[defaults] {key}: {path} is outside the workspace" for path in _outside(value)]
            elif section not in _SILENT and key not in _FULFILLED.get(section, ()):
                ignored.append(f"[{section}] {key} is not honoured: {_REASONS.get(key, _OTHER)}")
    checking = parser.get("defaults", "host_key_checking", fallback="true").strip().lower()
    return Settings(
        honoured=honoured,
        folders=folders,
        ignored=tuple(sorted(ignored)),
        unpinned=checking in {"false", "no", "0", "off", "n", "f"},
    )


def _honours(section: str, key: str, value: str) -> bool:
    if (section, key) == ("defaults", "strategy"):
        return value.strip().removeprefix("ansible.builtin.") in _STRATEGIES
    if (section, key) == ("defaults", "transport"):
        return value.strip() in {"ssh", "smart"}
    if section == "defaults" and key in _TARGET_FOLDERS and not _FOLDER_NAME.fullmatch(value):
        return False
    return key in HONOURED.get(section, ()) and "\n" not in value


def _inside(value: str) -> Iterator[str]:
    """Yield the folders of a search path that lie in the workspace, relative to it."""
    for part in _parts(value):
        path = os.path.normpath(part)
        if not _leaves(path):
            yield str(PurePosixPath(path))


def _outside(value: str) -> Iterator[str]:
    yield from (part for part in _parts(value) if _leaves(os.path.normpath(part)))


def _leaves(path: str) -> bool:
    ours = any(
        part.startswith("_itmp_") for part in path.split("/")
    )  # where itmp alone puts what Ansible loads
    return ours or path.startswith(("/", "~", "..", "$", "{")) or path in {".", ""}


def _parts(value: str) -> Iterator[str]:
    yield from (part.strip() for part in value.replace("\n", ":").split(":") if part.strip())
