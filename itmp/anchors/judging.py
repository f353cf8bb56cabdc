"""Whether a log continues the heads that an anchor holds, and how far each anchor covers it.

Rules kept here: a note counts only when the log's own key signed it; a head beyond the log is `rolled-back`, another
root for one size is `forked`, both grave; a note that does not open is `anchor-altered`: somebody touched the anchor,
and what it knew is lost, which is no proof against the log; heads of the same name under another key are `forked`,
where the anchor is this log's alone; an anchor so full of what is no head of the log that its heads were not reached
is `anchor-flooded`, and grave: who filled it had something to hide.

However many notes there are, one is held at a time. What a note says is compared first: a head that agrees with the log
proves nothing against it, so its signature is looked at only where the anchor covers the log further by it. An anchor
that shows its newest head first costs one verification.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from itmp.anchors.doors import AnchorError, AnchorFloodedError
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
    place: str,
    notes: Iterable[bytes],
    log: NoteVerifier,
    size: Callable[[], int],
    root: Callable[[int], bytes],
) -> tuple[tuple[Finding, ...], Checkpoint | None]:
    """Judge the notes found at `place` against the log; return findings and the newest head that holds, if one does.

    An `AnchorError` of whoever shows the notes ends them, and is a finding too.
    """
    bench = _Bench(place, log, size, root)
    try:
        for note in notes:
            bench.hear(note)
    except AnchorFloodedError as error:
        bench.find("anchor-flooded", error.what)
    except AnchorError as error:
        bench.find("anchor-failed", error.what, grave=False)
    return tuple(bench.findings), bench.newest


class _Bench:
    """What was found so far; the same finding counts once."""

    def __init__(
        self, place: str, log: NoteVerifier, size: Callable[[], int], root: Callable[[int], bytes]
    ) -> None:
        self.findings: dict[Finding, None] = {}
        self.newest: Checkpoint | None = None
        self._place, self._log, self._size, self._root = place, log, size, root
        self._known = size()

    def hear(self, note: bytes) -> None:
        """Judge one note, and forget it."""
        try:
            head = Checkpoint.said(note)
            against = self._against(head)
            further = self.newest is None or head.size > self.newest.size
            if against or further or head.origin != self._log.name:
                SignedCheckpoint.open(note, [self._log])
        except Error as error:
            self.find("anchor-altered", error.what, grave=False)
            return
        if against:
            self.find(*against)
        elif further:
            self.newest = head

    def find(self, name: str, message: str, *, grave: bool = True) -> None:
        """Note down a finding."""
        self.findings[_finding(name, self._place, message, grave=grave)] = None

    def _against(self, head: Checkpoint) -> tuple[str, str] | None:
        """Return what the head says against the log, if it is signed; others write to the log meanwhile."""
        if head.size > self._known:
            self._known = self._size()
        if head.size > self._known:
            known = f"{head.size} leaves were anchored, {self._known} are here: an older log was put back"
            return "rolled-back", known
        if self._root(head.size) != head.root:
            return "forked", f"two roots for size {head.size}: another history was anchored"
        return None


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


def cover(name: str, kind: str, newest: Checkpoint | None, size: int, note: str = "") -> Coverage:
    """Say how far an anchor covers a log of `size` leaves, given the newest head it holds."""
    covered = newest.size if newest else 0
    return Coverage(name=name, kind=kind, size=covered, tail=max(0, size - covered), note=note)


def _finding(name: str, place: str, message: str, *, grave: bool = True) -> Finding:
    return Finding(rule=RULE, name=name, place=place, message=message, grave=grave)
