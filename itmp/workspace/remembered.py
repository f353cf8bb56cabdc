"""What anchors on this machine remember, compared with the log before anything is begun or signed.

Rules kept here: only anchors that need no network are asked (a directory, a git repository), and nothing is written to
them; a head beyond the log, or another root, refuses (42): the log was put back or forked, whatever its own head record
says; an anchor that cannot be read, or has forgotten what it held, is told, and refuses only where the policy says so,
because an anchor that is away must not keep an SRE from a fix, while one that contradicts the log must. Where the
policy demands anchors, itmp.yml, which authors write, cannot take them away: it must name one of these, and each that
was seen to hold a head at the place where it did. What keeps one anchor from being asked hides nothing that another
knows.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from itmp.anchors import LocalAnchor, judge
from itmp.audit import Finding
from itmp.errors import Error, ForkError
from itmp.signing import NoteVerifier
from itmp.workspace import anchoring
from itmp.workspace.config import AnchorSetting
from itmp.workspace.place import Workspace

RULE: Final = 8
"""The gate's number for this check."""
_AGAINST: Final = frozenset({"rolled-back", "forked"})
_NONE: Final = "the policy demands an anchor on this machine (directory or git), and none is named: name one"
_AGAIN: Final = (
    "name it again in itmp.yml; to give it up, whoever owns the executor's account removes .itmp/anchors.json"
)
_DO: Final = "Put the newest copy of the log back; what each anchor holds: itmp audit verify"


def compare(place: Workspace) -> tuple[Finding, ...]:
    """Hold the log against what local anchors remember; grave where it contradicts, or where the policy demands one."""
    demanded = place.history().latest.policy.anchors_demanded
    found = [item for setting in _local(place) for item in _asked(place, setting)]
    if demanded:
        found += _taken_away(place)
    return tuple(replace(item, rule=RULE, grave=item.name in _AGAINST or demanded) for item in found)


def refuse_rolled_back(place: Workspace) -> None:
    """Raise `ForkError` where a local anchor remembers another history; nothing may be signed on this log."""
    for item in compare(place):
        if item.name in _AGAINST:
            raise ForkError(f"{item.name}: {item.message}", where=item.place, do=_DO)


def _local(place: Workspace) -> list[AnchorSetting]:
    return [setting for setting in place.config.anchors if setting.kind in anchoring.LOCAL]


def _asked(place: Workspace, setting: AnchorSetting) -> tuple[Finding, ...]:
    try:
        one = anchoring.made_of(place, setting)
    except Error as error:  # a key file that is gone, say: it must not keep anybody from a fix
        return (_silent("anchor-unreadable", "itmp.yml: anchors", error.what),)
    return _judged(place, one, setting) if isinstance(one, LocalAnchor) else ()


def _taken_away(place: Workspace) -> Iterator[Finding]:
    """Name what itmp.yml leaves out although the policy demands it."""
    if not _local(place):
        yield _silent("anchor-absent", "itmp.yml: anchors", _NONE)
    for one in anchoring.gone(place):
        at = f" at {one.where}" if one.where else ""
        of = "" if one.log in {"", place.log.origin} else f" of {one.log}"
        told = f"it held {one.held} leaves{of}{at}, and is named there no more: {_AGAIN}"
        yield _silent("anchor-forgot", f"anchor {one.name}", told)


def _judged(place: Workspace, one: LocalAnchor, setting: AnchorSetting) -> tuple[Finding, ...]:
    where = f"anchor {one.name}"
    try:
        notes = tuple(one.newest())
        found, newest = judge(
            where, notes, NoteVerifier.parse(place.log.vkey), place.log.size, place.log.root
        )
    except Error as error:
        return (_silent("anchor-unreadable", where, error.what),)
    known, unsure = anchoring.seen(place, setting)
    size = newest.size if newest else 0
    if not found and (size < known or (unsure and not size)):
        holds = f"{size} leaves" if size else "nothing"
        told = f"it holds {holds}, and held {known or unsure} leaves the last time"
        return (_silent("anchor-forgot", where, told),)
    return found


def _silent(name: str, place: str, message: str) -> Finding:
    return Finding(rule=RULE, name=name, place=place, message=message, grave=False)
