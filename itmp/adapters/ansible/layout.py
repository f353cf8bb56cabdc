"""Lays a plan's Ansible artifacts out on disk, and says with which environment Ansible reads them.

Rules kept here: parser and run see the same bytes in the same places with the same settings, so what was
expected is what runs. Nothing of the user's own configuration reaches Ansible: the generated
`ansible.cfg` holds the settings of the project's file that `_config` honours, the environment is built
from nothing, the ssh configuration knows the plan's hosts only. Files get one of two modes, by their
first bytes, and folders one: those that a checkout has, so that `mode: preserve` means what it means there; a private
key is its owner's alone, because ssh reads no other.

    FOLDER/project/…       the project (artifacts `project/…`)
    FOLDER/inventory/…     snapshot.json, group_vars, host_vars, known_hosts; a script, `hosts`, prints the snapshot
    FOLDER/named/NAME      leads to inventory/, where plays see it, and the script, by names of the project's own
    FOLDER/ansible.cfg     generated
"""

import errno
import os
import re
import stat
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from itmp.adapters import agent
from itmp.adapters.ansible import _config, _keys
from itmp.errors import InvalidInputError

INVENTORY: Final = "inventory/hosts"
CALLED: Final = "inventory/called"
"""The artifact that names folder and file by which plays see the inventory, `production/hosts.yml`."""
SNAPSHOT: Final = "inventory/snapshot.json"
KNOWN_HOSTS: Final = "inventory/known_hosts"
CALLBACKS: Final = "project/_itmp_callbacks"
WAYS: Final = "inventory/ways.json"
BOUNDS: Final = "bounds.json"
PROJECT_CONFIG: Final = _config.PROJECT_CONFIG
PLUGINS: Final = Path(__file__).parent / "plugins"

CONTAINED_PYTHON: Final = "python3"

_SCRIPT: Final = '#!/bin/sh\nexec cat "${0%/*}/snapshot.json"\n'
_EXECUTABLE: Final = (b"#!", b"\x7fELF")
_MAX_FORKS: Final = 50
_CALLED: Final = re.compile(rb"([A-Za-z0-9_][A-Za-z0-9_.-]*)/([A-Za-z0-9_][A-Za-z0-9_.-]*)")
_NAMED: Final = "named"
_PASSED: Final = ("PATH", "HOME", "USER", "LOGNAME", "TZ")


def lay_out(folder: Path, artifacts: Iterable[tuple[str, bytes]]) -> None:
    """Write the Ansible part of `artifacts` (path, bytes) below `folder`, which must be empty and private."""
    configs: dict[str, bytes] = {}
    for path, data in artifacts:
        if path.startswith(("project/", "inventory/")):
            write(folder, path, data)
        if path in _config.FILES:
            configs[path] = data
    write(folder, f"inventory/{_present_inventory(folder).name}", _SCRIPT.encode())
    write(folder, "ansible.cfg", render_config(_config.of(configs).honoured).encode())


def inventory(folder: Path) -> Path:
    """Return the inventory's script in the layout in `folder`, by the names that plays see."""
    said = plain(folder / CALLED)
    if said is None:
        return folder / INVENTORY
    found = _CALLED.fullmatch(said)
    if not found:
        raise InvalidInputError(f"no name of an inventory: {said!r:.80}", where=CALLED)
    return folder / _NAMED / found[1].decode() / found[2].decode()


def _present_inventory(folder: Path) -> Path:
    """Let the inventory's folder be seen by the name that plays see; return the script's place there."""
    script = inventory(folder)
    if script.parent.parent.name == _NAMED:
        script.parent.parent.mkdir(mode=0o700)
        script.parent.symlink_to("../inventory")
    return script


def write(folder: Path, path: str, data: bytes) -> Path:
    """Write `data` to the relative `path` below `folder`, which is private; a program is executable, a key closed."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "\0" in path:
        raise InvalidInputError(f"an artifact path that leaves its folder: {path!r:.200}")
    target = folder / pure
    _folders(target.parent, folder)
    target.write_bytes(data)
    target.chmod(0o755 if data.startswith(_EXECUTABLE) else 0o600 if _keys.held(data) else 0o644)
    return target


def _folders(path: Path, top: Path) -> None:
    """Make `path` below `top`, with the mode that a checkout has, whatever the umask is: rsync takes it to hosts."""
    if path == top or path.is_dir():
        return
    _folders(path.parent, top)
    path.mkdir()
    path.chmod(0o755)


def plain(path: Path) -> bytes | None:
    """Return what a plain file holds that a child may have written; `None` for any other, a link above all."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ELOOP, errno.ENXIO, errno.ENOTDIR}:
            return None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


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
        indented = {key: value.replace("\n", "\n    ") for key, value in honoured[section].items()}
        lines += [f"{key} = {value}" for key, value in sorted(indented.items())]
    return "\n".join(lines) + "\n"


def settings(folder: Path) -> _config.Settings:
    """Return what the project's ansible.cfg says in the layout in `folder`."""
    return _config.of(
        {path: (folder / path).read_bytes() for path in _config.FILES if (folder / path).is_file()}
    )


def environment(folder: Path, *, temporary: Path, passed: tuple[str, ...] = ()) -> dict[str, str]:
    """Return Ansible's whole environment for the layout in `folder`; local scratch goes to `temporary`.

    `passed` names further variables of our own environment (cloud credentials of lookups) to hand down.
    """
    project = folder / "project"
    asked = settings(folder).folders
    own = {name: os.environ[name] for name in (*_PASSED, *passed) if name in os.environ}
    return own | {
        **agent.environment(),
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
        "ANSIBLE_HOME": str(temporary / "home"),
        "ANSIBLE_LOCAL_TEMP": str(temporary / "local"),
        "ANSIBLE_COLLECTIONS_SCAN_SYS_PATH": "False",
        "ANSIBLE_INVENTORY_ENABLED": "script",
        "ANSIBLE_INVENTORY_UNPARSED_FAILED": "True",
        "ANSIBLE_VARS_ENABLED": "host_group_vars",
        "ANSIBLE_CACHE_PLUGIN": "memory",
        "ANSIBLE_RETRY_FILES_ENABLED": "False",
        "ANSIBLE_NOCOLOR": "True",
        "ANSIBLE_NOCOWS": "True",
        "ANSIBLE_LOCALHOST_WARNING": "False",
        "ANSIBLE_DEPRECATION_WARNINGS": "False",
        **_searched(project, asked),
    }


def _searched(project: Path, asked: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """Return where Ansible searches: where it does by itself, where the project's ansible.cfg says, in our plugins."""
    found: dict[str, list[str]] = {
        name: [str(project / path) for path in paths] for name, paths in asked.items()
    }
    for name, kind in (("ANSIBLE_ROLES_PATH", "roles"), ("ANSIBLE_COLLECTIONS_PATH", "collections")):
        found.setdefault(name, []).extend([str(project / "playbooks" / kind), str(project / kind)])
    found.setdefault("ANSIBLE_LOOKUP_PLUGINS", []).append(str(PLUGINS / "lookup"))
    found["ANSIBLE_CALLBACK_PLUGINS"] = [str(PLUGINS / "callback"), str(project / "_itmp_callbacks")]
    return {name: os.pathsep.join(dict.fromkeys(paths)) for name, paths in found.items() if paths}


def python(*, contained: bool = False) -> str:
    """Return the interpreter that runs Ansible: our own, or in a container the image's."""
    return CONTAINED_PYTHON if contained else sys.executable
