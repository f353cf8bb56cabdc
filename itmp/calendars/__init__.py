"""Durations, times, windows and freezes: pure and zone-aware. `now` is always an argument."""

from itmp.calendars.times import CalendarError, format_duration, format_time, parse_duration, parse_time
from itmp.calendars.windows import DAYS, Freeze, Weekly, Window, frozen_by, next_window, windows_between

__all__ = [
    "DAYS",
    "CalendarError",
    "Freeze",
    "Weekly",
    "Window",
    "format_duration",
    "format_time",
    "frozen_by",
    "next_window",
    "parse_duration",
    "parse_time",
    "windows_between",
]
