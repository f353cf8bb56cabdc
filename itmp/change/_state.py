"""The state that a change is in, as its record and the time say.

Rules kept here: what ended a change comes before what runs, what runs before what was voted; `scheduled` is said only
where the plan and the time are at hand, since both decide whether the quorum is reached.
"""

from datetime import datetime

from itmp.change._votes import count_votes
from itmp.change.history import PolicyHistory
from itmp.change.record import ChangeRecord, State
from itmp.errors import RefusedError
from itmp.plan import Manifest, scope


def state_of(
    record: ChangeRecord, history: PolicyHistory, manifest: Manifest | None, now: datetime | None
) -> State:
    """Return the state of the change whose `record` this is, whatever state that names."""
    if record.closed:
        return "closed"
    if record.canceled:
        return "canceled"
    if record.run:
        return "implement" if record.run.state in {"admitted", "running", "stopped", "unknown"} else "review"
    if record.request is None:
        return "new"
    if manifest and now and _scheduled(record, history, manifest, now):
        return "scheduled"
    return "authorize" if record.votes else "assess"


def _scheduled(record: ChangeRecord, history: PolicyHistory, manifest: Manifest, now: datetime) -> bool:
    policy, request = history.latest.policy, record.request
    reading = policy.read(manifest)
    try:
        rule = policy.quorum_for(reading.environment, reading.risk, request.type if request else "normal")
    except RefusedError:
        return False
    count = count_votes(record, policy, rule, now, scope=scope(manifest).text)
    return count.separated and not count.against
