"""Durations and times as text.

Rules kept here: a time is an aware datetime in UTC; text without an offset or a zone's name is refused,
because it would mean something else on another machine. A local time that the clock skips in spring means the
instant that a clock which had not been set would call so (it goes through UTC and back: 02:30 becomes 03:30);
a local time that occurs twice in autumn means the first.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from itmp.errors import InvalidInputError

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION: Final = re.compile(r"(0|[1-9][0-9]{0,8})([smhd])\Z")
_LONGEST: Final = timedelta(days=3660)
_RFC3339: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})\Z"
)
_LOCAL: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(?::[0-9]{2})?) ([A-Za-z0-9_+/-]{1,64})\Z"
)
_TIME_FORMS: Final = (
    "Expected 2026-11-22T22:00:00Z, 2026-11-22T23:00:00+01:00 or 2026-11-22T23:00 Europe/Berlin."
)


class CalendarError(InvalidInputError):
    """A text that is no duration, time, zone, window or weekly rule."""


def parse_duration(text: str) -> timedelta:
    """Read `30s`, `15m`, `4h` or `7d` (real hours; a day is 24 of them); raise `CalendarError`."""
    found = _DURATION.match(text)
    length = timedelta(seconds=int(found[1]) * _UNITS[found[2]]) if found else None
    if length is None or length > _LONGEST:
        raise CalendarError(
            f"not a duration: {text!r:.40}", do="Expected a whole number and a unit: 30s, 15m, 4h, 7d."
        )
    return length


def format_duration(length: timedelta) -> str:
    """Return the shortest text that `parse_duration` reads back; raise `CalendarError` if there is none."""
    seconds, rest = divmod(length, timedelta(seconds=1))
    if rest or seconds < 0 or length > _LONGEST:
        raise CalendarError(f"{length} is no duration in whole seconds from 0 to {_LONGEST.days} days")
    unit = next(name for name, size in reversed(_UNITS.items()) if seconds % size == 0) if seconds else "s"
    return f"{seconds // _UNITS[unit]}{unit}"


def parse_time(text: str) -> datetime:
    """Read RFC 3339 or a local time and a zone's name; return UTC, raise `CalendarError`."""
    try:
        if _RFC3339.match(text):
            return datetime.fromisoformat(text).astimezone(UTC)
        if found := _LOCAL.match(text):
            return to_utc(datetime.fromisoformat(found[1]), zone(found[2]))
    except (ValueError, OverflowError) as error:
        raise CalendarError(f"not a time: {text!r:.60}: {error}", do=_TIME_FORMS) from error
    raise CalendarError(f"not a time: {text!r:.60}", do=_TIME_FORMS)


def format_time(at: datetime) -> str:
    """Return RFC 3339 in UTC with Z, parts of a second cut off; raise `CalendarError` for a naive time."""
    return aware(at).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ").zfill(20)


def aware(at: datetime) -> datetime:
    """Return `at`; raise `CalendarError` unless it knows its offset."""
    if at.utcoffset() is None:
        raise CalendarError(f"the time {at} has no zone")
    return at


def zone(name: str) -> ZoneInfo:
    """Return the zone of the IANA database; raise `CalendarError` for an unknown name."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise CalendarError(
            f"no time zone is called {name!r:.64}",
            do="Use an IANA name such as Europe/Berlin or UTC; on a bare system install the package tzdata.",
        ) from error


def to_utc(local: datetime, place: ZoneInfo) -> datetime:
    """Return the instant at which the clocks of `place` show `local` (naive), by the rules above."""
    return local.replace(tzinfo=place, fold=0).astimezone(UTC)
