"""Counting votes: the one place that decides whose approval counts.

Rules kept here: people count, not keys and not machines; a person's last word counts; an approval counts
only while it is valid, under the policy version it names, in a role that the quorum rule asks for and that
the person still holds; it may not be valid for longer than the policy allows. The votes of the requester
and of whoever starts the run are set aside unless the policy says otherwise in writing, so that one vote
more never harms.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from itmp.change._shape import Quorum
from itmp.change.policy import Policy, still_valid
from itmp.change.record import ChangeRecord, Revocation, Vote


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """The votes under one rule.

    `valid` are the approvals that count, `separate` those of other people than the requester and the
    runner; `against` says who rejected or revoked; `expired` and `stale` name the rest.
    """

    rule: Quorum
    valid: tuple[Vote, ...] = ()
    separate: tuple[Vote, ...] = ()
    against: tuple[str, ...] = ()
    expired: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()

    @property
    def reached(self) -> bool:
        """Whether enough people approve, whoever they are."""
        return len(self.valid) >= self.rule.count

    @property
    def separated(self) -> bool:
        """Whether enough approve who neither requested nor run the change."""
        return len(self.separate) >= self.rule.count

    @property
    def until(self) -> datetime | None:
        """Until when enough of the separate approvals stay valid; `None` where none is needed."""
        ends = sorted((vote.given.until for vote in self.separate), reverse=True)
        return ends[self.rule.count - 1] if 0 < self.rule.count <= len(ends) else None


def count_votes(
    record: ChangeRecord,
    policy: Policy,
    rule: Quorum,
    now: datetime,
    *,
    scope: str,
    runner: str | None = None,
) -> Count:
    """Count the record's votes at `now` under `rule` of `policy`.

    `scope` is the plan's own (an approval of another scope is stale), `runner` who starts the run, once
    known.
    """
    standing = record.standing()
    approvals = [word for word in standing.values() if isinstance(word, Vote) and word.approves]
    named = (policy.digest, scope)
    current = [vote for vote in approvals if (vote.given.line("policy"), vote.given.line("scope")) == named]
    fresh = [vote for vote in current if _fresh(vote, policy, now)]
    valid = [vote for vote in fresh if _counts(vote, policy, rule, now)]
    apart = _set_aside(record, policy, rule, runner)
    return Count(
        rule=rule,
        valid=tuple(valid),
        separate=tuple(vote for vote in valid if vote.given.signer not in apart),
        against=tuple(_against(standing.values())),
        expired=tuple(vote.given.signer for vote in current if vote not in fresh),
        stale=tuple(vote.given.signer for vote in approvals if vote not in current),
    )


def apart_ever(record: ChangeRecord, policy: Policy, rule: Quorum, runner: str) -> int:
    """How many people, requester and runner set aside, ever approved: no expiry may strand an undo."""
    people = {vote.given.signer for vote in record.votes if vote.approves and vote.given.kind == "human"}
    return len(people - _set_aside(record, policy, rule, runner))


def _fresh(vote: Vote, policy: Policy, now: datetime) -> bool:
    start, end = vote.given.statement.valid
    return start <= now <= end and end - start <= policy.approval_limit


def _counts(vote: Vote, policy: Policy, rule: Quorum, now: datetime) -> bool:
    role = vote.given.role
    person = vote.given.kind == "human"
    return person and role in rule.roles and still_valid(policy, vote.given.signer, role, now)


def _set_aside(record: ChangeRecord, policy: Policy, rule: Quorum, runner: str | None) -> set[str]:
    written = policy.separation_for(rule.environment)
    apart: set[str] = set()
    if record.request and not (written and written.requester_approves):
        apart.add(record.request.requester)
    if runner is not None and not (written and written.approver_runs):
        apart.add(runner)
    return apart


def _against(words: Iterable[Vote | Revocation]) -> Iterable[str]:
    for word in words:
        if isinstance(word, Revocation):
            yield f"{word.voter or word.given.signer} revoked"
        elif not word.approves:
            yield f"{word.given.signer} rejected"
