"""Rule 19, for an auditor who holds the whole log, or one before it: the evidence leaves nothing out.

Rules kept here: each log is told by the name in its checkpoint, and must be the change's own or one that the evidence
walked through; it is verified first (its own numbered rules, `itmp.audit.verify`); the evidence's head must be of that
log; every event of the change and every policy version up to that head must be in the evidence, byte for byte; the log
continues every head that anchors have left beside it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

from itmp.audit import STANDING_ENDS, Leaf, LogReader
from itmp.audit import verify as verify_log
from itmp.audit.checkpoint import MAX_NOTE, Checkpoint, SignedCheckpoint
from itmp.audit.merkle import Frontier, leaf_hash
from itmp.audit.published import bundled
from itmp.errors import EvidenceInvalidError, ForkError, RolledBackError
from itmp.evidence.anchored import check_anchored
from itmp.evidence.rules import FORKED, ROLLED_BACK
from itmp.evidence.trust import Trust

_NAMED: Final = "--log "
"""Before the paths of the auditor's copy, in what an error names."""
_KINDS: Final = {FORKED: ForkError, ROLLED_BACK: RolledBackError}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What evidence shows of one log: its head and leaves, judged by `trust`; `change` where it is the change's log."""

    trust: Trust
    head: Checkpoint
    leaves: Mapping[int, Leaf]
    change: str = ""


def check_logs(
    readers: Iterable[LogReader], shown: Iterable[Shown]
) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return how far anchors cover each log, and the names of the logs that were read.

    Raise `EvidenceInvalidError` or `ForkError` unless what is `shown` of each is all that it says.
    """
    by_name = {one.head.origin: one for one in shown}
    lines, read = list[str](), set[str]()
    for reader in readers:
        name = (reader.get("checkpoint", MAX_NOTE) or b"").partition(b"\n")[0].decode("utf-8", "replace")
        if name not in by_name:
            raise EvidenceInvalidError(f"{name!r:.80} is no log of this evidence", where="--log checkpoint")
        lines += check_whole(reader, by_name[name])
        read.add(name)
    return tuple(lines), frozenset(read)


def check_whole(reader: LogReader, shown: Shown) -> tuple[str, ...]:
    """Return how far anchors cover the log; raise unless `shown` is all that the log says up to its head."""
    trust, head, leaves = shown.trust, shown.head, shown.leaves
    keys = [trust.policy.log, *trust.policy.witnesses.values()]
    for finding in verify_log(reader, keys, genesis=trust.genesis, kept=trust.kept):
        if finding.grave:
            kind = _KINDS.get(finding.name, EvidenceInvalidError)
            raise kind(
                f"log rule {finding.rule}, {finding.name}: {finding.message}", where=f"--log {finding.place}"
            )
    size = _size(reader, trust)
    trust.check_counts(size, where="--log")
    if size < head.size:
        raise RolledBackError(
            f"the log has fewer leaves than the evidence's checkpoint, {head.size}", where="--log"
        )
    wanted, frontier = f'"change":"{shown.change}"'.encode(), Frontier()
    for index, data in islice(enumerate(bundled(reader, size, within=_NAMED)), head.size):
        frontier.append(leaf_hash(data))
        if index in leaves and leaves[index].data != data:
            raise ForkError("the log holds another leaf than the evidence", where=f"leaf {index}")
        if index not in leaves and (data.endswith(STANDING_ENDS) or wanted in data.partition(b',"data":')[0]):
            raise EvidenceInvalidError(
                "the log holds this leaf of the story, the evidence leaves it out", where=f"leaf {index}"
            )
    if frontier.root() != head.root:
        raise ForkError(f"the log has another root for {head.size} leaves than the evidence", where="--log")
    return check_anchored(reader, trust, size, bundled(reader, size, within=_NAMED))


def _size(reader: LogReader, trust: Trust) -> int:
    note = reader.get("checkpoint", MAX_NOTE) or b""
    return SignedCheckpoint.open(note, [trust.policy.log], where="--log checkpoint").checkpoint.size
