"""Whether a log continues the heads that an anchor holds, and how far each anchor covers it.

Rules kept here: a note counts only when the log's own key signed it; a head beyond the log is `rolled-back`, another
root for one size is `forked`, both grave; a note that does not open is `anchor-altered`: somebody touched the anchor,
and what it knew is lost, which is no proof against the log; heads of the same name under another key are `forked`,
where the anchor is this log's alone.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from itmp.audit import Checkpoint, Finding, SignedCheckpoint
from itmp.errors import Error
from itmp.signing import NoteVerifier
from itmp.signing.notes import key_ids

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


def judge_others(place: str, notes: Mapping[str, bytes], log: NoteVerifier) -> tuple[Finding, ...]:
    """Judge the notes that an anchor holds under other keys, by where they lie: one of the log's own name is a fork.

    A log passed on to another key has another name, so nothing leads from one key to another under the same. Nothing
    is verified: the keys are unknown here, and that anybody signed in this name is what must be explained.
    """
    second = (
        "heads of another key lie in {}: a second log of this name. If that one was given up, move them away"
    )
    return tuple(
        _finding("forked", place, second.format(where))
        for where, note in notes.items()
        if note.partition(b"\n")[0] == log.name.encode() and key_ids(note, log.name) - {log.key_id}
    )


def cover(name: str, kind: str, sizes: Sequence[int], size: int, note: str = "") -> Coverage:
    """Say how far an anchor covers a log of `size` leaves, given the sizes it holds."""
    newest = max(sizes, default=0)
    return Coverage(name=name, kind=kind, size=newest, tail=size - newest, note=note)


def _finding(name: str, place: str, message: str, *, grave: bool = True) -> Finding:
    return Finding(rule=RULE, name=name, place=place, message=message, grave=grave)
