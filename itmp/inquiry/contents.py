"""Contents that leaves commit to, and who destroyed which: read from raw leaves and the policy's versions.

Rules kept here:
1. A content is destroyed by right when a later leaf holds a signed `redact` statement that counts there and names
   its leaf and pointer, or when it was older than the `keep` of the policy then in force.
2. `redaction.done` says that it happened, names what gave the right, and gives none itself: where it names nothing
   that counts, it is an unfounded one, and stands as such.
3. Nothing here says whether the content is still there: that is the store's word, compared by whoever asks.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from itmp.audit import Leaf
from itmp.audit.commitments import commitments_of
from itmp.canonical import Digest
from itmp.change import PolicyHistory, time_of
from itmp.change.statements import Given, verify_given
from itmp.errors import Error
from itmp.signing import Signed

STATEMENT: Final = "statement"
RETENTION: Final = "retention"
_MARKS: Final = (b'"before":"', b'"after":"', b'"diff":"', b'"redaction.done"', b"act redact")


@dataclass(frozen=True, slots=True, kw_only=True)
class Redaction:
    """One `redaction.done`: why the content went, who asked for it, and the reason given.

    `unfounded` says why nothing in the log gave the right to it; empty where something did.
    """

    index: int
    at: datetime
    cause: str
    by: str
    reason: str
    unfounded: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A commitment at `pointer` of leaf `index` (hash `leaf`, written `at`): how it was asked to go, and went."""

    index: int
    leaf: Digest
    pointer: str
    commitment: Digest
    at: datetime
    change: str
    asked: Given | None = None
    redaction: Redaction | None = None


def contents(
    leaves: Iterable[Leaf], history: PolicyHistory, before: Iterable[Content] = ()
) -> tuple[Content, ...]:
    """Return every content that `leaves` (in order, from the log's first) commit to.

    `before` are those of the logs that this one continues: its statements may ask for them too.
    """
    found: dict[tuple[str, str], Content] = {(one.leaf, one.pointer): one for one in before}
    for leaf in leaves:
        if any(mark in leaf.data for mark in _MARKS):
            _take(found, leaf, history)
    return tuple(found.values())


def _take(found: dict[tuple[str, str], Content], leaf: Leaf, history: PolicyHistory) -> None:
    event = leaf.event
    for pointer, commitment in commitments_of(event).items():
        found[leaf.hash, pointer] = Content(
            index=leaf.index,
            leaf=leaf.hash,
            pointer=pointer,
            commitment=commitment,
            at=time_of(leaf),
            change=event.change,
        )
    data: dict[str, Any] = dict(event.data or {})
    if event.type == "statement.recorded":
        _ask(found, leaf, history)
    elif event.type == "redaction.done":
        key = (str(data.get("leaf")), str(data.get("pointer")))
        if key in found and (found[key].redaction is None or found[key].redaction.unfounded):  # type: ignore[union-attr]  # it is not None on the right
            found[key] = replace(found[key], redaction=_done(found[key], leaf, data, history))


def _ask(found: dict[tuple[str, str], Content], leaf: Leaf, history: PolicyHistory) -> None:
    """Rule 1, by statement: what does not count there asks for nothing."""
    policy = history.at(leaf.index).policy
    try:
        signed = Signed.from_data(leaf.event.data or {})
        given = verify_given(signed, leaf=leaf, policy=policy, origin=history.origin)
    except Error:
        return
    key = (given.line("leaf"), given.line("pointer"))
    if given.act == "redact" and key in found and found[key].asked is None:
        found[key] = replace(found[key], asked=given)


def _done(content: Content, leaf: Leaf, data: dict[str, Any], history: PolicyHistory) -> Redaction:
    """Rule 2."""
    at, asked = time_of(leaf), content.asked
    if data.get("cause") == STATEMENT and asked is not None and data.get("statement") == asked.leaf:
        return Redaction(
            index=leaf.index, at=at, cause=STATEMENT, by=asked.signer, reason=asked.line("reason")
        )
    version = history.at(leaf.index).policy
    keep = version.retention.keep
    if data.get("cause") == RETENTION and at - content.at >= keep:
        reason = f"older than {keep.days} days"
        return Redaction(index=leaf.index, at=at, cause=RETENTION, by="the policy's retention", reason=reason)
    why = "no statement that counts asked for it, and the policy's retention did not either"
    return Redaction(index=leaf.index, at=at, cause=str(data.get("cause")), by="", reason="", unfounded=why)
