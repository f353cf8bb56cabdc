"""The policy's history, walked from the genesis leaf: which version was in force at which leaf.

Rules kept here: leaf 0 is `log.created`; its policy counts because its root people enrolled it, each in
person, naming the log's key and the policy's digest, or, where it continues another log, because that log's policy
quorum named its key and both logs' keys signed the handover; every later version counts only by the quorum of the
version before it, each signer naming both digests, and no statement is used twice. `key.rotated` ends the history, by
the same quorum; `key.revoked` stands right before it. The first fault raises: a history that cannot be walked is worth
nothing.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from itmp.audit import STANDING, Leaf, SignedCheckpoint
from itmp.canonical import Digest
from itmp.change.handover import Handover, HandoverError, Previous, check_successor
from itmp.change.policy import Policy
from itmp.change.statements import Given, StatementRefusedError, Writ, time_of, verify_given, verify_writ
from itmp.errors import Error, EvidenceInvalidError, InvalidInputError
from itmp.signing import NoteVerifier, Signed


class PolicyHistoryError(EvidenceInvalidError):
    """A policy version that came into the log without the right signatures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyVersion:
    """A policy in force from leaf `index` on (hash `leaf`); `by` are those whose signatures brought it."""

    index: int
    leaf: Digest
    policy: Policy
    by: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The log's last leaf, `index` (hash `leaf`, written `at`): what goes on is the log of key `to`.

    `revoked` is the leaf that revoked this log's key right before, None where it was only replaced.
    """

    index: int
    leaf: Digest
    at: datetime
    to: NoteVerifier
    by: tuple[str, ...]
    revoked: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyHistory:
    """Every version from the genesis on. `origin` and `log_key` (vkey) are what the root people enrolled.

    `previous` is the log that this one continues, `ended` how it ended; None where it does not, or has not.
    """

    origin: str
    log_key: str
    versions: tuple[PolicyVersion, ...]
    previous: Previous | None = None
    ended: Ended | None = None
    revoked: int | None = None

    @property
    def indexes(self) -> frozenset[int]:
        """The leaves that this history is read from."""
        found = [version.index for version in self.versions]
        found += [self.ended.index] if self.ended else []
        return frozenset([*found, *([] if self.revoked is None else [self.revoked])])

    @property
    def genesis(self) -> PolicyVersion:
        """The first version; its leaf is the genesis leaf."""
        return self.versions[0]

    @property
    def latest(self) -> PolicyVersion:
        """The version in force at the end."""
        return self.versions[-1]

    @property
    def single_root(self) -> bool:
        """Whether one person alone enrolled the log: evidence must say so."""
        return len(self.genesis.by) == 1

    def at(self, index: int) -> PolicyVersion:
        """The version in force for leaf `index`: the newest before it (the genesis for leaf 0)."""
        before = [version for version in self.versions if version.index < index]
        return before[-1] if before else self.genesis

    def until(self, index: int) -> "PolicyHistory":
        """The history as it was known when leaf `index` was written."""
        before = tuple(version for version in self.versions if version.index < index)
        return replace(self, versions=before or self.versions[:1])

    def named(self, digest: str) -> PolicyVersion | None:
        """The newest version with this digest."""
        return next((version for version in reversed(self.versions) if version.policy.digest == digest), None)


def policy_history(leaves: Iterable[Leaf]) -> PolicyHistory:
    """Walk the versions in `leaves` (others are passed over); raise `PolicyHistoryError` at a fault."""
    relevant = [leaf for leaf in leaves if leaf.event.type in STANDING]
    if not relevant or relevant[0].index != 0 or relevant[0].event.type != "log.created":
        raise PolicyHistoryError("leaf 0 is not log.created", do="A log begins with its genesis: itmp init")
    nonces: set[tuple[str, str]] = set()
    history, last = _genesis(relevant[0], nonces), relevant[0].index
    for leaf in relevant[1:]:
        if leaf.event.type == "log.created" or leaf.index <= last:
            raise PolicyHistoryError("a second genesis, or leaves out of order", where=f"leaf {leaf.index}")
        history, last = _next(history, leaf, nonces), leaf.index
    return history


def _next(history: PolicyHistory, leaf: Leaf, nonces: set[tuple[str, str]]) -> PolicyHistory:
    """Return the history with one more leaf of it."""
    kind = leaf.event.type
    if history.ended or (history.revoked is not None and kind != "key.rotated"):
        raise PolicyHistoryError("a leaf after the one that ends the log", where=f"leaf {leaf.index}")
    if kind == "policy.changed":
        version = _amended(leaf, history.latest.policy, history.origin, nonces)
        return replace(history, versions=(*history.versions, version))
    if kind == "key.revoked":
        _revoked(leaf, history, nonces)
        return replace(history, revoked=leaf.index)
    return replace(history, ended=_rotated(leaf, history, nonces))


def continue_history(old: PolicyHistory, head: SignedCheckpoint, new: PolicyHistory) -> None:
    """Raise `HandoverError` unless log `new` continues log `old`, whose final signed head is `head`.

    The rules are those of `handover`; `head` must have been opened with the old log's key.
    """
    before, ended = new.previous, old.ended
    first, last = f"{new.origin}: leaf 0", f"{old.origin}: leaf {head.checkpoint.size - 1}"
    if before is None or before.key.vkey != old.log_key:
        named = before.origin if before else "no log"
        what = f"period-missing: {new.origin} continues {named}, not {old.origin}"
        raise HandoverError(what, where=first)
    if ended is None or ended.index != head.checkpoint.size - 1:
        what = f"handover-open: {old.origin} does not end with key.rotated, or goes on after it"
        raise HandoverError(what, where=last)
    if ended.to.vkey != new.log_key:
        what = f"handover-open: {old.origin} ended for another key than that of {new.origin}"
        raise HandoverError(what, where=last)
    if (before.size, before.root) != (head.checkpoint.size, head.checkpoint.root):
        raise HandoverError(
            f"handover-altered: {new.origin} continues {before.size} leaves of another root or size than"
            f" {old.origin} ended with, {head.checkpoint.size}",
            where=first,
        )
    if (before.leaf, before.at) != (ended.leaf, ended.at) or new.genesis.by != ended.by:
        what = "handover-altered: the two logs tell of another last leaf, or of other people"
        raise HandoverError(what, where=first)
    if new.genesis.policy.digest != old.latest.policy.digest:
        raise HandoverError(
            "policy-carried: the new log begins with another policy than the old one ended with", where=first
        )


def check_amendment(old: Policy, new: Policy, given: Iterable[Given]) -> tuple[str, ...]:
    """Return the people whose statements bring `new`; raise `PolicyHistoryError` below `old`'s quorum."""
    asked = (
        item
        for item in given
        if item.act == "policy" and (item.line("from"), item.line("to")) == (old.digest, new.digest)
    )
    return _amenders(old, asked, "change it", signed="this change")


def check_rotation(
    policy: Policy, given: Iterable[Given], *, keys: tuple[str, str], size: int
) -> tuple[str, ...]:
    """Return the people whose statements pass the log on from one key to another, `size` leaves before it ends.

    Raise `PolicyHistoryError` below the quorum that changes the policy.
    """
    asked = (
        item
        for item in given
        if item.act == "rotate"
        and (item.line("from"), item.line("to")) == keys
        and int(item.line("size")) <= size
    )
    return _amenders(policy, asked, "rotate the log's key", signed="this rotation")


def check_revocation(policy: Policy, given: Iterable[Given], *, size: int) -> tuple[str, ...]:
    """Return the people whose statements revoke the log's key, which had signed for `size` leaves at most then."""
    asked = (item for item in given if item.act == "recover" and int(item.line("size")) <= size)
    return _amenders(policy, asked, "revoke the log's key", signed="this")


def _amenders(policy: Policy, asked: Iterable[Given], word: str, *, signed: str) -> tuple[str, ...]:
    """Return the distinct people in the roles that may amend `policy`; raise below the number that it asks for."""
    by = {item.signer for item in asked if item.kind == "human" and item.role in policy.amend.roles}
    if len(by) < policy.amend.count:
        raise PolicyHistoryError(
            f"the policy needs {policy.amend.count} people to {word}; {len(by)} signed {signed}"
        )
    return tuple(sorted(by))


def _genesis(leaf: Leaf, nonces: set[tuple[str, str]]) -> PolicyHistory:
    data = _data(leaf, {"schema", "origin", "log_key", "previous", "policy", "statements"})
    origin, log_key = data["origin"], data["log_key"]
    if data["schema"] != "itmp-log/v1" or not isinstance(origin, str) or not isinstance(log_key, str):
        raise PolicyHistoryError("the genesis is of no known schema", where="leaf 0")
    policy = _policy(leaf, data["policy"])
    if isinstance(data["previous"], dict):
        previous, by = _continued(data, policy)
    else:
        previous, by = None, _enrolled(leaf, data, policy, nonces)
    version = PolicyVersion(index=0, leaf=leaf.hash, policy=policy, by=by)
    return PolicyHistory(origin=origin, log_key=log_key, versions=(version,), previous=previous)


def _enrolled(
    leaf: Leaf, data: Mapping[str, Any], policy: Policy, nonces: set[tuple[str, str]]
) -> tuple[str, ...]:
    """Return the root people of a log that continues none."""
    given = _given(leaf, data["statements"], policy, data["origin"])
    _use_up(leaf, given, nonces)
    by = {
        item.signer
        for item in given
        if item.act == "enrol"
        and item.kind == "human"
        and (item.line("logkey"), item.line("previous")) == (data["log_key"], "")
    }
    if not by or len(by) != len(given) or data["previous"] is not None:
        raise PolicyHistoryError(
            "an enrolment that names another log key or predecessor, or none", where="leaf 0"
        )
    return tuple(sorted(by))


def _continued(data: Mapping[str, Any], policy: Policy) -> tuple[Previous, tuple[str, ...]]:
    """Return the log before and the people who passed it on; both keys have signed that.

    Their statements are of the old log: they count at its last leaf, whose place and time `previous` repeats.
    """
    try:
        previous = Previous.from_data(data["previous"])
        new = NoteVerifier.parse(data["log_key"])
        check_successor(previous.key, new)
        Handover(
            old=previous.key,
            new=new,
            size=previous.size,
            root=previous.root,
            leaf=previous.leaf,
            policy=policy.digest,
        ).check(previous.note)
        if new.name != data["origin"]:
            raise HandoverError("handover-altered: the genesis names another log than its key")
    except Error as error:
        raise PolicyHistoryError(error.what, where="leaf 0") from error
    writ = Writ(index=previous.size - 1, leaf=previous.leaf, at=previous.at)
    given = _each(
        data["statements"], lambda one: verify_writ(one, writ=writ, policy=policy, origin=previous.origin), 0
    )
    keys = (previous.key.vkey, data["log_key"])
    return previous, check_rotation(policy, given, keys=keys, size=previous.size - 1)


def _rotated(leaf: Leaf, history: PolicyHistory, nonces: set[tuple[str, str]]) -> Ended:
    data = _data(leaf, {"from", "to", "size", "statements"})
    policy, where = history.latest.policy, f"leaf {leaf.index}"
    given = _given(leaf, data["statements"], policy, history.origin)
    _use_up(leaf, given, nonces)
    if (data["from"], data["size"]) != (history.log_key, leaf.index + 1):
        raise PolicyHistoryError("it ends another log, or another size of this one", where=where)
    try:
        new = NoteVerifier.parse(str(data["to"]))
        check_successor(NoteVerifier.parse(history.log_key), new)
        by = check_rotation(policy, given, keys=(history.log_key, new.vkey), size=leaf.index)
    except Error as error:
        raise PolicyHistoryError(error.what, where=where) from error
    return Ended(index=leaf.index, leaf=leaf.hash, at=time_of(leaf), to=new, by=by, revoked=history.revoked)


def _revoked(leaf: Leaf, history: PolicyHistory, nonces: set[tuple[str, str]]) -> None:
    data = _data(leaf, {"key", "size", "statements"})
    given = _given(leaf, data["statements"], history.latest.policy, history.origin)
    _use_up(leaf, given, nonces)
    if (data["key"], data["size"]) != (history.log_key, leaf.index + 2):
        raise PolicyHistoryError(
            "it revokes another key, or from another size on", where=f"leaf {leaf.index}"
        )
    try:
        check_revocation(history.latest.policy, given, size=leaf.index)
    except PolicyHistoryError as error:
        raise PolicyHistoryError(error.what, where=f"leaf {leaf.index}") from error


def _amended(leaf: Leaf, old: Policy, origin: str, nonces: set[tuple[str, str]]) -> PolicyVersion:
    data = _data(leaf, {"policy", "statements"})
    new = _policy(leaf, data["policy"])
    given = _given(leaf, data["statements"], old, origin)
    _use_up(leaf, given, nonces)
    try:
        by = check_amendment(old, new, given)
    except PolicyHistoryError as error:
        raise PolicyHistoryError(error.what, where=f"leaf {leaf.index}") from error
    return PolicyVersion(index=leaf.index, leaf=leaf.hash, policy=new, by=by)


def _given(leaf: Leaf, statements: Any, policy: Policy, origin: str) -> tuple[Given, ...]:
    return _each(
        statements, lambda one: verify_given(one, leaf=leaf, policy=policy, origin=origin), leaf.index
    )


def _each(statements: Any, verified: Callable[[Signed], Given], index: int) -> tuple[Given, ...]:
    if not isinstance(statements, list) or not all(isinstance(item, dict) for item in statements):
        raise PolicyHistoryError("statements are missing", where=f"leaf {index}")
    try:
        return tuple(verified(Signed.from_data(item)) for item in statements)
    except (StatementRefusedError, InvalidInputError) as error:
        raise PolicyHistoryError(error.what, where=f"leaf {index}") from error


def _use_up(leaf: Leaf, given: Iterable[Given], nonces: set[tuple[str, str]]) -> None:
    """Each (signer, nonce) counts once, or an old amendment could be played again after it was taken back."""
    for item in given:
        mark = (item.signer, item.line("nonce"))
        if mark in nonces:
            raise PolicyHistoryError(
                f"a statement of {item.signer} is used again", where=f"leaf {leaf.index}"
            )
        nonces.add(mark)


def _policy(leaf: Leaf, text: Any) -> Policy:
    if not isinstance(text, str):
        raise PolicyHistoryError("no policy text", where=f"leaf {leaf.index}")
    try:
        return Policy.from_bytes(text.encode())
    except InvalidInputError as error:
        raise PolicyHistoryError(f"no valid policy: {error.what}", where=f"leaf {leaf.index}") from error


def _data(leaf: Leaf, keys: set[str]) -> Mapping[str, Any]:
    data = leaf.event.data or {}
    if data.keys() != keys:
        raise PolicyHistoryError(
            f"data holds {sorted(data)}, expected {sorted(keys)}", where=f"leaf {leaf.index}"
        )
    return data
