"""`itmp audit rotate` and `revoke-key`: end this period's log, and begin the next one with another key.

Rules kept here: a rotation is refused while a change is open; the people whose quorum changes the policy sign it; the
old log's last durable leaf is `key.rotated` (after `key.revoked`, where its key is revoked) and nothing is appended
after it; the new log begins with the old one's final size and root, its policy, and a handover signed by both keys. A
crash leaves either the old log going on, or a rotation that the next opening of the workspace finishes (`settle`).
"""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from itmp.adapters.posix_log import durable, periods
from itmp.audit import HeadMovedError
from itmp.change.handover import check_successor, period_of, series
from itmp.errors import BusyError, InvalidInputError, LogUnavailableError, NotFoundError
from itmp.signing import LogKey, NoteVerifier, Signed, Statement
from itmp.workspace import anchoring, changes, statements
from itmp.workspace.founding import log_key_of
from itmp.workspace.handing import (
    GIVEN,
    NEW,
    PLAN,
    Proposal,
    counting,
    end,
    finish,
    mark_of,
    read,
    statements_of,
)
from itmp.workspace.periods import chain_of
from itmp.workspace.place import Workspace
from itmp.workspace.plain import read_plain

_TRIES: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """A rotation: from which log to which, who has signed, how many must, and whether it is done.

    `vkey` and `genesis` are the new log's, for whoever shall trust it from its beginning; `revokes` says that the old
    key is revoked, and counts for no more than `size` leaves.
    """

    old: str
    new: str
    vkey: str
    signers: tuple[str, ...]
    needed: int
    revokes: bool = False
    done: bool = False
    size: int = 0
    genesis: str = ""


def rotate(
    place: Workspace,
    *,
    period: str = "",
    log_key: str = "",
    key: str | None = None,
    revoke: str = "",
) -> Rotation:
    """Propose a rotation, or sign the one that is proposed; with the quorum's last signature it is done.

    `period` names the new period, `log_key` is `agent:SHA256:…` for a key in the ssh-agent, `revoke` says why the old
    key is revoked. `BusyError`: a change is open.
    """
    _refuse_open(place)
    with periods.rotating(place.state):
        proposal = _proposed(place) or _propose(place, period, log_key, revoke)
    if proposal.reason != revoke:  # nobody signs what they did not say
        says = (
            f"one that revokes the key: {proposal.reason}" if proposal.reason else "one that revokes nothing"
        )
        raise InvalidInputError(
            f"another rotation is proposed, {says}",
            do="Say the same (itmp audit revoke-key --reason TEXT, or itmp audit rotate), or give it up first: "
            "itmp audit rotate --abandon",
        )
    given = [
        _signed(place, act, own, key) for act, own in proposal.acts
    ]  # a person may be asked: no lock is held
    return _take(place, given)


def _signed(place: Workspace, act: str, own: Mapping[str, str], key: str | None) -> Signed:
    _, signed, _ = changes.sign_act(place, act, lambda _: own, key)
    return signed


def _take(place: Workspace, given: Iterable[Signed]) -> Rotation:
    """Keep statements for the rotation that is proposed, and end the log when they complete the quorum."""
    with periods.rotating(place.state):
        proposal = _proposed(place)
        if proposal is None:
            raise NotFoundError("no rotation is proposed", do="Propose it first: itmp audit rotate")
        for signed in given:
            statements.check(place, signed)
            _keep(place, signed)
        return _go_on(place, proposal)


def rotation_text(place: Workspace, signer: str, *, act: str = "rotate") -> Statement:
    """Return the text that `signer` shall sign elsewhere for the rotation that is proposed."""
    proposal = _proposed(place)
    if proposal is None or act not in dict(proposal.acts):
        raise NotFoundError("no such rotation is proposed", do="Propose it first: itmp audit rotate")
    role = statements.role_for(place.history().latest.policy, signer, act)
    return statements.compose(place, act, dict(proposal.acts)[act], signer=signer, role=role)


def rotation_seal(place: Workspace, signatures: tuple[Path, ...]) -> Rotation:
    """Take statements that were signed elsewhere (`TEXT.sig` beside each text)."""
    _refuse_open(place)
    return _take(place, [_read_signed(path) for path in signatures])


def _read_signed(path: Path) -> Signed:
    text = path.with_suffix("")
    if path.suffix != ".sig" or not text.is_file() or not path.is_file():
        raise NotFoundError(
            "no signature beside its text", where=str(path), do="Sign it: ssh-keygen -Y sign."
        )
    return Signed(text=read_plain(text), signature=read_plain(path))


def rotation_abandon(place: Workspace) -> bool:
    """Give up a rotation that is proposed and not done; False where there is none."""
    _ = place.log
    with periods.rotating(place.state):
        folder = periods.pending(place.state)
        if folder is None:
            return False
        if place.log.leaf(place.log.size() - 1).event.type == "key.rotated":
            raise BusyError(
                "the log has ended for the key that lies there",
                where=str(folder),
                do="Open the workspace anew: that finishes the rotation.",
            )
        if (folder / NEW).is_file():
            private_key = folder / NEW
            private_key.write_bytes(bytes(private_key.stat().st_size))
        shutil.rmtree(folder)
    return True


def _end(place: Workspace, proposal: Proposal) -> None:
    """End the log at a size at which no change was open; look again where somebody was faster."""
    for _ in range(_TRIES):
        size = _refuse_open(place)
        try:
            return end(place.log, proposal, place.state, size=size)
        except HeadMovedError:
            continue
    raise HeadMovedError("the log kept moving", do="Stop what is writing to it, and try again.")


def _refuse_open(place: Workspace) -> int:
    """Return a size of the log at which no change was open; raise `BusyError` while one is."""
    size = place.log.size()
    open_now = [record.id for record in changes.records(place) if record.state not in changes.ENDED]
    if open_now:
        raise BusyError(
            f"{len(open_now)} changes are open: {', '.join(open_now[:5])}",
            where=place.log.origin,
            do="A new period starts with no change open: close or cancel them (itmp change close ID --reason T).",
        )
    return size


def _propose(place: Workspace, period: str, log_key: str, reason: str) -> Proposal:
    """Make the new key and keep the proposal; nothing is written to the log."""
    log = place.log
    origin = f"{series(log.origin)}/{periods.check_period(period) if period else _next_period(place)}"
    if period_of(origin) in _taken(place):
        raise InvalidInputError(
            f"there was a period {period_of(origin)} already", do="Name another: --period NAME."
        )
    new = log_key_of(log_key, origin, place.history().latest.policy)
    _check_unused(place, new)
    check_successor(NoteVerifier.parse(log.vkey), new.verifier)
    proposal = Proposal(old=log.vkey, new=new.vkey, size=log.size(), reason=reason)
    staging = place.state / f"{periods.ROTATION}.new"
    shutil.rmtree(staging, ignore_errors=True)
    with durable.unavailable("written", staging):
        durable.make_folder(staging, mode=0o700)
        durable.place(staging / NEW, new.to_text().encode() + b"\n", temporary=staging / ".key", mode=0o600)
        data = {"old": proposal.old, "new": proposal.new, "size": proposal.size, "reason": reason}
        durable.place(staging / PLAN, json.dumps(data).encode(), temporary=staging / ".plan", mode=0o600)
        staging.rename(place.state / periods.ROTATION)
        durable.sync_folder(place.state)
    return proposal


def _check_unused(place: Workspace, new: LogKey) -> None:
    """One key signs for one log: C2SP tlog-policy forbids it on two, and so do we."""
    older = [history.log_key for history, _ in chain_of(place)]
    if new.verifier.public in {NoteVerifier.parse(vkey).public for vkey in (*older, place.log.vkey)}:
        raise InvalidInputError(
            "this key is, or was, the key of another period",
            where=new.name,
            do="Each period needs a key of its own.",
        )


def _taken(place: Workspace) -> set[str]:
    """Return the names of every period so far, packed and dropped ones too."""
    return {period_of(place.log.origin), *(period_of(history.origin) for history, _ in chain_of(place))}


def _next_period(place: Workspace) -> str:
    taken, year = _taken(place), f"{datetime.now(UTC):%Y}"
    return next(name for name in _labels(year) if name not in taken)


def _labels(year: str) -> Iterator[str]:
    yield year
    number = 2
    while True:
        yield f"{year}-{number}"
        number += 1


def _proposed(place: Workspace) -> Proposal | None:
    proposal = read(place.state) if periods.pending(place.state) else None
    if proposal is not None and proposal.old != place.log.vkey:
        raise LogUnavailableError(
            "a rotation of another log lies here", do="Give it up: itmp audit rotate --abandon"
        )
    return proposal


def _keep(place: Workspace, signed: Signed) -> None:
    """Keep one statement for each person and act."""
    mine = Statement.parse(signed.text)
    mark = (mine.act, mine.fields["signer"])
    others = [one for one in statements_of(place.state) if mark_of(one) != mark]
    folder = place.state / periods.ROTATION
    data = json.dumps([one.to_data() for one in (*others, signed)]).encode()
    with durable.unavailable("written", folder):
        durable.replace(folder / GIVEN, data)


def _go_on(place: Workspace, proposal: Proposal) -> Rotation:
    """End the log when the quorum is complete; else say who has signed."""
    policy = place.history().latest.policy
    signed = counting(place.log, proposal, place.state)
    signers = tuple(dict.fromkeys(mark_of(one)[1] for one in signed["rotate"]))
    fewest = min(len(given) for given in signed.values())
    state = Rotation(
        old=NoteVerifier.parse(proposal.old).name,
        new=NoteVerifier.parse(proposal.new).name,
        vkey=proposal.new,
        signers=signers,
        needed=policy.amend.count,
        revokes=bool(proposal.reason),
    )
    if fewest < policy.amend.count:
        return state
    _end(place, proposal)
    anchoring.checkpoint(place)
    size = place.log.size()
    finish(place.state, place.log)
    after = Workspace(root=place.root, config=place.config)
    anchoring.checkpoint(after)
    return Rotation(
        old=state.old, new=state.new, vkey=state.vkey, signers=signers, needed=state.needed, revokes=state.revokes,
        done=True, size=size, genesis=after.log.leaf(0).hash,
    )  # fmt: skip
