"""Previews that go: with a diff of their plan that people asked to destroy, or by the policy's retention.

Rules kept here: which previews go with a content is written down before the first of them goes, so that whoever was
interrupted, and whoever finds one that a backup brought back, knows it; a file that is not ours, or that cannot be
destroyed, keeps nothing else from going, and is named.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Final

from itmp.adapters import private
from itmp.errors import LogUnavailableError
from itmp.inquiry import Content
from itmp.workspace.place import Workspace
from itmp.workspace.strays import store

MOST: Final = 1000
"""Previews that one leaf can name."""


def going(place: Workspace, plan: str) -> tuple[tuple[str, ...], tuple[Path, ...]]:
    """Return the events of a plan's previews, and the files that no leaf can name: more of them, or of other names."""
    found = tuple(store(place).previews_of(plan))
    named = tuple(path for path in found if private.is_id(event_of(path)))[:MOST]
    return tuple(map(event_of, named)), tuple(path for path in found if path not in set(named))


def event_of(path: Path) -> str:
    """Return the event of which this file is the preview."""
    return path.name.removeprefix(private.PREVIEW)


def drop(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Destroy files; return those that are still there."""
    left = list[Path]()
    for path in paths:
        with suppress(LogUnavailableError):  # not a file of ours
            private.destroy(path)
        if os.path.lexists(path):
            left.append(path)
    return tuple(left)


def drop_named(place: Workspace, events: Iterable[str]) -> tuple[Path, ...]:
    """Destroy the previews of these events as far as they are here; return those that are still there."""
    wanted = set(events)
    return drop([file.path for file in store(place).previews() if event_of(file.path) in wanted])


def previews(place: Workspace, age: timedelta, among: Iterable[Content] = ()) -> tuple[private.Kept, ...]:
    """Return the previews that are older than `age`, and those that went with one of `among` and are here again."""
    gone = {name for one in among if one.redaction for name in one.redaction.previews}
    return tuple(
        file
        for file in store(place).previews()
        if file.age >= age.total_seconds() or event_of(file.path) in gone
    )
