"""Reads a project's ansible.cfg: what a run honours, where it searches, and what it does not honour and why.

Rules kept here: a setting is honoured only if it stands on the list, because a setting can run code, reach outside the
plan or weaken a check; every other one is named with its reason when the plan is made. Folders are honoured where
they lie in the workspace, and are then artifacts of the plan like any other. Values are data: nothing is expanded.
"""

import configparser
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from itmp.adapters.ansible import _outside
from itmp.adapters.ansible._settings import (
    FOLDERS,
    HARMLESS,
    HARMLESS_SECTIONS,
    HONOURED,
    OTHER,
    READING,
    REASONS,
    SHOWN_IF_ON,
    SSH_ARGUMENTS,
    TARGET_FOLDERS,
)
from itmp.errors import InvalidInputError

PROJECT_CONFIG: Final = "project/ansible.cfg"
CATALOG_CONFIG: Final = "project/playbooks/ansible.cfg"
FILES: Final = (PROJECT_CONFIG, CATALOG_CONFIG)
"""Where a project may have its configuration: the first one counts, as bare Ansible reads one file alone."""

_STRATEGIES: Final = frozenset({"linear", "free", "host_pinned"})
CODE: Final = frozenset(
    f"ANSIBLE_{kind}_PLUGINS" for kind in ("ACTION", "BECOME", "FILTER", "LOOKUP", "TEST")
)
"""Variables that name folders of code which runs on the controller."""
_FOLDER_NAME: Final = re.compile(r"(?:[\w./~+, -]|\$\w+|\$\{\w+\})+")
"""What a target's shell takes for a name: Ansible hands it these texts unquoted, and a preview does as well."""
_OF_JINJA: Final = re.compile(r"jinja2\.ext\.\w+")
"""Extensions that come with Jinja, whose version is in the plan."""
_SSH: Final = "ssh_connection"
_KEY: Final = re.compile(r"(?:~?/|\$HOME/|\$\{HOME\}/)[^\n$]*")
"""A key that ssh reads where it is, whatever folder the plan is laid out in, a container too: no other's home."""
_OFF: Final = frozenset({"false", "no", "0", "off", "n", "f"})
_MANAGED: Final = re.compile(r"(?<!\{)\{(?:file|host|uid)\}|%[A-Za-z]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an ansible.cfg says.

    `honoured` by section; `folders` maps Ansible's variable to folders of the workspace; `ignored` are lines for the
    approver; `unpinned` says that it switches the check of host keys off; `inventory` are the sources that it names;
    `ssh` are arguments for ssh by their settings' names, and `base` is the folder in which the file lies.
    """

    honoured: Mapping[str, Mapping[str, str]]
    folders: Mapping[str, tuple[str, ...]]
    ignored: tuple[str, ...]
    unpinned: bool = False
    inventory: tuple[str, ...] = ()
    ssh: Mapping[str, str] = field(default_factory=dict)
    base: str = ""


def of(artifacts: Mapping[str, bytes]) -> Settings:
    """Read the configuration among the artifacts of a project."""
    path = in_force(artifacts)
    return read(artifacts.get(path, b""), base="playbooks" if path == CATALOG_CONFIG else "")


def in_force(artifacts: Mapping[str, bytes]) -> str:
    """Return the artifact path of the configuration that counts."""
    return next((path for path in FILES if path in artifacts), PROJECT_CONFIG)


def read(config: bytes, base: str = "") -> Settings:
    """Read an ansible.cfg that lies in the folder `base`; raise `InvalidInputError` for one that is none."""
    parser = _parsed(config)
    honoured: dict[str, dict[str, str]] = {}
    folders: dict[str, tuple[str, ...]] = {}
    ignored: list[str] = []
    for section in parser.sections():
        for key, value in parser.items(section):
            if _honours(section, key, value):
                honoured.setdefault(section, {})[key] = value
            elif section == "defaults" and key in FOLDERS:
                folders[FOLDERS[key]] = tuple(_inside(value, base))
                ignored += [
                    f"[defaults] {key}: {path} is outside the workspace" for path in _outside_of(value, base)
                ]
            elif not _quiet(section, key, value):
                ignored.append(f"[{section}] {key} is not honoured: {REASONS.get(key, OTHER)}")
    ignored += _managed(honoured.get("defaults", {}).get("ansible_managed", ""))
    return Settings(
        honoured=honoured,
        folders=folders,
        ignored=tuple(sorted(ignored)),
        unpinned=not all(
            _on(parser.get(section, "host_key_checking", fallback="true")) for section in ("defaults", _SSH)
        ),
        inventory=tuple(_sources(parser.get("defaults", "inventory", fallback=""), base)),
        ssh={
            name: _unquoted(value) for name in SSH_ARGUMENTS if (value := parser.get(_SSH, name, fallback=""))
        },
        base=base,
    )


def other(said: Settings, inventories: tuple[str, ...]) -> Iterator[str]:
    """Yield a line for the approver where an ansible.cfg names another inventory than the workspace."""
    used = tuple(_sources(",".join(inventories)))
    if said.inventory and said.inventory != used:
        theirs, ours = ", ".join(said.inventory), ", ".join(used)
        yield f"[defaults] inventory is not honoured: it names {theirs}, and itmp.yml or -i {ours}"


def _parsed(config: bytes) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=True, inline_comment_prefixes=(";",))
    try:
        parser.read_string(config.decode())
    except (configparser.Error, UnicodeDecodeError) as error:
        raise InvalidInputError(f"not a readable configuration file: {error}", where="ansible.cfg") from error
    return parser


def _honours(section: str, key: str, value: str) -> bool:
    if (section, key) == ("defaults", "strategy"):
        return value.strip().removeprefix("ansible.builtin.") in _STRATEGIES
    if (section, key) == ("defaults", "transport"):
        return value.strip() in {"ssh", "smart"}
    if (section, key) == ("defaults", "private_key_file"):
        return bool(_KEY.fullmatch(value.strip()))
    if (section, key) == ("defaults", "jinja2_extensions"):
        return all(_OF_JINJA.fullmatch(name.strip()) for name in value.split(","))
    if section == "defaults" and key in TARGET_FOLDERS and not _FOLDER_NAME.fullmatch(value):
        return False
    return key in HONOURED.get(section, ())


def _quiet(section: str, key: str, value: str) -> bool:
    """Whether a setting that no run is given needs no word: it counts elsewhere, or changes nothing."""
    if (section, key) == ("defaults", "inventory"):  # told where it differs from the workspace's own
        return True
    if section == _SSH and key in SSH_ARGUMENTS:  # told where the ways of hosts are settled
        return True
    elsewhere = key in READING.get(section, ()) or key in HARMLESS.get(section, ())
    return elsewhere or section in HARMLESS_SECTIONS or (key in SHOWN_IF_ON and not _on(value))


def _on(value: str) -> bool:
    return value.strip().lower() not in _OFF


def _unquoted(value: str) -> str:
    """Return a text as Ansible reads it, which takes quotes round the whole away."""
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" and value[-2] != "\\"
    return value[1:-1] if quoted else value


def _managed(text: str) -> Iterator[str]:
    """Yield what an approver should know of `ansible_managed`, which Ansible reads as a template of its own."""
    where = "[defaults] ansible_managed"
    yield from (f"{where} reaches outside the plan: lookup {name}" for name in _outside.lookups(text))
    if _MANAGED.search(text):
        yield f"{where} names the place, owner or time of the template's file, which lies elsewhere at each run"


def _sources(value: str, base: str = "") -> Iterator[str]:
    """Yield the sources of an inventory setting as Ansible splits them, paths in their shortest form."""
    for part in value.replace("\n", ",").split(","):
        if part.strip():
            yield os.path.normpath(PurePosixPath(base, part.strip()))


def _inside(value: str, base: str) -> Iterator[str]:
    """Yield the folders of a search path that lie in the workspace, relative to it."""
    yield from (
        os.path.normpath(PurePosixPath(base, part)) for part in _parts(value) if not _leaves(part, base)
    )


def _outside_of(value: str, base: str) -> Iterator[str]:
    yield from (part for part in _parts(value) if _leaves(part, base))


def _leaves(part: str, base: str) -> bool:
    path = os.path.normpath(PurePosixPath(base, part))
    ours = any(
        part.startswith("_itmp_") for part in path.split("/")
    )  # where itmp alone puts what Ansible loads
    return ours or part.startswith(("~", "$", "{")) or path.startswith(("/", "..")) or path in {".", ""}


def _parts(value: str) -> Iterator[str]:
    yield from (part.strip() for part in value.replace("\n", ":").split(":") if part.strip())
