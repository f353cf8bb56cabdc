"""Handlers that were notified and did not run: a run that dies between a change and its handler would lose them.

Rules kept here: a result that changed something names the handlers that it notified; a handler is owed until it has run
on that host (a failure that nobody ignores is no run), until the passage that notified it ends well there, or until a
person says that the step is done. Where a host fell silent in the middle of an action (its outcome is unknown, or the
connection was lost) it is also not known what that action had notified: those handlers are named, and nothing runs them
by itself, because a restart that nobody needs is an effect too.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol

from itmp.audit.event import Event
from itmp.execution.accounting import GOOD, HostState
from itmp.execution.units import Unit
from itmp.plan import AnsibleStep

SILENT: Final = frozenset({"unknown", "unreachable"})
"""The states of a host that fell silent, maybe in the middle of an action."""


class Begun(Protocol):
    """A begun slice, as far as it matters here."""

    @property
    def states(self) -> Mapping[str, HostState]:
        """What became of each target."""


class Owed:
    """What each host is owed in each slice, while a story is read in the log's order."""

    def __init__(self) -> None:
        self._due: dict[tuple[str, str], dict[str, str]] = {}

    def finish(self, key: str, event: Event) -> None:
        """Take one result of slice `key`: it may notify handlers, and it may be that of one."""
        data, host = event.data or {}, (event.target or {}).get("id", "")
        more = data.get("more")
        more = more if isinstance(more, dict) else {}
        due = self._due.setdefault((key, host), {})
        if event.outcome in {"ok", "changed", "skipped"} or more.get("ignored") is True:
            due.pop(str(data.get("name", "")), None)
        due.update(dict.fromkeys(_texts(more.get("notified")), event.intent))

    def end(self, key: str, intent: str, states: Mapping[str, HostState]) -> None:
        """Take what became of hosts in slice `key`: whoever got through it has run what it notified under `intent`."""
        for host, state in states.items():
            if state in GOOD and (key, host) in self._due:
                due = self._due[key, host]
                self._due[key, host] = {title: by for title, by in due.items() if by != intent}

    def settle(self, key: str, host: str, state: HostState) -> None:
        """Take a person's word on a host in slice `key`."""
        if state in GOOD:
            self._due.pop((key, host), None)

    def all(self) -> dict[tuple[str, str], tuple[str, ...]]:
        """Return what is owed."""
        return {place: tuple(titles) for place, titles in self._due.items() if titles}


def pending(
    owed: Mapping[tuple[str, str], tuple[str, ...]], begun: Mapping[str, Begun], units: Mapping[str, Unit]
) -> Iterator[str]:
    """Yield one line for each host that is owed handlers in what was `begun`, or of which that is not known."""
    for (key, host), titles in owed.items():
        yield f"pending handlers: {host}: {', '.join(titles)} ({key})"
    for key, part in begun.items():
        written = _written(units[key])
        for host, state in part.states.items() if written else ():
            others = [title for title in written if title not in owed.get((key, host), ())]
            if state in SILENT and others:
                yield f"not known whether notified: {host}: {', '.join(others)} ({key})"


def _written(unit: Unit) -> list[str]:
    expected = unit.step.expected if isinstance(unit.step, AnsibleStep) else ()
    return list(dict.fromkeys(task.name for task in expected if task.section == "handler"))


def _texts(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []
