"""Debian's order of versions (deb-version(7)): epoch, upstream part, revision; `~` sorts before everything.

Rules kept here: digits compare as numbers, letters before other characters; no package tool is asked, so the
answer is the same on every machine.
"""

import re
from itertools import zip_longest
from typing import Final, TypeAlias

_Run: TypeAlias = tuple[tuple[int, ...], int]

_EPOCH: Final = re.compile(r"([0-9]+):(.*)", re.DOTALL)
_RUN: Final = re.compile(r"([^0-9]*)([0-9]*)")
_TILDE: Final = -1
_END: Final = 0
_OTHER: Final = 1024
_NOTHING: Final[_Run] = ((_END,), 0)


def newer(left: str, right: str) -> bool:
    """Say whether version `left` is later than `right`."""
    for one, other in zip(_parts(left), _parts(right), strict=True):
        for mine, its in zip_longest(one, other, fillvalue=_NOTHING):
            if mine != its:
                return mine > its
    return False


def _parts(version: str) -> tuple[tuple[_Run, ...], ...]:
    """Return epoch, upstream part and revision."""
    found = _EPOCH.fullmatch(version)
    epoch, rest = (found[1], found[2]) if found else ("0", version)
    upstream, dash, revision = rest.rpartition("-")
    return tuple(map(_runs, (epoch, upstream, revision) if dash else (epoch, rest, "")))


def _runs(text: str) -> tuple[_Run, ...]:
    """Return pairs of a run of other characters, as weights ended by 0, and the number that follows."""
    return tuple(((*map(_weight, letters), _END), int(digits or 0)) for letters, digits in _RUN.findall(text))


def _weight(char: str) -> int:
    if char == "~":
        return _TILDE
    return ord(char) if char.isalpha() else ord(char) + _OTHER
