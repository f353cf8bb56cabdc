"""What may not be in an Ansible project or inventory: secrets in clear, and variables that weaken host key checks.

Rules kept here: a variable named like a secret holds ciphertext, a reference (a template) or nothing, unless it is
listed in `public_vars`; a found value is never printed. Host keys are checked by the plan's known_hosts alone.
Vars files are read as trees of nodes, never constructed, so no tag in them does anything.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import yaml

from itmp.documents import Problem

VAULT_HEADER: Final = b"$ANSIBLE_VAULT;"
_SECRET: Final = re.compile(
    r"(?:^|[_.-])(?:password|passwd|passphrase|pass|secret|token|apikey|api_key|private_key|secret_key|access_key|"
    r"credentials?)\Z",
    re.IGNORECASE,
)
_SSH_OPTIONS: Final = re.compile(r"ansible_(?:ssh_(?:common_|extra_)?|scp_extra_|sftp_extra_)args\Z")
_WEAKENS: Final = re.compile(r"StrictHostKeyChecking|KnownHosts(?:File|Command)|VerifyHostKeyDNS|(?:^|\s)-F", re.IGNORECASE)
_FORBIDDEN: Final = frozenset(
    {
        "ansible_host_key_checking",
        "ansible_ssh_host_key_checking",
        "ansible_ssh_executable",
        "ansible_scp_executable",
        "ansible_sftp_executable",
        "ansible_paramiko_host_key_checking",
        "ansible_paramiko_host_key_auto_add",
    }
)
_UNCHECKED: Final = re.compile(r"(?:\w+\.)*(?:paramiko|paramiko_ssh|libssh)\Z")
_VARS_FOLDERS: Final = frozenset({"group_vars", "host_vars", "vars", "defaults"})
_ENCRYPT_DO: Final = "Encrypt it with ansible-vault, pass it as a secret of the step, or list it in `public_vars`."
_KEYS_DO: Final = "Remove it: pin the host's key in inventories/known_hosts (itmp hosts scan)."


def check_values(place: str, values: Any, public: frozenset[str]) -> Iterator[Problem]:
    """Yield what is wrong with variables given as JSON values; `place` names the host, group or step."""
    if isinstance(values, Mapping):
        for name, value in values.items():
            inner = value if not _is_marked(value) else ""
            if isinstance(value, Mapping) and "__ansible_unsafe" in value:
                inner = value["__ansible_unsafe"]
            if isinstance(inner, str | int) and not isinstance(inner, bool):
                yield from _variable(place, 0, 0, str(name), str(inner), isinstance(inner, str), public)
            else:
                yield from check_values(place, inner, public)
    elif isinstance(values, list):
        for item in values:
            yield from check_values(place, item, public)


def check_file(path: str, data: bytes, public: frozenset[str]) -> Iterator[Problem]:
    """Yield what is wrong with one file of a project: the whole of a vars file, the `vars:` of any other YAML."""
    folders = path.split("/")[:-1]
    whole = any(folder in _VARS_FOLDERS for folder in folders)
    if data.startswith(VAULT_HEADER) or not (whole or path.endswith((".yml", ".yaml"))):
        return
    if {"templates", "files", "library", "module_utils"} & set(folders):
        return
    try:
        documents = list(yaml.compose_all(data, Loader=yaml.CSafeLoader))
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        yield Problem(path=path, line=line, column=column, message="not readable as YAML", suggestion="Correct it.")
        return
    for node in documents:
        yield from _node(path, node, whole, public)


def _node(path: str, node: Any, active: bool, public: frozenset[str]) -> Iterator[Problem]:  # noqa: FBT001 -- recursion state
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else ""
            if active and isinstance(value, yaml.ScalarNode) and value.tag not in {"!vault", "!vault-encrypted"}:
                text = value.tag in {"tag:yaml.org,2002:str", "!unsafe"}
                mark = key.start_mark
                yield from _variable(path, mark.line + 1, mark.column + 1, name, value.value, text, public)
            yield from _node(path, value, active or name == "vars", public)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _node(path, item, active, public)


def _variable(
    path: str, line: int, column: int, name: str, value: str, text: bool, public: frozenset[str]  # noqa: FBT001 -- private
) -> Iterator[Problem]:
    def problem(message: str, do: str) -> Problem:
        return Problem(path=path, line=line, column=column, message=message, suggestion=do)

    if name in _FORBIDDEN:
        yield problem(f"{name} takes the plan's control over host key checking away", _KEYS_DO)
    elif _SSH_OPTIONS.match(name) and _WEAKENS.search(value):
        yield problem(f"{name} changes how host keys are checked", _KEYS_DO)
    elif name == "ansible_connection" and _UNCHECKED.match(value):
        yield problem(f"connection {value} does not check host keys as the plan asks", "Use ssh.")
    elif _SECRET.search(name) and name not in public and text and value and "{{" not in value:
        yield problem(f"{name} is named like a secret and stands in clear", _ENCRYPT_DO)


def _is_marked(value: Any) -> bool:
    return isinstance(value, Mapping) and bool({"__ansible_vault", "__ansible_unsafe"} & value.keys())
