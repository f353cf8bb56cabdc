"""Statements signed on another machine: the text of every act, and taking in what was signed.

Rules kept here: a text says what the verb of its act would have had signed; what is taken in is judged first as if it
were the log's next leaf, by the same fold that every reader uses, so that what would count for nothing is refused with
that reason and never written; its conditions are those of the verb; text and signature are recorded as received, under
the signer's own name and kind. A start (run, resume, undo) is only recorded: whoever may use the workspace then carries
it out with `--recorded`, and the gate judges it like any other.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any, Final

from itmp.adapters.clock import SystemClock, new_id
from itmp.audit import Event, Expect, Leaf
from itmp.calendars import Window
from itmp.canonical import parse_digest
from itmp.change import ChangeRecord, Folding, StatementRefusedError
from itmp.change.statements import type_of
from itmp.errors import InvalidInputError, RejectedError
from itmp.plan import Plan
from itmp.signing import Signed, Statement, change_id, verify_signed
from itmp.workspace import (
    changes,
    contents,
    deciding,
    planning,
    policies,
    previewing,
    starting,
    statements,
    watching,
)
from itmp.workspace.answering import asking, role_to_answer, to_answer
from itmp.workspace.narrowing import chosen_hosts, kept_limit, limit_line, read_limit, refuse_empty
from itmp.workspace.place import Workspace

_VOTES: Final = frozenset({"approve", "reject"})
_STARTS: Final = frozenset({"run", "resume", "undo"})
_ALONE: Final = frozenset({"open", "preview", "policy", "redact"})
"""Acts that name no change that is there already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What a person says of an act besides whose it is; each act takes some of them and refuses the others.

    `kind`, `window` and `external` are an open's; `limit` names hosts for run and undo; `valid` says for how long a
    vote counts.
    """

    reason: str = ""
    kind: str = ""
    window: Window | None = None
    external: str = ""
    limit: str | None = None
    retry: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    step: str = ""
    value: str = ""
    host: str = ""
    outcome: str = ""
    pointer: str = ""
    valid: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """What taking a statement in has left: the change where it is about one, the leaf, and what follows from it."""

    act: str
    text: str
    leaf: str = ""
    change: ChangeRecord | None = None
    said: str = "recorded"
    next: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asking:
    """Everything from which an act's own lines are written."""

    place: Workspace
    name: str
    act: str
    signer: str
    words: Words

    @property
    def record(self) -> ChangeRecord:
        """The change that the act is about, where it may be acted on."""
        record = changes.find(self.place, self.name)
        changes.refuse_ended(record)
        return record


def statement_text(
    place: Workspace, name: str, act: str, *, signer: str, words: Words | None = None
) -> Statement:
    """Write the text of `act` for signing on another machine.

    `name` is a change; for `open` and `preview` a plan (file, digest or change), for `policy` a proposal's digest, for
    `redact` a leaf. Raises `InvalidInputError` for words that the act does not take, or that it lacks.
    """
    words = words or Words()
    if act not in ACTS:
        raise InvalidInputError(f"`{act:.40}` is not signed offline", do=f"Acts: {', '.join(ACTS)}.")
    if not signer:
        raise InvalidInputError("who will sign it is not said", do="Add --signer ID.")
    _check_words(act, words)
    asked = _Asking(place=place, name=name, act=act, signer=signer, words=words)
    own = _LINES[act](asked)
    until = deciding.until_of(place, asked.record, words.valid) if act in _VOTES else None
    return statements.compose(place, act, own, signer=signer, role=_role(asked), until=until)


def add_statement(place: Workspace, text: str, armor: str) -> Added:
    """Take in what was signed elsewhere; raise, and write nothing, when it would count for nothing."""
    signed = Signed(text=text, signature=armor)
    statement = Statement.parse(text)
    if statement.act not in ACTS:
        other = _ELSEWHERE.get(statement.act, f"Acts: {', '.join(ACTS)}.")
        raise InvalidInputError(f"`{statement.act}` statements are not added one by one", do=other)
    statements.check(place, signed)
    match statement.act:
        case "open":
            return _add_open(place, statement, signed)
        case "preview":
            return _add_preview(place, statement, signed)
        case "policy":
            done = policies.policy_take(place, signed)
            said = "in force" if done.in_force else f"{len(done.signers)} of {done.needed} signatures"
            return Added(act="policy", text=text, said=said)
        case "redact":
            return _add_redact(place, statement, signed)
    return _add(place, statement, signed)


def _add(place: Workspace, statement: Statement, signed: Signed) -> Added:
    record = changes.find(place, statement.fields["change"])
    changes.refuse_ended(record)
    more = _conditions(place, record, statement)
    who = _actor(place, statement, signed)
    _judge(place, record, _event(statement, signed, who, change=record.id, plan=record.plan or "", **more))
    data = {"offline": True} if statement.act in _STARTS else {}
    receipt = changes.append_act(place, statement, signed, who, record, data=data, **more)
    return Added(
        act=statement.act,
        text=statement.text,
        leaf=receipt.hash,
        change=changes.find(place, record.id),
        next=(f"itmp {statement.act} {record.id} --recorded",) if statement.act in _STARTS else (),
    )


def _add_open(place: Workspace, statement: Statement, signed: Signed) -> Added:
    plan = planning.logged_plan(place, parse_digest(statement.fields["plan"]))
    external = statement.fields["external"]
    same = changes.already_open(place, plan, "" if external == "-" else external)
    if same:
        return Added(
            act="open", text="", change=same, leaf=changes.request_of(same).leaf, said="is open already"
        )
    change, who = change_id(signed), _actor(place, statement, signed)
    if place.log.head_of(change) is not None:
        raise RejectedError(f"this statement has opened {change} already", do="Write a new text.")
    _judge(place, None, _event(statement, signed, who, change=change, plan=plan.digest))
    receipt = statements.record(
        place, statement, signed, actor=who, change=change, plan=plan.digest,
        expect=Expect(change=change, head=None),
    )  # fmt: skip
    return Added(
        act="open", text=statement.text, leaf=receipt.hash, change=changes.find(place, change), said="open"
    )


def _add_preview(place: Workspace, statement: Statement, signed: Signed) -> Added:
    plan = planning.logged_plan(place, parse_digest(statement.fields["plan"]))
    if odd := [
        name for name, line in previewing.signed_lines(plan).items() if statement.fields[name] != line
    ]:
        raise InvalidInputError("a preview asks all of the plan's hosts and is of no change", where=odd[0])
    if _nonce_used(place, statement, "plan.previewed"):
        raise StatementRefusedError(f"{statement.fields['signer']} has used this nonce before")
    previewing.preview(place, plan, given=signed)
    return Added(
        act="preview", text=statement.text, said="the hosts were asked", next=(f"itmp show {plan.digest}",)
    )


def _add_redact(place: Workspace, statement: Statement, signed: Signed) -> Added:
    leaf, pointer = statement.fields["leaf"], statement.fields["pointer"]
    contents.redact_lines(place, leaf, pointer, statement.fields["reason"])
    if _nonce_used(place, statement, "statement.recorded"):
        raise StatementRefusedError(f"{statement.fields['signer']} has used this nonce before")
    receipt = statements.record(place, statement, signed, actor=_actor(place, statement, signed))
    shown = contents.redact_asked(place, leaf, pointer)
    said = shown.why if shown.needed or shown.unjudged else shown.state
    return Added(act="redact", text=statement.text, leaf=receipt.hash, said=said)


def _nonce_used(place: Workspace, statement: Statement, kind: str) -> bool:
    """Whether an event without a change carries this signer's nonce already."""
    lines = [f"{name} {statement.fields[name]}".encode() for name in ("signer", "nonce")]
    return any(
        kind.encode() in leaf.data and all(line in leaf.data for line in lines) for leaf in place.log.leaves()
    )


def _conditions(place: Workspace, record: ChangeRecord, statement: Statement) -> Mapping[str, Any]:
    """Raise where the verb of this act would refuse; return what its event says besides."""
    said, act = statement.fields, statement.act
    if act in _STARTS:
        starting.refuse_start(record, act)
        kept = kept_limit(_plan(place, record), record.run) if act == "resume" and record.run else ()
        limit = read_limit(_plan(place, record), "" if said["limit"] == "-" else said["limit"], kept)
        if limit.retry and act != "resume":
            raise InvalidInputError(f"only a resume tries hosts again, not `{act}`", where="limit")
    elif act == "stop":
        watching.refuse_idle(record)
    elif act == "revoke":
        if said["of"] != deciding.standing_vote(record, said["signer"]):
            raise InvalidInputError("it takes back another vote than the signer's own newest", where="of")
    elif act == "answer":
        run, question = to_answer(place, record, said["step"], said["value"])
        return {"run": run.id, "step": question.id}
    elif act == "reconcile":
        return _reconciled(record, said)
    deciding.refuse_running(record, act)
    return {}


def _reconciled(record: ChangeRecord, said: Mapping[str, str]) -> Mapping[str, Any]:
    run, part = watching.lost(record, said["host"])
    if said["run"] != run.id:
        raise InvalidInputError(
            f"{said['host']} is unknown in run {run.id}, not in {said['run']}", where="run"
        )
    target = {"kind": "host", "id": said["host"]}
    return {
        "run": run.id, "step": part.step, "phase": part.phase, "intent": part.leaf,
        "outcome": said["outcome"], "target": target,
    }  # fmt: skip


def _judge(place: Workspace, record: ChangeRecord | None, event: Event) -> None:
    """Raise `StatementRefusedError` with the fold's own reason if `event` would count for nothing as the next leaf."""
    leaves = place.log.of_change(event.change) if record else ()
    manifest = planning.logged_plan(place, parse_digest(event.plan)).manifest
    folding = Folding(place.history(), manifest=manifest, blob=place.log.blob)
    for leaf in leaves:
        folding.take(leaf)
    index = place.log.size()
    folding.take(Leaf(index=index, data=_placed(event, leaves).to_bytes()))
    for finding in folding.record().findings:
        if finding.index == index:
            raise StatementRefusedError(
                f"it would count for nothing: {finding.why}",
                where=event.change,
                do="Write a new text: itmp statement --help.",
            )


def _placed(event: Event, leaves: tuple[Leaf, ...]) -> Event:
    from dataclasses import replace  # noqa: PLC0415 - one caller

    moment = SystemClock().now().isoformat(timespec="microseconds").replace("+00:00", "Z")
    return replace(event, t=moment, cseq=len(leaves), cprev=leaves[-1].hash if leaves else "")


def _event(statement: Statement, signed: Signed, who: Mapping[str, str], **more: Any) -> Event:
    return Event(id=new_id(), type=type_of(statement.act), actor=who, data=signed.to_data(), **more)


def _actor(place: Workspace, statement: Statement, signed: Signed) -> dict[str, str]:
    """Return the event's actor: the signer's kind by the policy in force, and the key that signed."""
    name = statement.fields["signer"]
    signer = place.history().latest.policy.signer(name)
    _, by = verify_signed(signed, domain=place.log.origin.partition("/")[0])
    return {"kind": signer.kind if signer else "human", "id": name, "key": by.key.fingerprint}


def _role(asked: _Asking) -> str:
    if asked.act == "answer":
        return role_to_answer(asked.place, asked.signer, asking(asked.place, asked.record)[asked.words.step])
    return statements.role_for(asked.place.history().latest.policy, asked.signer, asked.act)


def _plan(place: Workspace, record: ChangeRecord) -> Plan:
    return planning.logged_plan(place, changes.request_of(record).plan)


# The own lines of each act.


def _open(asked: _Asking) -> Mapping[str, str]:
    words, plan = asked.words, changes.read_plan(asked.place, asked.name)
    kind = words.kind or "normal"
    return deciding.open_lines(
        asked.place, plan, kind=kind, reason=words.reason, external=words.external, window=words.window
    )


def _preview(asked: _Asking) -> Mapping[str, str]:
    plan = changes.read_plan(asked.place, asked.name)
    planning.keep_plan(asked.place, plan)
    planning.record_compiled(asked.place, plan)
    return previewing.signed_lines(plan)


def _vote(asked: _Asking) -> Mapping[str, str]:
    return deciding.ballot(asked.place, asked.record)


def _revoke(asked: _Asking) -> Mapping[str, str]:
    record = asked.record
    return {"change": record.id, "of": deciding.standing_vote(record, asked.signer)}


def _start(asked: _Asking) -> Mapping[str, str]:
    record, words = asked.record, asked.words
    starting.refuse_start(record, asked.act)
    plan = _plan(asked.place, record)
    hosts = chosen_hosts(plan, words.limit)
    refuse_empty(skip=words.skip, retry=words.retry)
    if asked.act == "resume" and record.run:
        hosts = kept_limit(plan, record.run)
    return starting.start_lines(record, limit_line(plan, hosts, skip=words.skip, retry=words.retry))


def _reason(asked: _Asking) -> Mapping[str, str]:
    record = asked.record
    deciding.refuse_running(record, asked.act)
    if asked.act == "stop":
        watching.refuse_idle(record)
    return {"change": record.id, "reason": asked.words.reason}


def _answer(asked: _Asking) -> Mapping[str, str]:
    record, words = asked.record, asked.words
    run, _ = to_answer(asked.place, record, words.step, words.value)
    return {"change": record.id, "run": run.id, "step": words.step, "value": words.value}


def _reconcile(asked: _Asking) -> Mapping[str, str]:
    record, words = asked.record, asked.words
    run, _ = watching.lost(record, words.host)
    return {
        "change": record.id, "run": run.id, "host": words.host, "outcome": words.outcome, "reason": words.reason,
    }  # fmt: skip


def _policy(asked: _Asking) -> Mapping[str, str]:
    return policies.policy_lines(asked.place, asked.name)


def _redact(asked: _Asking) -> Mapping[str, str]:
    return contents.redact_lines(asked.place, asked.name, asked.words.pointer, asked.words.reason)


_LINES: Final[Mapping[str, Callable[[_Asking], Mapping[str, str]]]] = {
    "open": _open, "approve": _vote, "reject": _vote, "revoke": _revoke, "run": _start, "resume": _start,
    "undo": _start, "preview": _preview, "stop": _reason, "answer": _answer, "reconcile": _reconcile,
    "cancel": _reason, "review": _reason, "close": _reason, "policy": _policy, "redact": _redact,
}  # fmt: skip
_ELSEWHERE: Final = {
    "enrol": "itmp init --seal SIG",
    "rotate": "itmp audit rotate --seal SIG",
    "recover": "itmp audit revoke-key --seal SIG",
    "read": "itmp audit open LEAF: whoever reads signs where it is shown",
}
ACTS: Final = tuple(_LINES)
"""The acts whose text is written here and taken in."""
_NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    "open": ("reason",), "stop": ("reason",), "cancel": ("reason",), "review": ("reason",), "close": ("reason",),
    "answer": ("step", "value"), "reconcile": ("host", "outcome", "reason"), "redact": ("pointer", "reason"),
}  # fmt: skip
_MAY: Final[Mapping[str, tuple[str, ...]]] = {
    "open": ("kind", "window", "external"), "approve": ("valid",), "reject": ("valid",), "run": ("limit",),
    "undo": ("limit",), "resume": ("retry", "skip"),
}  # fmt: skip


def _check_words(act: str, words: Words) -> None:
    said = {field.name for field in fields(words) if getattr(words, field.name) not in (None, "", ())}
    needed, allowed = set(_NEEDS.get(act, ())), set(_MAY.get(act, ()))
    if missing := sorted(needed - said):
        raise InvalidInputError(f"`{act}` needs {', '.join(missing)}", do=f"Add --{missing[0]}.")
    if strange := sorted(said - needed - allowed):
        takes = ", ".join(sorted(needed | allowed)) or "nothing besides --signer"
        raise InvalidInputError(f"`{act}` says nothing of {', '.join(strange)}", do=f"It takes: {takes}.")
