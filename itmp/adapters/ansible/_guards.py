"""What may not be in a project or inventory: clear secrets, weakened host key checks.

Rules kept here: a variable named like a secret (as in documents: `itmp.documents.secrecy`) holds ciphertext,
one expression over variables or nothing, in lists too, unless it is listed in `public_vars`; a found value is
never printed. What a built collection publishes is none: it is noted. Host keys are checked by the plan's known_hosts
alone.
Vars files are read as trees of nodes, never constructed, so no tag in them does anything. What is no YAML is refused
where Ansible reads it whenever its host, group or role is there, and elsewhere searched line by line: nothing is
carried unseen.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

import yaml

from itmp.adapters.ansible import _outside, _ssh_options
from itmp.adapters.ansible._ssh import FURTHER
from itmp.adapters.ansible._tasks import is_local
from itmp.documents import Problem
from itmp.documents.secrecy import harmless, secret_like

VAULT_HEADER: Final = b"$ANSIBLE_VAULT;"
_SSH_OPTIONS: Final = re.compile(r"ansible_(?:ssh_(?:common_|extra_)?|scp_extra_|sftp_extra_)args\Z")
_WEAKENS: Final = re.compile(
    r"StrictHostKeyChecking|KnownHosts(?:File|Command)|VerifyHostKeyDNS|(?:^|\s)-F", re.IGNORECASE
)
_FORBIDDEN: Final = frozenset(
    {
        "ansible_host_key_checking",
        "ansible_ssh_host_key_checking",
        "ansible_ssh_executable",
        "ansible_scp_executable",
        "ansible_sftp_executable",
        "ansible_paramiko_host_key_checking",
        "ansible_paramiko_host_key_auto_add",
        "ansible_libssh_host_key_checking",
        "ansible_netconf_host_key_checking",
        "ansible_libssh_config_file",
        "ansible_netconf_ssh_config",
        "ansible_paramiko_proxy_command",
        "ansible_libssh_proxy_command",
        "ansible_netconf_proxy_command",
    }
)
_UNCHECKED: Final = re.compile(r"(?:\w+\.)*(?:paramiko|paramiko_ssh|libssh)\Z")
_CIPHERTEXT: Final = frozenset({"!vault", "!vault-encrypted"})
_NOTHING: Final = frozenset({"tag:yaml.org,2002:bool", "tag:yaml.org,2002:null"})
_READ: Final = frozenset({"", ".yml", ".yaml", ".json"})
_SHARED: Final = frozenset({"roles", "ansible_collections"})
_APART: Final = frozenset({"molecule", "tests", "docs"})
"""Folders of a role or collection for whoever makes it: no play comes there."""
_COLLECTION: Final = re.compile(r"(?:.*?/)?ansible_collections/[^/]+/[^/]+/")
BUILT: Final = "MANIFEST.json"
_LINE: Final = re.compile(r"""^[\s"'{,-]*([A-Za-z_][\w-]*)["']?\s*[:=][ \t]*(\S.*)$""")
_WORDLESS: Final = frozenset({"", "~", "null", "true", "false", "yes", "no"})
UNREAD: Final = "not readable as YAML: whatever comes to it at the run fails there"
_VARS_FOLDERS: Final = frozenset({"group_vars", "host_vars", "vars", "defaults"})
_ENCRYPT_DO: Final = (
    "Encrypt it with ansible-vault, pass it as a secret of the step, or list it in `public_vars`."
)
_PROGRAMS_DO: Final = "Remove it: a plan reaches its hosts by ssh as it is, and by their pinned keys."
_KEYS_DO: Final = (
    "Remove it: pin the host's key in inventories/known_hosts (itmp hosts scan). Or have the policy allow it in "
    "writing: `limits.unpinned_hosts: allow`."
)
KEYS: Final = "changes how host keys are checked"
CLEAR: Final = "is named like a secret and stands in clear"
CONTROL: Final = "takes the plan's control over host key checking away"
_PROGRAMS: Final = "takes the plan's control over ssh and its checks away"

_ARGUMENTS_DO: Final = "Remove it: a plan reaches its own hosts and no other, and runs no command on the way."
_OWN_DO: Final = "Remove it; itmp brings its own."
_LOCAL_DO: Final = "Use the keyword `connection: local`, or set it for the host in the inventory itself."
# Code that Ansible would run unasked, past the gate of each action.
_UNASKED: Final = frozenset({"callback_plugins", "strategy_plugins", "vars_plugins", "cache_plugins"})
_OWN: Final = frozenset({"ssh", "local", "paramiko", "paramiko_ssh", "libssh", "smart", "psrp", "winrm"})
_PASSWORD: Final = re.compile(r"\bansible_(?:password|ssh_pass|ssh_password)\b")
_VALUES: Final = _VARS_FOLDERS | {"templates"}
_INVENTORYS: Final = frozenset({"group_vars", "host_vars"})
_SSH_SAID: Final = re.compile(r"^(ansible_ssh_(?:common_|extra_)?args)\s*:", re.MULTILINE)


def check_place(path: str) -> Iterator[Problem]:
    """Yield a problem when an artifact is code that would act without a task of the plan.

    Wherever it stands: Ansible searches these folders of any role, also of one that is called `collections`, or that
    is named by its path inside a collection. A collection's own plugins of these kinds stand in `plugins/`.
    """
    folders = path.split("/")[:-1]
    if _UNASKED & set(folders):
        message = "a plugin that would act without being asked for by a task of the plan"
        listable = "callback_plugins" in folders and path.endswith(".py")
        do = f"Allow it in itmp.yml: `callbacks: [{path}]`, or remove it." if listable else _OWN_DO
        yield Problem(path=path, line=0, column=0, message=message, suggestion=do)
    stem = path.rpartition("/")[2].partition(".")[0]
    if "connection_plugins" in folders and stem in _OWN:
        message = f"a connection plugin in the place of Ansible's own {stem}"
        yield Problem(path=path, line=0, column=0, message=message, suggestion="Give it a name of its own.")


def notes(path: str, data: bytes) -> Iterator[str]:
    """Yield what an approver should know of a file that no task shows: code that runs here, lookups in values."""
    folders = path.split("/")[:-1]
    if "ansible_collections" in folders:
        return
    if path.endswith(".py") and any(folder.endswith("_plugins") for folder in folders):
        yield f"{path} is code that runs on the executor's own machine"
    text, snapshot = data.decode(errors="replace"), path.endswith("snapshot.json")
    if _VARS_FOLDERS & set(folders) and not _INVENTORYS & set(folders):
        for name in sorted(set(_SSH_SAID.findall(text))):
            yield f"{path}: {name} is not used: of arguments to ssh those of the inventory alone count"
    if _VALUES & set(folders) or snapshot:
        for name in sorted(set(_outside.lookups(text.replace('\\"', '"')))):
            yield f"{path} reaches outside the plan: lookup {name}"
    if _VARS_FOLDERS & set(folders) or snapshot:
        for name in sorted(set(_PASSWORD.findall(text))):
            yield f"{path}: {name} is not used over ssh, which enters hosts by key alone"


def is_published(problem: Problem, places: Collection[str]) -> bool:
    """Whether a value in clear is one that a collection publishes, which makes it no secret: it is noted.

    What was published was built: ansible-galaxy installs it with a MANIFEST.json, which is among the plan's `places`.
    One without may be the workspace's own, which nobody has seen.
    """
    root = _COLLECTION.match(problem.path)
    return problem.message.endswith(CLEAR) and root is not None and f"{root[0]}{BUILT}" in places


def of_published(problems: Iterable[Problem]) -> Iterator[str]:
    """Yield what an approver should know of such values: one line for each collection."""
    found: dict[str, list[Problem]] = {}
    for one in problems:
        name = ".".join(one.path.partition("ansible_collections/")[2].split("/")[:2])
        found.setdefault(name, []).append(one)
    for name, several in sorted(found.items()):
        first = min(several, key=lambda one: (one.path, one.line))
        more = f", and {len(several) - 1} more" if len(several) > 1 else ""
        yield f"collection {name}: {first.message} ({first.path}:{first.line}){more}"


def check_values(place: str, values: Any, public: frozenset[str], name: str = "") -> Iterator[Problem]:
    """Yield what is wrong with variables given as JSON values; `place` names the host, group or step."""
    if isinstance(values, Mapping) and "__ansible_unsafe" in values:
        yield from check_values(place, values["__ansible_unsafe"], public, name)
    elif isinstance(values, Mapping):
        for key, value in values.items():
            if not (isinstance(value, Mapping) and "__ansible_vault" in value):
                yield from check_values(place, value, public, str(key))
    elif isinstance(values, list):
        for item in values:
            yield from check_values(place, item, public, name)
    elif name:
        found = _Variable(path=place, name=name, value=str(values), clear=not harmless(values))
        yield from found.problems(public)


def check_file(path: str, data: bytes, public: frozenset[str]) -> Iterator[Problem]:
    """Yield what is wrong with one file: the whole of a vars file, the `vars:` of any other YAML."""
    folders = path.split("/")[:-1]
    whole = any(folder in _VARS_FOLDERS for folder in folders)
    if data.startswith(VAULT_HEADER) or not (whole or path.endswith((".yml", ".yaml"))):
        return
    if {"templates", "files", "library", "module_utils"} & set(folders):
        return
    try:
        documents = list(yaml.compose_all(data, Loader=yaml.CSafeLoader))
    except (yaml.YAMLError, ValueError) as error:
        yield from _broken(path, error)
        yield from _lines(path, data.decode(errors="replace"), public)
        return
    for node in documents:
        yield from _node(path, node, whole, public)


def _broken(path: str, error: Exception) -> Iterator[Problem]:
    """Yield what to say of a file that is no YAML; nothing of one that nobody takes for YAML."""
    mark = getattr(error, "problem_mark", None)
    line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    if _is_read(path):
        yield Problem(
            path=path, line=line, column=column, message="not readable as YAML", suggestion="Correct it."
        )
    elif path.endswith((".yml", ".yaml")):
        yield Problem(path=path, line=line, column=column, message=UNREAD, suggestion="Correct it.")


def _is_read(path: str) -> bool:
    """Whether Ansible reads a file of variables by its place: by its own rules of endings and hidden files.

    Tasks and plays are read by the parser, which refuses those that it comes to.
    """
    folders, name = path.split("/")[:-1], PurePosixPath(path)
    at = next((index for index, folder in enumerate(folders) if folder in _VARS_FOLDERS), None)
    shared = max((index for index, folder in enumerate(folders) if folder in _SHARED), default=len(folders))
    if at is None or _APART & set(folders[shared:]):
        return False
    below = folders[at + 1 :]
    skipped = any(part.startswith(".") or PurePosixPath(part).suffix for part in below)
    return not skipped and not name.name.startswith(".") and name.suffix in _READ


def _lines(path: str, text: str, public: frozenset[str]) -> Iterator[Problem]:
    """Yield what is wrong with the lines of a text that is no YAML, where they name a value."""
    for number, line in enumerate(text.splitlines(), 1):
        found = _LINE.match(line)
        if not found or found[2].startswith("!vault"):
            continue
        value = found[2].strip().rstrip(",").strip("\"'")
        clear = value.lower() not in _WORDLESS and not harmless(value)
        variable = _Variable(path=path, line=number, column=1, name=found[1], value=value, clear=clear)
        yield from variable.problems(public)


def _node(
    path: str,
    node: Any,
    active: bool,  # noqa: FBT001 -- recursion state
    public: frozenset[str],
    key: Any = None,
) -> Iterator[Problem]:
    if isinstance(node, yaml.MappingNode):
        for inner, value in node.value:
            yield from _node(path, value, active or inner.value == "vars", public, inner)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _node(path, item, active, public, key)
    elif active and isinstance(key, yaml.ScalarNode) and node.tag not in _CIPHERTEXT:
        mark = key.start_mark
        found = _Variable(
            path=path,
            line=mark.line + 1,
            column=mark.column + 1,
            name=key.value,
            value=node.value,
            clear=node.tag not in _NOTHING and not harmless(node.value),
        )
        yield from found.problems(public)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Variable:
    """One variable with a scalar value; `clear` says whether that is written out, not an expression or nothing."""

    path: str
    line: int = 0
    column: int = 0
    name: str
    value: str
    clear: bool

    def problems(self, public: frozenset[str]) -> Iterator[Problem]:
        if self.name in _FORBIDDEN:
            if "checking" in self.name:
                yield self._problem(CONTROL, _KEYS_DO)
            else:
                do = _ARGUMENTS_DO if "proxy" in self.name else _PROGRAMS_DO
                yield self._problem(_PROGRAMS, do)
        elif _SSH_OPTIONS.match(self.name) and _WEAKENS.search(self.value):
            yield self._problem(KEYS, _KEYS_DO)
        elif self.name in FURTHER and self.value and not self._settled():
            yield self._problem("adds arguments to ssh, which the plan alone gives", _ARGUMENTS_DO)
        elif self._hides_local():
            yield self._problem("leads to the executor's own machine unseen", _LOCAL_DO)
        elif self.name == "ansible_connection" and _UNCHECKED.match(self.value):
            yield self._problem(
                "names a connection that does not check host keys as the plan asks", "Use ssh."
            )
        elif self.clear and secret_like(self.name) and self.name not in public:
            yield self._problem(CLEAR, _ENCRYPT_DO)

    def _settled(self) -> bool:
        """Whether it is a variable of the inventory, whose jumps and options `_ways` freezes into the plan."""
        of_inventory = not self.line or bool(_INVENTORYS & set(self.path.split("/")))
        named = self.name in {"ansible_ssh_common_args", "ansible_ssh_extra_args"}
        return (
            named and of_inventory and ("{{" in self.value or not _ssh_options.arguments(self.value).refused)
        )

    def _hides_local(self) -> bool:
        """A variable of a file (an inventory's own is frozen, and shown) that makes a host's work happen here."""
        return (
            self.name == "ansible_connection"
            and bool(self.line)
            and is_local(self.value)
            and "localhost" not in self.path
        )

    def _problem(self, what: str, do: str) -> Problem:
        message = f"{self.name} {what}"
        return Problem(path=self.path, line=self.line, column=self.column, message=message, suggestion=do)
