"""Versions that decide what a plan's bytes mean: Ansible's, Python's, those of the project's own collections.

Rules kept here: a plan names what it was parsed with, and runs with nothing else. Versions that a plan does not
name are not compared. Imports nothing of Ansible: the installed packages' metadata says the versions.
"""

import importlib.metadata
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from itmp.errors import StaleError

_PACKAGES: Final = {"ansible_core": "ansible-core", "jinja2": "jinja2"}
ENVIRONMENT: Final = "execution_environment"
"""The name under which a plan's versions hold the image in which its plays are parsed and run."""
COLLECTIONS_OF_IMAGE: Final = "ITMP_IMAGE_COLLECTIONS"
"""The variable that says inside a container where the image's own collections lie."""

_COLLECTION: Final = re.compile(r"(project/.+?)/ansible_collections/(\w+)/(\w+)/")
_SAID: Final = ("MANIFEST.json", "galaxy.yml")
"""Where a collection says what it is, the built one's first."""
_PLACES: Final = ("project/playbooks/collections", "project/collections")


def present() -> dict[str, str]:
    """Return the versions of what parses and runs plays in this interpreter."""
    found = {name: importlib.metadata.version(package) for name, package in _PACKAGES.items()}
    return found | {"python": f"{sys.version_info.major}.{sys.version_info.minor}"}


def places(asked: Sequence[str]) -> tuple[str, ...]:
    """Return where Ansible looks for collections among the artifacts, in its order; `asked` is the project's word."""
    own = (f"project/{path}".removesuffix("/ansible_collections") for path in asked)
    return tuple(dict.fromkeys((*own, *_PLACES)))


def held(artifacts: Mapping[str, bytes], searched: Sequence[str] = _PLACES) -> dict[str, str]:
    """Return the version of each collection where Ansible finds it first; empty for one that states none."""
    return {name: _version(artifacts, folder) for name, folder in _folders(artifacts, searched).items()}


def needed(artifacts: Mapping[str, bytes], searched: Sequence[str] = _PLACES) -> dict[str, dict[str, str]]:
    """Return what each collection, where Ansible finds it first, asks for itself: names, each with its version."""
    found = {name: _dependencies(artifacts, folder) for name, folder in _folders(artifacts, searched).items()}
    return {name: asked for name, asked in found.items() if asked}


def _folders(artifacts: Mapping[str, bytes], searched: Sequence[str]) -> dict[str, str]:
    """Return the folder in which Ansible finds each collection first."""
    first: dict[str, tuple[int, str]] = {}
    for path in artifacts:
        found = _COLLECTION.match(path)
        if found and found[1] in searched:
            name, here = f"{found[2]}.{found[3]}", (searched.index(found[1]), found[0])
            first[name] = min(first.get(name, here), here)
    return {name: folder for name, (_, folder) in sorted(first.items())}


def _version(artifacts: Mapping[str, bytes], folder: str) -> str:
    """Return what a collection states; a built one's MANIFEST.json wins over its galaxy.yml."""
    said = (_stated(artifacts.get(f"{folder}{name}", b"")) for name in _SAID)
    return next(filter(None, said), "")


def _dependencies(artifacts: Mapping[str, bytes], folder: str) -> dict[str, str]:
    here = (artifacts[f"{folder}{name}"] for name in _SAID if f"{folder}{name}" in artifacts)
    asked = _information(next(here, b"")).get("dependencies")
    return (
        {str(name)[:200]: str(version or "")[:80] for name, version in asked.items()}
        if isinstance(asked, Mapping)
        else {}
    )


def of_collections(artifacts: Mapping[str, bytes], searched: Sequence[str] = _PLACES) -> dict[str, str]:
    """Return the version of each collection among `artifacts` that states one, as `collection NAMESPACE.NAME`."""
    found = held(artifacts, searched)
    return {f"collection {name}": version for name, version in found.items() if version}


def of_image(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the version of each collection of the image we are in, as `collection NAMESPACE.NAME of the image`."""
    found: dict[str, str] = {}
    folders = filter(None, environment.get(COLLECTIONS_OF_IMAGE, "").split(os.pathsep))
    for file in (
        path for folder in folders for path in Path(folder).glob("ansible_collections/*/*/MANIFEST.json")
    ):
        name = f"collection {file.parent.parent.name}.{file.parent.name} of the image"
        if version := _stated(file.read_bytes()):
            found.setdefault(name, version)
    return found


def moved(planned: Mapping[str, str]) -> list[str]:
    """Return one line for each version with which the plan was made and which is another one here.

    The versions inside an execution environment are those of its image, which has one digest.
    """
    if ENVIRONMENT in planned:
        return []
    here = present()
    return [
        f"{name} is {here[name]} here, the plan was made with {planned[name]}"
        for name in sorted(here.keys() & planned.keys())
        if here[name] != planned[name]
    ]


def require(planned: Mapping[str, str], where: str) -> None:
    """Raise `StaleError` when the plan was made with other versions than those that would run it."""
    if found := moved(planned):
        raise StaleError(
            "; ".join(found), where=where, do="Run it where those versions are installed, or make a new plan."
        )


def _stated(data: bytes) -> str:
    version = _information(data).get("version")
    return str(version)[:40] if version else ""


def _information(data: bytes) -> Mapping[str, Any]:
    """Return what a collection says of itself; nothing where it cannot be read."""
    try:
        read: Any = json.loads(data) if data.lstrip().startswith(b"{") else yaml.safe_load(data)
    except (ValueError, yaml.YAMLError, RecursionError):
        return {}
    found = read.get("collection_info", read) if isinstance(read, Mapping) else {}
    return found if isinstance(found, Mapping) else {}


__all__ = [
    "COLLECTIONS_OF_IMAGE",
    "ENVIRONMENT",
    "held",
    "moved",
    "needed",
    "of_collections",
    "of_image",
    "places",
    "present",
    "require",
]
