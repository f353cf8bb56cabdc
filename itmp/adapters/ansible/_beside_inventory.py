"""Finds what lies beside the inventory and is reached by `inventory_dir`, such as `{{ inventory_dir }}/files/motd`.

Rules kept here: what counts is written in the files of the plan and in the inventory's own, never what else lies there.
A folder that such a path leads into is taken whole; what is hidden, leads up, is named by a template or promises a
secret is not taken, and named. Variables and the inventory itself have places of their own in a plan.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from itmp.adapters.ansible import _project, _snapshot
from itmp.adapters.ansible.layout import INVENTORY, SNAPSHOT, WAYS
from itmp.documents import Problem
from itmp.documents.secrecy import secret_like

_READ: Final = (".yml", ".yaml", ".j2", ".json", ".ini", "")
_SAID: Final = re.compile(r"(?<!\w)inventory_dir(?!\w)")
_PATH: Final = re.compile(r"(?<!\w)inventory_dir\s*(?:\}\}/+|[~+,]\s*['\"]/*)([\w-][\w.-]*)(?![\w.-]*\{\{)")
_OWN: Final = frozenset({"group_vars", "host_vars", *(Path(one).name for one in (INVENTORY, SNAPSHOT, WAYS))})


def take(
    root: Path, inventories: tuple[str, ...], catalog: str, texts: Mapping[str, bytes]
) -> tuple[dict[str, bytes], list[Problem], list[str]]:
    """Return `inventory/…` of what the `texts` reach beside the inventories, what is wrong, and a note for the rest."""
    walk: dict[str, Path] = {}
    notes: list[str] = []
    folders = _folders(root, inventories)
    for path, data in sorted(texts.items()):
        if not path.endswith(_READ) or "ansible_collections" in path:
            continue
        text = data.decode(errors="replace")
        names = dict.fromkeys(_PATH.findall(text))
        found = {name: [*_walk(folders, name)] for name in names if name not in _OWN}
        walk |= {f"inventory/{one}": file for files in found.values() for one, file in files}
        missing = [name for name, files in found.items() if not files]
        if missing or len(_SAID.findall(text)) > len(_PATH.findall(text)):
            what = ", ".join(f"inventory_dir/{name}" for name in missing) or "inventory_dir"
            notes.append(f"{path.removeprefix('project/')} reaches outside the plan: {what}")
    taken, problems = _project._read(root, catalog, iter(walk.items()), 0, 0)  # noqa: SLF001 -- one reader for all folders of a workspace
    keys = [path for path, data in taken.items() if _project._is_key(data)]  # noqa: SLF001 -- as above
    notes += [f"{path} {_project.KEY}" for path in keys]
    return {path: data for path, data in taken.items() if path not in keys}, problems, notes


def _folders(root: Path, inventories: tuple[str, ...]) -> list[Path]:
    places = [root / name for name in _snapshot.files_of(inventories)]
    return [*dict.fromkeys(place if place.is_dir() else place.parent for place in places)]


def _walk(folders: list[Path], name: str) -> Iterator[tuple[str, Path]]:
    """Yield each file below `name` beside the first inventory that has it, by its path from there."""
    for folder in folders:
        top = folder / name
        files = [top] if top.is_file() else [*_project._files(top, ())]  # noqa: SLF001 -- as above
        if files:
            for file in files:
                inner = file.relative_to(folder)
                if not any(secret_like(Path(part).stem) or part.startswith(".") for part in inner.parts):
                    yield inner.as_posix(), file
            return


__all__ = ["take"]
