"""What the few events of a change claim: unverified words, by which the change can be found.

Rules kept here: a claim is what a leaf says, whoever wrote it and whether it counts or not; whoever shows a change
folds it from all its leaves.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

EMERGENCY: Final = 1
ALONE: Final = 2
UNAPPROVED: Final = 4
WORD: Final = 8
SKIPPED: Final = 16
UNDONE: Final = 32
OPEN: Final = 64

_STARTS: Final = frozenset({"run", "resume", "undo"})
_LONGEST: Final = 1000
"""Characters of a claim that are kept."""


class Claim(NamedTuple):
    """What one leaf adds to its change's row; empty where it adds nothing."""

    opens: tuple[str, str, str] | None = None
    """Type, reason and external reference."""
    signer: str = ""
    approves: bool = False
    starts: bool = False
    permits: bool = False
    ends: bool = False
    marks: int = 0


def claim_of(kind: str, data: Any) -> Claim | None:
    """Return what an event of type `kind` with these data claims, if anything."""
    read = _READERS.get(kind)
    return read(data) if read is not None and isinstance(data, Mapping) else None


def _opened(data: Mapping[str, Any]) -> Claim:
    lines = _lines(data)
    external = lines.get("external", "")
    kind = lines.get("type", "")
    return Claim(
        opens=(kind, lines.get("reason", ""), "" if external == "-" else external),
        signer=lines.get("signer", ""),
        marks=EMERGENCY if kind == "emergency" else 0,
    )


def _approved(data: Mapping[str, Any]) -> Claim:
    return Claim(signer=_lines(data).get("signer", ""), approves=True)


def _recorded(data: Mapping[str, Any]) -> Claim | None:
    lines = _lines(data)
    return Claim(signer=lines.get("signer", ""), starts=True) if lines.get("act") in _STARTS else None


def _permitted(data: Mapping[str, Any]) -> Claim:
    permit = data.get("permit")
    said = permit if isinstance(permit, Mapping) else {}
    binaries = said.get("binaries")
    custody = binaries.get("custody", "none") if isinstance(binaries, Mapping) else "none"
    marks = (UNDONE if said.get("mode") == "undo" else 0) | (OPEN if custody == "none" else 0)
    return Claim(permits=True, marks=marks)


def _ended(_: Mapping[str, Any]) -> Claim:
    return Claim(ends=True)


def _reconciled(data: Mapping[str, Any]) -> Claim | None:
    return Claim(marks=WORD) if "text" in data else None


def _resumed(data: Mapping[str, Any]) -> Claim | None:
    return Claim(marks=SKIPPED) if data.get("skip") else None


_READERS: Final = {
    "change.opened": _opened,
    "change.approved": _approved,
    "statement.recorded": _recorded,
    "permit.issued": _permitted,
    "change.closed": _ended,
    "change.canceled": _ended,
    "action.reconciled": _reconciled,
    "run.resumed": _resumed,
}


def _lines(data: Mapping[str, Any]) -> dict[str, str]:
    """Return a statement's lines, whatever they are worth; lone surrogates, which no honest leaf has, are replaced."""
    text = data.get("text")
    if not isinstance(text, str):
        return {}
    plain = text if text.isascii() else text.encode("utf-8", "replace").decode()
    found: dict[str, str] = {}
    for line in plain.split("\n"):
        name, _, value = line.partition(" ")
        found.setdefault(name, value[:_LONGEST])
    return found
