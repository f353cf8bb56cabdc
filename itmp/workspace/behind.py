"""What knows of leaves that the log here lacks: a copy of it was put back, and another one may name more than this.

Rules kept here: whatever remembers heads of this log is asked, each by itself: the head record and the snapshots, what
anchors gave (beside the log), what each anchor was seen to hold, the anchors on this machine, and with `ask` all others
too, each for a few seconds. One that is away, or was emptied, says no more than what it said last. It is asked before
anything is appended: a log that has grown again differs from the newest one by its roots, which not all of them know.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from itmp.adapters.clock import SystemClock
from itmp.anchors import judge
from itmp.errors import Error
from itmp.signing import NoteVerifier
from itmp.workspace import anchoring, remembered
from itmp.workspace.place import Workspace

if TYPE_CHECKING:
    from itmp.audit import Log

_AGAINST: Final = frozenset({"rolled-back", "forked"})
_NEWEST: Final = 64
"""Sizes whose heads beside the log are compared with it."""


def behind(place: Workspace, *, ask: bool = False) -> tuple[str, ...]:
    """Return who knows of leaves that are not here, one sentence each; nothing: as far as is known, all are."""
    return tuple(dict.fromkeys(_told(place, ask=ask)))


def _told(place: Workspace, *, ask: bool) -> Iterator[str]:
    found = (*place.log.health(SystemClock()).findings, *remembered.compare(place))
    yield from (f"{one.place}: {one.message}" for one in found if one.name in _AGAINST)
    size = place.log.size()
    for name, held in anchoring.held_of(place):
        if held > size:
            yield f"anchor {name}: it was seen to hold {held} leaves, {size} are here"
    key, notes = NoteVerifier.parse(place.log.vkey), _given(place.log)
    found, _ = judge("log/anchors", notes, key, place.log.size, place.log.root)
    yield from (f"{one.place}: {one.message}" for one in found if one.name in _AGAINST)
    yield from _against(anchoring.last(place))
    if not ask:
        return
    try:
        answers = anchoring.anchor(place)
    except Error as error:  # settings that cannot be used: whom they would name is not known
        yield f"{error.where}: {error.what}"
        return
    yield from _against(answers)


def _against(answers: Iterable[anchoring.Anchored]) -> Iterator[str]:
    return (f"anchor {one.name}: {one.why}" for one in answers if one.state == "fork")


def _given(log: "Log") -> Iterator[bytes]:
    """Yield what anchors gave for the greatest heads, whoever wrote it there."""
    sizes = sorted({size for size, name in log.anchored() if name.endswith(".note")})
    for size in reversed(sizes[-_NEWEST:]):
        yield from (data for path, data in log.kept(size) if path.endswith(".note"))
