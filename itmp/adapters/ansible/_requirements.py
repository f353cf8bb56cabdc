"""What `requirements.yml` asks for, held against the roles that the project has: a plan installs nothing.

Rules kept here (and in `_collections` for collections): the roles' bytes are artifacts, so their digest is what people
approve; the file only says what was meant. A role that is missing, or installed in another version, is named to the
approver with the command that mends it; one that a playbook needs and that is missing is refused by Ansible's parser.
"""

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, Final

import yaml

NAMES: Final = ("requirements.yml", "requirements.yaml")
_FOLDERS: Final = (
    *("project", "project/playbooks", "project/playbooks/roles", "project/roles"),
    *("project/collections", "project/playbooks/collections"),
)
_ROLES: Final = ("project/playbooks/roles", "project/roles")
_INSTALLED: Final = "meta/.galaxy_install_info"


def notes(artifacts: Mapping[str, bytes]) -> Iterator[str]:
    """Yield one line for each role of a requirements file that is not there, or not in its version."""
    for path, shown in files(artifacts):
        for name, version in _asked(artifacts[path]):
            yield from _held(artifacts, name, version, shown)


def files(artifacts: Mapping[str, bytes]) -> Iterator[tuple[str, str]]:
    """Yield each requirements file: the artifact's path, and its path as a person knows it."""
    for path in (f"{folder}/{name}" for folder in _FOLDERS for name in NAMES):
        if path in artifacts:
            yield path, path.removeprefix("project/")


def _held(artifacts: Mapping[str, bytes], name: str, version: str, shown: str) -> Iterator[str]:
    place = next((root for root in _ROLES if any(p.startswith(f"{root}/{name}/") for p in artifacts)), "")
    if not place:
        folder = str(PurePosixPath(shown).parent / "roles").replace("roles/roles", "roles")
        yield f"{shown} asks for role {name}: ansible-galaxy role install -r {shown} -p {folder}"
        return
    installed = _mapping(artifacts.get(f"{place}/{name}/{_INSTALLED}", b"")).get("version")
    if version and installed is not None and str(installed) != version:
        yield f"{shown} asks for role {name} {version}, {installed} is installed"


def _asked(data: bytes) -> Iterator[tuple[str, str]]:
    """Yield name and version of each role; the old form is a list, the new one has a key `roles`."""
    value = load(data)
    roles = value.get("roles") if isinstance(value, Mapping) else value
    for role in roles if isinstance(roles, list) else ():
        if isinstance(role, Mapping):
            source = str(role.get("src") or role.get("role") or "")
            name = str(role.get("name") or PurePosixPath(source).name.removesuffix(".git"))
            if name and "/" not in name:
                yield name[:120], str(role.get("version") or "")[:40]


def _mapping(data: bytes) -> Mapping[str, Any]:
    value = load(data)
    return value if isinstance(value, Mapping) else {}


def load(data: bytes) -> Any:
    """Return what a file of YAML says; None for one that is none."""
    try:
        return yaml.safe_load(data)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
