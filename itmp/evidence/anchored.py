"""What the anchors' part of a whole log (`anchors/<size>/…`) says against that log.

Rules kept here: a kept head counts when TRUST's log key signed it; one beyond the log is a rollback, another root for
one size a fork, both named with the file; how far TRUST's own witnesses cover the log is told, with the uncovered tail.
Where the folder was emptied nothing is proven either way.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from itmp.audit import Checkpoint, LogReader, SignedCheckpoint
from itmp.audit.checkpoint import MAX_NOTE
from itmp.audit.merkle import Frontier, leaf_hash
from itmp.errors import EvidenceInvalidError, ForkError
from itmp.evidence.trust import Trust
from itmp.signing import open_note

_MOST: Final = 1000  # newest heads that are judged: the newest one alone would show any rollback


def check_anchored(
    reader: LogReader, trust: Trust, size: int, entries: Iterable[tuple[int, bytes]]
) -> tuple[str, ...]:
    """Raise `ForkError` unless the log's `size` entries continue every kept head; return how far witnesses cover it."""
    heads = dict(_heads(reader, trust))
    beyond = [(path, head) for path, (head, _) in heads.items() if head.size > size]
    if beyond:
        path, head = max(beyond, key=lambda one: one[1].size)
        raise ForkError(
            f"rolled-back: {head.size} leaves were anchored, the log has {size}", where=f"--log {path}"
        )
    wanted: dict[int, list[tuple[str, Checkpoint]]] = {}
    for path, (head, _) in heads.items():
        wanted.setdefault(head.size, []).append((path, head))
    _compare(wanted, entries if wanted else ())
    return tuple(_covered(tuple(heads.values()), trust, size))


def _compare(wanted: dict[int, list[tuple[str, Checkpoint]]], entries: Iterable[tuple[int, bytes]]) -> None:
    frontier = Frontier()
    for _, data in entries:
        frontier.append(leaf_hash(data))
        for path, head in wanted.get(frontier.size, ()):
            if head.root != frontier.root():
                raise ForkError(
                    f"forked: another root was anchored for {head.size} leaves", where=f"--log {path}"
                )


def _heads(reader: LogReader, trust: Trust) -> Iterator[tuple[str, tuple[Checkpoint, frozenset[str]]]]:
    keys = [trust.policy.log, *trust.policy.witnesses.values()]
    names = [path for path in reader.names("anchors") if path.endswith(".note")]
    for path in sorted(names, key=_size, reverse=True)[:_MOST]:
        note = reader.get(path, MAX_NOTE) or b""
        try:
            head = SignedCheckpoint.open(note, keys).checkpoint
        except EvidenceInvalidError:
            continue  # anybody can put a file here; without the log's key it says nothing
        yield path, (head, frozenset(signer.vkey for signer in open_note(note, keys).signers))


def _covered(heads: Iterable[tuple[Checkpoint, frozenset[str]]], trust: Trust, size: int) -> Iterator[str]:
    for name, witness in trust.policy.witnesses.items():
        newest = max((head.size for head, signers in heads if witness.vkey in signers), default=0)
        yield f"anchor {name} (witness) covers {newest} leaves of the log, {size - newest} not"


def _size(path: str) -> int:
    digits = path.split("/")[1] if path.count("/") > 1 else ""
    return int(digits) if digits.isdecimal() and len(digits) < 20 else 0  # noqa: PLR2004 - a size has at most 19 digits
