"""Rule 19, for an auditor who holds the whole log: the evidence leaves nothing out.

Rules kept here: the log itself is verified first (its own numbered rules, `itmp.audit.verify`); the
evidence's checkpoint must be a head of that log; every event of the change and every policy version up to
that head must be in the evidence, byte for byte; the log continues every head that anchors have left beside it.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from itmp.audit import LogReader
from itmp.audit import verify as verify_log
from itmp.audit.checkpoint import MAX_NOTE, Checkpoint, SignedCheckpoint
from itmp.audit.merkle import Frontier, leaf_hash
from itmp.audit.tiles import ENTRIES, MAX_BUNDLE, WIDTH, Tile, decode_bundle, tiles_of
from itmp.errors import EvidenceInvalidError, ForkError
from itmp.evidence.anchored import check_anchored
from itmp.evidence.bundle import POLICY_ENDS
from itmp.evidence.rules import FORKED, ROLLED_BACK, RevokedKeyError, RolledBackError
from itmp.evidence.trust import Trust

_KINDS: Final = {FORKED: ForkError, ROLLED_BACK: RolledBackError}


def check_whole(
    reader: LogReader, trust: Trust, head: Checkpoint, leaves: Mapping[int, bytes], change: str
) -> tuple[str, ...]:
    """Return how far anchors cover the log.

    Raise `EvidenceInvalidError` or `ForkError` unless `leaves` are all that the log says up to `head`.
    """
    keys = [trust.policy.log, *trust.policy.witnesses.values()]
    for finding in verify_log(reader, keys, genesis=trust.genesis, kept=trust.kept):
        if finding.grave:
            kind = _KINDS.get(finding.name, EvidenceInvalidError)
            raise kind(
                f"log rule {finding.rule}, {finding.name}: {finding.message}", where=f"--log {finding.place}"
            )
    size = _size(reader, trust)
    last = trust.revoked.get(trust.policy.log.vkey, size)
    if size > last:
        raise RevokedKeyError(
            f"TRUST says that this key counts for {last} leaves at most; it signed {size}", where="--log"
        )
    if size < head.size:
        raise RolledBackError(
            f"the log has fewer leaves than the evidence's checkpoint, {head.size}", where="--log"
        )
    wanted, frontier = f'"change":"{change}"'.encode(), Frontier()
    for index, data in _entries(reader, head.size):
        frontier.append(leaf_hash(data))
        if index in leaves and leaves[index] != data:
            raise ForkError("the log holds another leaf than the evidence", where=f"leaf {index}")
        if index not in leaves and (data.endswith(POLICY_ENDS) or wanted in data.partition(b',"data":')[0]):
            raise EvidenceInvalidError(
                "the log holds this leaf of the story, the evidence leaves it out", where=f"leaf {index}"
            )
    if frontier.root() != head.root:
        raise ForkError(f"the log has another root for {head.size} leaves than the evidence", where="--log")
    return check_anchored(reader, trust, size, _entries(reader, size))


def _size(reader: LogReader, trust: Trust) -> int:
    note = reader.get("checkpoint", MAX_NOTE) or b""
    return SignedCheckpoint.open(note, [trust.policy.log], where="--log checkpoint").checkpoint.size


def _entries(reader: LogReader, size: int) -> Iterator[tuple[int, bytes]]:
    for tile in tiles_of(size):
        if tile.level != ENTRIES:
            return
        for width in (tile.width, WIDTH):
            data = reader.get(Tile(level=ENTRIES, n=tile.n, width=width).path, MAX_BUNDLE)
            if data is not None:
                yield from enumerate(decode_bundle(data, width, where=tile.path)[: tile.width], tile.start)
                break
        else:
            raise EvidenceInvalidError("entries are missing", where=f"--log {tile.path}")
