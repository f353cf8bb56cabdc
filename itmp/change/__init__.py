"""Change: the record folded from the log, the policy, the gate, and the permit that it alone leads to.

Where to look: `policy` and `history` (who may), `statements` (whether a signature counts in its place),
`record` and `fold` (what has happened), `gate` (may this run now), `permit` (leave to run), `external` (a
door).
"""

from itmp.change._checks import Check, retries, select
from itmp.change._world import World, moved_since
from itmp.change.external import ExternalRecord, ExternalState, Note
from itmp.change.fold import Folding, RecordDamagedError, fold
from itmp.change.gate import Admission, GateInput, Judgement, NeedsWorld, Refusal, judge
from itmp.change.glance import glance, skim
from itmp.change.handover import Handover, HandoverError, Previous, period_of, previous_data
from itmp.change.history import (
    Ended,
    PolicyHistory,
    PolicyHistoryError,
    PolicyVersion,
    check_amendment,
    check_revocation,
    check_rotation,
    continue_history,
    policy_history,
)
from itmp.change.permit import Permit, hosts_digest, permit_body, permit_event, steps_digest
from itmp.change.policy import Policy, Reading
from itmp.change.record import ChangeRecord, PermitRecord, Request, Revocation, RunRecord, SliceRecord, Vote
from itmp.change.starter import starter_policy, team_policy
from itmp.change.statements import Given, StatementRefusedError, check_submission, time_of

__all__ = [
    "Admission",
    "ChangeRecord",
    "Check",
    "Ended",
    "ExternalRecord",
    "ExternalState",
    "Folding",
    "GateInput",
    "Given",
    "Handover",
    "HandoverError",
    "Judgement",
    "NeedsWorld",
    "Note",
    "Permit",
    "PermitRecord",
    "Policy",
    "PolicyHistory",
    "PolicyHistoryError",
    "PolicyVersion",
    "Previous",
    "Reading",
    "RecordDamagedError",
    "Refusal",
    "Request",
    "Revocation",
    "RunRecord",
    "SliceRecord",
    "StatementRefusedError",
    "Vote",
    "World",
    "check_amendment",
    "check_revocation",
    "check_rotation",
    "check_submission",
    "continue_history",
    "fold",
    "glance",
    "hosts_digest",
    "judge",
    "moved_since",
    "period_of",
    "permit_body",
    "permit_event",
    "policy_history",
    "previous_data",
    "retries",
    "select",
    "skim",
    "starter_policy",
    "steps_digest",
    "team_policy",
    "time_of",
]
