"""What anchors on this machine remember, compared with the log before anything is begun or signed.

Rules kept here: only anchors that need no network are asked (a directory, a git repository), and nothing is written to
them; a head beyond the log, or another root, refuses (42): the log was put back or forked, whatever its own head record
says; an anchor that cannot be read, or has forgotten what it held, is told, and refuses only where the policy says so,
because an anchor that is away must not keep an SRE from a fix, while one that contradicts the log must.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from itmp.anchors import LocalAnchor, judge
from itmp.audit import Finding
from itmp.errors import Error, ForkError
from itmp.signing import NoteVerifier
from itmp.workspace import anchoring
from itmp.workspace.place import Workspace

RULE: Final = 8
"""The gate's number for this check."""
_AGAINST: Final = frozenset({"rolled-back", "forked"})
_DO: Final = "Put the newest copy of the log back; what each anchor holds: itmp audit verify"


def compare(place: Workspace) -> tuple[Finding, ...]:
    """Hold the log against what local anchors remember; grave where it contradicts, or where the policy demands one."""
    demanded = place.history().latest.policy.anchors_demanded
    try:
        found = [item for one in _local(place) for item in _judged(place, one)]
    except Error as error:  # a key file that is gone, say: it must not keep anybody from a fix
        found = [_silent("anchor-unreadable", "itmp.yml: anchors", error.what)]
    return tuple(replace(item, rule=RULE, grave=item.name in _AGAINST or demanded) for item in found)


def refuse_rolled_back(place: Workspace) -> None:
    """Raise `ForkError` where a local anchor remembers another history; nothing may be signed on this log."""
    for item in compare(place):
        if item.name in _AGAINST:
            raise ForkError(f"{item.name}: {item.message}", where=item.place, do=_DO)


def _local(place: Workspace) -> Iterator[LocalAnchor]:
    for one in anchoring.anchors_of(place, local=True):
        if isinstance(one, LocalAnchor):
            yield one


def _judged(place: Workspace, one: LocalAnchor) -> tuple[Finding, ...]:
    where = f"anchor {one.name}"
    try:
        notes = one.newest()  # before the log is read: what was anchored by now, the log must have by then
        log, size = NoteVerifier.parse(place.log.vkey), place.log.size()
        found, heads = judge(where, notes, log, size, place.log.root)
    except Error as error:
        return (_silent("anchor-unreadable", where, error.what),)
    known = max((last.size for last in anchoring.last(place) if last.name == one.name), default=0)
    if known and not found and not heads:
        told = f"it holds nothing, and held {known} leaves the last time"
        return (_silent("anchor-forgot", where, told),)
    return found


def _silent(name: str, place: str, message: str) -> Finding:
    return Finding(rule=RULE, name=name, place=place, message=message, grave=False)
