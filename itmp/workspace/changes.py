"""What each verb on a change begins and ends with: its record, found and folded, and a signed act appended to it.

Rules kept here: every act is a signed statement in one leaf, appended against the change's head, so that two people
acting at once never overwrite each other; the record is always folded from the log's leaves, never from an index; what
results say is left unread where nothing but results would differ (`skimmed`).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from itmp import canonical
from itmp.adapters.clock import SystemClock
from itmp.audit import Expect, HeadMovedError, Receipt
from itmp.calendars import Window, format_time
from itmp.change import ChangeRecord, Request, fold, skim
from itmp.errors import (
    Error,
    InvalidInputError,
    NotFoundError,
    RefusedError,
    RejectedError,
)
from itmp.plan import Plan
from itmp.signing import Signed, Statement
from itmp.workspace import periods, planning, statements
from itmp.workspace.glancing import Glances
from itmp.workspace.place import Workspace

if TYPE_CHECKING:
    from itmp.workspace.statements import Signer

Own: TypeAlias = Callable[[str], Mapping[str, str]]
Confirm: TypeAlias = Callable[[str], None]

ATTEMPTS: Final = 20
"""How often an act is composed again because somebody else acted on the change at the same moment."""
ENDED: Final = frozenset({"closed", "canceled"})


def records(place: Workspace) -> tuple[ChangeRecord, ...]:
    """Fold every change of the log, in the order of their first events."""
    history = place.history()
    return tuple(
        fold(place.log.of_change(change), history, blob=place.log.blob) for change in place.log.changes()
    )


def listed(place: Workspace) -> Iterator[ChangeRecord]:
    """Glance at one change after the other, in the order of their first events: for a screen, never to act on."""
    return Glances(place.reading()).records()


def find(place: Workspace, name: str) -> ChangeRecord:
    """Return the change with this id or external reference; raise `NotFoundError`, or say that it is ambiguous."""
    return _record(place, name, fold)


def resolve(place: Workspace, name: str) -> str:
    """Return the id of the change with this id or external reference; raises like `find`."""
    if place.log.head_of(name) is not None:
        return name
    line = canonical.dumps(f"\nexternal {name}\n")[1:-1]
    opened = (_opening(place, change) for change in _opened_with(place, line))
    named = [record.id for record in opened if record.request and record.request.external == name]
    if len(named) > 1:
        raise InvalidInputError(
            f"{len(named)} changes carry {name!r:.60}", do="Name one: " + ", ".join(named)
        )
    if not named:
        raise periods.elsewhere(place, name)
    return named[0]


def _opened_with(place: Workspace, words: bytes) -> Iterator[str]:
    """Yield each change whose request holds these bytes; every leaf of the log is looked at, no index is asked."""
    for leaf in place.log.leaves():
        if words in leaf.data and b'"type":"change.opened"' in leaf.data:
            yield leaf.event.change


def read_plan(place: Workspace, name: str) -> Plan:
    """Return the plan of a file, a digest or a change."""
    path = Path(name)
    if path.is_file():
        return planning.read_plan_file(path)
    if name.startswith("sha256:"):
        digest = canonical.parse_digest(name)
        return periods.anywhere(place, lambda one: planning.logged_plan(one, digest))
    if name.endswith(planning.SUFFIX) or "/" in name:
        raise NotFoundError(f"no plan file {name}", do="Write one with `itmp plan FILE`.")
    try:
        there = periods.in_its_period(place, name)
        glances = Glances(there.reading())
        record = glances.record(glances.resolve(name))
    except NotFoundError as error:
        raise NotFoundError(
            f"no plan file, no plan of this log and no change is called {name!r:.60}",
            do="Name a file (itmp plan FILE writes one), a digest sha256:…, or a change: itmp change list",
        ) from error
    return planning.logged_plan(there, request_of(record).plan)


def skimmed(place: Workspace, name: str, now: datetime | None = None) -> ChangeRecord:
    """Return what `find` does, of every leaf too, but for what the change's many results say: that is left out."""
    return _record(place, name, skim, now)


def _record(
    place: Workspace, name: str, read: Callable[..., ChangeRecord], now: datetime | None = None
) -> ChangeRecord:
    """Read every leaf, with the plan at hand where the log still has it, so that the state can say `scheduled`."""
    change, history, blob = resolve(place, name), place.history(), place.log.blob
    plan, manifest = _opening(place, change).plan, None
    with suppress(Error):
        manifest = planning.logged_plan(place, plan).manifest if plan else None
    leaves, now = place.log.each_of_change(change), now or SystemClock().now()
    return read(leaves, history, manifest=manifest, now=now, blob=blob)


def _opening(place: Workspace, change: str) -> ChangeRecord:
    """Return the record as the change's first event tells it."""
    return skim(islice(place.log.each_of_change(change), 1), place.history(), blob=place.log.blob)


def request_of(record: ChangeRecord) -> Request:
    """Return what was asked for; raise when the change was never validly opened."""
    if record.request is None:
        raise RefusedError(
            f"{record.id} was never validly opened", do="; ".join(f.why for f in record.findings)
        )
    return record.request


def actor(signer: "Signer") -> dict[str, str]:
    """Return the event actor of a signer."""
    return {"kind": signer.kind, "id": signer.id, "key": signer.key.public.fingerprint}


def sign_act(
    place: Workspace,
    act: str,
    own: "Own",
    key: str | None,
    *,
    confirm: "Confirm | None" = None,
    until: datetime | None = None,
) -> tuple[Statement, Signed, "Signer"]:
    """Choose the signer, write the text (`own` gives the act's lines for a signer's id), show it, have it signed."""
    policy = place.history().latest.policy
    signer = statements.choose_signer(place, policy, key)
    role = statements.role_for(policy, signer.id, act)
    statement = statements.compose(place, act, own(signer.id), signer=signer.id, role=role, until=until)
    if confirm:
        confirm(statement.text)
    return statement, statements.sign(statement, signer), signer


def append_act(
    place: Workspace,
    statement: Statement,
    signed: Signed,
    who: Mapping[str, str],
    record: ChangeRecord,
    *,
    data: Mapping[str, Any] | None = None,
    **more: Any,
) -> Receipt:
    """Append against the change's head; when somebody else was faster, look again and retry.

    `data` stands beside text and signature; `more` are further fields of the event (a reconciliation names intent,
    target and outcome).
    """
    for _ in range(ATTEMPTS):
        head = place.log.head_of(record.id)
        if statement.act == "close":
            count, root = place.log.commitment(record.id)
            data = {"count": count, "root": root}
        try:
            return statements.record(
                place,
                statement,
                signed,
                actor=who,
                change=record.id,
                plan=record.plan or "",
                expect=Expect(change=record.id, head=head),
                data=data,
                **more,
            )
        except HeadMovedError:
            continue
    raise HeadMovedError(f"{record.id} kept moving", do="Others are acting on it; try again in a moment.")


def already_open(place: Workspace, plan: Plan, external: str) -> ChangeRecord | None:
    """Return the change that is open over this plan with this reference, if there is one."""
    for change in _opened_with(place, plan.digest.encode()):
        record = fold(place.log.of_change(change), place.history(), blob=place.log.blob)
        if (
            record.plan == plan.digest
            and record.request
            and record.request.external == external
            and record.state not in ENDED
        ):
            return record
    return None


def refuse_ended(record: ChangeRecord) -> None:
    """Raise `RejectedError` for a change on which nobody may act any more."""
    if record.state in ENDED:
        raise RejectedError(f"{record.id} is {record.state}", do="Open a new change over a new plan.")


def interval(window: Window | None) -> str:
    """Return a window as it stands in a statement."""
    return f"{format_time(window.start)} {format_time(window.end)}" if window else "-"
