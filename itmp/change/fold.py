"""`fold`: from a change's leaves to its record.

Rules kept here: the leaves must be the change's events 0..n without a gap, each chained to the one before,
or nothing is read (a missing leaf may be a revocation); every statement is verified in its place before it
counts (`statements`), and must speak of this change, this plan and this request; a signer's nonce counts
once; an answer counts by the rules of `_answers`; whatever fails is kept as a finding and counts for nothing;
after the close nothing counts.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final, get_args

from itmp import canonical
from itmp.audit import Event, Leaf
from itmp.calendars import Window
from itmp.canonical import Digest
from itmp.change._answers import answer_problem
from itmp.change._drafts import RunDraft, SliceDraft
from itmp.change._shape import ChangeType
from itmp.change._state import state_of
from itmp.change.history import PolicyHistory
from itmp.change.lists import Blob, carries, list_in, states_in
from itmp.change.permit import permit_body
from itmp.change.record import (
    ActionIntent,
    ChangeRecord,
    Finding,
    PermitRecord,
    Request,
    ResultRecord,
    Revocation,
    RunState,
    Vote,
)
from itmp.change.statements import Given, time_of, verify_given
from itmp.errors import EvidenceInvalidError, InvalidInputError
from itmp.plan import AskStep, Manifest, overtaking, questions, scope
from itmp.signing import Signed, change_id

_STARTS: Final = frozenset({"run", "resume", "undo"})
_DECIDED: Final = ("approved", "rejected", "revoked", "canceled", "reviewed", "closed")
_STATEMENTS: Final = frozenset((*(f"change.{word}" for word in _DECIDED), "statement.recorded"))
_RUN_EVENTS: Final = frozenset(("run.started", "run.resumed", "run.stopped", "run.finished"))
_TYPES: Final[Mapping[str, ChangeType]] = {kind: kind for kind in get_args(ChangeType)}
_RUN_STATES: Final = frozenset(get_args(RunState))


class RecordDamagedError(EvidenceInvalidError):
    """The leaves are not all events of one change in their order."""


def fold(
    leaves: Iterable[Leaf],
    history: PolicyHistory,
    *,
    manifest: Manifest | None = None,
    now: datetime | None = None,
    blob: Blob | None = None,
) -> ChangeRecord:
    """Return the record of the change whose events `leaves` are, all of them, in the log's order.

    Answers count only where `manifest` is given, since it says what was asked. With `manifest` and `now` the
    state says `scheduled` once the quorum is reached, and approvals of another scope than the manifest's count
    for nothing. `blob` reads host lists that were too long for a leaf. Raises
    `RecordDamagedError` for leaves that are missing, foreign or out of order.
    """
    draft = Folding(history, manifest=manifest, blob=blob)
    for leaf in leaves:
        draft.take(leaf)
    return draft.record(now)


class _Refused(Exception):  # noqa: N818 - a signal between two methods, never seen outside
    """Why a leaf counts for nothing."""


class Folding:
    """The record while it grows: `take` each leaf in order, ask for the `record` at any point; see `fold`."""

    def __init__(
        self, history: PolicyHistory, *, manifest: Manifest | None = None, blob: Blob | None = None
    ) -> None:
        self._history, self._manifest, self._blob = history, manifest, blob
        self._questions: Mapping[str, AskStep] = questions(manifest) if manifest else {}
        self._overtaking = overtaking(manifest) if manifest else {}
        self._id = ""
        self._head: Digest | None = None
        self._count = self._refusals = 0
        self._request: Request | None = None
        self._votes: list[Vote] = []
        self._revocations: list[Revocation] = []
        self._voters: dict[str, str] = {}
        self._starts: list[Given] = []
        self._stops: list[Given] = []
        self._last: dict[str, Given] = {}
        self._nonces: set[tuple[str, str]] = set()
        self._permits: list[PermitRecord] = []
        self._runs: dict[str, RunDraft] = {}
        self._intents: dict[str, SliceDraft] = {}
        self._findings: list[Finding] = []

    def take(self, leaf: Leaf) -> None:
        """Add the next leaf; raise `RecordDamagedError` unless it is the change's next event."""
        event = leaf.event
        self._chain(leaf, event)
        try:
            self._dispatch(leaf, event)
        except (_Refused, EvidenceInvalidError, InvalidInputError) as error:
            why = str(error) if isinstance(error, _Refused) else error.what
            self._findings.append(Finding(index=leaf.index, leaf=leaf.hash, why=f"{event.type}: {why}"))
        self._count, self._head = self._count + 1, leaf.hash

    def record(self, now: datetime | None = None) -> ChangeRecord:
        """Return the record as it stands after the leaves taken so far."""
        record = ChangeRecord(
            id=self._id,
            state="new",
            request=self._request,
            votes=tuple(self._votes),
            revocations=tuple(self._revocations),
            starts=tuple(self._starts),
            stops=tuple(self._stops),
            canceled=self._last.get("cancel"),
            reviewed=self._last.get("review"),
            closed=self._last.get("close"),
            permits=tuple(self._permits),
            runs=tuple(run.freeze() for run in self._runs.values()),
            refusals=self._refusals,
            findings=tuple(self._findings),
            head=self._head,
            count=self._count,
        )
        return replace(record, state=state_of(record, self._history, self._manifest, now))

    def _chain(self, leaf: Leaf, event: Event) -> None:
        where = f"leaf {leaf.index}"
        if not event.change or (self._id and event.change != self._id):
            raise RecordDamagedError(
                f"an event of change {event.change!r:.40} among those of {self._id}", where=where
            )
        if event.cseq != self._count or event.cprev != (self._head or ""):
            raise RecordDamagedError(
                f"event {event.cseq} of the change where {self._count} must follow: events are missing",
                where=where,
            )
        self._id = event.change

    def _dispatch(self, leaf: Leaf, event: Event) -> None:
        if "close" in self._last:
            raise _Refused("the change is closed")
        match event.type:
            case "change.opened":
                self._open(leaf, event)
            case "change.refused":
                self._refusals += 1
            case "permit.issued":
                self._permit(leaf, event)
            case "ask.answered":
                pass  # the answer itself is the signed statement before it
            case kind if kind in _STATEMENTS:
                self._statement(leaf)
            case kind if kind in _RUN_EVENTS:
                self._run_event(event)
            case _:
                self._slice_event(leaf, event)

    def _slice_event(self, leaf: Leaf, event: Event) -> None:
        match event.type:
            case "slice.intended":
                self._slice(leaf, event)
            case "action.intended":
                self._intent(leaf, event)
            case "action.finished" | "check.finished" | "action.reconciled":
                self._result(leaf, event)
            case "slice.finished":
                self._finish(event)
            case _:
                raise _Refused("no event of this type belongs to a change")

    def _finish(self, event: Event) -> None:
        draft, run = self._slice_of(event), self._run_of(event.run)
        draft.finished = states_in(event.data or {}, "hosts", self._blob)
        run.words.end(draft.fixed["key"], draft.finished.values())

    # Statements

    def _given(self, leaf: Leaf) -> Given:
        signed = Signed.from_data(leaf.event.data or {})
        policy = self._history.at(leaf.index).policy
        given = verify_given(signed, leaf=leaf, policy=policy, origin=self._history.origin)
        nonce = (given.signer, given.line("nonce"))
        if nonce in self._nonces:
            raise _Refused(f"{given.signer} has used this nonce before")
        self._nonces.add(nonce)
        return given

    def _open(self, leaf: Leaf, event: Event) -> None:
        if self._count:
            raise _Refused("a change is opened once, by its first event")
        given = self._given(leaf)
        if given.act != "open" or change_id(Signed.from_data(event.data or {})) != event.change:
            raise _Refused("the change's id does not follow from its open statement")
        if event.plan != given.line("plan"):
            raise _Refused("the event names another plan than the statement")
        window = given.statement.window
        self._request = Request(
            given=given,
            type=_TYPES[given.line("type")],
            plan=canonical.parse_digest(given.line("plan")),
            window=Window(start=window[0], end=window[1]) if window else None,
        )

    def _statement(self, leaf: Leaf) -> None:
        if leaf.event.type == "change.approved":
            self._voters[leaf.hash] = _claimed_signer(leaf)
        given = self._given(leaf)
        if self._request is None:
            raise _Refused("the change was never validly opened")
        self._must_fit(given, self._request)
        match given.act:
            case "approve" | "reject":
                self._voters[leaf.hash] = given.signer
                self._votes.append(Vote(given=given, approves=given.act == "approve"))
            case "revoke":
                of = canonical.parse_digest(given.line("of"))
                self._revocations.append(Revocation(given=given, of=of, voter=self._voters.get(of, "")))
            case "stop":
                self._stops.append(given)
            case "cancel" | "review" | "close":
                self._last[given.act] = given
            case "answer":
                self._answer(given)
            case act if act in _STARTS:
                self._starts.append(given)

    def _answer(self, given: Given) -> None:
        if self._manifest is None:
            return  # what was asked stands in the plan
        run = self._run_of(given.line("run"))
        if problem := answer_problem(given, run.words, self._questions):
            raise _Refused(problem)
        run.words.answers[given.line("step")] = given

    def _must_fit(self, given: Given, request: Request) -> None:
        expected = {
            "change": self._id,
            "plan": request.plan,
            "request": request.leaf,
            "window": request.given.line("window"),
        }
        for name, value in expected.items():
            if name in given.statement.fields and given.line(name) != value:
                raise _Refused(f"{given.signer} signed another {name}")
        if given.statement.scope and self._manifest and given.line("scope") != scope(self._manifest).text:
            raise _Refused(f"{given.signer} was shown another scope than the plan's")

    # What the executor wrote

    def _permit(self, leaf: Leaf, event: Event) -> None:
        body = permit_body(event)
        permit = PermitRecord(
            index=leaf.index, leaf=leaf.hash, at=time_of(leaf), run=event.run, mode=body["mode"], body=body
        )
        self._permits.append(permit)
        self._runs.setdefault(event.run, RunDraft(event.run)).permits.append(permit)

    def _run_of(self, run: str) -> RunDraft:
        if run not in self._runs:
            raise _Refused(f"run {run!r:.40} has no permit")
        return self._runs[run]

    def _run_event(self, event: Event) -> None:
        run, data = self._run_of(event.run), event.data or {}
        match event.type:
            case "run.started" | "run.resumed":
                run.begin()
            case "run.stopped":
                code = data.get("exit_code")
                run.stop(str(data.get("why", "")), code if isinstance(code, int) else 0)
            case _:
                if not isinstance(data.get("state"), str) or data["state"] not in _RUN_STATES:
                    raise _Refused("a run that ended in no known state")
                run.hosts = states_in(data, "hosts", self._blob)
                run.resources = states_in(data, "resources", self._blob) if carries(data, "resources") else {}
                run.state = data["state"]

    def _slice(self, leaf: Leaf, event: Event) -> None:
        run, data = self._run_of(event.run), event.data or {}
        draft = SliceDraft(
            {
                "index": leaf.index,
                "leaf": leaf.hash,
                "key": str(data.get("slice", "")),
                "step": event.step,
                "phase": event.phase or "do",
                "hosts": tuple(list_in(data, "hosts", self._blob)),
                "work": str(data.get("work", "")),
                "permit": Digest(str(data.get("permit", ""))),
                "passed": str(data.get("passed", "")),
                "until": str(data.get("until", "")),
            }
        )
        run.slices.append(draft)
        self._intents[leaf.hash] = draft
        if key := "" if draft.fixed["passed"] else draft.fixed["key"]:
            run.words.overtake(self._overtaking.get(key, ()), self._questions)
            if key in self._questions:
                run.words.ask(key)

    def _slice_of(self, event: Event) -> SliceDraft:
        if event.intent not in self._intents:
            raise _Refused("it names no earlier intent of this change")
        return self._intents[event.intent]

    def _intent(self, leaf: Leaf, event: Event) -> None:
        part = self._slice_of(event)
        part.actions.append(
            ActionIntent(index=leaf.index, leaf=leaf.hash, action=event.action, target=event.target or {})
        )
        self._intents[leaf.hash] = part

    def _result(self, leaf: Leaf, event: Event) -> None:
        part, data, target = self._slice_of(event), event.data or {}, event.target or {}
        if event.type == "action.reconciled":
            if "text" in data:
                given = self._given(leaf)
                if (given.line("host"), given.line("outcome")) != (target.get("id"), event.outcome):
                    raise _Refused("the statement reconciles another host or outcome")
                if given.line("change") != self._id or given.line("run") != event.run:
                    raise _Refused("the statement reconciles another run")
            part.reconciled[target.get("id", "")] = event.outcome
        part.results.append(
            ResultRecord(
                index=leaf.index,
                leaf=leaf.hash,
                type=event.type,
                intent=Digest(event.intent),
                target=target,
                action=event.action,
                outcome=event.outcome,
                data=data,
            )
        )


def _claimed_signer(leaf: Leaf) -> str:
    """The signer that an approval names, valid or not: revoking an invalid one must not block for good."""
    for line in str((leaf.event.data or {}).get("text", "")).split("\n"):
        if line.startswith("signer "):
            return line.removeprefix("signer ")
    return ""
