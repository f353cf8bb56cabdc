"""Who may do what, since when, and by whose signatures: read from every version of the policy.

Rules kept here: a grant is a signer's role in the policy in force; it dates from the first version of the newest
unbroken stretch of versions in which the signer held the role, and the people named are those who signed that version;
what a role may do is the word of the version in force.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from itmp.canonical import Digest
from itmp.change import PolicyHistory, PolicyVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """`signer` holds `role`, which grants `acts`; `since` leaf `index` (hash `leaf`), signed by `by`.

    `keys` are the fingerprints with which the signer may act.
    """

    signer: str
    kind: str
    role: str
    acts: tuple[str, ...]
    keys: tuple[str, ...]
    since: datetime
    index: int
    leaf: Digest
    by: tuple[str, ...]


def access(history: PolicyHistory, times: Sequence[datetime]) -> tuple[Grant, ...]:
    """Return every grant of the version in force; `times` are those of the versions' leaves, in their order."""
    policy = history.latest.policy
    return tuple(
        Grant(
            signer=signer.id,
            kind=signer.kind,
            role=role,
            acts=tuple(policy.document.roles.get(role, ())),
            keys=tuple(entry.key.fingerprint for entry in signer.keys),
            since=times[at],
            index=version.index,
            leaf=version.leaf,
            by=version.by,
        )
        for signer in policy.signers
        for role in signer.roles
        for at, version in (_since(history, signer.id, role),)
    )


def _since(history: PolicyHistory, signer: str, role: str) -> tuple[int, PolicyVersion]:
    at = len(history.versions) - 1
    while at > 0 and history.versions[at - 1].policy.holds(signer, role):
        at -= 1
    return at, history.versions[at]
