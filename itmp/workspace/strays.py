"""Files of the private store that no leaf names: what a killed process left between its write and its leaf.

Rules kept here: whoever keeps a content holds a change until its leaf is durable, so that what lies there once nobody
holds one, and no leaf names, is never named; while somebody holds one, only what is older than a day is nobody's; what
is older than a period whose leaves cannot be read here may be that period's: the policy's retention alone drops it. No
value is compared: two attempts seldom leave the same diff byte for byte, and the same secret may stand in both. Where
anything knows of leaves that the log here lacks, those may name what these do not: all is spared, and named.
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from itmp.adapters.clock import SystemClock
from itmp.adapters.private import PRIVATE, Kept, PrivateStore, destroy
from itmp.errors import LogUnavailableError
from itmp.inquiry import Content
from itmp.workspace import packing
from itmp.workspace.behind import behind
from itmp.workspace.committed import committed
from itmp.workspace.noticing import is_any_held
from itmp.workspace.place import Workspace

_DAY: Final = 24 * 3600.0
"""Seconds after which no leaf comes any more, whoever is at work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strays:
    """Files that no leaf here names: of nobody (`dead`), maybe of an `earlier` period, or about to be named (`young`).

    `spared` are of nobody as far as the leaves here say, while `behind` knows of more than are here. `contents` are
    what leaves name, as they were read for it.
    """

    contents: tuple[Content, ...]
    dead: tuple[Kept, ...]
    earlier: tuple[Kept, ...]
    young: tuple[Kept, ...]
    spared: tuple[Kept, ...] = ()
    behind: tuple[str, ...] = ()


def strays(place: Workspace, *, ask: bool = False, known: tuple[str, ...] = ()) -> Strays:
    """Return what no leaf names. The order counts: the files, who is at work, and only then the leaves.

    With `ask`, before anything is destroyed, anchors elsewhere are asked as well whether leaves are missing here;
    `known` is what was found out about that before.
    """
    files = tuple(store(place).kept())
    idle = not is_any_held(place)
    contents = committed(place)
    named = {content.commitment for content in contents}
    until, now = packing.unread_until(place), SystemClock().now()
    dead, earlier, young = list[Kept](), list[Kept](), list[Kept]()
    for file in files:
        if file.commitment in named:
            continue
        if not idle and file.age <= _DAY:
            young.append(file)
        elif until is not None and now - timedelta(seconds=file.age) <= until:
            earlier.append(file)
        else:
            dead.append(file)
    told = known or (behind(place, ask=ask) if dead else ())
    return Strays(
        contents=contents,
        dead=() if told else tuple(dead),
        earlier=tuple(earlier),
        young=tuple(young),
        spared=tuple(dead) if told else (),
        behind=told,
    )


def sweep(place: Workspace, known: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Destroy what is nobody's; return the paths of what cannot be judged yet, below `.itmp/`, and who knows more."""
    found = strays(place, ask=True, known=known)
    for file in found.dead:
        with suppress(LogUnavailableError):  # not a file of ours: it is named, and the next one is destroyed
            destroy(file.path)
    left = tuple(
        file.path.relative_to(place.state).as_posix()
        for file in (*found.dead, *found.earlier, *found.young, *found.spared)
        if os.path.lexists(file.path)
    )
    return left, found.behind


def store(place: Workspace) -> PrivateStore:
    """Return the store of a workspace's contents."""
    return PrivateStore(place.state / PRIVATE)
