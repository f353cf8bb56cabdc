"""Finds what lies beside the playbooks and is reached from them by a path that goes up, such as `../vars/common.yml`.

Rules kept here: what counts is written in the files of the plan, never what else lies in the workspace. The folder of
the workspace that such a path leads into is taken whole, because a file in it finds others beside it; of inventories,
runbooks and stacks the very file alone; of the state and of whatever is hidden nothing. What is taken is read in turn.
"""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

_UP: Final = re.compile(r"""[^\s'"=,:;|\[\](){}]*\.\./[^\s'",;|\[\](){}]*""")
_READ: Final = (".yml", ".yaml", ".j2", ".json")
_TAKEN: Final = frozenset({"playbooks", "roles", "collections"})
_NARROW: Final = frozenset({"inventories", "runbooks", "stacks"})


def reached(root: Path, artifacts: Mapping[str, bytes]) -> set[str]:
    """Return the folders and files of the workspace at `root` that the texts among `artifacts` lead to."""
    found: set[str] = set()
    for path, data in artifacts.items():
        inner = path.removeprefix("project/")
        if inner != path and path.endswith(_READ) and "ansible_collections" not in path:
            for target in _targets(inner, data.decode(errors="replace")):
                found |= _place(root, target)
    return found


def _targets(path: str, text: str) -> Iterator[str]:
    """Yield where the paths in `text` may lead, from each place that Ansible may look from."""
    bases = [*PurePosixPath(path).parents, PurePosixPath("playbooks")]
    for written in set(_UP.findall(text)):
        up = os.path.normpath(written.lstrip("/"))  # `{{ playbook_dir }}/../files` is cut off at its template
        if up.startswith("../"):
            yield from (os.path.normpath(base / up) for base in bases)


def _place(root: Path, target: str) -> set[str]:
    """Return what to take for a path; a part of its last name may have been a template."""
    top, _, inner = target.partition("/")
    if top in _TAKEN or top.startswith("."):
        return set()
    file = root / target
    if top in _NARROW:
        return {target} if inner and file.is_file() else set()
    known = file.exists() or (bool(inner) and file.parent.is_dir())
    return {top} if known else set()


__all__ = ["reached"]
