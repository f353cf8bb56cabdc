"""The end of one log and the beginning of the next, on disk: what a rotation leaves to be finished, and finishing it.

Rules kept here: what was proposed and signed lies in `rotation/` until it is done; the old log's last leaves are
written only if nobody has appended since it was seen without an open change; the new log is made beside the old one and
takes its place last; each step is done again harmlessly, so that whoever opens the workspace after a crash finishes it.
"""

import json
import shutil
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from itmp.adapters import posix_log
from itmp.adapters.clock import SystemClock, new_id
from itmp.adapters.posix_log import durable, periods
from itmp.adapters.posix_log.reading import KEY, LOG
from itmp.audit import Event, Expect, Log
from itmp.audit.event import MAX_LEAF
from itmp.change import (
    Handover,
    Policy,
    PolicyHistoryError,
    StatementRefusedError,
    check_revocation,
    check_rotation,
    policy_history,
    previous_data,
)
from itmp.change.handover import period_of
from itmp.change.statements import Writ, verify_writ
from itmp.errors import InvalidInputError, LogUnavailableError, NotFoundError
from itmp.signing import NoteVerifier, Signed, Statement
from itmp.workspace.plain import read_statements

if TYPE_CHECKING:
    from itmp.change.statements import Given

ENDING: Final = frozenset({"key.revoked", "key.rotated"})
NEW: Final = "log.key"
GIVEN: Final = "statements.json"
PLAN: Final = "proposal.json"
TRUST: Final = "trust"
REVOKED: Final = "revoked"
_MOST: Final = 256 * 1024
_SPAN: Final = timedelta(minutes=1)  # a statement must hold until its leaf is written
_PREVIOUS: Final = 4096  # bytes that the first leaf needs for the log before, and for what the log fills in
_EXECUTOR: Final = {"kind": "executor", "id": "itmp"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What was proposed: both keys, the size of the old log then, and why its key is revoked, if it is."""

    old: str
    new: str
    size: int
    reason: str = ""

    @property
    def acts(self) -> tuple[tuple[str, dict[str, str]], ...]:
        """The acts that each person signs, with their own lines."""
        rotate = ("rotate", {"from": self.old, "to": self.new, "size": str(self.size)})
        recover = ("recover", {"size": str(self.size), "reason": self.reason})
        return (rotate, recover) if self.reason else (rotate,)


def read(state: Path) -> Proposal:
    """Return what is proposed below `state`."""
    data = durable.read_file(state / periods.ROTATION / PLAN, _MOST)
    try:
        found = Proposal(**json.loads(data or b""))
        if any(type(getattr(found, one.name)) is not one.type for one in fields(found)):
            raise TypeError  # noqa: TRY301 - one place says what an unreadable proposal is
    except (ValueError, TypeError, RecursionError) as error:
        raise LogUnavailableError(
            "the proposed rotation cannot be read",
            where=periods.ROTATION,
            do="Give it up: itmp audit rotate --abandon",
        ) from error
    return found


def statements_of(state: Path) -> list[Signed]:
    """Return the statements that were given for it so far."""
    data = durable.read_file(state / periods.ROTATION / GIVEN, _MOST)
    return read_statements(data, state / periods.ROTATION / GIVEN) if data else []


def mark_of(signed: Signed) -> tuple[str, str]:
    """Return the act and the signer of a statement."""
    statement = Statement.parse(signed.text)
    return statement.act, statement.fields["signer"]


def settle(state: Path) -> None:
    """Finish a rotation that was interrupted after its log had ended; leave any other as it is.

    One whose key was revoked, and whose signatures expired before `key.rotated` was written, is left to be signed anew.
    """
    if periods.pending(state) is None or not (periods.marked(state) or _has_ended(state)):
        return
    with periods.rotating(state):
        if periods.switch(state) or periods.pending(state) is None:
            return
        log = posix_log.open_log(state)
        if log.leaf(log.size() - 1).event.type == "key.revoked":
            try:
                end(log, read(state), state, size=log.size())
            except PolicyHistoryError:
                return
        finish(state, log)


def _has_ended(state: Path) -> bool:
    """Whether the current log's last leaf ends it; also when it cannot be opened, so that nothing is passed over."""
    try:
        log = posix_log.open_log(state)
        return log.leaf(log.size() - 1).event.type in ENDING
    except NotFoundError:
        return True


def counting(log: Log, proposal: Proposal, state: Path) -> dict[str, list[Signed]]:
    """Return, by act, the statements that count for the proposal now, and a minute from now as well.

    One that expired, or names a policy that was changed since, is passed over: its signer signs again.
    """
    history, now = policy_history(log.policy_leaves()), SystemClock().now()
    found: dict[str, list[Signed]] = {act: [] for act, _ in proposal.acts}
    for signed in statements_of(state):
        act = mark_of(signed)[0]
        writs = [Writ(index=log.size(), leaf=log.policy_head(), at=at) for at in (now, now + _SPAN)]
        with suppress(StatementRefusedError):
            for writ in writs:
                verify_writ(signed, writ=writ, policy=history.latest.policy, origin=log.origin)
            found.setdefault(act, []).append(signed)
    return found


def end(log: Log, proposal: Proposal, state: Path, *, size: int) -> None:
    """Write the log's last leaves; `HeadMovedError` when it has not `size` leaves any more, and nothing is written."""
    given = counting(log, proposal, state)
    revoked = log.leaf(size - 1).event.type == "key.revoked"
    events = []
    if proposal.reason and not revoked:
        data = {"key": proposal.old, "size": size + 2, "statements": _texts(given["recover"])}
        events.append(Event(id=new_id(), type="key.revoked", actor=dict(_EXECUTOR), data=data))
    data = {
        "from": proposal.old,
        "to": proposal.new,
        "size": size + len(events) + 1,
        "statements": _texts(given["rotate"]),
    }
    events.append(Event(id=new_id(), type="key.rotated", actor=dict(_EXECUTOR), data=data))
    _check(log, given, proposal)
    _check_keys(state)
    log.extend(events, expect=Expect(change=None, head=log.policy_head(), size=size))


def _texts(given: list[Signed]) -> list[dict[str, str]]:
    return [one.to_data() for one in given]


def _check(log: Log, given: dict[str, list[Signed]], proposal: Proposal) -> None:
    """Raise before anything is written, if the last leaves would not count or the next log could not begin."""
    policy = policy_history(log.policy_leaves()).latest.policy
    writ = Writ(index=log.size(), leaf=log.policy_head(), at=SystemClock().now())

    def counted(act: str) -> "tuple[Given, ...]":
        return tuple(verify_writ(one, writ=writ, policy=policy, origin=log.origin) for one in given[act])

    check_rotation(policy, counted("rotate"), keys=(proposal.old, proposal.new), size=writ.index)
    if proposal.reason:
        check_revocation(policy, counted("recover"), size=writ.index)
    first = _genesis(proposal.new, policy, {}, _texts(given["rotate"]))
    if len(first.to_bytes()) + _PREVIOUS > MAX_LEAF:
        raise InvalidInputError(
            "policy and statements do not fit into the next log's first leaf",
            do="Shorten the policy, or rotate with no more signatures than its quorum asks for.",
        )


def _check_keys(state: Path) -> None:
    """Raise before anything is written, if a key that must sign the handover could not: the log would end half-way."""
    for path in (state / KEY, state / periods.ROTATION / NEW):
        if fault := posix_log.read_key(path).fault():
            raise LogUnavailableError(
                f"both logs' keys must sign the handover: {fault}",
                where=str(path),
                do="Load the key into the agent, then try again.",
            )


def finish(state: Path, log: Log) -> None:
    """Begin the next log where this one ended, and put it in its place; done again, it does only what is missing."""
    folder = state / periods.ROTATION
    head = log.checkpoint().checkpoint
    last = log.leaf(head.size - 1)
    history = policy_history(log.policy_leaves())
    if history.ended is None or history.ended.index != last.index:
        raise PolicyHistoryError("the log did not end as its people signed", do="See: itmp audit verify")
    new = posix_log.read_key(folder / NEW)
    if new.vkey != history.ended.to.vkey:
        raise LogUnavailableError(
            "the new log's key is not the one that the old log names",
            where=str(folder / NEW),
            do="Restore it.",
        )
    if not (folder / periods.NEXT / LOG).is_dir():
        shutil.rmtree(folder / periods.NEXT, ignore_errors=True)
        handover = Handover(
            old=NoteVerifier.parse(log.vkey), new=new.verifier, size=head.size, root=head.root, leaf=last.hash,
            policy=history.latest.policy.digest,
        )  # fmt: skip
        note = handover.sign(posix_log.read_key(state / KEY), new)
        data = last.event.data or {}
        genesis = _genesis(
            new.vkey,
            history.latest.policy,
            previous_data(handover, at=last.event.t, note=note),
            data["statements"],
        )
        posix_log.create(folder / periods.NEXT, origin=new.name, key=new, genesis=genesis)
    _keep_handover(state, log)
    if history.ended.revoked is not None:
        _tell_auditors(state, log.vkey, head.size)
    periods.mark(state, period=period_of(log.origin), vkey=log.vkey)
    periods.switch(state)


def _genesis(vkey: str, policy: Policy, previous: dict[str, object], given: object) -> Event:
    data = {
        "schema": "itmp-log/v1",
        "origin": NoteVerifier.parse(vkey).name,
        "log_key": vkey,
        "previous": previous,
        "policy": policy.data.decode(),
        "statements": given,
    }
    return Event(id=new_id(), type="log.created", actor=dict(_EXECUTOR), data=data)


def _tell_auditors(state: Path, vkey: str, size: int) -> None:
    """Add the revoked key to the workspace's TRUST folder: auditors must hear of it from outside any evidence."""
    folder = state.parent / TRUST
    line = f"{vkey} {size}\n"
    if not folder.is_dir():
        return
    known = durable.read_file(folder / REVOKED, _MOST) or b""
    if line.encode() not in known:
        with durable.unavailable("written", folder):
            durable.replace(folder / REVOKED, known + line.encode(), mode=0o644)


def _keep_handover(state: Path, log: Log) -> None:
    """Keep what leads from this log to the next on its own, so that it stays when the log is archived or dropped."""
    from itmp.evidence import archive  # noqa: PLC0415 - only here
    from itmp.evidence.bundle import handover  # noqa: PLC0415 - as above

    folder = state / periods.PERIODS
    with durable.unavailable("written", folder):
        durable.make_folder(folder, mode=0o700)
        target = folder / f"{period_of(log.origin)}.handover"
        durable.replace(target, archive.pack(handover(log)))
