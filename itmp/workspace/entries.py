"""What happened, entry by entry: `logs` of a change, the log's events, and the index that finds them.

Rules kept here: reading starts at once however long the log is, because entries are found by the search index and read
one by one, or, where the index is far behind, in the log itself; only a search in texts waits for the index. Each is
read from the log's own bytes and looked at again before it is shown. One event is proven by the
tiles, or, where no checkpoint covers it yet, read as the log opens it.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, NamedTuple

from itmp.adapters.index import NAME, Query, micros, what
from itmp.audit import Leaf
from itmp.calendars import parse_duration, parse_time
from itmp.canonical import parse_digest
from itmp.errors import InvalidInputError, NotFoundError
from itmp.workspace.noticing import Notice, is_held
from itmp.workspace.place import Workspace
from itmp.workspace.reading import Reading

SHOWN: Final = ("action.finished", "check.finished", "action.reconciled")
BAD: Final = ("failed", "unreachable", "denied", "unknown")
_RUNS: Final = ("run.started", "run.resumed", "run.finished")
_LONG: Final = 3600.0
_NUMBER: Final = re.compile(r"[0-9]{1,15}\Z", re.ASCII)


class Entry(NamedTuple):
    """One result: `time` (UTC, microseconds), `host` is a host or a resource, `leaf` its index in the log."""

    time: str
    step: str
    host: str
    outcome: str
    what: str
    leaf: int


def logs(
    place: Workspace,
    name: str,
    *,
    host: str = "",
    step: str = "",
    search: str = "",
    failed: bool = False,
    since: str = "",
    limit: int = 0,
    follow: bool = False,
) -> Iterator[Entry]:
    """Yield the results of a change, oldest first, each that fits every filter that is given.

    `search` stands anywhere in the text, upper and lower case alike for ASCII; `failed` leaves only what is not
    fine; `since` is a time or how long ago (`15m`); `limit` leaves the newest that many; `follow` goes on while a run
    does.
    Raises `NotFoundError` at once for a change or host that is not there.
    """
    place = _in_its_period(place, name)
    reading = place.reading(behind=not search)
    change = _resolve(reading, name)
    if host and not _took_part(reading, change, host):
        raise NotFoundError(f"{host} took no part in {change}", do=f"See who did: itmp status {change}")
    query = Query(
        change=change,
        types=SHOWN,
        hosts=(host,) if host else (),
        step=step,
        outcomes=BAD if failed else (),
        text=search,
        since=_since(since),
        limit=limit,
    )
    return _followed(place, reading, query) if follow else _entries(reading, query)


def audit_list(place: Workspace, change: str = "", *, kind: str = "", limit: int = 0) -> Iterator[Leaf]:
    """Yield the log's leaves, or one change's, oldest first; `kind` is an event type, `limit` leaves the newest."""
    place = _in_its_period(place, change) if change else place
    reading = place.reading()
    query = Query(
        change=_resolve(reading, change) if change else None,
        types=(kind,) if kind else (),
        limit=limit,
    )
    return _found(reading, query)


def audit_show(place: Workspace, name: str) -> Leaf:
    """Return one leaf by index in this period, or by leaf hash in any that is here.

    It is proven by the tiles where it is signed, else as the log opens it.
    """
    if _NUMBER.match(name):
        return _read(place, int(name))
    from itmp.workspace import periods  # noqa: PLC0415 - only a hash may lie in another period

    return periods.anywhere(place, lambda one: _read(one, name))


def _read(place: Workspace, name: str | int) -> Leaf:
    if isinstance(name, int) and place.is_copy:
        return _beyond(place, name)  # a copy keeps no index: the log finds it by reading every leaf once
    reading = place.reading()
    try:
        index = name if isinstance(name, int) else _by_hash(place, reading, name)
        leaf = reading.signed_leaf(index)
    finally:
        reading.close()
    return leaf or _beyond(place, index)


def _by_hash(place: Workspace, reading: Reading, name: str) -> int:
    index = None
    if name.startswith("sha256:"):
        index = reading.find_hash(parse_digest(name))
        if index is None:
            beyond = (leaf.index for leaf in place.log.leaves(reading.signed) if leaf.hash == name)
            index = next(beyond, None)
    if index is None:
        raise NotFoundError(
            f"no leaf {name!r:.80}", do="Name an index or a leaf hash; list them: itmp audit list"
        )
    return index


def _beyond(place: Workspace, index: int) -> Leaf:
    if index >= place.log.size():
        raise NotFoundError(
            f"the log has no leaf {index}; its last is {place.log.size() - 1}",
            do="List them: itmp audit list",
        )
    return place.log.leaf(index)


def reindex(place: Workspace) -> int:
    """Make the search index anew; return how many events it leads to."""
    (place.shard / NAME).unlink(missing_ok=True)
    return place.reading().index.size


def _in_its_period(place: Workspace, name: str) -> Workspace:
    """Return the workspace in the period that has a change: most are of this one, and then no policy is read."""
    if place.has_change(name):
        return place
    from itmp.workspace import periods  # noqa: PLC0415 - as above

    return periods.in_its_period(place, name)


def _resolve(reading: Reading, name: str) -> str:
    if reading.has(name):
        return name
    from itmp.workspace.glancing import Glances  # noqa: PLC0415 - only external references need statements read

    return Glances(reading).resolve(name)


def _took_part(reading: Reading, change: str, host: str) -> bool:
    if next(reading.index.leaves(Query(change=change, hosts=(host,), limit=1)), None) is not None:
        return True
    from itmp.workspace.glancing import Glances  # noqa: PLC0415 - as above

    glances = Glances(reading)
    record = glances.record(change)
    return any(host in glances.hosts(record, run) for run in record.runs)


def _since(text: str) -> int:
    if not text:
        return 0
    ago = text[-1] in "smhd" and text[:-1].isdecimal()
    at = datetime.now(UTC) - parse_duration(text) if ago else parse_time(text)
    return micros(at.isoformat())


def _entries(reading: Reading, query: Query) -> Iterator[Entry]:
    for leaf in _found(reading, query):
        event = leaf.event
        target = (event.target or {}).get("id", "")
        fits = (
            event.change == query.change
            and event.type in query.types
            and (not query.hosts or target in query.hosts)
            and (not query.step or event.step == query.step)
            and (not query.outcomes or event.outcome in query.outcomes)
        )
        if fits:
            yield Entry(
                event.t, event.step, target, event.outcome, what(event.action, event.data), leaf.index
            )


def _found(reading: Reading, query: Query) -> Iterator[Leaf]:
    if query.limit < 0:
        raise InvalidInputError("a limit is a number of entries, 1 or more")
    if not query.limit:
        return reading.index.leaves(query)
    newest = tuple(reading.index.leaves(replace(query, newest=True)))
    return reversed(newest)


def _followed(place: Workspace, reading: Reading, query: Query) -> Iterator[Entry]:
    """Yield what is there, then what comes, until no run is going on or its process is gone."""
    with Notice(place) as notice:
        while True:
            going = _going(reading, query.change) and is_held(place, query.change or "")
            reading.close()
            reading = place.reading()  # what came before the last look at whether it goes on is in it
            last = -1
            for entry in _entries(reading, query):
                last = entry.leaf
                yield entry
            query = replace(query, after=max(last, query.after), limit=0)
            if not going:
                return
            notice.wait(_LONG)


def _going(reading: Reading, change: str | None) -> bool:
    newest = Query(change=change, few=True, types=_RUNS, newest=True, limit=1)
    leaf = next(reading.index.leaves(newest), None)
    return leaf is not None and leaf.event.type != "run.finished"
