"""Whether a log continues the heads that an anchor holds, and how far each anchor covers it.

Rules kept here: a note counts only when the log's own key signed it; a head beyond the log is `rolled-back`, another
root for one size is `forked`, both grave; a note that does not open is `anchor-altered`: somebody touched the anchor,
and what it knew is lost, which is no proof against the log.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from itmp.audit import Checkpoint, Finding, SignedCheckpoint
from itmp.errors import Error
from itmp.signing import NoteVerifier

RULE: Final = 15
"""The rule's number in `itmp audit verify`: the log continues every head that an anchor holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """One anchor's newest head that this log continues (0: none) and how many leaves lie beyond it."""

    name: str
    kind: str
    size: int
    tail: int
    note: str = ""


def judge(
    place: str, notes: Iterable[bytes], log: NoteVerifier, size: int, root: Callable[[int], bytes]
) -> tuple[tuple[Finding, ...], tuple[Checkpoint, ...]]:
    """Judge the notes found at `place` against the log's `size` leaves; return findings and heads that hold."""
    findings, holding = [], []
    for note in notes:
        try:
            head = SignedCheckpoint.open(note, [log]).checkpoint
        except Error as error:
            findings.append(_finding("anchor-altered", place, error.what, grave=False))
            continue
        if head.size > size:
            known = f"{head.size} leaves were anchored, {size} are here: an older log was put back"
            findings.append(_finding("rolled-back", place, known))
        elif root(head.size) != head.root:
            findings.append(
                _finding("forked", place, f"two roots for size {head.size}: another history was anchored")
            )
        else:
            holding.append(head)
    return tuple(findings), tuple(holding)


def cover(name: str, kind: str, sizes: Sequence[int], size: int, note: str = "") -> Coverage:
    """Say how far an anchor covers a log of `size` leaves, given the sizes it holds."""
    newest = max(sizes, default=0)
    return Coverage(name=name, kind=kind, size=newest, tail=size - newest, note=note)


def _finding(name: str, place: str, message: str, *, grave: bool = True) -> Finding:
    return Finding(rule=RULE, name=name, place=place, message=message, grave=grave)
