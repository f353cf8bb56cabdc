"""Finds what lies beside the inventory and is reached by `inventory_dir`, such as `{{ inventory_dir }}/files/motd`.

Rules kept here: what counts is written in the files of the plan and in the inventory's own, never what else lies there.
Of the folders beside an inventory those are taken that hold content by Ansible's names (`files`, `templates`, `vars`),
and in them the very file, or the deepest folder that is written out: elsewhere plays also put what they fetch, and keep
passwords. What is hidden, holds a private key or promises a secret without being encrypted is left out, and whatever a
path names and the plan does not hold is named. What is taken is read in turn. Inventories that differ in a file are
refused.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from itmp.adapters.ansible import _project, _snapshot
from itmp.adapters.ansible._guards import VAULT_HEADER
from itmp.documents import Problem
from itmp.documents.secrecy import secret_like

_READ: Final = frozenset({".yml", ".yaml", ".j2", ".json", ".ini", ""})
_SAID: Final = re.compile(r"(?<!\w)inventory_dir(?!\w)")
_PATH: Final = re.compile(r"(?<!\w)inventory_dir\s*(?:\}\}/+|[~+,]\s*['\"]/*)([\w-][\w./-]*)(\{\{)?")
_CONTENT: Final = frozenset({"files", "templates", "vars"})
_KEY: Final = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----|PRIVATE\+KEY\+|client-key-data")


def take(
    root: Path, inventories: tuple[str, ...], catalog: str, texts: Mapping[str, bytes]
) -> tuple[dict[str, bytes], list[Problem], list[str]]:
    """Return `inventory/…` of what the `texts` reach beside the inventories, what is wrong, and a note for the rest."""
    folders = _snapshot.folders_of(root, inventories)
    taken: dict[str, bytes] = {}
    problems: list[Problem] = []
    notes: list[str] = []
    asked: set[str] = set()
    new = dict(texts)
    while new:
        wanted = {path: [*_written(path, data)] for path, data in sorted(new.items())}
        new = {}
        names = {name for named in wanted.values() for name in named if name} - asked
        asked |= names
        for name in sorted(names):
            found, wrong = _gathered(root, catalog, folders, name)
            problems += [one for one in wrong if one not in problems]
            new |= {path: data for path, data in found.items() if path not in taken}
        taken |= new
        notes += _outside(wanted, taken)
    private = {path: why for path, data in taken.items() if (why := _private(path, data))}
    notes += [f"{path} {why}" for path, why in sorted(private.items())]
    return {path: data for path, data in sorted(taken.items()) if path not in private}, problems, notes


def _written(path: str, data: bytes) -> Iterator[str]:
    """Yield what a text names: a path below the inventory's folder, or nothing where it does not say."""
    if PurePosixPath(path).suffix not in _READ or "ansible_collections" in path:
        return
    text = data.decode(errors="replace")
    named = [*_PATH.finditer(text)]
    for found in named:
        place = PurePosixPath(found[1].rpartition("/")[0] if found[2] else found[1])
        yield str(place) if place.parts and place.parts[0] in _CONTENT and ".." not in place.parts else ""
    if len(_SAID.findall(text)) > len(named):
        yield ""


def _gathered(
    root: Path, catalog: str, folders: tuple[Path, ...], name: str
) -> tuple[dict[str, bytes], list[Problem]]:
    """Return the files at or below `name` of every inventory's folder, by their path there."""
    taken: dict[str, bytes] = {}
    problems: list[Problem] = []
    for folder in folders:
        walk = ((f"inventory/{inner}", file) for inner, file in _walk(root, folder, name))
        found, wrong = _project._read(root, catalog, walk, 0, 0)  # noqa: SLF001 -- one reader for all folders of a workspace
        problems += wrong
        for path, data in found.items():
            if taken.setdefault(path, data) != data:
                problems.append(_snapshot.twice(folder / path.removeprefix("inventory/"), root))
    return taken, problems


def _walk(root: Path, folder: Path, name: str) -> Iterator[tuple[str, Path]]:
    top = folder / name
    for file in [top] if top.is_file() else _project._files(top, (), root.resolve()):  # noqa: SLF001 -- as above
        inner = file.relative_to(folder)
        if not any(part.startswith(".") for part in inner.parts):
            yield inner.as_posix(), file


def _outside(wanted: Mapping[str, list[str]], taken: Mapping[str, bytes]) -> Iterator[str]:
    held = {str(place) for path in taken for place in (PurePosixPath(path), *PurePosixPath(path).parents)}
    for path, names in wanted.items():
        lost = dict.fromkeys(name for name in names if f"inventory/{name}" not in held)
        if lost:
            what = ", ".join(f"inventory_dir/{name}" if name else "inventory_dir" for name in lost)
            yield f"{path.removeprefix('project/')} reaches outside the plan: {what}"


def _private(path: str, data: bytes) -> str:
    """Say why a file is left out: nobody who approves a plan should read a secret in it."""
    if data.startswith(VAULT_HEADER):
        return ""
    if _KEY.search(data):
        return _project.KEY
    words = (word for part in path.split("/") for word in (part, *re.split(r"[._-]+", part)))
    promises = any(secret_like(word) or secret_like(word.removesuffix("s")) for word in words)
    return "promises a secret and is left out: encrypt it with ansible-vault" if promises else ""


__all__ = ["take"]
