"""Freezes an inventory as the JSON that a script inventory prints, with its vars files.

Rules kept here: vars plugins are off, so vaulted files stay ciphertext and files stay files; group
variables stay with their groups, so precedence is Ansible's own; every host is kept, also one without
variables; what changes from look to look is left out by name. Same inventory, same bytes. A source of which Ansible
reads nothing is refused, though bare Ansible goes on with the others: half an inventory is none. What it does not read
inside of a folder is named.
"""

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

import yaml

from itmp.adapters import supervisor
from itmp.adapters.ansible import _guards
from itmp.adapters.ansible._project import _files, _inside  # one walker for all folders of a workspace
from itmp.canonical import Digest, digest
from itmp.documents import Problem
from itmp.documents.scalars import is_host
from itmp.errors import InvalidInputError, NotFoundError

# Set by Ansible itself, or different at every look.
_VOLATILE: Final = frozenset(
    [
        "inventory_file",
        "inventory_dir",
        "inventory_hostname",
        "inventory_hostname_short",
        "group_names",
        "groups",
        "hostvars",
        "playbook_dir",
        "ansible_version",
        "ansible_playbook_python",
        "ansible_facts",
        "ansible_date_time",
        "ansible_uptime_seconds",
        "ansible_diff_mode",
        "ansible_config_file",
        "ansible_check_mode",
        "ansible_verbosity",
        "ansible_run_tags",
        "ansible_skip_tags",
        "ansible_forks",
        "ansible_inventory_sources",
        "omit",
        "launch_time",
        "current_time",
    ]
)
_OTHERS: Final = frozenset({"roles", "ansible_collections", "defaults", "vars"})
"""Folders whose files are no inventory, wherever they lie."""
_TIMEOUT: Final = 300.0
_UNREAD: Final = "is no inventory that Ansible reads: hosts of it are not in the plan"
_DO: Final = "Correct it, or do not name it: ansible-inventory --list warns of the same."


def take(
    root: Path, inventories: tuple[str, ...], *, environment: Mapping[str, str], token: str
) -> tuple[dict[str, Any], list[str]]:
    """Return the inventory as Ansible exports it, cleaned, and a note for each file of a folder that it did not read.

    Raises `InvalidInputError` when it cannot read a source.
    """
    for name in files_of(inventories):
        if not (root / name).exists():
            raise NotFoundError("no such inventory", where=name, do="Name one with -i, or in itmp.yml.")
    places = {name: str(root / name) for name in files_of(inventories)}
    sources = [part for name in inventories for part in ("-i", places.get(name, name))]
    with tempfile.TemporaryDirectory(prefix="itmp-list-") as scratch:
        told = Path(scratch) / "unread.json"
        done = supervisor.run(
            [
                sys.executable,
                "-P",
                "-m",
                "itmp.adapters.ansible.listing",
                str(told),
                *sources,
                "--list",
                "--export",
            ],
            token=token,
            environment=environment,
            folder=root,
            timeout=_TIMEOUT,
        )
        unread = json.loads(told.read_text()) if told.is_file() else {"sources": [], "files": []}
    if done.rc != 0 or unread["sources"]:
        text = done.stderr.decode(errors="replace").replace(f"{root}/", "").strip()
        raise InvalidInputError(
            f"Ansible cannot read the inventory: {text[-600:]}",
            where=", ".join(_shown(root, unread["sources"]) or inventories),
            do=_DO,
        )
    return _clean(json.loads(done.stdout)), [f"{path} {_UNREAD}" for path in _shown(root, unread["files"])]


def _shown(root: Path, sources: list[str]) -> list[str]:
    return [source.removeprefix(f"{root}/") for source in dict.fromkeys(sources)]


def files_of(inventories: tuple[str, ...]) -> tuple[str, ...]:
    """Return the sources that are files or folders: one with a comma is a list of hosts, as for Ansible itself."""
    return tuple(name for name in inventories if "," not in name)


def is_inventory(root: Path, inventories: tuple[str, ...], place: str, data: bytes) -> bool:
    """Whether all that a file below the sources says is an inventory's: the snapshot, which is judged, has it.

    A folder that is named as a source may hold plays and roles beside it, of which Ansible reads no host.
    """
    for name in files_of(inventories):
        source = PurePosixPath((root / name).relative_to(root))
        if PurePosixPath(place) == source:
            return True
        if PurePosixPath(place).is_relative_to(source):
            return not _OTHERS & set(PurePosixPath(place).parts) and not _is_list(data)
    return False


def _is_list(data: bytes) -> bool:
    """Whether a file holds plays or tasks, or cannot be read as YAML."""
    try:
        return not isinstance(yaml.compose(data, Loader=yaml.CSafeLoader), yaml.MappingNode)
    except (yaml.YAMLError, ValueError):
        return True


def _clean(listed: dict[str, Any]) -> dict[str, Any]:
    hostvars = listed.get("_meta", {}).get("hostvars", {})
    names = {host for group, body in listed.items() if group != "_meta" for host in body.get("hosts", ())}
    meta = {name: _stable(hostvars.get(name, {})) for name in sorted(names | hostvars.keys())}
    groups = {
        group: {**body, "vars": _stable(body["vars"])} if "vars" in body else body
        for group, body in listed.items()
        if group != "_meta"
    }
    return {**groups, "_meta": {**listed.get("_meta", {}), "hostvars": meta}}


def _stable(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in _VOLATILE}


def to_bytes(snapshot: Mapping[str, Any]) -> bytes:
    """Return the snapshot's one encoding. Not canonical JSON: variables may hold floats and any key."""
    return json.dumps(
        snapshot, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    ).encode()


def check(snapshot: Mapping[str, Any], sources: str, public: frozenset[str]) -> Iterator[Problem]:
    """Yield what is wrong with the snapshot's names and variables."""
    groups = {name: body for name, body in snapshot.items() if name != "_meta"}
    for host, values in snapshot["_meta"]["hostvars"].items():
        if not is_host(host):
            message = f"host name {host!r:.80} means something else in a host pattern"
            ranged = (
                " (a range needs advanced_host_list in enable_plugins of ansible.cfg)" if "[" in host else ""
            )
            yield _name_problem(sources, message, f"Rename it; ansible_host may hold the address{ranged}.")
        yield from _guards.check_values(f"{sources}: host {host}", values, public)
    for group, body in groups.items():
        yield from _guards.check_values(f"{sources}: group {group}", body.get("vars", {}), public)
    # Ansible drops a host that is called like a group with a warning, and leaves this trace of it.
    for host in groups.get("ungrouped", {}).get("children", ()):
        yield _name_problem(sources, f"{host} is the name of a host and of a group", "Rename one of them.")


def _name_problem(sources: str, message: str, do: str) -> Problem:
    return Problem(path=sources, line=0, column=0, message=message, suggestion=do)


def vars_files(root: Path, inventories: tuple[str, ...]) -> tuple[dict[str, bytes], list[Problem]]:
    """Return `inventory/group_vars/…` and `inventory/host_vars/…` that stand beside the inventories."""
    found: dict[str, bytes] = {}
    problems: list[Problem] = []
    for beside in folders_of(root, inventories):
        for kind in ("group_vars", "host_vars"):
            for file in _files(beside / kind, (), root.resolve()):
                path = str(PurePosixPath("inventory", kind, *file.relative_to(beside / kind).parts))
                if not _inside(file, root.resolve()):
                    problems.append(
                        _problem(file, root, "a symlink that leaves the workspace", "Copy the file.")
                    )
                elif found.setdefault(path, file.read_bytes()) != file.read_bytes():
                    problems.append(twice(file, root))
    return found, problems


def folders_of(root: Path, inventories: tuple[str, ...]) -> tuple[Path, ...]:
    """Return the folders that inventories are or lie in, each once."""
    places = (root / name for name in files_of(inventories))
    return tuple(dict.fromkeys(place if place.is_dir() else place.parent for place in places))


def twice(file: Path, root: Path) -> Problem:
    """Return what is wrong with a file that another inventory has with other bytes."""
    return _problem(file, root, "another inventory has this file too", "Merge them.")


def _problem(file: Path, root: Path, message: str, do: str) -> Problem:
    path = str(file.absolute().relative_to(root.absolute()))
    return Problem(path=path, line=0, column=0, message=message, suggestion=do)


def digests(
    snapshot: Mapping[str, Any], files: Mapping[str, bytes], groups: Mapping[str, list[str]]
) -> dict[str, Digest]:
    """Return per host the digest of all that its variables come from: its own, its groups', their files."""
    of_group = {
        name: _digest([body.get("vars", {}), _beside(files, "group_vars", name)])
        for name, body in snapshot.items()
    }
    return {
        host: _digest(
            [
                values,
                _beside(files, "host_vars", host),
                [[g, of_group.get(g, "")] for g in groups.get(host, [])],
            ]
        )
        for host, values in snapshot["_meta"]["hostvars"].items()
    }


def _beside(files: Mapping[str, bytes], kind: str, name: str) -> list[list[str]]:
    if not files:
        return []
    stem = f"inventory/{kind}/{name}"
    exact = {stem, f"{stem}.yml", f"{stem}.yaml", f"{stem}.json"}
    return [
        [path, digest(data)]
        for path, data in sorted(files.items())
        if path in exact or path.startswith(stem + "/")
    ]


def _digest(value: Any) -> Digest:
    return digest(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())
