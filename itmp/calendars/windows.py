"""Windows of time: single, weekly, and the freezes that close them.

Rules kept here: a window holds its start and not its end, both in UTC; a weekly window begins at a local
clock time and lasts its duration in real elapsed hours, also on the nights when the clocks change, so that
work that needs four hours has four hours; a freeze closes what it covers whatever any window says.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Final

from itmp.calendars import times
from itmp.calendars.times import CalendarError, aware, format_time, parse_duration, parse_time, to_utc

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CLOCK: Final = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]\Z")
_WEEK: Final = timedelta(days=7)
_DAY: Final = timedelta(days=1)
_MAX_SPAN: Final = timedelta(days=3660)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Window:
    """From `start` (in it) to `end` (not in it), aware; kept in UTC."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", aware(self.start).astimezone(UTC))
        object.__setattr__(self, "end", aware(self.end).astimezone(UTC))
        if not self.start < self.end:
            raise CalendarError(f"a window that ends ({self.end}) before it has begun ({self.start})")

    @classmethod
    def parse(cls, text: str) -> "Window":
        """Read two times, separated by a space; each may be followed by its zone's name."""
        words = text.split(" ")
        cut = 2 if len(words) > 2 and not words[1][:1].isdigit() else 1  # noqa: PLR2004 - a time and its zone
        return cls(start=parse_time(" ".join(words[:cut])), end=parse_time(" ".join(words[cut:])))

    @property
    def text(self) -> str:
        """`START END` in UTC, as statements write it."""
        return f"{format_time(self.start)} {format_time(self.end)}"

    def contains(self, at: datetime) -> bool:
        """Tell whether `at` lies in the window."""
        return self.start <= at < self.end

    def overlaps(self, other: "Window") -> bool:
        """Tell whether the two have an instant in common."""
        return self.start < other.end and other.start < self.end

    def covers(self, other: "Window") -> bool:
        """Tell whether all of `other` lies in this window."""
        return self.start <= other.start and other.end <= self.end


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """A time in which nothing may run in `environments` (none named: in all of them)."""

    name: str
    window: Window
    environments: tuple[str, ...] = ()

    def closes(self, environment: str, at: datetime) -> bool:
        """Tell whether the freeze forbids `environment` to be changed at `at`."""
        return self.concerns(environment) and self.window.contains(at)

    def concerns(self, environment: str) -> bool:
        """Tell whether the freeze speaks of `environment` at all."""
        return not self.environments or environment in self.environments


@dataclass(frozen=True, slots=True, kw_only=True)
class Weekly:
    """A window that comes every week: on `days` (0 is Monday) at the local clock time `start` of `zone`."""

    days: tuple[int, ...]
    start: time
    duration: timedelta
    zone: str

    @classmethod
    def parse(cls, *, days: Sequence[str], start: str, duration: str, zone: str) -> "Weekly":
        """Read `days` (`mon` … `sun`), `start` (`22:00`), `duration` (at most 7d) and an IANA zone."""
        if not days or len(set(days)) != len(days) or not set(days) <= set(DAYS):
            raise CalendarError(
                f"not a list of days: {list(days)!r:.80}", do=f"Expected some of: {', '.join(DAYS)}."
            )
        if not _CLOCK.match(start):
            raise CalendarError(f"not a clock time: {start!r:.20}", do="Expected 00:00 to 23:59.")
        length = parse_duration(duration)
        if not timedelta(0) < length <= _WEEK:
            raise CalendarError(f"a weekly window of {duration}", do="Expected more than 0s and at most 7d.")
        times.zone(zone)
        numbers = tuple(sorted(DAYS.index(day) for day in days))
        return cls(days=numbers, start=time.fromisoformat(start), duration=length, zone=zone)

    def between(self, start: datetime, end: datetime) -> tuple[Window, ...]:
        """Return every occurrence, whole, that has an instant in `start`..`end`, in order."""
        span = Window(start=start, end=end)
        if end - start > _MAX_SPAN:
            raise CalendarError(f"windows over more than {_MAX_SPAN.days} days")
        place = times.zone(self.zone)
        day = (span.start - self.duration - _DAY).astimezone(place).date()
        last = (span.end + _DAY).astimezone(place).date()
        found = list[Window]()
        while day <= last:
            if day.weekday() in self.days:
                opens = to_utc(datetime.combine(day, self.start), place)
                found.append(Window(start=opens, end=opens + self.duration))
            day += _DAY
        return tuple(window for window in found if window.overlaps(span))


def windows_between(rules: Iterable[Weekly], start: datetime, end: datetime) -> tuple[Window, ...]:
    """Return all occurrences of all `rules` that have an instant in `start`..`end`, in order, not merged."""
    return tuple(sorted({window for rule in rules for window in rule.between(start, end)}))


def next_window(rules: Iterable[Weekly], at: datetime) -> Window | None:
    """Return the occurrence that is open at `at`, else the next one; of several, the one that opens first."""
    return next(iter(windows_between(rules, at, at + _WEEK + 2 * _DAY)), None)


def frozen_by(freezes: Iterable[Freeze], environment: str, window: Window) -> tuple[Freeze, ...]:
    """Return the freezes that close at least a part of `window` for `environment`."""
    return tuple(
        freeze for freeze in freezes if freeze.concerns(environment) and freeze.window.overlaps(window)
    )
