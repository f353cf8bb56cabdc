"""Verbs of contents that leaves only commit to: open, redact, retention.

Rules kept here: whoever opens a content signs for it, in a role that grants that; opening is logged before anything is
shown, and what was asked to go is never shown again; a content goes only by signed statements of enough people or by
the policy's retention; intent before effect: the statements are durable before the content is destroyed,
`redaction.done` is written after it, and whoever was interrupted between finishes when asked again; leaves never go. A
preview, by which nothing is judged, may go at any time: the policy's retention drops it without a word in the log. What
a redacted diff held may stand in every preview of its plan, so they go too, once `redaction.done` names them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from itmp.adapters import private
from itmp.adapters.clock import SystemClock, new_id
from itmp.audit import Event
from itmp.audit.commitments import open_commitment
from itmp.errors import InvalidInputError, NotFoundError
from itmp.inquiry import Content
from itmp.inquiry.contents import RETENTION, STATEMENT, needed
from itmp.signing.fields import NONE
from itmp.workspace import changes, entries, packing, remembered, statements
from itmp.workspace.behind import behind
from itmp.workspace.committed import committed, plans
from itmp.workspace.dropping import drop, drop_named, going, previews
from itmp.workspace.place import EXECUTOR, Workspace
from itmp.workspace.strays import store, strays, sweep

State: TypeAlias = Literal[
    "hot", "cold", "away", "missing", "expired", "asked", "redacted", "returned", "unfounded"
]
DUE: Final = frozenset({"expired", "asked", "returned"})
"""States of contents that may be dropped: too old, asked to go, or put back after they went."""
WRONG: Final = frozenset({"missing", "unfounded"})
"""States that need an explanation: nothing in the log says why the content is gone."""
GRACE: Final = timedelta(days=7)
"""How long after the policy's `keep` a content may still be here until somebody is told."""
_BATCH: Final = 100
_SHOWN: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A commitment and its content: `value` where it is here and opens it, else None, and `why` not.

    `needed` people must sign before it may be destroyed; `signed` are those who have. `unjudged` are files that no leaf
    names (yet), and that may hold what a destroyed content held, and previews that could not be destroyed; `behind`
    says who knows of leaves that are missing here. `previews` are the events of those that went with it.
    """

    content: Content
    state: State
    value: Any
    why: str
    needed: int = 0
    signed: tuple[str, ...] = ()
    unjudged: tuple[str, ...] = ()
    behind: tuple[str, ...] = ()
    previews: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Retained:
    """Every content with its state, and the stray files; `dropped` says how many were destroyed now.

    `previews` are those (by the months in which they were made) that the policy keeps no longer, or that a redaction
    took. `spared` are files that no leaf here names, and that stay because the log here lacks leaves, as `behind` says.
    """

    keep: int
    hot: int
    contents: tuple[tuple[Content, State], ...]
    strays: tuple[str, ...]
    dropped: int
    previews: tuple[str, ...] = ()
    spared: tuple[str, ...] = ()
    behind: tuple[str, ...] = ()

    @property
    def due(self) -> int:
        """How many may be dropped."""
        return sum(state in DUE for _, state in self.contents) + len(self.strays) + len(self.previews)

    @property
    def wrong(self) -> int:
        """How many are gone without a reason in the log."""
        return sum(state in WRONG for _, state in self.contents)


def audit_open(
    place: Workspace, name: str, pointer: str = "", *, reason: str = "", key: str | None = None
) -> tuple[Shown, ...]:
    """Sign that one reads what a leaf (index or hash) commits to, then verify and show it; first it is logged.

    What cannot be shown any more needs no signature: that somebody asked is logged, and what became of it told.
    """
    found = _opened(place, name, pointer)
    for item in found:
        data = {"leaf": item.content.leaf, "pointer": item.content.pointer}
        if item.value is None:
            place.log.append(Event(id=new_id(), type="log.read", actor=dict(EXECUTOR), data=data))
        else:
            _read(place, data, reason, key)
    place.log.checkpoint()
    if all(item.value is None for item in found):
        return found
    # A person signs as long as it takes, and somebody else may have it destroyed meanwhile: what was seen before counts
    # no more. Nor is shown what nobody signed for, because it was not here at first.
    later = _opened(place, found[0].content.leaf, pointer)
    return tuple(old if old.value is None else new for old, new in zip(found, later, strict=True))


def _opened(place: Workspace, name: str, pointer: str) -> tuple[Shown, ...]:
    now = SystemClock().now()
    return tuple(_shown(place, one, _state(place, one, now)) for one in _of_leaf(place, name, pointer))


def _read(place: Workspace, data: Mapping[str, str], reason: str, key: str | None) -> None:
    own = {**data, "reason": reason or NONE}
    statement, signed, signer = changes.sign_act(place, "read", lambda _: own, key)
    statements.check(place, signed)
    statements.record(place, statement, signed, actor=changes.actor(signer), data=data)


def audit_redact(place: Workspace, name: str, pointer: str, *, reason: str, key: str | None = None) -> Shown:
    """Sign that one content may go for good, and destroy it once enough people have signed.

    A further call, also by somebody who has signed, finishes what was interrupted.
    """
    (content,) = _of_leaf(place, name, pointer)
    if (content.redaction is None or content.redaction.unfounded) and not content.asked:
        _ask(place, content, reason, key)
    return redact_asked(place, content.leaf, content.pointer)


def redact_lines(place: Workspace, name: str, pointer: str, reason: str) -> Mapping[str, str]:
    """Return the own lines of a statement that asks to destroy one content."""
    if not reason:
        raise InvalidInputError("a redaction needs a reason", do="Say why: --reason TEXT.")
    (content,) = _of_leaf(place, name, pointer)
    return {"leaf": content.leaf, "pointer": pointer, "reason": reason}


def redact_asked(place: Workspace, name: str, pointer: str) -> Shown:
    """Destroy one content that a recorded statement asks to destroy, and with it whatever a killed process left."""
    (content,) = _of_leaf(place, name, pointer)
    gone = content.redaction is not None and not content.redaction.unfounded
    if not gone and not content.asked:
        return _awaited(place, content)
    known = behind(place)  # what is appended below would hide it
    away = not gone and store(place).get(content.commitment) is None
    if gone and content.redaction:
        store(place).destroy(content.commitment)
        stuck = drop_named(place, content.redaction.previews)
    else:
        stuck = _destroy(place, [content])
    unjudged, known = sweep(place, known)
    (content,) = _of_leaf(place, content.leaf, pointer)
    shown = _shown(place, content, _state(place, content, SystemClock().now()))
    file = f"{private.PRIVATE}/{content.at:%Y-%m}/{content.commitment.removeprefix('sha256:')}"
    more = f"; it was not here any more: destroy it where it was moved away to, as {file}" if away else ""
    went = content.redaction.previews if content.redaction else ()
    more += f"; with it went {len(went)} previews of its plan" if went else ""
    names = tuple(dict.fromkeys(path.relative_to(place.state).as_posix() for path in stuck))
    more += f"; previews that could not be destroyed: {_few(names)}; remove them by hand" if names else ""
    doubt, unjudged = _doubt(unjudged, known), (*names, *unjudged)
    return replace(shown, why=shown.why + more + doubt, unjudged=unjudged, behind=known, previews=went)


def _doubt(files: tuple[str, ...], known: tuple[str, ...]) -> str:
    if not files:
        return f"; leaves that are missing here may commit to it too ({known[0]})" if known else ""
    when = "once no run is at work"
    if known:
        when = f"leaves that are missing here may name them ({known[0]}): once the newest copy of the log is back"
    return (
        f"; {len(files)} files that no leaf names may hold it too, and cannot be judged yet ({_few(files)}): "
        f"{when}, itmp audit retention --apply"
    )


def _few(names: tuple[str, ...]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")


def audit_retention(place: Workspace, *, apply: bool = False) -> Retained:
    """Say which contents may be dropped, and with `apply` destroy them, each as a logged redaction."""
    now, dropped, known = SystemClock().now(), 0, behind(place)
    policy = place.history().latest.policy.retention
    if apply:
        due = [(content, state) for content, state in _judged(place, committed(place), now) if state in DUE]
        _destroy(place, [content for content, state in due if state != "returned"])
        for content, state in due:
            if state == "returned":
                store(place).destroy(content.commitment)
        found = strays(place, ask=True, known=known)
        files = (*found.dead, *found.earlier, *previews(place, policy.keep, found.contents))
        left = drop([file.path for file in files])
        dropped, known = len(due) + len(files) - len(left), found.behind
    found = strays(place, known=known)
    return Retained(
        keep=policy.keep.days,
        hot=policy.hot.days,
        contents=_judged(place, found.contents, now),
        strays=tuple(f"{file.shard}/{file.path.name}" for file in (*found.dead, *found.earlier)),
        dropped=dropped,
        previews=tuple(file.shard for file in previews(place, policy.keep, found.contents)),
        spared=tuple(f"{file.shard}/{file.path.name}" for file in found.spared),
        behind=found.behind,
    )


def owed(place: Workspace) -> Mapping[str, int]:
    """Return how many contents are here although they should not be, by what is owed.

    `redacted-content`: they (or previews with them) were redacted, and a backup was put back; `redaction-overdue`:
    somebody asked to destroy them; `retention-overdue`: they are older than the policy's `keep` by more than `GRACE`;
    `stray-content`: a killed process left them, so that nobody can ask to destroy them by a leaf, and nobody was told
    what they hold.
    """
    now, keep = SystemClock().now(), place.history().latest.policy.retention.keep
    here = {file.commitment for file in store(place).kept()}
    left, late_previews = strays(place), len(previews(place, keep + GRACE))
    back = len(previews(place, timedelta.max, left.contents))
    found = {"redacted-content": back, "redaction-overdue": 0, "retention-overdue": late_previews}
    found["stray-content"] = len(left.dead)
    for content, state in _judged(place, left.contents, now):
        found["redacted-content"] += state == "returned"
        found["redaction-overdue"] += state == "asked"
        late = state == "expired" and content.commitment in here
        found["retention-overdue"] += late and now - content.at >= keep + GRACE
    return {name: count for name, count in found.items() if count}


def _of_leaf(place: Workspace, name: str, pointer: str) -> tuple[Content, ...]:
    everything = committed(place)  # of packed periods too: the private store is one for all
    found = [item for item in everything if item.leaf == name]
    if not found:
        leaf = _leaf(place, name)
        found = [item for item in everything if item.leaf == leaf]
    chosen = tuple(item for item in found if pointer in {"", item.pointer})
    if not chosen:
        there = ", ".join(item.pointer for item in found) or "nothing"
        raise NotFoundError(
            f"the leaf commits to {there}" + (f", not to {pointer!r:.80}" if pointer else ""),
            where=f"leaf {name:.80}",
            do="Only committed contents can be opened or destroyed; what a leaf itself says stays for ever.",
        )
    return chosen


def _leaf(place: Workspace, name: str) -> str:
    """Return the hash of a leaf of any period that is in place; say where else it may lie."""
    try:
        return entries.audit_show(place, name).hash
    except NotFoundError as error:
        shards = [shard for shard in packing.audit_periods(place) if shard.where in {"packed", "dropped"}]
        if not shards:
            raise
        told = ", ".join(f"{shard.name} is {shard.where} {shard.file}".rstrip() for shard in shards)
        raise NotFoundError(
            f"{error.what}; {told}",
            do="Name a leaf of a packed period by its hash. What a dropped one committed to has no proof any more: "
            "itmp audit retention lists what is left of it as strays.",
        ) from error


def _ask(place: Workspace, content: Content, reason: str, key: str | None) -> None:
    policy, now = place.history().latest.policy, SystemClock().now()
    signer = statements.choose_signer(place, policy, key)
    if signer.id in {given.signer for given in content.standing(policy, now)}:
        return
    own = redact_lines(place, content.leaf, content.pointer, reason)
    statement, signed, signer = changes.sign_act(place, "redact", lambda _: own, key)
    statements.check(place, signed)
    statements.record(place, statement, signed, actor=changes.actor(signer))


def _awaited(place: Workspace, content: Content) -> Shown:
    """Say who has signed, and that it is not enough yet; nothing was destroyed."""
    policy, now = place.history().latest.policy, SystemClock().now()
    signed = tuple(given.signer for given in content.standing(policy, now))
    count = needed(policy, plans(place)(content.plan))
    why = f"{len(signed)} of {count} people have signed ({', '.join(signed)}); nothing was destroyed"
    return Shown(
        content=content, state=_state(place, content, now), value=None, why=why, needed=count, signed=signed
    )


def _destroy(place: Workspace, due: Iterable[Content]) -> tuple[Path, ...]:
    """Destroy each content and write that it is done, then what previews may hold of one that people asked to go.

    Return the previews that could not be destroyed.
    """
    contents, stuck = tuple(due), list[Path]()
    if not contents:
        return ()
    remembered.refuse_rolled_back(place)
    for start in range(0, len(contents), _BATCH):
        events, named = list[Event](), dict[str, None]()
        for content in contents[start : start + _BATCH]:
            store(place).destroy(content.commitment)
            names, others = going(place, content.plan) if content.asked and content.plan else ((), ())
            stuck += drop(others)
            events.append(_done(content, [name for name in names if name not in named]))
            named |= dict.fromkeys(names)
        place.log.extend(events)
        stuck += drop_named(place, named)
    place.log.checkpoint()
    return tuple(stuck)


def _done(content: Content, previews: list[str]) -> Event:
    cause: dict[str, Any] = {"cause": RETENTION}
    if content.asked:
        cause = {"cause": STATEMENT, "statements": [given.leaf for given in content.asked]}
    return Event(
        id=new_id(),
        type="redaction.done",
        actor=dict(EXECUTOR),
        on_behalf_of=content.asked[0].signer if content.asked else "",
        data={
            "leaf": content.leaf,
            "pointer": content.pointer,
            "commitment": content.commitment,
            **cause,
            **({"previews": previews} if previews else {}),
        },
    )


def _judged(
    place: Workspace, contents: Iterable[Content], now: datetime
) -> tuple[tuple[Content, State], ...]:
    here = {file.commitment for file in store(place).kept()}
    return tuple((content, _judge(place, content, content.commitment in here, now)) for content in contents)


def _state(place: Workspace, content: Content, now: datetime) -> State:
    here = any(file.commitment == content.commitment for file in store(place).kept())
    return _judge(place, content, here, now)


def _judge(place: Workspace, content: Content, here: bool, now: datetime) -> State:  # noqa: FBT001 - two callers
    policy, age = place.history().latest.policy.retention, now - content.at
    if content.redaction is not None and not content.redaction.unfounded:
        return "returned" if here else "redacted"
    if content.asked:
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
    if state == "asked" and content.asked:
        who = ", ".join(given.signer for given in content.asked)
        why = f"{who} asked to destroy it; finish that: itmp audit retention --apply"
        return Shown(content=content, state=state, value=None, why=why)
    opening = store(place).get(content.commitment)
    if opening is None:
        why = redaction.unfounded if redaction is not None else "not here, and the log says of no redaction"
        return Shown(content=content, state=state, value=None, why=why)
    value = open_commitment(content.commitment, content.pointer, opening)
    return Shown(content=content, state=state, value=value, why="")


__all__ = [
    "DUE",
    "Retained",
    "Shown",
    "audit_open",
    "audit_redact",
    "audit_retention",
    "owed",
    "redact_asked",
    "redact_lines",
]
