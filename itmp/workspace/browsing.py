"""Pages of changes, for people who browse a log that may be long.

Rules kept here:
1. Which changes there are, without anything to search for, is read from the log itself, and is every change.
2. What is searched for is found by the index. A change that somebody hid from it is missing on the page, which says so
   (`by_index`); `inquiries` answers the same questions from every leaf.
3. A row is folded from all leaves of its change, found and verified by the log, never by the index.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from itmp.adapters.index import ChangeQuery, During
from itmp.change import time_of
from itmp.errors import InvalidInputError
from itmp.inquiry import Case, Exceptional, exceptions
from itmp.workspace import periods
from itmp.workspace.inquiries import audit_cases, moment, read_cases, within
from itmp.workspace.place import Workspace

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_NAMED: Final = 10
"""Changes that carry one external reference, as far as they are looked at."""

_LATEST: Final = datetime(9999, 1, 1, tzinfo=UTC)
_MOST_TIMES: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Browsed:
    """Some of `count` changes, the newest first. `by_index` says that the index found them among `size` leaves."""

    cases: tuple[Case, ...]
    count: int
    size: int
    by_index: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowsedExceptions:
    """The exceptions of some of `count` changes that may have any, the newest first; the index found the changes."""

    found: tuple[Exceptional, ...]
    count: int
    size: int


def browse(
    place: Workspace, *, words: str = "", opened: tuple[str, str] = ("", ""), skip: int = 0, limit: int
) -> Browsed:
    """Return `limit` changes after `skip`: those with all of `words`, opened in [from, to)."""
    start, end = map(moment, opened)
    wanted = tuple(words.casefold().split())
    if not wanted and start is None and end is None:
        every = place.log.changes()
        chosen = every[max(0, len(every) - skip - limit) : max(0, len(every) - skip)][::-1]
        return Browsed(
            cases=audit_cases(place, chosen), count=len(every), size=place.log.size(), by_index=False
        )
    query = ChangeQuery(words=wanted, opened=_span((start, end)))
    names, count, size = _found(place, query, skip=skip, limit=limit)
    return Browsed(cases=audit_cases(place, names), count=count, size=size, by_index=True)


def browse_exceptions(
    place: Workspace, *, start: str = "", end: str = "", skip: int = 0, limit: int
) -> BrowsedExceptions:
    """Return the exceptions in [start, end) of `limit` changes after `skip`, of those that may have any."""
    begin, until = moment(start), moment(end)
    query = ChangeQuery(touched=_span((begin, until)), marked=True, times=_times(place))
    names, count, size = _found(place, query, skip=skip, limit=limit)
    told = list(read_cases(place, names))
    resumed = [leaf for _, leaves in told for leaf in leaves if b'"run.resumed"' in leaf.data]
    cases = [case for case, _ in told]
    found = exceptions(cases, place.history(), resumed, time_of(place.log.leaf(0)))
    shown = [item for item in within(found, begin, until) if item.change or not skip]
    return BrowsedExceptions(found=tuple(reversed(shown)), count=count, size=size)


def browse_one(place: Workspace, name: str) -> str:
    """Return the id of the change with this id, or else with this external reference, as the index finds it."""
    if place.log.head_of(name) is not None:
        return name
    names, _, _ = _found(place, ChangeQuery(external=name), skip=0, limit=_MOST_NAMED)
    named = [
        case.id
        for case in audit_cases(place, names)
        if case.record.request and case.record.request.external == name
    ]
    if len(named) > 1:
        raise InvalidInputError(
            f"{len(named)} changes carry {name!r:.60}", do="Name one: " + ", ".join(named)
        )
    if named:
        return named[0]
    there = periods.in_its_period(place, name)
    return name if there is place else browse_one(there, name)


def _found(place: Workspace, query: ChangeQuery, *, skip: int, limit: int) -> tuple[Sequence[str], int, int]:
    """Return some ids that fit (the log may not know them), how many fit, and how many leaves were looked at."""
    reading = place.reading()
    try:
        names = reading.index.changes(query, limit=limit, skip=skip)
        whole = not skip and len(names) < limit
        return names, len(names) if whole else reading.index.count(query), reading.index.size
    finally:
        reading.close()


def _times(place: Workspace) -> tuple[During, ...]:
    """Return when runs may have been exceptions by a written word of the policy, whatever it says today.

    That is in the freezes, of every version, that some types of change may pass, and while hosts might be unpinned:
    which hosts a plan reaches is not in the index.
    """
    history = place.history()
    begun = [_micros(time_of(place.log.leaf(version.index))) for version in history.versions]
    versions = zip(history.versions, begun, [*begun[1:], _micros(_LATEST)], strict=True)
    found = {
        During(types=(), start=start, end=end)
        for version, start, end in versions
        if version.policy.unpinned_hosts
    } | {
        During(types=freeze.except_types, start=_micros(freeze.window.start), end=_micros(freeze.window.end))
        for version in history.versions
        for freeze in version.policy.document.freezes
        if freeze.except_types
    }
    return _bounded(tuple(sorted(found)))


def _bounded(times: tuple[During, ...]) -> tuple[During, ...]:
    """Return these times, or one that holds them all: SQLite bounds how many a question may name."""
    if len(times) <= _MOST_TIMES:
        return times
    return (During(types=(), start=min(each.start for each in times), end=max(each.end for each in times)),)


def _micros(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)


def _span(opened: tuple[datetime | None, datetime | None]) -> tuple[int | None, int | None]:
    start, end = (None if at is None else _micros(at) for at in opened)
    return start, end
