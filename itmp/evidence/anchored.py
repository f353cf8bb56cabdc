"""What the anchors' part of a whole log (`anchors/<size>/…`) says against that log.

Rules kept here: a kept head counts when TRUST's log key signed it, whatever other lines it carries; one beyond the log
is a rollback, another root for one size a fork, both named with the file; how far TRUST's own witnesses cover the log
is told, with the uncovered tail. Where the folder was emptied nothing is proven either way.

Every head is judged, however many there are: of a log that forked long ago only its oldest heads may say so. A head
that agrees with the log proves nothing against it, so no signature of it is looked at; what disagrees, and the lines of
witnesses from the newest head down, are verified. So a file costs three readings at most, and one verification a key.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from itmp.audit import Checkpoint, LogReader, SignedCheckpoint
from itmp.audit.checkpoint import MAX_NOTE
from itmp.audit.merkle import Frontier, leaf_hash
from itmp.errors import EvidenceInvalidError, ForkError
from itmp.evidence.trust import Trust
from itmp.signing import NoteVerifier, open_note
from itmp.signing.notes import key_ids


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    """What a file says; nothing of it is verified."""

    path: str
    size: int
    root: bytes


def check_anchored(reader: LogReader, trust: Trust, size: int, entries: Iterable[bytes]) -> tuple[str, ...]:
    """Raise `ForkError` unless the log's `size` entries continue every kept head; return how far witnesses cover it."""
    log = trust.policy.log
    heads = sorted(_heads(reader, log.name), key=lambda head: head.size)
    while heads and heads[-1].size > size:
        head = heads.pop()
        if _is_signed(reader, head, log):
            known = f"rolled-back: {head.size} leaves were anchored, the log has {size}"
            raise ForkError(known, where=f"--log {head.path}")
    holding = []
    for head, holds in _compared(heads, entries):
        if holds:
            holding.append(head)
        elif _is_signed(reader, head, log):
            known = f"forked: another root was anchored for {head.size} leaves"
            raise ForkError(known, where=f"--log {head.path}")
    return tuple(_covered(reader, trust, holding, size))


def _heads(reader: LogReader, origin: str) -> Iterator[_Head]:
    """Yield the heads of this log that files there speak of; anybody can put a file there."""
    for path in reader.names("anchors"):
        if not path.endswith(".note"):
            continue
        try:
            head = Checkpoint.said(reader.get(path, MAX_NOTE) or b"")
        except EvidenceInvalidError:
            continue
        if head.origin == origin:
            yield _Head(path=path, size=head.size, root=head.root)


def _compared(heads: Iterable[_Head], entries: Iterable[bytes]) -> Iterator[tuple[_Head, bool]]:
    """Yield each head, by growing size, and whether the entries have its root at its size."""
    frontier, rest = Frontier(), iter(entries)
    for head in heads:
        while frontier.size < head.size:
            frontier.append(leaf_hash(next(rest)))
        yield head, head.root == frontier.root()


def _is_signed(reader: LogReader, head: _Head, log: NoteVerifier) -> bool:
    try:
        SignedCheckpoint.open(reader.get(head.path, MAX_NOTE) or b"", [log])
    except EvidenceInvalidError:
        return False
    return True


def _covered(reader: LogReader, trust: Trust, holding: list[_Head], size: int) -> Iterator[str]:
    waiting, newest = dict(trust.policy.witnesses), dict.fromkeys(trust.policy.witnesses, 0)
    for head in reversed(holding):
        if not waiting:
            break
        note = reader.get(head.path, MAX_NOTE) or b""
        for name in [name for name, witness in waiting.items() if _is_cosigned(note, witness)]:
            newest[name] = head.size
            del waiting[name]
    for name, covered in newest.items():
        yield f"anchor {name} (witness) covers {covered} leaves of the log, {size - covered} not"


def _is_cosigned(note: bytes, witness: NoteVerifier) -> bool:
    """Whether the witness's line is there and holds; the log's own signature is that of a head it agrees with."""
    if witness.key_id not in key_ids(note, witness.name):
        return False
    try:
        open_note(note, [witness])
    except EvidenceInvalidError:
        return False
    return True
