"""What becomes of each setting of an ansible.cfg: pure tables, read by `_config`.

Rules kept here: every setting that ansible-core itself knows stands in exactly one place, and a test asks ansible-core
for its own list. It is honoured in a run, or where the inventory is read; or it changes nothing that a run does, each
group with the reason why; or it is not honoured, and the plan names it with the reason.
"""

from collections.abc import Mapping
from typing import Final


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


HONOURED: Final[Mapping[str, frozenset[str]]] = {
    "defaults": _names("""
        admin_users allow_broken_conditionals allow_embedded_templates allow_world_readable_tmpfiles ansible_managed
        any_errors_fatal collections_on_ansible_version_mismatch common_remote_group duplicate_dict_key
        error_on_missing_handler error_on_undefined_vars executable force_handlers force_valid_group_names forks
        gather_subset gather_timeout gathering hash_behaviour inject_facts_as_vars interpreter_python
        invalid_task_attribute_failed jinja2_native max_diff_size module_compression module_ignore_exts
        module_strict_utf8_response network_group_modules no_log no_target_syslog null_representation pipelining
        playbook_vars_root poll_interval precedence private_role_vars python_module_rlimit_nofile remote_port
        remote_tmp remote_user syslog_facility system_tmpdirs target_log_info task_timeout timeout
        validate_action_group_metadata vault_id_match win_async_startup_timeout
        """),
    "privilege_escalation": _names(
        "agnostic_become_prompt become become_allow_same_user become_exe become_flags become_method become_user"
    ),
    "connection": frozenset({"pipelining"}),
    "ssh_connection": _names("pipelining retries scp_if_ssh sftp_batch_mode timeout transfer_method usetty"),
    "persistent_connection": frozenset({"command_timeout", "connect_retry_timeout", "connect_timeout"}),
    "selinux": frozenset({"libvirt_lxc_noseclabel", "special_context_filesystems"}),
    "jinja2": frozenset({"dont_type_filters"}),
}

SSH_ARGUMENTS: Final = ("ssh_args", "ssh_common_args", "ssh_extra_args")
"""Settings of [ssh_connection] that are read as variables of the inventory are, which come before them."""

TARGET_FOLDERS: Final = frozenset({"remote_tmp", "system_tmpdirs"})
"""Honoured settings of [defaults] that a target's shell reads: as plain names of folders alone."""

FOLDERS: Final[Mapping[str, str]] = {
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

READING: Final[Mapping[str, frozenset[str]]] = {
    "defaults": frozenset(
        {"inventory_plugins", "inventory_ignore_extensions", "inventory_ignore_patterns", "playbook_dir"}
    ),
    "inventory": _names("""
        cache cache_connection cache_plugin cache_prefix cache_timeout enable_plugins any_unparsed_is_failed
        unparsed_is_failed inventory_unparsed_warning ignore_extensions ignore_patterns export
        """),
}
"""Honoured where the inventory is read while a plan is made: a run replays what was read.

A source that cannot be read ends the plan, whatever `unparsed_is_failed` says: half an inventory is none.
"""

# What a person sees on a terminal: a run has none, its results go to the log.
_SHOWN: Final = """
    action_warnings command_warnings cow_selection cowpath cowsay_enabled_stencils debug deprecation_warnings
    devel_warning display_args_to_stdout display_ok_hosts display_skipped_hosts force_color localhost_warning nocolor
    nocows show_custom_stats system_warnings verbose_to_stderr
"""
# Read by other programs alone: ansible (one module by hand), ansible-doc, ansible-vault edit, ansible-console.
_OTHER_PROGRAMS: Final = "docsite_root_url editor module_args module_name pager"
# Where files would lie that are named where they are switched on.
_UNWRITTEN: Final = "retry_files_save_path"
# How often the main process looks for results: speed alone.
_SPEED: Final = "internal_poll_interval"

HARMLESS: Final[Mapping[str, frozenset[str]]] = {
    "defaults": _names(f"{_SHOWN} {_OTHER_PROGRAMS} {_UNWRITTEN} {_SPEED}"),
    # How many lines around a difference are shown; the difference itself is kept whole.
    "diff": frozenset({"context"}),
}
HARMLESS_SECTIONS: Final = frozenset(
    {
        "colors",  # of a terminal
        "galaxy",  # of ansible-galaxy, which installs before a plan is made
        "testing",  # of ansible-core's own tests
    }
)
SHOWN_IF_ON: Final = frozenset(
    {"retry_files_enabled", "verbosity", "ask_pass", "ask_vault_pass", "become_ask_pass"}
)
"""Named only where they are switched on: off, they say what a run does anyway."""

_KEYS: Final = "host keys are checked against the plan's known_hosts alone"
_SSH: Final = "the plan alone gives ssh its arguments"
_SOCKETS: Final = "sockets lie in the run's private folder"
_SHELL: Final = "it is no plain name of a folder, and the target's shell would run what it holds"
_OURS: Final = "results go to the log through itmp's own callback"
_LISTED: Final = "callbacks of yours are listed under `callbacks` in itmp.yml"
_UNASKED: Final = "it is code that acts without a task of the plan"
_BESIDE: Final = "such plugins are taken from collections and from the folders beside the playbooks"
_REFERENCE: Final = "passwords come by secret reference: `vault` in itmp.yml"
_BECOME: Final = "nobody is there to ask: pass ansible_become_password as a secret of the step"
_FACTS: Final = "facts of another run are not part of the plan"
_NOBODY: Final = "nobody is there to ask"
_LOG: Final = "it would write what the log masks"
_AGENT: Final = "`agent_keys` in itmp.yml says which keys of the agent Ansible may use"
_SCRATCH: Final = "scratch lies in the run's private folder"
_TAGS: Final = "tags belong to the step: `tags` and `skip_tags` of the document"
REASONS: Final[Mapping[str, str]] = {
    **dict.fromkeys(["host_key_checking", "host_key_auto_add", "look_for_keys", "ssh_config"], _KEYS),
    **dict.fromkeys(["sftp_extra_args", "scp_extra_args"], _SSH),
    "ssh_executable": "the system's own ssh is used",
    **dict.fromkeys(["control_path", "control_path_dir"], _SOCKETS),
    **dict.fromkeys(["stdout_callback", "callback_result_format", "bin_ansible_callbacks"], _OURS),
    **dict.fromkeys(["callbacks_enabled", "callback_whitelist"], _LISTED),
    **dict.fromkeys(["log_path", "log_filter", "log_verbosity", "display_traceback"], _LOG),
    **dict.fromkeys(sorted(TARGET_FOLDERS), _SHELL),
    "keep_remote_files": "what is copied to targets goes when its task ends",
    **dict.fromkeys(["local_tmp", "home"], _SCRATCH),
    **dict.fromkeys(
        ["vault_password_file", "vault_identity_list", "vault_identity", "vault_encrypt_identity"], _REFERENCE
    ),
    "vault_encrypt_salt": "one salt for all ciphertext makes it guessable",
    "ask_vault_pass": "nobody is there to ask: `vault` in itmp.yml",
    "ask_pass": "nobody is there to ask: pass a secret of the step",
    "connection_password_file": "ssh enters hosts by key",
    **dict.fromkeys(["become_ask_pass", "become_password_file"], _BECOME),
    "private_key_file": "no plan holds a key of the workspace: name it from `/` or `~/`, or use the SSH agent",
    **dict.fromkeys(["ssh_agent", "ssh_agent_executable", "ssh_agent_key_lifetime"], _AGENT),
    "callback_plugins": f"{_UNASKED}: {_LISTED}",
    **dict.fromkeys(
        ["strategy_plugins", "connection_plugins", "vars_plugins", "cache_plugins", "doc_fragment_plugins"],
        _UNASKED,
    ),
    **dict.fromkeys(["cliconf_plugins", "httpapi_plugins", "netconf_plugins", "terminal_plugins"], _BESIDE),
    "strategy": "such a strategy asks a person, or acts without asking for each action",
    "transport": "name the connection in the play or the inventory: then the plan shows it",
    "jinja2_extensions": "it loads code that no plan holds; those of Jinja itself are honoured (`jinja2.ext.NAME`)",
    "allow_unsafe_lookups": "what a lookup reads is data and never a template",
    "plugin_filters_cfg": "it could take plugins of the plan away",
    "collections_scan_sys_path": "collections outside the workspace are part of no plan",
    **dict.fromkeys(
        ["fact_caching", "fact_caching_connection", "fact_caching_prefix", "fact_caching_timeout"], _FACTS
    ),
    "facts_modules": "set the variable ansible_facts_modules: then it stands in the plan",
    **dict.fromkeys(["enable_task_debugger", "task_debugger_ignore_errors"], _NOBODY),
    "retry_files_enabled": "`itmp resume` goes on where a run ended",
    "verbosity": "a run has one verbosity, 0: tasks that ask for more (`debug` with `verbosity`) are skipped",
    "old_plugin_cache_clear": "plugins are looked up as ansible-core does by itself",
    "run_vars_plugins": "variables of files are read when a host needs them",
    "vars_plugins_enabled": "variables come from the files of inventory and playbooks alone",
    "yaml_valid_extensions": "variables stand in files without an ending, or in .yml, .yaml and .json",
    "su": "ansible-core itself reads `become_method` instead",
    "use_persistent_connections": "connections are those that each task names",
    "ansible_connection_path": "it names a program to run",
    "host_pattern_mismatch": "a pattern without hosts is shown when the plan is made",
    "always": "the keyword `diff` and `itmp plan --preview` show differences",
    **dict.fromkeys(["run", "skip"], _TAGS),
}
OTHER: Final = "it is not among the settings that a run honours"

__all__ = [
    "FOLDERS",
    "HARMLESS",
    "HARMLESS_SECTIONS",
    "HONOURED",
    "OTHER",
    "READING",
    "REASONS",
    "SHOWN_IF_ON",
    "SSH_ARGUMENTS",
]
