"""From the log that TRUST knows to the change's own, period by period. Rule 21.

Rules kept here: each log before the change's is judged like it (rules 2 to 6), from `handovers/<n>/`, oldest first; the
walk begins at the one whose genesis TRUST names and leaves none out; the next log's genesis must continue it by the
rules of `itmp.change.handover`; what TRUST says of keys (witnesses, quorum, revoked keys) stays as it is. A key that
was revoked by its people counts for no more leaves than they said. Logs before TRUST's own are held against what the
next one's genesis says of them: nothing rests on them, and no byte of them is free. A log that continues none and
brings no handover is left to rules 2 and 4.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from itmp.audit import Leaf
from itmp.change import HandoverError, PolicyHistory, continue_history, policy_history
from itmp.errors import Error, EvidenceInvalidError, ForkError
from itmp.evidence.period import Period
from itmp.evidence.rules import HANDOVERS, Lack, RevokedKeyError, RuleBrokenError
from itmp.evidence.trust import LogPolicy, Trust

PREFIX: Final = "handovers/"
_NAME: Final = re.compile(r"handovers/([1-9][0-9]{0,3})/(.+)\Z", re.ASCII | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Walked:
    """Where the handovers lead: TRUST for the change's own log, the logs walked through, and the members they bind.

    `passed` are the logs walked through, oldest first, and `behind` those before TRUST's own; `absent` says what could
    not be judged on the way, None where nothing was missing.
    """

    trust: Trust
    bound: frozenset[str]
    passed: tuple[Period, ...] = ()
    behind: tuple[Period, ...] = ()
    absent: Lack | None = None


def walk(members: Mapping[str, bytes], trust: Trust) -> Walked:
    """Judge every handover from TRUST's log to the change's own.

    Raise `RuleBrokenError` of rule 21 for the first fault.
    """
    groups, bound = _groups(members)
    try:
        goal = _genesis(members, "leaves/0")
        return _walked(groups, goal, trust, bound)
    except (RuleBrokenError, ForkError, RevokedKeyError):
        raise
    except Error as error:
        raise RuleBrokenError(HANDOVERS, error.what, where=error.where) from error


def _walked(groups: list[dict[str, bytes]], goal: Leaf, trust: Trust, bound: frozenset[str]) -> Walked:
    firsts = [*(_genesis(group, "leaves/0") for group in groups), goal]
    start = next((at for at, first in enumerate(firsts) if first.hash == trust.genesis), None)
    if start is None:
        before = _before(goal)
        if not groups and before is None:
            return Walked(trust=trust, bound=bound)
        raise HandoverError(_unknown(before, trust), where="leaf 0")
    behind = tuple(
        _behind(groups[at], firsts[at], firsts[at + 1], f"{PREFIX}{at + 1}/") for at in reversed(range(start))
    )
    walked, absent = list[Period](), None
    for number, (group, following) in enumerate(
        zip(groups[start:], firsts[start + 1 :], strict=True), start + 1
    ):
        period = _judged(group, trust, f"{PREFIX}{number}/")
        new = policy_history([following])
        continue_history(period.history, period.head, new)
        walked.append(period)
        absent = absent or period.absent
        trust = trust.after(new.log_key, following.hash)
    return Walked(trust=trust, bound=bound, passed=tuple(walked), behind=behind[::-1], absent=absent)


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


def _behind(group: Mapping[str, bytes], first: Leaf, following: Leaf, prefix: str) -> Period:
    """Hold a log before TRUST's own against the genesis that continues it, and return it."""
    new = policy_history([following])
    if new.previous is None:
        raise HandoverError("period-missing: a handover into a log that continues none", where=prefix)
    known = Trust(policy=LogPolicy(log=new.previous.key), genesis=first.hash)
    period = _judged(group, known, prefix)
    continue_history(period.history, period.head, new)
    return period


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


def _before(first: Leaf) -> PolicyHistory | None:
    """Return what a genesis says of itself, where it says that it continues another log."""
    try:
        history = policy_history([first])
    except EvidenceInvalidError:
        return None
    return history if history.previous else None


def _unknown(history: PolicyHistory | None, trust: Trust) -> str:
    """Say which way the periods lie apart, as far as the genesis tells."""
    if history is None or history.previous is None:
        return "period-missing: the change's log begins with another genesis than TRUST names, and continues no other"
    return (
        f"period-missing: the change is of {history.origin}, which continues {history.previous.origin}; no handover"
        f" leads there from {trust.policy.log.name}, whose genesis TRUST names"
    )
