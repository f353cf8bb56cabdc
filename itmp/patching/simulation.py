"""What apt says that it would do: the output of `apt-get -s`, as values.

Rules kept here: every line that announces an action is understood or refused, so that none is lost; names are
those of apt, where a foreign architecture is a suffix (`libc6:i386`) and the machine's own is not.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from itmp.documents.text import visible
from itmp.errors import InvalidInputError

NAME: Final = re.compile(r"[a-z0-9][a-z0-9+.-]+(:[a-z0-9-]+)?")
VERSION: Final = re.compile(r"[0-9A-Za-z.+:~-]+")
_INSTALL: Final = re.compile(
    r"Inst (?P<name>\S+) (?:\[(?P<old>[^\]\s]+)\] )?"
    r"\((?P<new>\S+)(?: (?P<origin>.*))? \[(?P<arch>[a-z0-9-]+)\]\)"
)
_REMOVE: Final = re.compile(r"(?:Remv|Purg) (?P<name>\S+)(?: \[(?P<version>[^\]\s]+)\])?")
_KEPT: Final = "The following packages have been kept back:"
_TRAILING: Final = re.compile(r"(?: \[[^\]]*\])*\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """apt would bring `name` from version `old` (empty: not installed) to `new`, out of `origin`."""

    name: str
    old: str
    new: str
    origin: str
    architecture: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """All that apt would do: installations by name, removed packages with their versions, names kept back."""

    installations: tuple[Installation, ...]
    removals: tuple[tuple[str, str], ...]
    kept: tuple[str, ...]


def parse_simulation(text: str, where: str) -> Simulation:
    """Read what `apt-get -s … dist-upgrade` printed in the C locale.

    Raises `InvalidInputError` for an announced action that is not understood.
    """
    installations: dict[str, Installation] = {}
    removals: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith("Inst "):
            one = _installation(line, where)
            installations[one.name] = one
        elif line.startswith(("Remv ", "Purg ")):
            found = _REMOVE.match(line)
            if found is None or not _TRAILING.fullmatch(line[found.end() :]):
                raise _strange(line, where)
            removals[_name(found["name"], line, where)] = found["version"] or ""
    return Simulation(
        installations=tuple(installations[name] for name in sorted(installations)),
        removals=tuple(sorted(removals.items())),
        kept=tuple(sorted(_kept(text))),
    )


def _installation(line: str, where: str) -> Installation:
    found = _INSTALL.match(line)
    if found is None or not _TRAILING.fullmatch(line[found.end() :]):
        raise _strange(line, where)
    for version in (found["old"] or "0", found["new"]):
        if not VERSION.fullmatch(version):
            raise _strange(line, where)
    return Installation(
        name=_name(found["name"], line, where),
        old=found["old"] or "",
        new=found["new"],
        origin=visible(found["origin"] or ""),
        architecture=found["arch"],
    )


def _name(name: str, line: str, where: str) -> str:
    if not NAME.fullmatch(name):
        raise _strange(line, where)
    return name


def _strange(line: str, where: str) -> InvalidInputError:
    return InvalidInputError(f"apt announces something unknown: {visible(line)[:200]}", where=where)


def _kept(text: str) -> Iterator[str]:
    """Yield the names below apt's heading; they stand on lines that begin with two spaces."""
    inside = False
    for line in text.splitlines():
        if inside and line.startswith("  "):
            yield from (word for word in line.split() if NAME.fullmatch(word))
        else:
            inside = line == _KEPT
