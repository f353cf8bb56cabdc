"""Values that verbs take and return, and how their text is read: for callers who use `itmp.workspace` alone."""

from itmp.calendars import Window, parse_duration, parse_time
from itmp.change import ChangeRecord
from itmp.documents import DocumentError
from itmp.evidence import Trust
from itmp.inquiry import Case, Population
from itmp.plan import Plan

__all__ = [
    "Case",
    "ChangeRecord",
    "DocumentError",
    "Plan",
    "Population",
    "Trust",
    "Window",
    "parse_duration",
    "parse_time",
]
