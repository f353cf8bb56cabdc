"""What must hold after any harm, read from two sides: the log, and the journals that the hosts keep themselves."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ground import WEB, Ground, Line

SLACK = 0.005
"""Seconds: times in the log are cut to microseconds, `date` is a process of its own."""
GOOD = {"ok", "changed", "skipped"}
DONE = {"ok", "changed"}
UNDONE = {"not_reached", "skipped"}


@dataclass(slots=True, kw_only=True)
class Intent:
    """One slice's intent as the log has it; `states` and `ended` once it has ended."""

    step: str
    hosts: tuple[str, ...]
    at: float
    states: dict[str, str]
    ended: float = float("inf")


def told(ground: Ground, change: str) -> tuple[list[Intent], list[Any]]:
    """Read intents and results of a change from the log."""
    intents: dict[str, Intent] = {}
    results = []
    for leaf in ground.leaves(change):
        event, data = leaf.event, leaf.event.data or {}
        at = datetime.fromisoformat(event.t).timestamp()
        match event.type:
            case "slice.intended":
                intents[leaf.hash] = Intent(step=event.step, hosts=tuple(data["hosts"]), at=at, states={})
            case "action.finished":
                assert event.intent in intents, f"a result without an intent: {event}"
                results.append((intents[event.intent], event, at))
            case "slice.finished":
                intents[event.intent].states, intents[event.intent].ended = dict(data["hosts"]), at
    return list(intents.values()), results


def agree(ground: Ground, change: str) -> None:
    """Require that the log is sound and that it and the hosts' journals tell the same."""
    assert ground.sound(), "the log does not verify"
    intents, results = told(ground, change)
    journals = {host: ground.lines(host) for host in WEB}
    compare(intents, journals)
    for intent, event, at in results:
        if event.outcome not in {"ok", "changed"}:
            continue
        host = event.target["id"]
        assert _ended(journals[host], intent.step, intent.at, at), (
            f"the log says that {host} did {intent.step}, and its journal does not: {journals[host]}"
        )


def compare(intents: list[Intent], journals: Mapping[str, list[Line]]) -> None:
    """Require that what each host did lies within an intent and is told there, and that nothing else is told."""
    for host, lines in journals.items():
        for line in lines:
            if line.what == "begin":
                _covered(intents, host, line.act, line.at)
    for intent in intents:
        for host, state in intent.states.items():
            if state in DONE:
                assert _ended(journals[host], intent.step, intent.at, intent.ended), (
                    f"{intent.step} ended on {host} as {state}, and its journal has no such end: {journals[host]}"
                )


def _ended(lines: list[Line], act: str, since: float, until: float) -> bool:
    mine = (line.at for line in lines if line.what == "end" and line.act == act)
    return any(since - SLACK <= at <= until + SLACK for at in mine)


def _covered(intents: list[Intent], host: str, act: str, at: float) -> None:
    """Judge by the newest attempt at that moment: one that was cut off and never ended says nothing, so it cannot lie."""
    mine = [one for one in intents if one.step == act and host in one.hosts and one.at <= at + SLACK]
    assert mine, f"{host} began {act} at {at} without an intent"
    state = mine[-1].states.get(host, "unknown")
    if at > mine[-1].ended + SLACK:
        assert state in {"unknown", "unreachable"}, (
            f"{host} began {act} after its slice had ended there as {state}"
        )
    assert state not in UNDONE, f"{host} began {act}, and its slice ended there as {state}"


def finished(ground: Ground, host: str, step: str, since: float) -> bool:
    """Whether the host's own journal says that it ended `step` after `since`: what a person would find there."""
    return any(
        line.what == "end" and line.act == step and line.at >= since - SLACK for line in ground.lines(host)
    )
