"""Facts that one slice gathers and later slices of the same run use, as the plays of one bare run do.

Rules kept here: facts belong to one run, its resumes and its undo, and to no other; they lie in its own folder. A fact
that holds a secret known to the executor, in any form that is masked elsewhere, is not kept: it is gone with its slice.
A plan of one slice keeps nothing. Both folders are the child's to write, so nothing in them is followed: a link would
have the executor read or write what is closed to the child.
"""

import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from itmp.adapters.ansible import layout
from itmp.adapters.secrets import Masker
from itmp.execution.doors import Room
from itmp.plan import AnsibleStep, Plan, RollingStep

_FOLDER: Final = "facts"
_PAYLOAD: Final = "__payload__"
"""The one key under which Ansible hands a cache plugin all facts of a host, as JSON."""


def environment(plan: Plan, room: Room, short: Path) -> dict[str, str]:
    """Return what has Ansible find the facts of earlier slices and write those of this one to `short`."""
    if not _several(plan):
        return {}
    (short / _FOLDER).mkdir(mode=0o700)
    return {
        "ANSIBLE_CACHE_PLUGIN": "itmp_facts",
        "ANSIBLE_CACHE_PLUGINS": str(layout.PLUGINS / "cache"),
        "ITMP_FACTS": str(short / _FOLDER),
        "ITMP_FACTS_KEPT": str(kept(room)),
    }


def keep(room: Room, short: Path, masker: Masker) -> None:
    """Keep what the slice gathered for later ones."""
    for name, text in _gathered(short / _FOLDER):
        target = kept(room) / name
        facts = _harmless(text, masker)
        if not facts:
            target.unlink(missing_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        unfinished = target.with_name(f".{secrets.token_hex(8)}")
        with unfinished.open("x") as file:  # a new file, whatever lies there
            file.write(facts)
        os.replace(unfinished, target)  # noqa: PTH105 -- an atomic step, named as such


def _gathered(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield name and text of each plain file in `folder`."""
    if folder.is_symlink() or not folder.is_dir():
        return
    for name in sorted(os.listdir(folder)):  # noqa: PTH208 -- names alone
        data = layout.plain(folder / name)
        if data is not None:
            yield name, data.decode(errors="replace")


def kept(room: Room) -> Path:
    """Return the folder in which a run's facts lie."""
    return room.facts or room.folder / _FOLDER


def _several(plan: Plan) -> bool:
    """Whether the plan has more than one slice of Ansible."""
    count = 0
    for step in (*plan.manifest.steps, *plan.manifest.undo):
        inner = step.steps if isinstance(step, RollingStep) else (step,)
        times = len(step.batches) if isinstance(step, RollingStep) else 1
        count += times * sum(isinstance(one, AnsibleStep) for one in inner)
    return count > 1


def _harmless(text: str, masker: Masker) -> str:
    """Return a host's facts without those that hold a secret; empty for none, and for what is no mapping."""
    if not masker.holds(text):
        return text
    try:
        facts: Any = json.loads(json.loads(text)[_PAYLOAD])
        kept = {name: fact for name, fact in facts.items() if not masker.holds(json.dumps({name: fact}))}
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
    return json.dumps({_PAYLOAD: json.dumps(kept)})


__all__ = ["environment", "keep", "kept"]
