"""Values that verbs take and return, how text is read and plans are told: for callers who use `itmp.workspace` alone.

Names load when they are first used: whoever reads a duration needs no rules of evidence.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

_HOME: Final = {
    "Window": "calendars", "parse_duration": "calendars", "parse_time": "calendars",
    "ChangeRecord": "change",
    "DocumentError": "documents",
    "Trust": "evidence",
    "Case": "inquiry", "Population": "inquiry", "Span": "inquiry",
    "Plan": "plan", "diff": "plan", "show": "plan",
}  # fmt: skip

__all__ = [
    "Case",
    "ChangeRecord",
    "DocumentError",
    "Plan",
    "Population",
    "Span",
    "Trust",
    "Window",
    "diff",
    "parse_duration",
    "parse_time",
    "show",
]

if TYPE_CHECKING:
    from itmp.calendars import Window, parse_duration, parse_time
    from itmp.change import ChangeRecord
    from itmp.documents import DocumentError
    from itmp.evidence import Trust
    from itmp.inquiry import Case, Population, Span
    from itmp.plan import Plan, diff, show


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(name)
    return getattr(import_module(f"itmp.{_HOME[name]}"), name)
