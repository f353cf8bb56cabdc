"""What was signed with a log's key after the size at which the log's people revoked it. Rule 2.

Rules kept here: where the people said so when they revoked the key, every leaf from that size on is doubtful, and is
named, never dropped; one that a head covers which the quorum of TRUST's witnesses had cosigned before the people first
said it is no fork that somebody made with the key later, and is told as that; a time stamp vouches for no history, and
counts for nothing here. Where TRUST asks for no witnesses all of it stays doubtful.
"""

from collections.abc import Iterable
from datetime import datetime

from itmp.audit import Leaf, SignedCheckpoint
from itmp.change import PolicyHistory
from itmp.evidence.period import Period
from itmp.evidence.trust import Trust


def doubts(
    trust: Trust, history: PolicyHistory, heads: Iterable[SignedCheckpoint], events: Iterable[Leaf]
) -> tuple[str, tuple[str, ...]]:
    """Return what is doubtful of a change's events, empty where nothing is, and what is told of the others."""
    first = history.doubtful
    tail = [leaf.index for leaf in events if first is not None and leaf.index >= first]
    if not tail:
        return "", ()
    said = _said(history)
    covered = max((one.checkpoint.size for one in heads if trust.policy.covered(one.note, said)), default=0)
    known = [index for index in tail if index < covered]
    open_ = [index for index in tail if index >= covered]
    signed = f"signed by a key revoked at size {first}"
    lines = (
        [f"{_leaves(known)}: {signed}; witnesses had cosigned that before {said:%Y-%m-%dT%H:%M:%SZ}"]
        if known
        else []
    )
    return f"{_leaves(open_)}: {signed}" if open_ else "", tuple(lines)


def disowned(period: Period) -> Iterable[str]:
    """Say which leaves of a log before the change's its people disowned."""
    history = period.history
    if history.doubtful is not None and history.ended is not None:
        versions = [one.index for one in history.versions if one.index >= history.doubtful]
        shown = f"; {_leaves(versions)} set its policy" if versions else ""
        yield (
            f"key revoked: {history.origin} was disowned by its people from leaf {history.doubtful} on, to its end at"
            f" {history.ended.index}{shown}"
        )


def _said(history: PolicyHistory) -> datetime:
    """The first moment at which somebody revoked the key, by their own signed word: no log's clock stands behind it."""
    return min(item.statement.valid[0] for item in history.recovers)


def _leaves(indexes: Iterable[int]) -> str:
    """Name leaves in short: `leaves 12, 14 to 19`."""
    runs: list[list[int]] = []
    for index in indexes:
        if runs and index == runs[-1][-1] + 1:
            runs[-1] = [runs[-1][0], index]
        else:
            runs.append([index])
    names = [" to ".join(map(str, run)) for run in runs]
    return f"leaf {names[0]}" if names[1:] == [] and "to" not in names[0] else f"leaves {', '.join(names)}"
