"""The parser child: `python -m itmp.adapters.ansible.inspect`, a request on stdin, an answer on stdout.

Request: `{root, ssh: {setting: text}, inventory, patterns: [text], plays: [{id, playbook, mark, pattern, vars, secrets,
delegates, sliced, per_slice, tags, skip_tags, adds, new}]}`. Answer: `{hosts: [{name, address, port, groups, …}],
patterns: {text: [host]}, plays: {id: facts}, files: [artifact path], problems: [[where, what, do]],
versions: {name: version}}`.

It runs in a child because importing Ansible costs 0.6 s and leaves global state; it prints nothing else
on stdout.
"""

import functools
import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from itmp.adapters.ansible import _sooner

_SSH_PORT: Final = 22  # where neither a variable nor `remote_port` of ansible.cfg says another
_ARGUMENTS: Final = ("ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args")
_CHECKING: Final = ("ansible_host_key_checking", "ansible_ssh_host_key_checking")
_OFF: Final = frozenset({"false", "no", "0", "off"})
_ADDRESS: Final = (
    *_CHECKING,
    *("ansible_host", "ansible_ssh_host", "ansible_port", "ansible_ssh_port", "ansible_connection"),
    *_ARGUMENTS,
)
_NAMED: Final = re.compile(
    rb"ansible_(?:connection|(?:ssh_)?(?:host|port|args|common_args|extra_args|host_key_checking))\b"
)

_NO_LOOKUPS: Final = "lookups do not run while a plan is made"
_NAME_IT: Final = "Name it by a variable instead, and give that under `vars:` of the step."
_UNRESOLVED: Final = re.compile(r"couldn't resolve module/action '(?:ansible\.(?:builtin|legacy)\.)?(\w+)'")


def main() -> int:
    """Answer one request."""
    answer_to = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    request = json.load(sys.stdin)
    _prepare()
    answer = _inspect(request)
    answer_to.write(json.dumps(answer, default=str).encode())
    answer_to.close()
    return 0


def _prepare() -> None:
    """Start Ansible's plugin loading, with lookups switched off: parsing must not execute anything."""
    _sooner.start_sooner()
    from ansible import context  # noqa: PLC0415 -- Ansible is imported in this process's main only
    from ansible.errors import AnsibleError  # noqa: PLC0415 -- as above
    from ansible.plugins import loader  # noqa: PLC0415 -- as above
    from ansible.utils.context_objects import CLIArgs  # noqa: PLC0415 -- as above

    def refuse(name: str, *_: Any, **__: Any) -> Any:
        raise AnsibleError(f"it needs the lookup {name}, and {_NO_LOOKUPS}")

    context.CLIARGS = CLIArgs(
        {"tags": ["all"], "skip_tags": [], "check": True, "diff": False, "verbosity": 0}
    )
    loader.init_plugin_loader([])
    loader.lookup_loader.get = refuse
    for plugins in (loader.filter_loader, loader.test_loader, loader.vars_loader):
        plugins.add_directory = _nowhere  # the project's own filters, tests and vars plugins are code
    for plugins in (loader.filter_loader, loader.test_loader):
        plugins.get = functools.partial(_own, plugins.get)


def _nowhere(*_: Any, **__: Any) -> None:
    """Do not search there."""


def _own(get: Any, name: str, *more: Any, **options: Any) -> Any:
    """Load no filter or test but Ansible's own: a collection's is code of the project."""
    if "." in name and not name.startswith(("ansible.builtin.", "ansible.legacy.")):
        raise KeyError(f"{name} does not run while a plan is made")
    return get(name, *more, **options)


def _inspect(request: Mapping[str, Any]) -> dict[str, Any]:
    from ansible.inventory.manager import InventoryManager  # noqa: PLC0415 -- as in _prepare

    from itmp.adapters.ansible import _kept_passwords, _loading, _parse, _versions  # noqa: PLC0415 -- as in _prepare

    root = request["root"]
    loader = _loading.Loader()
    catalog = os.path.join(root, "project", "playbooks")  # noqa: PTH118 -- Ansible speaks in texts
    loader.set_basedir(catalog)
    inventory = InventoryManager(loader=loader, sources=[request["inventory"]])
    addresses = _Addresses(root, loader, inventory, request["ssh"])
    plays: dict[str, Any] = {}
    problems: list[tuple[str, ...]] = []
    files: set[str] = set()
    for need in request["plays"]:
        parser = _parse.PlayParser(root, loader, inventory, need)
        try:
            plays[need["id"]] = parser.parse()
        except Exception as error:  # noqa: BLE001 -- Ansible raises many kinds; each becomes one problem
            told = _explain(error, root)
            do = _NAME_IT if _NO_LOOKUPS in told else "Correct the playbook."
            problems.append((_where(error, root) or need["mark"], told, do))
        problems += parser.problems
        files |= parser.files
    loader.set_basedir(catalog)  # each play has had its own
    books = [need["playbook"] for need in request["plays"]]
    given = {name for need in request["plays"] for name in (*need["vars"], *need["secrets"])}
    problems += _kept_passwords.Files(root, books, files).problems(given)
    hosts = [addresses.read(host) for host in inventory.get_hosts("all")]
    return {
        "hosts": hosts,
        "patterns": {text: _match(inventory, text) for text in request["patterns"]},
        "plays": plays,
        "unknown_connections": _unknown({entry["connection"] for entry in hosts}),
        "files": sorted(files),
        "problems": problems,
        "versions": {**_versions.present(), **_versions.of_image(os.environ)},
    }


def _unknown(plugins: set[str]) -> list[str]:
    """Return the connection plugins that Ansible does not find; none is loaded."""
    from ansible.plugins.loader import connection_loader  # noqa: PLC0415 -- as in _prepare

    names = {name.removeprefix("ansible.builtin.") for name in plugins} - {"ssh", "smart", "local"}
    return sorted(name for name in names if not connection_loader.find_plugin_with_context(name).resolved)


def _match(inventory: Any, pattern: str) -> list[str]:
    found = {host.name for host in inventory.get_hosts(pattern)}
    ordered = [host.name for host in inventory.get_hosts("all")]
    return [name for name in ordered if name in found] + sorted(found - set(ordered))


class _Addresses:
    """Finds a host's address and port, as a connection would, without computing all its variables if it can.

    All variables of 10,000 hosts take Ansible ten times as long as everything else here together.
    """

    def __init__(self, root: str, loader: Any, inventory: Any, ssh: Mapping[str, str]) -> None:
        from ansible import constants  # noqa: PLC0415 -- as in _prepare
        from ansible.vars.manager import VariableManager  # noqa: PLC0415 -- as in _prepare

        self._loader, self._port = loader, int(constants.DEFAULT_REMOTE_PORT or _SSH_PORT)
        self._ssh = {f"ansible_{name}": text for name, text in ssh.items()}  # where no variable says another
        self._variables = VariableManager(loader=loader, inventory=inventory)
        self._in_files = any(
            path.is_file() and _NAMED.search(path.read_bytes())
            for kind in ("group_vars", "host_vars")
            for place in (Path(root, "inventory"), Path(root, "project", "playbooks"))
            for path in (place / kind).rglob("*")
        )

    def read(self, host: Any) -> dict[str, Any]:
        """Return the answer's entry for `host`."""
        values = self._values(host)
        theirs = {name: text for name, text in self._ssh.items() if name not in values}
        port = str(values.get("ansible_port", values.get("ansible_ssh_port", self._port)))
        return {
            "name": host.name,
            "address": str(values.get("ansible_host", values.get("ansible_ssh_host", host.name))),
            "port": int(port) if port.isdigit() else self._port,
            "groups": sorted(group.name for group in host.get_groups()),
            "connection": str(values.get("ansible_connection", "ssh")),
            "unchecked": any(str(values.get(name, "true")).lower() in _OFF for name in _CHECKING),
            "ssh_args": _joined({**theirs, **values}),
            "config_args": _joined(theirs),
        }

    def _values(self, host: Any) -> dict[str, Any]:
        from ansible.inventory.helpers import get_group_vars  # noqa: PLC0415 -- as in _prepare

        cheap = {**get_group_vars(host.get_groups()), **host.vars}
        found = {name: cheap[name] for name in _ADDRESS if name in cheap}
        if not self._in_files and not any("{{" in str(value) for value in found.values()):
            return found
        everything = self._variables.get_vars(host=host, include_hostvars=False)
        return {name: self._known(everything, everything[name]) for name in _ADDRESS if name in everything}

    def _known(self, variables: Any, value: Any) -> Any:
        from ansible.template import Templar  # noqa: PLC0415 -- as in _prepare

        if "{{" not in str(value):
            return value
        try:
            return Templar(loader=self._loader, variables=variables).template(value)
        except Exception:  # noqa: BLE001 -- not knowable before the run: the text itself says so
            return value


def _joined(values: Mapping[str, Any]) -> str:
    """Return ssh's arguments in the order in which Ansible gives them."""
    return " ".join(str(values[name]) for name in _ARGUMENTS if values.get(name))


def _where(error: BaseException | None, root: str) -> str:
    """Return where Ansible's error, or what caused it, points to, as artifact path:line:column."""
    from ansible._internal._datatag._tags import Origin  # noqa: PLC0415 -- as in _prepare

    while error is not None:
        origin = Origin.get_tag(getattr(error, "obj", None))
        if origin and origin.path:
            place = os.path.relpath(os.path.realpath(origin.path), os.path.realpath(root))
            return f"{place}:{origin.line_num or 1}:{origin.col_num or 1}"
        error = error.__cause__
    return ""


def _explain(error: Exception, root: str) -> str:
    lines = [line.strip() for line in str(error).replace(root + os.sep, "").splitlines() if line.strip()]
    text = " ".join(lines[:6])[:600] or type(error).__name__
    return text + (f" It is '{now}' now." if (now := _moved(text)) else "")


def _moved(text: str) -> str:
    """Return the full name under which a collection has the module that Ansible does not find; empty for no such."""
    from ansible.utils.collection_loader._collection_finder import (  # noqa: PLC0415 -- as in _prepare
        _get_collection_metadata,
    )

    found = _UNRESOLVED.search(text)
    routing = _get_collection_metadata("ansible.builtin").get("plugin_routing", {}) if found else {}
    kinds = (routing.get(kind, {}).get(found[1], {}) for kind in ("modules", "action")) if found else ()
    return next((str(kind["redirect"]) for kind in kinds if "redirect" in kind), "")


if __name__ == "__main__":
    sys.exit(main())
