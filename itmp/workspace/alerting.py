"""Telling somebody when auditing fails: once for each incident, by every route that `itmp.yml` names.

Rules kept here: an alert never stops or slows what is being done: it goes out beside it, in a bounded time, and the end
of the process waits for it no longer than that; what it says is fixed words, the log's name, this machine's and a time;
an incident is told once, and told again only where a route failed or after it was over and came back; that a route
failed is kept and shown (`audit health`, `doctor`); the memory of what was told lies in a file whose room on disk is
taken beforehand, because a full disk is one of the incidents.
"""

import atexit
import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol

from itmp.adapters.clock import SystemClock
from itmp.calendars import format_time, parse_time
from itmp.errors import Error, InvalidInputError

if TYPE_CHECKING:
    from pathlib import Path

    from itmp.adapters.alerts import Route
    from itmp.workspace.config import Config

SCHEMA: Final = "itmp-alert/v1"
NAME: Final = "alerts.json"
SECONDS: Final = 10.0
"""How long one alert may take."""
AGAIN: Final = timedelta(minutes=15)
"""After how long a route that failed is tried again, at the next occasion."""
QUIET: Final = timedelta(minutes=10)
"""How long an incident stays open at the least, so that one that comes and goes is told once."""
_ROOM: Final = 32 * 1024
"""Bytes of the memory on disk."""
_MOST: Final = 64
"""Incidents remembered at once."""
_WORDS: Final[Mapping[str, str]] = {
    "log-unavailable": "the audit log could not be written or read; runs are refused until it can",
    "log-full": "the disk of the audit log is full; nothing further runs",
    "damaged": "the audit log, or a content of it, contradicts its own proofs",
    "rolled-back": "the audit log is older than, or different from, a head that is known: a rollback or a fork",
    "untrusted": "the audit log is not as the trust folder says: another log or key, a revoked one, or no witnesses",
    "verify-failed": "verifying the audit log found something wrong",
    "checkpoint-behind": "events of the audit log are not signed",
    "clock-behind": "the clock is behind the audit log",
    "redacted-content": "a redacted content is here again",
    "redaction-overdue": "a content that somebody asked to destroy is still here",
    "retention-overdue": "contents are kept for longer than the policy allows",
    "stray-content": "contents are here that a killed process left, and no event names",
    "anchor-behind": "an anchor has not remembered the audit log's head for longer than it may",
    "test": "this is a test of the route",
}
_MEANWHILE: set[tuple[str, str]] = set()
"""What this process has told already, where the memory on disk cannot be written."""
_UNDER_WAY: list[threading.Thread] = []


class Site(Protocol):
    """What telling needs of a workspace: its folder, its state folder and its configuration."""

    @property
    def root(self) -> "Path":
        """The workspace's folder."""

    @property
    def state(self) -> "Path":
        """Where its state lies."""

    @property
    def shard(self) -> "Path":
        """Where the log of its period lies."""

    @property
    def reads(self) -> bool:
        """Whether it was opened for reading alone."""

    @property
    def keyed(self) -> bool:
        """Whether the log's private key is here."""

    @property
    def config(self) -> "Config":
        """What `itmp.yml` says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What became of an alert on one route; `why` is empty when it went out."""

    route: str
    at: str
    why: str = ""


def tell(place: "Site", incident: str) -> None:
    """Tell every route of an incident, unless it has been told; returns at once.

    `incident` is a name of `_WORDS`, with the thing that it is about behind a space where there are several.
    """
    if not place.config.alerts:
        return
    routes, now = _routes(place), SystemClock().now()
    since, due = _claim(place, incident, [route.name for route in routes], now)
    for route in routes:
        if route.name in due:
            _send_beside(place, route, incident, since)


def settle(place: "Site", over: Collection[str], *, still: Collection[str] = ()) -> None:
    """Note that the incidents `over` are over, but for those in `still`; what comes back later is told anew."""
    if not place.config.alerts or not (place.state / NAME).is_file():
        return
    now = SystemClock().now()

    def close(memory: dict[str, Any]) -> None:
        for name in list(memory["incidents"]):
            ended = name.partition(" ")[0] in over and name not in still
            if ended and now - parse_time(memory["incidents"][name]["since"]) >= QUIET:
                del memory["incidents"][name]

    if any(name.partition(" ")[0] in over for name in _look(place)["incidents"]):
        _change(place, close)


def test(place: "Site") -> tuple[Sent, ...]:
    """Send a test by every route and wait for it; say what became of each."""
    routes = _routes(place)
    if not routes:
        raise InvalidInputError("no route of alerts is configured", where="itmp.yml", do="Add `alerts`.")
    now = format_time(SystemClock().now().replace(microsecond=0))
    for route in routes:
        _send_beside(place, route, "test", now)
    wait()
    done = {one.route: one for one in outcomes(place)}
    return tuple(
        done.get(route.name) or Sent(route=route.name, at=now, why=f"no end within {SECONDS:g} s")
        for route in routes
    )


def outcomes(place: "Site") -> tuple[Sent, ...]:
    """Return what became of the newest alert on each configured route; routes never used are left out."""
    known = _look(place)["routes"]
    return tuple(
        Sent(route=route.name, at=str(known[route.name]["at"]), why=str(known[route.name]["why"]))
        for route in place.config.alerts
        if route.name in known
    )


def wait(seconds: float = SECONDS + 2) -> None:
    """Wait for the alerts of this process that are under way."""
    end = time.monotonic() + seconds
    while _UNDER_WAY:
        thread = _UNDER_WAY.pop()
        thread.join(max(0.0, end - time.monotonic()))


def prepare(place: "Site") -> None:
    """Take the room on disk for the memory of what was told, while there is room."""
    if not (place.state / NAME).is_file():
        _change(place, lambda _: None)


def _send_beside(place: "Site", route: "Route", incident: str, since: str) -> None:
    def work() -> None:
        from itmp.adapters.alerts import send  # noqa: PLC0415 - only where there is something to tell

        why = ""
        try:
            send(route, _message(place, incident, since), seconds=SECONDS)
        except Error as error:
            why = error.what
        _change(place, lambda memory: _note(memory, route.name, incident, why))

    thread = threading.Thread(target=work, name="itmp-alert", daemon=True)
    with suppress(RuntimeError):  # the process is ending: the next look tells it
        thread.start()
        _UNDER_WAY.append(thread)


atexit.register(wait)


def _message(place: "Site", incident: str, since: str) -> bytes:
    name, _, about = incident.partition(" ")
    words = {
        "schema": SCHEMA,
        "incident": name,
        "about": about,
        "what": _WORDS.get(name, "the audit trail has a fault"),
        "log": f"{place.config.organization}/{place.config.log}",
        "machine": socket.gethostname(),
        "since": since,
        "do": "itmp audit health",
    }
    return json.dumps(words, ensure_ascii=True, sort_keys=True).encode()


def _routes(place: "Site") -> "tuple[Route, ...]":
    """Return the configured routes; an address that is none fails when it is used, and so is shown."""
    from itmp.adapters.alerts import Route  # noqa: PLC0415 - as above

    environ = os.environ
    kept = {name: environ[name] for name in ("PATH", "HOME", "LANG", "LC_ALL", "TZ") if name in environ}
    return tuple(
        Route(
            name=one.name,
            argv=one.command,
            url=one.url,
            token=environ.get(one.token.removeprefix("env:"), "") if one.token else "",
            folder=place.root,
            environment=kept,
        )
        for one in place.config.alerts
    )


def _claim(
    place: "Site", incident: str, routes: Collection[str], now: datetime
) -> tuple[str, frozenset[str]]:
    """Take the incident for this process; return since when it is, and the routes that are to be told now."""
    since, due = format_time(now.replace(microsecond=0)), set[str]()

    def take(memory: dict[str, Any]) -> None:
        nonlocal since
        known = memory["incidents"].setdefault(incident, {"since": since, "tried": {}, "told": []})
        since = known["since"]
        for route in routes:
            tried = known["tried"].get(route)
            if route not in known["told"] and (tried is None or now - parse_time(tried) >= AGAIN):
                known["tried"][route] = format_time(now.replace(microsecond=0))
                due.add(route)
        while len(memory["incidents"]) > _MOST:
            del memory["incidents"][next(iter(memory["incidents"]))]

    if not _change(place, take):
        due = {route for route in routes if (str(place.root) + incident, route) not in _MEANWHILE}
    _MEANWHILE.update((str(place.root) + incident, route) for route in due)
    return since, frozenset(due)


def _note(memory: dict[str, Any], route: str, incident: str, why: str) -> None:
    at = format_time(SystemClock().now().replace(microsecond=0))
    memory["routes"][route] = {"at": at, "why": why[:300], "incident": incident}
    known = memory["incidents"].get(incident)
    if known and not why and route not in known["told"]:
        known["told"].append(route)


def _look(place: "Site") -> dict[str, Any]:
    try:
        return _parsed((place.state / NAME).read_bytes())
    except OSError:
        return _parsed(b"")


def _change(place: "Site", change: Callable[[dict[str, Any]], None]) -> bool:
    """Change the memory under its lock, in its place on disk; return False when it cannot be written."""
    try:
        with _locked(place) as descriptor:
            memory = _parsed(os.pread(descriptor, _ROOM, 0))
            change(memory)
            data = json.dumps(memory, sort_keys=True).encode()
            if len(data) > _ROOM:
                data = json.dumps({"incidents": {}, "routes": {}}).encode()
            os.pwrite(descriptor, data.ljust(_ROOM), 0)
    except OSError:
        return False
    return True


@contextmanager
def _locked(place: "Site") -> Iterator[int]:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(place.state / NAME, flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _parsed(data: bytes) -> dict[str, Any]:
    """Read the memory; a torn or foreign one is as good as none."""
    try:
        memory = json.loads(data)
        parts = {name: dict(memory[name]) for name in ("incidents", "routes")}
        for known in parts["incidents"].values():
            for moment in (known["since"], *known["tried"].values()):
                parse_time(moment)
            if not isinstance(known["told"], list):
                raise TypeError  # noqa: TRY301 - one place says what a foreign memory is worth
        for route in parts["routes"].values():
            _ = route["at"], route["why"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, Error):
        return {"incidents": {}, "routes": {}}
    return parts
