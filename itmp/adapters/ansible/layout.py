"""Lays a plan's Ansible artifacts out on disk, and says with which environment Ansible reads them.

Rules kept here: parser and run see the same bytes in the same places with the same settings, so what was
expected is what runs. Nothing of the user's own configuration reaches Ansible: the generated
`ansible.cfg` holds the settings of the project's file that are on a short list, the environment is built
from nothing, the ssh configuration knows the plan's hosts only. Files get one of two modes, by their
first bytes: those that a checkout has, so that `mode: preserve` means what it means there.

    FOLDER/project/…       the project (artifacts `project/…`)
    FOLDER/inventory/…     snapshot.json, group_vars, host_vars, known_hosts; `hosts` prints the snapshot
    FOLDER/ansible.cfg     generated
"""

import configparser
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from itmp.errors import InvalidInputError

INVENTORY: Final = "inventory/hosts"
SNAPSHOT: Final = "inventory/snapshot.json"
KNOWN_HOSTS: Final = "inventory/known_hosts"
BOUNDS: Final = "bounds.json"
PROJECT_CONFIG: Final = "project/ansible.cfg"
PLUGINS: Final = Path(__file__).parent / "plugins"

_SCRIPT: Final = '#!/bin/sh\nexec cat "${0%/*}/snapshot.json"\n'
# Settings of a project's ansible.cfg that neither reach outside the plan nor weaken a check.
HONOURED: Final = frozenset(
    {
        ("defaults", "forks"),
        ("defaults", "timeout"),
        ("defaults", "interpreter_python"),
        ("defaults", "gathering"),
        ("defaults", "hash_behaviour"),
        ("defaults", "force_handlers"),
        ("privilege_escalation", "become"),
        ("privilege_escalation", "become_method"),
        ("privilege_escalation", "become_user"),
        ("ssh_connection", "retries"),
    }
)
# Settings that the layout itself fulfils: naming them needs no note.
_FULFILLED: Final = frozenset(
    {("defaults", "roles_path"), ("defaults", "inventory"), ("defaults", "collections_path")}
)
_EXECUTABLE: Final = (b"#!", b"\x7fELF")
_MAX_FORKS: Final = 50
_PASSED: Final = ("PATH", "HOME", "USER", "LOGNAME", "SSH_AUTH_SOCK", "TZ")


def lay_out(folder: Path, artifacts: Iterable[tuple[str, bytes]]) -> None:
    """Write the Ansible part of `artifacts` (path, bytes) below `folder`, which must be empty and private."""
    config = b""
    for path, data in artifacts:
        if path.startswith(("project/", "inventory/")):
            write(folder, path, data)
        if path == PROJECT_CONFIG:
            config = data
    write(folder, INVENTORY, _SCRIPT.encode())
    honoured, _ = settings(config)
    write(folder, "ansible.cfg", render_config(honoured).encode())


def write(folder: Path, path: str, data: bytes) -> Path:
    """Write `data` to the relative `path` below `folder`, which is private; a program becomes executable."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "\0" in path:
        raise InvalidInputError(f"an artifact path that leaves its folder: {path!r:.200}")
    target = folder / pure
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    target.write_bytes(data)
    target.chmod(0o755 if data.startswith(_EXECUTABLE) else 0o644)
    return target


def settings(config: bytes) -> tuple[dict[str, dict[str, str]], tuple[str, ...]]:
    """Read a project's ansible.cfg: the honoured settings by section, and the names of the ignored ones."""
    parser = configparser.ConfigParser(interpolation=None, strict=True, inline_comment_prefixes=(";",))
    try:
        parser.read_string(config.decode())
    except (configparser.Error, UnicodeDecodeError) as error:
        raise InvalidInputError(f"not a readable configuration file: {error}", where="ansible.cfg") from error
    honoured: dict[str, dict[str, str]] = {}
    ignored: list[str] = []
    for section in parser.sections():
        for key, value in parser.items(section):
            if (section, key) in HONOURED:
                honoured.setdefault(section, {})[key] = value
            elif (section, key) not in _FULFILLED:
                ignored.append(f"[{section}] {key}")
    return honoured, tuple(sorted(ignored))


def forks(honoured: Mapping[str, Mapping[str, str]], hosts: int) -> int:
    """Return how many hosts Ansible works on at once."""
    asked = honoured.get("defaults", {}).get("forks", "")
    wanted = int(asked) if asked.isdigit() else 20
    return max(1, min(wanted, hosts, _MAX_FORKS))


def render_config(honoured: Mapping[str, Mapping[str, str]]) -> str:
    """Return the generated ansible.cfg."""
    lines: list[str] = []
    for section in sorted(honoured):
        lines.append(f"[{section}]")
        lines += [f"{key} = {value}" for key, value in sorted(honoured[section].items()) if "\n" not in value]
    return "\n".join(lines) + "\n"


def environment(folder: Path, *, temporary: Path, passed: tuple[str, ...] = ()) -> dict[str, str]:
    """Return Ansible's whole environment for the layout in `folder`; local scratch goes to `temporary`.

    `passed` names further variables of our own environment (cloud credentials of lookups) to hand down.
    """
    project = folder / "project"
    own = {name: os.environ[name] for name in (*_PASSED, *passed) if name in os.environ}
    return own | {
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
        "ANSIBLE_HOME": str(temporary / "home"),
        "ANSIBLE_LOCAL_TEMP": str(temporary / "local"),
        "ANSIBLE_ROLES_PATH": os.pathsep.join([str(project / "playbooks" / "roles"), str(project / "roles")]),
        "ANSIBLE_COLLECTIONS_PATH": os.pathsep.join(
            [str(project / "playbooks" / "collections"), str(project / "collections")]
        ),
        "ANSIBLE_COLLECTIONS_SCAN_SYS_PATH": "False",
        "ANSIBLE_INVENTORY_ENABLED": "script",
        "ANSIBLE_INVENTORY_UNPARSED_FAILED": "True",
        "ANSIBLE_VARS_ENABLED": "host_group_vars",
        "ANSIBLE_CACHE_PLUGIN": "memory",
        "ANSIBLE_CALLBACK_PLUGINS": str(PLUGINS / "callback"),
        "ANSIBLE_LOOKUP_PLUGINS": str(PLUGINS / "lookup"),
        "ANSIBLE_RETRY_FILES_ENABLED": "False",
        "ANSIBLE_NOCOLOR": "True",
        "ANSIBLE_NOCOWS": "True",
        "ANSIBLE_LOCALHOST_WARNING": "False",
        "ANSIBLE_DEPRECATION_WARNINGS": "False",
    }


def python() -> str:
    """Return the interpreter that runs Ansible: our own."""
    return sys.executable
