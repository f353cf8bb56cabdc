"""From the log that TRUST knows to the change's own, period by period. Rule 21.

Rules kept here: each log before the change's is judged like it (rules 2 to 6), from `handovers/<n>/`, oldest first; the
walk begins at the one whose genesis TRUST names and leaves none out; the next log's genesis must continue it by the
rules of `itmp.change.handover`; what TRUST says of keys (witnesses, quorum, revoked keys) stays as it is. A key that
was revoked by its people counts for no more leaves than they said.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from itmp.audit import Leaf
from itmp.canonical import Digest
from itmp.change import HandoverError, PolicyHistory, continue_history, policy_history
from itmp.errors import Error, EvidenceInvalidError, ForkError
from itmp.evidence.period import Period
from itmp.evidence.rules import HANDOVERS, RevokedKeyError, RuleBrokenError
from itmp.evidence.trust import Trust

PREFIX: Final = "handovers/"
_NAME: Final = re.compile(r"handovers/([1-9][0-9]{0,3})/(.+)\Z", re.ASCII | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Walked:
    """Where the handovers lead: TRUST for the change's own log, the logs walked through, and the members they bind.

    `absent` says what could not be judged on the way; empty where nothing was missing.
    """

    trust: Trust
    bound: frozenset[str]
    logs: tuple[str, ...] = ()
    absent: str = ""


def walk(members: Mapping[str, bytes], trust: Trust) -> Walked:
    """Judge every handover from TRUST's log to the change's own.

    Raise `RuleBrokenError` of rule 21 for the first fault. Logs before TRUST's own are bound and not judged.
    """
    groups, bound = _groups(members)
    try:
        goal = _genesis(members, "leaves/0")
        if goal.hash == trust.genesis:
            return Walked(trust=trust, bound=bound)
        return _walked(groups, goal, trust, bound)
    except (RuleBrokenError, ForkError, RevokedKeyError):
        raise
    except Error as error:
        raise RuleBrokenError(HANDOVERS, error.what, where=error.where) from error


def _walked(groups: list[dict[str, bytes]], goal: Leaf, trust: Trust, bound: frozenset[str]) -> Walked:
    start = _start(groups, trust.genesis)
    if start is None:
        raise HandoverError(_unknown(goal, trust), where="leaf 0")
    walked, absent = list[str](), ""
    nexts = [*(_genesis(group, "leaves/0") for group in groups[start + 1 :]), goal]
    for number, (group, following) in enumerate(zip(groups[start:], nexts, strict=True), start + 1):
        period = _judged(group, trust, f"{PREFIX}{number}/")
        new = policy_history([following])
        continue_history(period.history, period.head, new)
        walked.append(period.history.origin)
        absent = absent or period.absent
        trust = trust.after(new.log_key, following.hash)
    return Walked(trust=trust, bound=bound, logs=tuple(walked), absent=absent)


def _judged(group: Mapping[str, bytes], trust: Trust, prefix: str) -> Period:
    """Judge one log before the change's; every member must be one that a rule has bound."""
    if "checkpoint" not in group:
        raise EvidenceInvalidError("missing", where=f"{prefix}checkpoint")
    period = Period(group, trust, prefix=prefix)
    period.check_head()
    period.check_inclusion()
    period.check_genesis()
    period.check_policies()
    period.check_one_history()
    if free := group.keys() - period.bound:
        raise EvidenceInvalidError("a member that does not belong here", where=prefix + min(free))
    return period


def _start(groups: list[dict[str, bytes]], genesis: Digest) -> int | None:
    for at, group in enumerate(groups):
        if _genesis(group, "leaves/0").hash == genesis:
            return at
    return None


def _genesis(members: Mapping[str, bytes], name: str) -> Leaf:
    if name not in members:
        raise EvidenceInvalidError("a log without its genesis", where=name)
    return Leaf(index=0, data=members[name])


def _groups(members: Mapping[str, bytes]) -> tuple[list[dict[str, bytes]], frozenset[str]]:
    found: dict[int, dict[str, bytes]] = {}
    bound = set[str]()
    for name, data in members.items():
        if match := _NAME.match(name):
            found.setdefault(int(match[1]), {})[match[2]] = data
            bound.add(name)
    if sorted(found) != list(range(1, len(found) + 1)):
        raise RuleBrokenError(HANDOVERS, "period-missing: the handovers are not 1 to n", where=PREFIX)
    return [found[number] for number in sorted(found)], frozenset(bound)


def _unknown(goal: Leaf, trust: Trust) -> str:
    """Say which way the periods lie apart, as far as the genesis tells."""
    try:
        history: PolicyHistory | None = policy_history([goal])
    except EvidenceInvalidError:
        history = None
    before = history.previous if history else None
    theirs = history.origin if history else "this log"
    if before is not None:
        return (
            f"period-missing: the change is of {theirs}, which continues {before.origin}; no handover leads there"
            f" from {trust.policy.log.name}, whose genesis TRUST names"
        )
    return (
        f"period-missing: {theirs} begins with another genesis than TRUST names, and continues no other log"
    )
