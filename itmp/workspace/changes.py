"""Verbs of the change record: open, approve, reject, revoke, cancel, close, list, show; offline statements.

Rules kept here: every act is a signed statement in one leaf, appended against the change's head, so that two people
acting at once never overwrite each other; opening the same plan with the same reference again returns the same
change; the record is always folded from the log's leaves, never from an index.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from itmp.audit import Expect, HeadMovedError, Leaf, Receipt, merkle
from itmp.calendars import format_time
from itmp.canonical import of_raw, raw
from itmp.change import ChangeRecord, fold
from itmp.errors import InvalidInputError, NotFoundError, RejectedError
from itmp.plan import Plan, scope
from itmp.signing import Signed, Statement, change_id
from itmp.workspace import planning, statements
from itmp.workspace.place import Workspace

if TYPE_CHECKING:
    from itmp.workspace.statements import Signer

Own: TypeAlias = Callable[[str], Mapping[str, str]]
Confirm: TypeAlias = Callable[[str], None]

ATTEMPTS: Final = 20
"""How often an act is composed again because somebody else acted on the change at the same moment."""
ENDED: Final = frozenset({"closed", "canceled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Acted:
    """What an act left: the change as it is now, the leaf, and the text that was signed."""

    change: ChangeRecord
    leaf: str
    text: str


def records(place: Workspace) -> tuple[ChangeRecord, ...]:
    """Fold every change of the log, oldest first."""
    history = place.history()
    grouped: dict[str, list[Leaf]] = {}
    for leaf in place.log.leaves():
        if leaf.event.change:
            grouped.setdefault(leaf.event.change, []).append(leaf)
    return tuple(fold(tuple(leaves), history) for leaves in grouped.values())


def find(place: Workspace, name: str) -> ChangeRecord:
    """Return the change with this id or external reference; raise `NotFoundError`, or say that it is ambiguous."""
    leaves = place.log.of_change(name)
    if leaves:
        return fold(leaves, place.history())
    named = [record for record in records(place) if record.external == name]
    if len(named) > 1:
        raise InvalidInputError(f"{len(named)} changes carry the reference {name!r}", do=", ".join(r.id for r in named))
    if not named:
        raise NotFoundError(f"no change {name!r:.60} in this log", do="List them: itmp change list")
    return named[0]


def open_change(
    place: Workspace,
    plan: Plan,
    *,
    reason: str,
    kind: str = "normal",
    window: tuple[datetime, datetime] | None = None,
    external: str = "",
    key: str | None = None,
) -> Acted:
    """Keep the plan and open a change over its digest, signed by the requester."""
    same = _already_open(place, plan, external)
    if same:
        return Acted(change=same, leaf=same.request, text="")
    planning.keep_plan(place, plan)
    own = {
        "plan": plan.digest,
        "type": kind,
        "reason": reason,
        "external": external or "-",
        "window": interval(window),
    }
    statement, signed, signer = sign_act(place, "open", lambda _: own, key)
    change = change_id(signed)
    first = Expect(change=change, head=None)
    receipt = statements.record(
        place, statement, signed, actor=actor(signer), change=change, plan=plan.digest, expect=first
    )
    return Acted(change=find(place, change), leaf=receipt.hash, text=statement.text)


def approve(place: Workspace, name: str, *, key: str | None = None, confirm: Any = None) -> Acted:
    """Sign the approval of this change's plan, request, window and scope."""
    return _vote(place, "approve", name, key, confirm)


def reject(place: Workspace, name: str, *, key: str | None = None, confirm: Any = None) -> Acted:
    """Sign the rejection of this change."""
    return _vote(place, "reject", name, key, confirm)


def revoke(place: Workspace, name: str, *, reason: str, key: str | None = None) -> Acted:
    """Take back one's own newest vote on this change."""
    record = find(place, name)

    def own(signer: str) -> Mapping[str, str]:
        mine = [vote.leaf for vote in record.votes if vote.signer == signer]
        if not mine:
            raise NotFoundError(f"{signer} has no vote on {record.id}", do="See who voted: itmp change show " + record.id)
        return {"change": record.id, "of": mine[-1], "reason": reason}

    return _act(place, "revoke", record, own, key)


def cancel(place: Workspace, name: str, *, reason: str, key: str | None = None) -> Acted:
    """End a change that shall not run (again)."""
    return _with_reason(place, "cancel", name, reason, key)


def review(place: Workspace, name: str, *, reason: str, key: str | None = None) -> Acted:
    """Record the review of a change after it ran."""
    return _with_reason(place, "review", name, reason, key)


def close(place: Workspace, name: str, *, reason: str, key: str | None = None) -> Acted:
    """Close a change: its last leaf commits how many events it has and their tree hash."""
    record = find(place, name)
    if record.open_intents:
        raise InvalidInputError(
            f"{record.id} still has intents without a result",
            do=f"Resume it (itmp resume {record.id}) or reconcile them by hand (itmp reconcile …), then close.",
        )
    return _with_reason(place, "close", name, reason, key)


def statement_text(place: Workspace, name: str, act: str, *, signer: str, reason: str = "") -> Statement:
    """Write the text of an act for signing on another machine."""
    record = find(place, name)
    policy = place.history().current
    own: Mapping[str, str] = _ballot(place, record) if act in {"approve", "reject"} else {"change": record.id, "reason": reason}
    return statements.compose(place, act, own, signer=signer, role=statements.role_for(policy, signer, act))


def add_statement(place: Workspace, text: str, armor: str) -> Acted:
    """Record a statement that was signed elsewhere; the fold decides whether it counts."""
    statement, signed = statements.parse_offline(text, armor)
    record = find(place, statement.fields["change"])
    _refuse_ended(record)
    append_act(place, statement, signed, {"kind": "human", "id": statement.fields["signer"]}, record)
    return Acted(change=find(place, record.id), leaf=_newest(place, record.id), text=statement.text)


def actor(signer: "Signer") -> dict[str, str]:
    """Return the event actor of a signer."""
    return {"kind": signer.kind, "id": signer.id, "key": signer.key.public.fingerprint}


def sign_act(
    place: Workspace, act: str, own: "Own", key: str | None, confirm: "Confirm | None" = None
) -> tuple[Statement, Signed, "Signer"]:
    """Choose the signer, write the text (`own` gives the act's lines for a signer's id), show it, have it signed."""
    policy = place.history().current
    signer = statements.choose_signer(place, policy, key)
    role = statements.role_for(policy, signer.id, act)
    statement = statements.compose(place, act, own(signer.id), signer=signer.id, role=role)
    if confirm:
        confirm(statement.text)
    return statement, statements.sign(statement, signer), signer


def append_act(
    place: Workspace, statement: Statement, signed: Signed, who: Mapping[str, str], record: ChangeRecord
) -> Receipt:
    """Append against the change's head; when somebody else was faster, look again and retry."""
    for _ in range(ATTEMPTS):
        leaves = place.log.of_change(record.id)
        try:
            return statements.record(
                place,
                statement,
                signed,
                actor=who,
                change=record.id,
                plan=record.plan,
                expect=Expect(change=record.id, head=leaves[-1].hash),
                data=_commitment(leaves) if statement.act == "close" else None,
            )
        except HeadMovedError:
            continue
    raise HeadMovedError(f"{record.id} kept moving", do="Others are acting on it; try again in a moment.")


def _vote(place: Workspace, act: str, name: str, key: str | None, confirm: "Confirm | None") -> Acted:
    record = find(place, name)
    return _act(place, act, record, lambda _: _ballot(place, record), key, confirm)


def _ballot(place: Workspace, record: ChangeRecord) -> Mapping[str, str]:
    plan = planning.logged_plan(place, record.plan)
    return {
        "change": record.id,
        "plan": record.plan,
        "request": record.request,
        "window": interval(record.window),
        "scope": scope(plan.manifest).text,
    }


def _with_reason(place: Workspace, act: str, name: str, reason: str, key: str | None) -> Acted:
    record = find(place, name)
    return _act(place, act, record, lambda _: {"change": record.id, "reason": reason}, key)


def _act(
    place: Workspace, act: str, record: ChangeRecord, own: "Own", key: str | None, confirm: "Confirm | None" = None
) -> Acted:
    _refuse_ended(record)
    statement, signed, signer = sign_act(place, act, own, key, confirm)
    receipt = append_act(place, statement, signed, actor(signer), record)
    return Acted(change=find(place, record.id), leaf=receipt.hash, text=statement.text)


def _already_open(place: Workspace, plan: Plan, external: str) -> ChangeRecord | None:
    for record in records(place):
        if record.plan == plan.digest and record.external == external and record.state not in ENDED:
            return record
    return None


def _refuse_ended(record: ChangeRecord) -> None:
    if record.state in ENDED:
        raise RejectedError(f"{record.id} is {record.state}", do="Open a new change over a new plan.")


def _commitment(leaves: tuple[Leaf, ...]) -> Mapping[str, Any]:
    """What `change.closed` commits: the number of events before it and the tree hash over their leaf hashes."""
    return {"count": len(leaves), "root": of_raw(merkle.root([raw(leaf.hash) for leaf in leaves]))}


def _newest(place: Workspace, change: str) -> str:
    return place.log.of_change(change)[-1].hash


def interval(window: tuple[datetime, datetime] | None) -> str:
    """Return a window as it stands in a statement."""
    return f"{format_time(window[0])} {format_time(window[1])}" if window else "-"
