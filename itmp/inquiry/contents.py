"""Contents that leaves commit to, and who destroyed which: read from raw leaves and the policy's versions.

Rules kept here:
1. A content is destroyed by right when signed `redact` statements that count name its leaf and pointer, by as many
   distinct people as its change needed to be run (one who asks, and the policy's quorum), under one policy version and
   while all of them are valid; or when it was older than the `keep` of the policy then in force. A content of no known
   plan needs what the strictest environment asks at high risk.
2. `redaction.done` says that it happened, names what gave the right, and gives none itself: where it names nothing
   that counts, it is an unfounded one, and stands as such.
3. Nothing here says whether the content is still there: that is the store's word, compared by whoever asks.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, TypeAlias

from itmp.audit import Leaf
from itmp.audit.commitments import commitments_of
from itmp.canonical import Digest
from itmp.change import Policy, PolicyHistory, Reading, time_of
from itmp.change.statements import Given, verify_given
from itmp.errors import Error, RefusedError
from itmp.plan import Manifest
from itmp.signing import Signed

STATEMENT: Final = "statement"
RETENTION: Final = "retention"
_MARKS: Final = (b'"before":"', b'"after":"', b'"diff":"', b'"redaction.done"', b"act redact")


@dataclass(frozen=True, slots=True, kw_only=True)
class Redaction:
    """One `redaction.done`: why the content went, who asked for it, and the reason given.

    `unfounded` says why nothing in the log gave the right to it; empty where something did. `previews` went with it.
    """

    index: int
    at: datetime
    cause: str
    by: str
    reason: str
    unfounded: str = ""
    previews: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A commitment at `pointer` of leaf `index` (hash `leaf`, written `at`): how it was asked to go, and went.

    `asks` are the statements that count, `asked` those that completed a quorum: with them it may go.
    """

    index: int
    leaf: Digest
    pointer: str
    commitment: Digest
    at: datetime
    change: str
    plan: str = ""
    asks: tuple[Given, ...] = ()
    asked: tuple[Given, ...] = ()
    redaction: Redaction | None = None

    def standing(self, policy: Policy, now: datetime) -> tuple[Given, ...]:
        """Return each person's newest statement that still counts under `policy` at `now`."""
        newest = {
            given.signer: given
            for given in self.asks
            if given.kind == "human" and given.line("policy") == policy.digest and now <= given.until
        }
        return tuple(newest.values())


def needed(policy: Policy, manifest: Manifest | None) -> int:
    """Return how many distinct people must sign before a content of this plan (`None`: unknown) may go."""
    reading = Reading(environment=policy.environment_of(()), risk="high")
    if manifest is not None:
        reading = policy.read(manifest)
    try:
        return 1 + policy.quorum_for(reading.environment, reading.risk).count
    except RefusedError:  # no such change could run: then the most that any rule asks for
        return 1 + max((rule.count for rule in policy.document.quorum), default=1)


Plans: TypeAlias = Callable[[str], Manifest | None]
"""The manifest with this digest, or None where its bytes are not at hand."""


def contents(
    leaves: Iterable[Leaf], history: PolicyHistory, plans: Plans, before: Iterable[Content] = ()
) -> tuple[Content, ...]:
    """Return every content that `leaves` (in order, from the log's first) commit to.

    `before` are those of the logs that this one continues: its statements may ask for them too.
    """
    found: dict[tuple[str, str], Content] = {(one.leaf, one.pointer): one for one in before}
    for leaf in leaves:
        if any(mark in leaf.data for mark in _MARKS):
            _take(found, leaf, history, plans)
    return tuple(found.values())


def previews_in(data: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the events of the previews that went with a content, as its `redaction.done` names them."""
    named = data.get("previews")
    return tuple(one for one in named if isinstance(one, str)) if isinstance(named, list) else ()


def _take(found: dict[tuple[str, str], Content], leaf: Leaf, history: PolicyHistory, plans: Plans) -> None:
    event = leaf.event
    for pointer, commitment in commitments_of(event).items():
        found[leaf.hash, pointer] = Content(
            index=leaf.index,
            leaf=leaf.hash,
            pointer=pointer,
            commitment=commitment,
            at=time_of(leaf),
            change=event.change,
            plan=event.plan,
        )
    data: dict[str, Any] = dict(event.data or {})
    if event.type == "statement.recorded":
        _ask(found, leaf, history, plans)
    elif event.type == "redaction.done":
        key = (str(data.get("leaf")), str(data.get("pointer")))
        if key in found and (found[key].redaction is None or found[key].redaction.unfounded):  # type: ignore[union-attr]  # it is not None on the right
            found[key] = replace(found[key], redaction=_done(found[key], leaf, data, history))


def _ask(found: dict[tuple[str, str], Content], leaf: Leaf, history: PolicyHistory, plans: Plans) -> None:
    """Rule 1, by statements: what does not count there asks for nothing."""
    policy = history.at(leaf.index).policy
    try:
        signed = Signed.from_data(leaf.event.data or {})
        given = verify_given(signed, leaf=leaf, policy=policy, origin=history.origin)
    except Error:
        return
    key = (given.line("leaf"), given.line("pointer"))
    if given.act != "redact" or key not in found or found[key].asked or _used(found[key], given):
        return
    content = replace(found[key], asks=(*found[key].asks, given))
    standing = content.standing(policy, given.at)
    enough = len(standing) >= needed(policy, plans(content.plan))
    found[key] = replace(content, asked=standing if enough else ())


def _used(content: Content, given: Given) -> bool:
    """Each statement counts once, however often the log's owner writes it down."""
    return any((one.signer, one.line("nonce")) == (given.signer, given.line("nonce")) for one in content.asks)


def _done(content: Content, leaf: Leaf, data: dict[str, Any], history: PolicyHistory) -> Redaction:
    """Rule 2."""
    at, asked = time_of(leaf), content.asked
    if data.get("cause") == STATEMENT and asked and data.get("statements") == [one.leaf for one in asked]:
        by, reason = ", ".join(one.signer for one in asked), asked[0].line("reason")
        gone = previews_in(data)
        return Redaction(index=leaf.index, at=at, cause=STATEMENT, by=by, reason=reason, previews=gone)
    version = history.at(leaf.index).policy
    keep = version.retention.keep
    if data.get("cause") == RETENTION and at - content.at >= keep:
        reason = f"older than {keep.days} days"
        return Redaction(index=leaf.index, at=at, cause=RETENTION, by="the policy's retention", reason=reason)
    why = "too few people signed for it, and the policy's retention did not ask for it either"
    return Redaction(index=leaf.index, at=at, cause=str(data.get("cause")), by="", reason="", unfounded=why)
