"""Debian's order of versions (deb-version(7)): epoch, upstream part, revision; `~` sorts before everything.

Rules kept here: digits compare as numbers, letters before other characters; no package tool is asked, so the
answer is the same on every machine.
"""

import re
from typing import Final

_EPOCH: Final = re.compile(r"([0-9]+):(.*)", re.DOTALL)
_RUN: Final = re.compile(r"([^0-9]*)([0-9]*)")
_TILDE: Final = -1
_END: Final = 0
_OTHER: Final = 1024


def newer(left: str, right: str) -> bool:
    """Say whether version `left` is later than `right`."""
    return _key(left) > _key(right)


def _key(version: str) -> tuple[int, tuple[object, ...], tuple[object, ...]]:
    found = _EPOCH.fullmatch(version)
    epoch, rest = (int(found[1]), found[2]) if found else (0, version)
    upstream, dash, revision = rest.rpartition("-")
    return (epoch, _part(upstream), _part(revision)) if dash else (epoch, _part(rest), _part(""))


def _part(text: str) -> tuple[object, ...]:
    """Return runs of non-digits (as weights, ended by 0) and numbers in turn; the end counts as 0 too."""
    runs: list[object] = []
    for letters, digits in _RUN.findall(text):
        runs += [(*map(_weight, letters), _END), int(digits or 0)]
    while runs[-2:] == [(_END,), 0]:  # `1.0` and `1.0-0` are one version
        del runs[-2:]
    return tuple(runs)


def _weight(char: str) -> int:
    if char == "~":
        return _TILDE
    return ord(char) if char.isalpha() else ord(char) + _OTHER
