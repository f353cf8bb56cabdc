"""Policies to begin with: the one that `itmp init` writes for one person, and one for a team.

Rules kept here: in environment `lab` one person runs low-risk changes alone (quorum 0, and evidence says so);
everywhere else one other person approves, two for high risk; whatever is not in group `lab` is production.
"""

from itmp.change._shape import SCHEMA
from itmp.change.policy import Policy

_HEAD = """\
# Who may do what. Logged by its bytes; changed only by its own old quorum: itmp policy propose
itmp: {schema}
signers:
"""
_SIGNER = """\
  - id: {id}
    kind: {kind}
    roles: [{roles}]
    keys:
      - key: {key}
"""
_RULES = """\
roles:
  sre: [open, run, resume, undo, stop, answer, reconcile, cancel, close, review, preview]
  approver: [approve, reject, revoke]
  owner: [enrol, policy, approve-model, rotate, redact, recover]
environments:              # the higher rank is the stricter; what nobody claims belongs to the strictest
  - {name: lab, rank: 0, match: ["group:lab"]}
  - {name: production, rank: 10, match: []}
quorum:
  - {environment: lab, risk: low, roles: [], count: 0}
  - {environment: lab, risk: moderate, roles: [approver], count: 1}
  - {environment: lab, risk: high, roles: [approver], count: 2}
  - {environment: production, risk: [low, moderate], types: [normal, emergency], roles: [approver], count: 1}
  - {environment: production, risk: high, types: [normal, emergency], roles: [approver], count: 2}
amend: {roles: [owner], count: AMEND}
separation: []             # by default requester, approver and runner are different people
windows: []
freezes: []
limits: {approval: 14d, permit: 24h}
"""


def starter_policy(signer: str, key: str) -> bytes:
    """The policy of a workspace with one person, who holds every role.

    Raise `InvalidInputError` for a bad key.
    """
    return team_policy({signer: (key, ("sre", "approver", "owner"))}, amend=1)


def team_policy(
    people: dict[str, tuple[str, tuple[str, ...]]],
    *,
    machines: dict[str, tuple[str, tuple[str, ...]]] | None = None,
    amend: int = 2,
) -> bytes:
    """A policy with the starter's rules for several signers: id → (public key line, roles)."""
    kinds = [("human", people), ("machine", machines or {})]
    entries = [
        _SIGNER.format(id=name, kind=kind, roles=", ".join(roles), key=" ".join(key.split()[:2]))
        for kind, group in kinds
        for name, (key, roles) in group.items()
    ]
    text = _HEAD.format(schema=SCHEMA) + "".join(entries) + _RULES.replace("AMEND", str(amend))
    return Policy.from_bytes(text.encode()).data
