"""Verbs of contents that leaves only commit to: open, redact, retention.

Rules kept here: opening is logged before anything is shown, and what was asked to go is never shown again; a content
goes only by a signed statement that counts or by the policy's retention; intent before effect: the statement is durable
before the content is destroyed, `redaction.done` is written after it, and whoever was interrupted between finishes when
asked again; leaves never go.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

from itmp.adapters import private
from itmp.adapters.clock import SystemClock, new_id
from itmp.audit import Event
from itmp.audit.commitments import commitments_of, open_commitment
from itmp.errors import InvalidInputError, NotFoundError
from itmp.inquiry import Content, contents
from itmp.inquiry.contents import RETENTION, STATEMENT
from itmp.workspace import changes, entries, statements
from itmp.workspace.place import EXECUTOR, Workspace

State: TypeAlias = Literal[
    "hot", "cold", "away", "missing", "expired", "asked", "redacted", "returned", "unfounded"
]
DUE: Final = frozenset({"expired", "asked", "returned"})
"""States of contents that may be dropped: too old, asked to go, or put back after they went."""
WRONG: Final = frozenset({"missing", "unfounded"})
"""States that need an explanation: nothing in the log says why the content is gone."""
_STRAY: Final = (
    24 * 3600.0
)  # seconds; a content is kept just before its leaf, so a young one may still get it
_BATCH: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A commitment and its content: `value` where it is here and opens it, else None, and `why` not."""

    content: Content
    state: State
    value: Any
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Retained:
    """Every content with its state, and the stray files; `dropped` says how many were destroyed now."""

    keep: int
    hot: int
    contents: tuple[tuple[Content, State], ...]
    strays: tuple[str, ...]
    dropped: int

    @property
    def due(self) -> int:
        """How many may be dropped."""
        return sum(state in DUE for _, state in self.contents) + len(self.strays)

    @property
    def wrong(self) -> int:
        """How many are gone without a reason in the log."""
        return sum(state in WRONG for _, state in self.contents)


def audit_open(place: Workspace, name: str, pointer: str = "") -> tuple[Shown, ...]:
    """Open and verify what a leaf (index or hash) commits to; written to the log as `log.read` first."""
    found = _of_leaf(place, name, pointer)
    now = SystemClock().now()
    states = [(content, _state(place, content, now)) for content in found]
    for content, _ in states:
        data = {"leaf": content.leaf, "pointer": content.pointer}
        place.log.append(Event(id=new_id(), type="log.read", actor=dict(EXECUTOR), data=data))
    place.log.checkpoint()
    return tuple(_shown(place, content, state) for content, state in states)


def audit_redact(place: Workspace, name: str, pointer: str, *, reason: str, key: str | None = None) -> Shown:
    """Destroy one content for good, by a signed statement; a second call finishes what was interrupted."""
    (content,) = _of_leaf(place, name, pointer)
    if content.redaction is None or content.redaction.unfounded:
        if content.asked is None:
            _ask(place, content, reason, key)
            (content,) = _of_leaf(place, str(content.leaf), pointer)
        _destroy(place, [content])
    else:
        _store(place).destroy(content.commitment)
    (content,) = _of_leaf(place, str(content.leaf), pointer)
    return _shown(place, content, _state(place, content, SystemClock().now()))


def audit_retention(place: Workspace, *, apply: bool = False) -> Retained:
    """Say which contents may be dropped, and with `apply` destroy them, each as a logged redaction."""
    now, dropped = SystemClock().now(), 0
    policy, store = place.history().latest.policy.retention, _store(place)
    if apply:
        due = [(content, state) for content, state in _states(place, now) if state in DUE]
        _destroy(place, [content for content, state in due if state != "returned"])
        for content, state in due:
            if state == "returned":
                store.destroy(content.commitment)
        strays = _strays(place)
        for file in strays:
            private.destroy(file.path)
        dropped = len(due) + len(strays)
    return Retained(
        keep=policy.keep.days,
        hot=policy.hot.days,
        contents=_states(place, now),
        strays=tuple(f"{file.shard}/{file.path.name}" for file in _strays(place)),
        dropped=dropped,
    )


def returned(place: Workspace) -> int:
    """Return how many contents are here although they were redacted: a backup was put back."""
    return sum(state == "returned" for _, state in _states(place, SystemClock().now()))


def _of_leaf(place: Workspace, name: str, pointer: str) -> tuple[Content, ...]:
    leaf = entries.audit_show(place, name)
    found = [item for item in contents(place.log.leaves(), place.history()) if item.index == leaf.index]
    chosen = tuple(item for item in found if pointer in {"", item.pointer})
    if not chosen:
        there = ", ".join(item.pointer for item in found) or "nothing"
        raise NotFoundError(
            f"the leaf commits to {there}" + (f", not to {pointer!r:.80}" if pointer else ""),
            where=f"leaf {leaf.index}",
            do="Only committed contents can be opened or destroyed; what a leaf itself says stays for ever.",
        )
    return chosen


def _ask(place: Workspace, content: Content, reason: str, key: str | None) -> None:
    if not reason:
        raise InvalidInputError("a redaction needs a reason", do="Say why: --reason TEXT.")
    own: Mapping[str, str] = {"leaf": content.leaf, "pointer": content.pointer, "reason": reason}
    statement, signed, signer = changes.sign_act(place, "redact", lambda _: own, key)
    statements.check(place, signed)
    statements.record(place, statement, signed, actor=changes.actor(signer))


def _destroy(place: Workspace, due: Iterable[Content]) -> None:
    """Destroy each content, then write that it is done."""
    events = []
    for content in due:
        _store(place).destroy(content.commitment)
        events.append(_done(content))
        if len(events) == _BATCH:
            place.log.extend(events)
            events = []
    if events:
        place.log.extend(events)
    place.log.checkpoint()


def _done(content: Content) -> Event:
    cause = {"cause": RETENTION}
    if content.asked is not None:
        cause = {"cause": STATEMENT, "statement": content.asked.leaf}
    return Event(
        id=new_id(),
        type="redaction.done",
        actor=dict(EXECUTOR),
        on_behalf_of=content.asked.signer if content.asked else "",
        data={
            "leaf": content.leaf,
            "pointer": content.pointer,
            "commitment": content.commitment,
            **cause,
        },
    )


def _states(place: Workspace, now: datetime) -> tuple[tuple[Content, State], ...]:
    found = contents(place.log.leaves(), place.history())
    here = {file.commitment for file in _store(place).kept()}
    return tuple((content, _judge(place, content, content.commitment in here, now)) for content in found)


def _state(place: Workspace, content: Content, now: datetime) -> State:
    here = any(file.commitment == content.commitment for file in _store(place).kept())
    return _judge(place, content, here, now)


def _judge(place: Workspace, content: Content, here: bool, now: datetime) -> State:  # noqa: FBT001 - two callers
    policy, age = place.history().latest.policy.retention, now - content.at
    if content.redaction is not None and not content.redaction.unfounded:
        return "returned" if here else "redacted"
    if content.asked is not None:
        return "asked"
    if age >= policy.keep:
        return "expired"
    if not here:
        unfounded = content.redaction is not None
        return "unfounded" if unfounded else "missing" if age < policy.hot else "away"
    return "hot" if age < policy.hot else "cold"


def _shown(place: Workspace, content: Content, state: State) -> Shown:
    redaction = content.redaction
    if state in {"redacted", "returned"} and redaction is not None:
        why = f"redacted by {redaction.by} on {redaction.at:%Y-%m-%dT%H:%M:%SZ}: {redaction.reason}"
        more = "; a copy of it is here again: itmp audit retention --apply" if state == "returned" else ""
        return Shown(content=content, state=state, value=None, why=why + more)
    if state == "asked" and content.asked is not None:
        why = f"{content.asked.signer} asked to destroy it; finish that: itmp audit retention --apply"
        return Shown(content=content, state=state, value=None, why=why)
    opening = _store(place).get(content.commitment)
    if opening is None:
        why = redaction.unfounded if redaction is not None else "not here, and the log says of no redaction"
        return Shown(content=content, state=state, value=None, why=why)
    value = open_commitment(content.commitment, content.pointer, opening)
    return Shown(content=content, state=state, value=value, why="")


def _strays(place: Workspace) -> tuple[private.Kept, ...]:
    known: set[str] = set()
    for leaf in place.log.leaves():
        if any(mark in leaf.data for mark in (b'"before":"', b'"after":"', b'"diff":"')):
            known |= set(commitments_of(leaf.event).values())
    files = _store(place).kept()
    return tuple(file for file in files if file.commitment not in known and file.age > _STRAY)


def _store(place: Workspace) -> private.PrivateStore:
    return private.PrivateStore(place.state / private.PRIVATE)


__all__ = ["DUE", "Retained", "Shown", "audit_open", "audit_redact", "audit_retention", "returned"]
