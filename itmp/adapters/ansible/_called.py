"""Says by which name plays see the inventory: what `inventory_dir` and `inventory_file` end in.

Rules kept here: where the workspace has one source, its folder and its file keep their names, because projects tell
production from the rest by them. Of a path two names count and nothing before them, so that a plan does not depend on
the machine. The workspace's own folder, several sources, several files and names that mean more here get itmp's own
names, and the plan says which texts ask for those.
"""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from itmp.adapters.ansible import layout

_OWN: Final = PurePosixPath(layout.INVENTORY)
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_TAKEN: Final = frozenset(
    {Path(path).name for path in (layout.SNAPSHOT, layout.KNOWN_HOSTS, layout.WAYS, layout.CALLED)}
    | {"group_vars", "host_vars", "files", "templates", "vars"}
)
_BESIDE: Final = frozenset({"group_vars", "host_vars", "known_hosts", "files", "templates", "vars"})
_READ: Final = frozenset({".yml", ".yaml", ".j2", ".json", ".ini", ""})
_FILE: Final = re.compile(rb"(?<!\w)inventory_file(?!\w)")
_FOLDER: Final = re.compile(
    rb"(?<!\w)inventory_dir\s*(?:\.r?split\b|\|\s*(?:ansible\.builtin\.)?(?:basename|split|regex_\w+)\b)"
)


def of(root: Path, inventories: tuple[str, ...]) -> str:
    """Return FOLDER/FILE by which plays see the inventory."""
    folder, file = _names(root, inventories)
    return str(PurePosixPath(folder or _OWN.parent, file or _OWN.name))


def artifact(name: str) -> dict[str, bytes]:
    """Return the artifact that carries the name; none for itmp's own."""
    return {} if name == str(_OWN) else {layout.CALLED: name.encode()}


def notes(root: Path, inventories: tuple[str, ...], texts: Mapping[str, bytes]) -> Iterator[str]:
    """Yield a note for each text that asks for a name that is itmp's own."""
    folder, file = _names(root, inventories)
    asked = {"inventory_dir": None if folder else _FOLDER, "inventory_file": None if file else _FILE}
    for path, data in sorted(texts.items()):
        if PurePosixPath(path).suffix in _READ and "ansible_collections" not in path:
            named = " and ".join(name for name, found in asked.items() if found and found.search(data))
            if named:
                text, ours = path.removeprefix("project/"), of(root, inventories)
                yield f"{text} asks for {named}, which ends in {ours} here: the name of no source"


def _names(root: Path, inventories: tuple[str, ...]) -> tuple[str, str]:
    """Return the names of the one source's folder and file; "" for each that is itmp's own."""
    if len(inventories) != 1 or "," in inventories[0]:
        return "", ""
    place = PurePosixPath(os.path.normpath(inventories[0]))
    if (root / place).is_dir():
        place /= _only_file(root / place)
    folder, file = place.parent.name, place.name
    fits = [bool(_NAME.fullmatch(name)) and name not in _TAKEN for name in (folder, file)]
    return folder if fits[0] else "", file if fits[1] else ""


def _only_file(folder: Path) -> str:
    """Return the one entry of a folder that may hold hosts; `-`, which is no name here, where there are several."""
    found = [one.name for one in folder.iterdir() if one.name not in _BESIDE and not one.name.startswith(".")]
    return found[0] if len(found) == 1 and (folder / found[0]).is_file() else "-"


__all__ = ["artifact", "notes", "of"]
