"""What must hold after any harm, read from two sides: the log, and the journals that the hosts keep themselves.

1. What a host begins lies within an intent of its step, and has a result there unless the log says that it is not known.
2. What the log calls done the host ended, each act and each step with all that belongs to it: a rescue, where it was due.
3. What is done is not begun again, but where its batch was closed before the host had passed it; what was not is begun again
   only once somebody asked for it; and never beside itself.
4. What failed has a failure that nothing rescued.
5. A change on a host is followed by its handler, or the handler was named to people as pending or as perhaps notified.
"""

import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeAlias

from ground import WEB, Ground, Line
from plays import ACTS, DELEGATE

SLACK = 0.005
"""Seconds: times in the log are cut to microseconds, `date` is a process of its own."""
GOOD = {"ok", "changed", "skipped"}
DONE = {"ok", "changed"}
UNDONE = {"not_reached", "skipped"}
NEVER: Final = float("inf")
CLOSING: Final = "z"
_NAMED: Final = re.compile(r"(pending handlers|not known whether notified): (\S+): (.*) \(")

Journals: TypeAlias = Mapping[str, list[Line]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """When a host's handler was last named to people, and whether as surely `pending`."""

    at: float
    pending: bool


NOT_YET: Final = Naming(at=0, pending=False)
Named: TypeAlias = dict[tuple[str, str], Naming]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One result as the log has it: `host` is whom it is for, `place` where it was done."""

    act: str
    host: str
    place: str
    outcome: str
    at: float
    excused: bool = False


@dataclass(slots=True, kw_only=True)
class Intent:
    """One slice's intent as the log has it; `states` and `ended` once it has ended, `said` what was found out later."""

    step: str
    hosts: tuple[str, ...]
    at: float
    states: dict[str, str]
    ended: float = NEVER
    said: dict[str, str] = field(default_factory=dict)
    results: list[Told] = field(default_factory=list)

    def state(self, host: str) -> str:
        """What became of a host, as far as the log knows by now; empty where it has never said anything."""
        failed = {one.outcome for one in self.results if one.host == host and not one.excused}
        worst = next((word for word in ("failed", "unreachable") if word in failed), "")
        return self.said.get(host) or self.states.get(host) or worst


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What the log tells of a change: its intents, oldest first, and when people asked to retry what."""

    intents: list[Intent]
    retries: list[tuple[float, frozenset[str]]]


def told(ground: Ground, change: str) -> Story:
    """Read intents, results and what people asked for from the log."""
    intents: dict[str, Intent] = {}
    retries = []
    for leaf in ground.leaves(change):
        event, data = leaf.event, leaf.event.data or {}
        at = datetime.fromisoformat(event.t).timestamp()
        match event.type:
            case "run.resumed":
                retries.append((at, frozenset(data.get("retry", ()))))
            case "slice.intended":
                intents[leaf.hash] = Intent(step=event.step, hosts=tuple(data["hosts"]), at=at, states={})
            case "action.finished":
                assert event.intent in intents, f"a result without an intent: {event}"
                more, host = data.get("more") or {}, event.target["id"]
                one = Told(
                    act=data["name"].rpartition(" : ")[2],
                    host=host,
                    place=data.get("delegate") or host,
                    outcome=event.outcome,
                    at=at,
                    excused=bool(more.get("rescued") or more.get("ignored")),
                )
                intents[event.intent].results.append(one)
            case "slice.finished":
                intents[event.intent].states, intents[event.intent].ended = dict(data["hosts"]), at
            case "action.reconciled":
                intents[event.intent].said[event.target["id"]] = event.outcome
    return Story(intents=list(intents.values()), retries=retries)


def agree(ground: Ground, change: str, named: Named) -> None:
    """Require that the log is sound and that it and the hosts' journals tell the same.

    `named` keeps when each host's handlers were last named to people, and as what; they are asked for here.
    """
    assert ground.sound(), "the log does not verify"
    journals = {host: ground.lines(host) for host in WEB}
    story = told(ground, change)
    compare(story.intents, journals)
    repeated(story, journals)
    status = ground.json("status", change)
    assert not story.intents or set(status["hosts"]) == set(WEB), f"not every host is accounted for: {status}"
    now = time.time()
    named |= {(host, act): Naming(at=now, pending=sure) for host, act, sure in names(status["notes"])}
    for host, lost in unhandled(journals):
        last = named.get((host, handler_of(lost.act)), NOT_YET)
        assert last.at >= lost.at, (
            f"{host} was changed by {lost.act}, its handler did not run, and nobody is told: "
            f"{status['notes']} {journals[host]}"
        )


def settled(ground: Ground, named: Named, *, undone: bool) -> None:
    """Require, at a run's good end, that each handler has run after its change, or was only perhaps notified."""
    for host, lost in unhandled({host: ground.lines(host) for host in WEB}):
        if ACTS[lost.act].undo or not undone:  # a change that was undone needs no handler of its own
            last = named[host, handler_of(lost.act)]
            assert not last.pending, f"{host} is still owed what follows {lost.act}: {ground.lines(host)}"


def compare(intents: list[Intent], journals: Journals) -> None:
    """Require that what each host did lies within an intent and is told there, and that nothing else is told."""
    for host, lines in journals.items():
        for line in lines:
            if line.what == "begin":
                _covered(intents, host, line.act, line.at)
    for intent in intents:
        for host, state in intent.states.items():
            if state in DONE:
                _passed(intent, host, state, journals)
            if state == "failed" and intent.results:
                assert any(
                    one.host == host and one.outcome in {"failed", "denied"} and not one.excused
                    for one in intent.results
                ), f"{intent.step} ended on {host} as failed, and all that failed there was rescued: {intent}"
        for one in intent.results:
            if one.outcome in DONE:
                assert _ended(journals[one.place], one.act, intent.at, one.at), (
                    f"the log says that {one.place} did {one.act}, and its journal does not: {journals[one.place]}"
                )
        _counted(intents, intent, journals)


def _passed(intent: Intent, host: str, state: str, journals: Journals) -> None:
    """Require of a host that got through a step that it ended what belongs to it."""
    lines, known = journals[host], {act: its for act, its in ACTS.items() if its.step == intent.step}
    wanted = [act for act, its in known.items() if its.must]
    failed = [line.act for line in lines if line.what == "fail" and intent.at <= line.at <= intent.ended]
    wanted += ["mend" for act in failed if known.get(act) and known[act].kind == "block"]
    for act in wanted or [intent.step]:
        assert _ended(lines, act, intent.at, intent.ended), (
            f"{intent.step} ended on {host} as {state}, and its journal has no such end of {act}: {lines}"
        )


def _counted(intents: list[Intent], intent: Intent, journals: Journals) -> None:
    """Require a result of its own for each act that was begun under an intent and is not said to be unknown."""
    for place, lines in journals.items():
        for act in {line.act for line in lines if _step(line.act) == intent.step}:
            begun = [
                line
                for line in lines
                if line.what == "begin" and line.act == act and _newest(intents, place, line) is intent
            ]
            if not begun or begun[-1].at > intent.ended + SLACK:
                continue
            mine = [one for one in intent.results if one.act == act and one.place == place]
            whom = intent.hosts if _delegated(act) else (place,)
            silent = sum(intent.states.get(host, "unknown") == "unknown" for host in whom)
            assert len(begun) <= len(mine) + silent, (
                f"{place} began {act} {len(begun)} times under one intent, and the log has {len(mine)} results of it: "
                f"{intent} {lines}"
            )


def repeated(story: Story, journals: Journals) -> None:
    """Require that nothing runs twice that the log calls done, unasked, or beside itself."""
    for host, lines in journals.items():
        first: dict[str, Line] = {}
        for line in (line for line in lines if line.what == "begin" and not _delegated(line.act)):
            if line.act in first:
                _again(story, host, first[line.act], line)
                _apart(host, first[line.act], line, lines)
            first[line.act] = line


def _again(story: Story, host: str, before: Line, now: Line) -> None:
    """Judge that an act is begun again under another intent."""
    old, new = (_newest(story.intents, host, line) for line in (before, now))
    if old is None or new is None or old is new:
        return
    state = old.state(host)
    between = {one.step for one in story.intents if host in one.hosts and old.at < one.at < new.at}
    if state in DONE:
        # A batch may be closed before a host has passed it, and is closed again once it was entered again.
        assert between - {CLOSING} if old.step == CLOSING else CLOSING in between, (
            f"{host} began {now.act} again, and the log had called its step {state}"
        )
    elif not ACTS[now.act].undo:  # an undo takes up what it has not done by itself
        asked = any(old.at < at <= new.at and state in words for at, words in story.retries)
        assert asked or state == "not_reached", (
            f"{host} began {now.act} again, of which the log had said {state or 'nothing'!r}, and nobody asked for it"
        )


def _apart(host: str, before: Line, now: Line, lines: Iterable[Line]) -> None:
    late = [line for line in lines if line.since == before.since and line.act == now.act and line.at > now.at]
    assert not late, f"{host} began {now.act} while it still ran there: {before} {now} {late}"


def handler_of(act: str) -> str:
    """Return what follows a change by `act`; empty where nothing does."""
    return next((handler for handler, its in ACTS.items() if its.follows == act), "")


def unhandled(journals: Journals) -> Iterator[tuple[str, Line]]:
    """Yield each host's changes after which no handler has run to its end."""
    for host, lines in journals.items():
        for place, line in enumerate(lines):
            after = {later.act for later in lines[place:] if later.what == "end"}
            if line.what == "change" and handler_of(line.act) not in after:
                yield host, line


def names(notes: Iterable[str]) -> Iterator[tuple[str, str, bool]]:
    """Yield host and handler of each that a command's notes name, and whether it is surely pending."""
    for found in filter(None, map(_NAMED.search, notes)):
        for title in found[3].split(", "):
            yield found[2], title.rpartition(" : ")[2], found[1].startswith("pending")


def finished(ground: Ground, host: str, step: str, since: float) -> bool:
    """Whether the host's own journal says that it got through `step` after `since`: what a person would find there."""
    lines = [line for line in ground.lines(host) if line.at >= since - SLACK]
    ended = {line.act for line in lines if line.what == "end"}
    wanted = {act for act, its in ACTS.items() if its.step == step and its.must}
    lost = [line for _, line in unhandled({host: ground.lines(host)}) if _step(line.act) == step]
    return wanted <= ended and not lost


def _step(act: str) -> str:
    return ACTS[act].step if act in ACTS else act


def _delegated(act: str) -> bool:
    return act in ACTS and ACTS[act].kind == "once"


def _ended(lines: list[Line], act: str, since: float, until: float) -> bool:
    mine = (line.at for line in lines if line.what == "end" and line.act == act)
    return any(since - SLACK <= at <= until + SLACK for at in mine)


def _newest(intents: list[Intent], host: str, line: Line) -> Intent | None:
    """Return the newest attempt at the moment of a line that may have begun its act."""
    delegated = _delegated(line.act) and host == DELEGATE
    mine = [
        one
        for one in intents
        if one.step == _step(line.act) and (delegated or host in one.hosts) and one.at <= line.at + SLACK
    ]
    return mine[-1] if mine else None


def _covered(intents: list[Intent], host: str, act: str, at: float) -> None:
    """Judge by the newest attempt at that moment: one that was cut off and never ended says nothing, so it cannot lie."""
    one = _newest(intents, host, Line(what="begin", act=act, at=at))
    assert one, f"{host} began {act} at {at} without an intent"
    whom = one.hosts if _delegated(act) else (host,)
    states = {one.states.get(target, "unknown") for target in whom}
    if at > one.ended + SLACK:
        assert states & {"unknown", "unreachable"}, (
            f"{host} began {act} after its slice had ended there as {', '.join(sorted(states))}"
        )
    assert states - UNDONE, f"{host} began {act}, and its slice ended there as {', '.join(sorted(states))}"
