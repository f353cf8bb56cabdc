"""Who may do what, since when, and by whose signatures: read from every version of the policy.

Rules kept here: a grant is a signer's role in the policy in force; it dates from the first version of the newest
unbroken stretch of versions in which the signer held the role, and the people named are those who signed that version;
a policy that passes from one period of the log to the next begins nothing: the stretch goes on in the period before;
what a role may do is the word of the version in force.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from itmp.canonical import Digest
from itmp.change import PolicyHistory, PolicyVersion
from itmp.change.handover import period_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """`signer` holds `role`, which grants `acts`; `since` leaf `index` (hash `leaf`) of `period`, signed by `by`.

    `keys` are the fingerprints with which the signer may act.
    """

    signer: str
    kind: str
    role: str
    acts: tuple[str, ...]
    keys: tuple[str, ...]
    since: datetime
    period: str
    index: int
    leaf: Digest
    by: tuple[str, ...]


Walked = tuple[PolicyHistory, Sequence[datetime]]
"""One log's versions, and the times of their leaves, in their order."""


def access(
    history: PolicyHistory, times: Sequence[datetime], older: Sequence[Walked] = ()
) -> tuple[Grant, ...]:
    """Return every grant of the version in force; `times` are those of the versions' leaves, in their order.

    `older` are the logs that this one continues, newest first.
    """
    policy = history.latest.policy
    walked = ((history, times), *older)
    return tuple(
        Grant(
            signer=signer.id,
            kind=signer.kind,
            role=role,
            acts=policy.acts_of(role),
            keys=tuple(entry.key.fingerprint for entry in signer.keys),
            since=since,
            period=period,
            index=version.index,
            leaf=version.leaf,
            by=version.by,
        )
        for signer in policy.signers
        for role in signer.roles
        for period, since, version in (_since(walked, signer.id, role),)
    )


def _since(walked: Sequence[Walked], signer: str, role: str) -> tuple[str, datetime, PolicyVersion]:
    """Return the first version of the stretch: its period, its time, and itself."""
    newest, *before = _back(walked)
    for one in before:
        if not one[2].policy.holds(signer, role):
            break
        newest = one
    return newest


def _back(walked: Sequence[Walked]) -> Iterator[tuple[str, datetime, PolicyVersion]]:
    """Yield every version, the newest first."""
    for history, times in walked:
        for at, version in reversed(list(zip(times, history.versions, strict=True))):
            yield period_of(history.origin), at, version
