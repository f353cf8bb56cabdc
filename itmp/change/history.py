"""The policy's history, walked from the genesis leaf: which version was in force at which leaf.

Rules kept here: leaf 0 is `log.created`; its policy counts because its root people enrolled it, each in
person, naming the log's key and the policy's digest; every later version counts only by the quorum of the
version before it, each signer naming both digests, and no statement is used twice. The first fault raises:
a history that cannot be walked is worth nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from itmp.audit import Leaf
from itmp.canonical import Digest
from itmp.change.policy import Policy
from itmp.change.statements import Given, StatementRefusedError, verify_given
from itmp.errors import EvidenceInvalidError, InvalidInputError
from itmp.signing import Signed


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
class PolicyHistory:
    """Every version from the genesis on. `origin` and `log_key` (vkey) are what the root people enrolled."""

    origin: str
    log_key: str
    versions: tuple[PolicyVersion, ...]

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
    relevant = [leaf for leaf in leaves if leaf.event.type in {"log.created", "policy.changed"}]
    if not relevant or relevant[0].index != 0 or relevant[0].event.type != "log.created":
        raise PolicyHistoryError("leaf 0 is not log.created", do="A log begins with its genesis: itmp init")
    nonces: set[tuple[str, str]] = set()
    origin, log_key, first = _genesis(relevant[0], nonces)
    versions = [first]
    for leaf in relevant[1:]:
        if leaf.event.type == "log.created" or leaf.index <= versions[-1].index:
            raise PolicyHistoryError("a second genesis, or leaves out of order", where=f"leaf {leaf.index}")
        versions.append(_amended(leaf, versions[-1].policy, origin, nonces))
    return PolicyHistory(origin=origin, log_key=log_key, versions=tuple(versions))


def check_amendment(old: Policy, new: Policy, given: Iterable[Given]) -> tuple[str, ...]:
    """Return the people whose statements bring `new`; raise `PolicyHistoryError` below `old`'s quorum."""
    by = {
        item.signer
        for item in given
        if item.act == "policy"
        and item.kind == "human"
        and item.role in old.amend.roles
        and (item.line("from"), item.line("to")) == (old.digest, new.digest)
    }
    if len(by) < old.amend.count:
        raise PolicyHistoryError(
            f"the policy needs {old.amend.count} people to change it; {len(by)} signed this change"
        )
    return tuple(sorted(by))


def _genesis(leaf: Leaf, nonces: set[tuple[str, str]]) -> tuple[str, str, PolicyVersion]:
    data = _data(leaf, {"schema", "origin", "log_key", "previous", "policy", "statements"})
    origin, log_key = data["origin"], data["log_key"]
    if data["schema"] != "itmp-log/v1" or not isinstance(origin, str) or not isinstance(log_key, str):
        raise PolicyHistoryError("the genesis is of no known schema", where="leaf 0")
    policy = _policy(leaf, data["policy"])
    previous = _previous(data["previous"])
    given = _given(leaf, data["statements"], policy, origin)
    _use_up(leaf, given, nonces)
    by = {
        item.signer
        for item in given
        if item.act == "enrol"
        and item.kind == "human"
        and (item.line("logkey"), item.line("previous")) == (log_key, previous)
    }
    if not by or len(by) != len(given):
        raise PolicyHistoryError(
            "an enrolment that names another log key or predecessor, or none", where="leaf 0"
        )
    version = PolicyVersion(index=0, leaf=leaf.hash, policy=policy, by=tuple(sorted(by)))
    return origin, log_key, version


def _previous(value: Any) -> str:
    """The predecessor as enrolment statements name it; `-` where it cannot be read, which no statement says."""
    if value is None:
        return ""
    return f"{value.get('size')} {value.get('root')}" if isinstance(value, dict) else "-"


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
    if not isinstance(statements, list) or not all(isinstance(item, dict) for item in statements):
        raise PolicyHistoryError("statements are missing", where=f"leaf {leaf.index}")
    try:
        return tuple(
            verify_given(Signed.from_data(item), leaf=leaf, policy=policy, origin=origin)
            for item in statements
        )
    except (StatementRefusedError, InvalidInputError) as error:
        raise PolicyHistoryError(error.what, where=f"leaf {leaf.index}") from error


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
