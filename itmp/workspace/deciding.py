"""Verbs by which people decide on a change: open, approve, reject, revoke, cancel, review, close.

Rules kept here: every decision is a signed statement in one leaf, appended against the change's head, so that two
people acting at once never overwrite each other; opening the same plan with the same reference again returns the same
change; what is signed here and what is signed elsewhere (`offline`) has the same lines, from the same functions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from itmp.adapters.clock import SystemClock
from itmp.audit import Expect
from itmp.calendars import Window
from itmp.change import ChangeRecord, Vote
from itmp.errors import BusyError, NotFoundError, UnknownOutcomeError
from itmp.plan import Plan, scope
from itmp.signing import change_id
from itmp.workspace import planning, statements
from itmp.workspace.changes import (
    actor,
    already_open,
    append_act,
    find,
    interval,
    refuse_ended,
    request_of,
    sign_act,
)
from itmp.workspace.place import Workspace

if TYPE_CHECKING:
    from itmp.workspace.changes import Confirm, Own


@dataclass(frozen=True, slots=True, kw_only=True)
class Acted:
    """What an act left: the change as it is now, the leaf, and the text that was signed."""

    change: ChangeRecord
    leaf: str
    text: str


def waiting_for(place: Workspace, key: str | None) -> tuple[ChangeRecord, ...]:
    """Return the open changes that this key's signer could still approve, of those that the index finds waiting."""
    policy = place.history().latest.policy
    signer = statements.choose_signer(place, policy, key)
    return tuple(
        record
        for record in (find(place, change) for change in place.reading().waiting())
        if record.request
        and record.state in {"assess", "authorize"}
        and record.request.requester != signer.id
        and policy.role_for(signer.id, "approve")
        and signer.id not in record.standing()
    )


def open_change(
    place: Workspace,
    plan: Plan,
    *,
    reason: str,
    kind: str = "normal",
    window: Window | None = None,
    external: str = "",
    key: str | None = None,
) -> Acted:
    """Keep the plan and open a change over its digest, signed by the requester."""
    same = already_open(place, plan, external)
    if same:
        return Acted(change=same, leaf=request_of(same).leaf, text="")
    own = open_lines(place, plan, kind=kind, reason=reason, external=external, window=window)
    statement, signed, signer = sign_act(place, "open", lambda _: own, key)
    change = change_id(signed)
    first = Expect(change=change, head=None)
    receipt = statements.record(
        place, statement, signed, actor=actor(signer), change=change, plan=plan.digest, expect=first
    )
    return Acted(change=find(place, change), leaf=receipt.hash, text=statement.text)


def open_lines(
    place: Workspace, plan: Plan, *, kind: str, reason: str, external: str, window: Window | None
) -> Mapping[str, str]:
    """Keep the plan's bytes in the log; return the own lines of a statement that opens a change over them."""
    planning.keep_plan(place, plan)
    planning.record_compiled(place, plan)
    return {
        "plan": plan.digest,
        "type": kind,
        "reason": reason,
        "external": external or "-",
        "window": interval(window),
    }


def approve(
    place: Workspace,
    name: str,
    *,
    key: str | None = None,
    valid: timedelta | None = None,
    confirm: "Confirm | None" = None,
) -> Acted:
    """Sign the approval of this change's plan, request, window and scope.

    It is valid for `valid`, else until the change's window ends (as far as the policy allows), else for a day.
    """
    return _vote(place, "approve", name, key, confirm=confirm, valid=valid)


def reject(place: Workspace, name: str, *, key: str | None = None, confirm: "Confirm | None" = None) -> Acted:
    """Sign the rejection of this change."""
    return _vote(place, "reject", name, key, confirm=confirm)


def revoke(place: Workspace, name: str, *, key: str | None = None) -> Acted:
    """Take back one's own newest vote on this change."""
    record = find(place, name)
    return _act(
        place, "revoke", record, lambda who: {"change": record.id, "of": standing_vote(record, who)}, key
    )


def standing_vote(record: ChangeRecord, signer: str) -> str:
    """Return the leaf of the vote that `signer` could take back; raise `NotFoundError` when there is none."""
    word = record.standing().get(signer)
    if not isinstance(word, Vote):
        raise NotFoundError(
            f"{signer} has no vote on {record.id}", do=f"See who voted: itmp change show {record.id}"
        )
    return word.given.leaf


def cancel(place: Workspace, name: str, *, reason: str, key: str | None = None) -> Acted:
    """End a change that shall not run (again)."""
    return _with_reason(place, "cancel", find(place, name), reason, key)


def review(place: Workspace, name: str, *, reason: str, key: str | None = None) -> Acted:
    """Record the review of a change after it ran."""
    record = find(place, name)
    refuse_running(record, "review")
    return _with_reason(place, "review", record, reason, key)


def close(place: Workspace, name: str, *, reason: str, key: str | None = None) -> Acted:
    """Close a change: its last leaf commits how many events it has and their tree hash."""
    record = find(place, name)
    refuse_running(record, "close")
    return _with_reason(place, "close", record, reason, key)


def refuse_running(record: ChangeRecord, act: str) -> None:
    """Raise when a run has not ended that must have ended before this `act`."""
    active = [run for run in record.runs if run.active]
    if active and act == "review":
        raise BusyError(f"{record.id} is still running", do=f"Wait: itmp wait {record.id} --for finished")
    if active and act == "close":
        open_slices = [part.key for run in active for part in run.open_slices]
        raise UnknownOutcomeError(
            f"{record.id} has a run that has not ended"
            + (f" (open: {', '.join(open_slices)})" if open_slices else ""),
            do=f"Resume it (itmp resume {record.id}) or reconcile by hand (itmp reconcile …), then close.",
        )


def _vote(
    place: Workspace,
    act: str,
    name: str,
    key: str | None,
    *,
    confirm: "Confirm | None",
    valid: timedelta | None = None,
) -> Acted:
    record = find(place, name)
    until = until_of(place, record, valid)
    return _act(place, act, record, lambda _: ballot(place, record), key, confirm=confirm, until=until)


def until_of(place: Workspace, record: ChangeRecord, valid: timedelta | None) -> datetime:
    """Return until when a vote counts: as asked, else to the window's end within the policy's limit, else a day."""
    now, window = SystemClock().now().replace(microsecond=0), request_of(record).window
    if valid is not None:
        return now + valid
    if window is None or window.end <= now:
        return now + statements.VALID
    return min(window.end, now + place.history().latest.policy.approval_limit)


def ballot(place: Workspace, record: ChangeRecord) -> Mapping[str, str]:
    """Return the own lines of a vote: what exactly is approved or rejected."""
    request = request_of(record)
    plan = planning.logged_plan(place, request.plan)
    return {
        "change": record.id,
        "plan": request.plan,
        "request": request.leaf,
        "window": interval(request.window),
        "scope": scope(plan.manifest).text,
    }


def _with_reason(place: Workspace, act: str, record: ChangeRecord, reason: str, key: str | None) -> Acted:
    return _act(place, act, record, lambda _: {"change": record.id, "reason": reason}, key)


def _act(
    place: Workspace,
    act: str,
    record: ChangeRecord,
    own: "Own",
    key: str | None,
    *,
    confirm: "Confirm | None" = None,
    until: datetime | None = None,
) -> Acted:
    refuse_ended(record)
    statement, signed, signer = sign_act(place, act, own, key, confirm=confirm, until=until)
    receipt = append_act(place, statement, signed, actor(signer), record)
    return Acted(change=find(place, record.id), leaf=receipt.hash, text=statement.text)
